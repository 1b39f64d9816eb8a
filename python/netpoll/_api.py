"""The public classes and functions.  What may be hot is inherited from the engine."""

from __future__ import annotations

import errno
import os
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from netpoll import _engine, _errors, _hooks
from netpoll._core import lib
from netpoll._engine import DescBase, HubToken, PollerBase

READ = lib.NP_READ
WRITE = lib.NP_WRITE


class HasFileno(Protocol):
    """A socket, a file, anything that knows its descriptor."""

    def fileno(self) -> int: ...


class Wakeable(Protocol):
    """Somebody who sleeps outside of a poller, but for its sake."""

    def wake(self) -> None: ...


@dataclass(frozen=True)
class PollerStats:
    """The counters of a poller, from `Poller.stats`."""

    open: int  #: descriptors registered now
    parked_readers: int  #: threads, greenlets and tokens that wait for READ now
    parked_writers: int  #: the same for WRITE
    polls: int  #: times that the kernel was asked for events
    events: int  #: events that it gave
    stale_events: int  #: those of them that were dropped, their descriptor being gone
    deadlines_fired: int  #: deadlines that expired; equal ones for reading and writing count once
    wakeups: int  #: times that somebody was woken from the kernel without an event


class PollDesc(DescBase):
    """A descriptor registered with a poller, once, edge-triggered, for both modes.  Go's pollDesc.

    `Poller.open` makes them.  Reader and writer are independent; each mode has at most one waiter,
    and remembers at most one notification.  All methods may be called from any thread or greenlet
    at any time.

    A context manager that closes the descriptor (never the fd itself).  One that is collected
    unclosed gives a ResourceWarning.
    """

    def fileno(self) -> int:
        """The descriptor's number."""
        return self.fd

    def __enter__(self) -> PollDesc:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # Also at the end of the interpreter, when the module's globals are gone.
    def __repr__(self) -> str:
        name = f"netpoll.{type(self).__name__}"
        if self.closed:
            return f"<{name} fd={self.fd} closed>"
        return f"<{name} fd={self.fd} open{self._show(1, 'read')}{self._show(2, 'write')}>"

    def _show(self, mode: int, called: str) -> str:
        left = self.deadline(mode)
        facts = [self._state(mode)]
        if left is not None:
            facts.append(f"deadline in {left:.3f} s" if left > 0 else "deadline exceeded")
        text = ", ".join(fact for fact in facts if fact)
        return f"; {called}: {text}" if text else ""


class Poller(PollerBase):
    """A kernel object that knows which descriptors are ready, and a heap of their deadlines.

    There is no thread behind it: those who wait on its descriptors drive it, and so does whoever
    calls `poll`.  All methods may be called from any thread at any time.

    A context manager that closes the poller.  One that is collected unclosed gives a
    ResourceWarning.

    :param backend: "epoll", "kqueue", "iocp" or "poll"; None takes the environment's
        NETPOLL_BACKEND, else the best.
    :raises ValueError: the backend is not usable here; the message names those that are.
    :raises OSError: out of descriptors or memory.
    """

    _implicit = False  # made by the library for itself: nobody is told to close it

    def __init__(self, backend: str | None = None) -> None:
        super().__init__(_backend(backend))
        self._set_up()

    def _set_up(self) -> None:
        #: Who sleeps elsewhere for our sake, such as a hub: when we close, they have to look.
        #: Weak references in a plain set, as a WeakSet cannot be copied in one step.
        self._watchers: set[weakref.ref[Wakeable]] = set()
        #: Tokens of others that a hub found while it looked for its own.
        self._left: deque[Any] = deque()

    def poll(self, timeout: float | None = 0) -> list[Any]:
        if not _hooks.hubs:
            return super().poll(timeout)
        try:
            tokens = super().poll(0 if self._left else timeout)
        except _errors.ClosedError as error:
            error.tokens = self._without_hubs(error.tokens)
            raise
        return self._without_hubs(tokens)

    poll.__doc__ = PollerBase.poll.__doc__

    def _without_hubs(self, tokens: list[Any]) -> list[Any]:
        """Hand the hubs their tokens; what is left, with what hubs have left to us."""
        ours = []
        for token in tokens:
            if isinstance(token, HubToken):
                token.deliver()
            else:
                ours.append(token)
        while self._left:
            try:
                ours.append(self._left.popleft())
            except IndexError:  # another thread was faster
                break
        return ours

    def _collect_for_hubs(self) -> None:
        """`poll(0)` on behalf of a hub: what is not a hub's stays for whoever polls next."""
        found: deque[Any] = deque()
        try:
            self._poll_into(found, 0)
        except _errors.ClosedError:
            pass
        for token in found:
            self._keep(token)
        if self._left:
            self.wake()  # again: our poll(0) may have answered the last one

    def _keep(self, token: Any) -> None:
        """A hub polled out what is not its own: it goes to its hub, or stays for who polls next."""
        if isinstance(token, HubToken):
            token.deliver()
        else:
            self._left.append(token)
            self.wake()

    def is_poll_descriptor(self, fd: int | HasFileno) -> bool:
        """Is fd one of the descriptors that this poller is made of?"""
        number = _number(fd)
        return _fits(number) and super().is_poll_descriptor(number)

    def stats(self) -> PollerStats:
        """The counters at this moment."""
        return PollerStats(*self._counters())

    def add_watcher(self, watcher: Wakeable) -> None:
        """Have `watcher.wake()` called once the poller is closed, in the thread that closes it.

        For a loop that sleeps on `fileno()`: closing takes the descriptor away, which no loop
        notices.  The watcher is held weakly.
        """
        self._watchers.add(weakref.ref(watcher, self._watchers.discard))

    def remove_watcher(self, watcher: Wakeable) -> None:
        """Undo `add_watcher`; idempotent."""
        self._watchers.discard(weakref.ref(watcher))

    def close(self) -> None:
        super().close()
        with ExitStack() as all_of_them:  # even if one of them raises
            for reference in self._watchers.copy():  # in one step: hubs come and go meanwhile
                if (watcher := reference()) is not None:
                    all_of_them.callback(watcher.wake)

    close.__doc__ = PollerBase.close.__doc__

    def __enter__(self) -> Poller:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self._counters()[0]} descriptors"
        return f"<netpoll.{type(self).__name__} {self.backend}, {state}>"

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        try:
            done = self.closed or self._implicit
        except (AttributeError, RuntimeError):  # the constructor did not come to its end
            return
        if not done:
            _warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)


def _adopt_poller(address: int) -> Poller:
    """A Poller around an np_poller that was made in C: see netpoll_api.h."""
    poller = Poller.__new__(Poller)
    poller._adopt(address)
    poller._set_up()
    return poller


def _adopt_desc(poller: Poller, address: int) -> PollDesc:
    """The same for an np_desc of that poller."""
    desc = PollDesc.__new__(PollDesc)
    desc._adopt(poller, address)
    return desc


def _name(thing: object) -> str:
    return f"netpoll.{type(thing).__name__}"


def _backend(name: str | None) -> str:
    if not (name is None or isinstance(name, str)):
        raise TypeError(f"a backend is a name, not {name!r}")
    usable = _engine.backends()
    chosen = (os.environ.get("NETPOLL_BACKEND") or usable[0]) if name is None else name
    if chosen not in usable:
        raise ValueError(f"backend {chosen!r} is not usable here; usable: {', '.join(usable)}")
    return chosen


def _number(fd: int | HasFileno) -> int:
    number = fd if isinstance(fd, int) else _fileno_of(fd)()
    if not isinstance(number, int):
        raise TypeError(f"fileno() returned {number!r}, not an int")
    return number


def _fits(number: int) -> bool:
    """Can it be the number of a descriptor, in C?"""
    return -(2**31) <= number < 2**31


def _descriptor(fd: int | HasFileno) -> int:
    number = _number(fd)
    if not _fits(number):
        raise OSError(errno.EBADF, f"fd {number}: {os.strerror(errno.EBADF)}")
    return number


def _fileno_of(thing: HasFileno) -> Callable[[], int]:
    try:
        return thing.fileno
    except AttributeError:
        raise TypeError(f"a descriptor is an int or has a fileno(), not {thing!r}") from None


_engine.connect_desc(PollDesc, _descriptor)  # for Poller.open


_default: Poller | None = None
_default_lock = threading.RLock()  # a signal handler may open a descriptor too


def _new_lock() -> None:
    """In a forked child: the lock may have been held by a thread that is gone."""
    global _default_lock
    _default_lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


def default_poller() -> Poller:
    """The poller of the process, made at the first call.

    A thread with a greenlet hub has another one: `green.get_hub().poller`.

    It is meant to stay open; if it is closed all the same, the next call makes another.
    """
    global _default
    with _default_lock:
        if _default is None or _default.closed:
            poller = Poller()
            poller._implicit = True
            _default = poller
        return _default


def open(fd: int | HasFileno) -> PollDesc:
    """`Poller.open` on the calling thread's poller: its hub's, or else the default one."""
    return (_hooks.hub_poller() or default_poller()).open(fd)


def open_for_io(number: int) -> PollDesc:
    """For netpoll.socket, which closes it, and meets errors in its I/O.

    A number that is open on the thread's poller already, by somebody else's doing, goes to another
    poller.
    """
    poller = _hooks.hub_poller() or default_poller()
    try:
        desc = poller.open(number)
    except FileExistsError:
        desc = _spare_poller().open(number)
    desc._for_io()
    return desc


_spare: Poller | None = None


def _spare_poller() -> Poller:
    global _spare
    with _default_lock:
        if _spare is None or _spare.closed:
            _spare = Poller()
            _spare._implicit = True
        return _spare


def backends() -> tuple[str, ...]:
    """The names of the backends that this build can use on this machine, best first."""
    return _engine.backends()


def is_poll_descriptor(fd: int | HasFileno) -> bool:
    """Is fd one of the descriptors that an open poller of this process is made of?"""
    number = _number(fd)
    return _fits(number) and _engine.is_poll_descriptor(number)
