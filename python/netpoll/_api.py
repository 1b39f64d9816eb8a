"""The public classes and functions.  Hot methods are inherited from the engine."""

from __future__ import annotations

import errno
import os
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from netpoll import _engine, _hooks
from netpoll._core import lib
from netpoll._engine import DescBase, PollerBase

READ = lib.NP_READ
WRITE = lib.NP_WRITE


class HasFileno(Protocol):
    """A socket, a file, any object that has a descriptor."""

    def fileno(self) -> int: ...


class Wakeable(Protocol):
    """A loop that sleeps outside of a poller, on its `fileno()`."""

    def wake(self) -> None: ...


@dataclass(frozen=True)
class PollerStats:
    """The counters of a poller, from `Poller.stats`."""

    open: int  #: descriptors registered now
    parked_readers: int  #: threads, greenlets and tokens that wait for READ now
    parked_writers: int  #: the same for WRITE
    polls: int  #: times that the kernel was asked for events
    events: int  #: events that it returned
    stale_events: int  #: events dropped because their descriptor was closed
    #: deadlines whose time came; equal ones of both modes count once, ones in the past do not
    deadlines_fired: int
    wakeups: int  #: times that a poll was woken in the kernel without an event
    waiters: int  #: greenlets and tokens that wait at semaphores and timers now
    timers_fired: int  #: such waits that ended because their time was over


class PollDesc(DescBase):
    """A descriptor registered with a poller, once, edge-triggered, for both modes.  Go's pollDesc.

    `Poller.open` makes them.  Reader and writer are independent; each mode has at most one waiter,
    and remembers at most one notification.  All methods may be called from any thread or greenlet
    at any time.

    A context manager that closes the descriptor (never the fd itself).  Collecting an unclosed
    one gives a ResourceWarning.
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

    def _show(
        self,
        mode: int,
        called: str,
        _state: Callable[[PollDesc, int], str] = _engine.desc_state,
    ) -> str:
        left = self.deadline(mode)
        facts = [_state(self, mode)]
        if left is not None:
            facts.append(f"deadline in {left:.3f} s" if left > 0 else "deadline exceeded")
        text = ", ".join(fact for fact in facts if fact)
        return f"; {called}: {text}" if text else ""


class Poller(PollerBase):
    """A kernel object that reports which descriptors are ready, and a heap of their deadlines.

    It has no background thread: the threads that wait on its descriptors drive it, and so does
    `poll`.  All methods may be called from any thread at any time.

    A context manager that closes the poller.  Collecting an unclosed one gives a
    ResourceWarning.

    :param backend: "epoll", "kqueue", "iocp" or "poll"; None takes the environment's
        NETPOLL_BACKEND, else the best.
    :raises ValueError: the backend is not usable here; the message names those that are.
    :raises OSError: out of descriptors or memory.
    """

    def __init__(self, backend: str | None = None) -> None:
        super().__init__(_backend(backend))
        self._set_up()

    def _set_up(self) -> None:
        #: Woken when the poller closes.  Weak references in a plain set, as a WeakSet cannot be
        #: copied in one step.
        self._watchers: set[weakref.ref[Wakeable]] = set()

    def is_poll_descriptor(self, fd: int | HasFileno) -> bool:
        """Is fd one of the descriptors that this poller is made of?"""
        number = _number(fd)
        return _fits(number) and super().is_poll_descriptor(number)

    def stats(self) -> PollerStats:
        """The counters at this moment."""
        return PollerStats(*_engine.poller_counters(self))

    def add_watcher(self, watcher: Wakeable) -> None:
        """Have `watcher.wake()` called once the poller is closed, in the thread that closes it.

        For a loop that sleeps on `fileno()`, which would not notice that the descriptor is gone.
        The watcher is held weakly.
        """
        self._watchers.add(weakref.ref(watcher, self._watchers.discard))

    def remove_watcher(self, watcher: Wakeable) -> None:
        """Undo `add_watcher`; idempotent."""
        self._watchers.discard(weakref.ref(watcher))

    def close(self) -> None:
        super().close()
        with ExitStack() as all_of_them:  # even if one of them raises
            for watcher in watchers_of(self):
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

    # Also at the end of the interpreter, when the module's globals are gone.
    def __repr__(
        self, _counters: Callable[[Poller], tuple[int, ...]] = _engine.poller_counters
    ) -> str:
        state = "closed" if self.closed else f"{_counters(self)[0]} descriptors"
        return f"<netpoll.{type(self).__name__} {self.backend}, {state}>"


# --- the package's own ----------------------------------------------------------------------------


def adopt_poller(address: int) -> Poller:
    """A Poller around an np_poller that was made in C: see netpoll_api.h."""
    poller = Poller.__new__(Poller)
    if _hooks.adopted is not None:
        _hooks.adopted(poller)
    _engine.poller_adopt(poller, address)
    poller._set_up()
    return poller


def adopt_desc(poller: Poller, address: int) -> PollDesc:
    """The same for an np_desc of that poller."""
    desc = PollDesc.__new__(PollDesc)
    if _hooks.adopted is not None:
        _hooks.adopted(desc)
    _engine.desc_adopt(desc, poller, address)
    return desc


def internal_poller() -> Poller:
    """One that users need not close; marked before there is anything to close."""
    poller = Poller.__new__(Poller)
    _engine.poller_set_internal(poller)
    Poller.__init__(poller)
    return poller


def watchers_of(poller: Poller) -> list[Wakeable]:
    """Those of `Poller.add_watcher` that are still there."""
    references = poller._watchers.copy()  # in one step: hubs come and go meanwhile
    return [watcher for reference in references if (watcher := reference()) is not None]


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
    if isinstance(number, bool):
        raise TypeError(f"{number} is not the number of a descriptor")
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


_engine.bind(
    desc_class=PollDesc,
    descriptor_number=_descriptor,
    internal_poller=internal_poller,
    adopt_poller=adopt_poller,
    adopt_desc=adopt_desc,
)


_default: Poller | None = None
_first: dict[str, Any] = {}


def default_poller() -> Poller:
    """The poller of the process, made at the first call.

    A thread with a greenlet hub has another one: `green.get_hub().poller`.

    It is meant to stay open; if it is closed, the next call makes another.
    """
    # Without a lock, which a thread might hold as another one forks: it could be free again in the
    # child only when our hook has run, and that may not be the first.
    global _default
    while _default is None or _default.closed:
        before: dict[str, Any] = _first if _default is None else vars(_default)
        made = internal_poller()
        _first["_successor"] = _default = poller = before.setdefault("_successor", made)
        if poller is not made:  # another thread, or a signal handler, was first
            made.close()
    return _default


_engine.bind(default_poller=default_poller)


def is_default_poller(poller: Poller) -> bool:
    """Is it that of `default_poller`?  Makes none, and takes no lock."""
    return poller is _default


def hub_poller() -> Poller | None:
    """The poller of the calling thread's hub, or None if it has none."""
    hub = _engine.current_hub()
    return None if hub is None else hub.poller


def open(fd: int | HasFileno) -> PollDesc:
    """`Poller.open` on the calling thread's poller: its hub's, or else the default one.

    :param fd: the number of a descriptor in non-blocking mode, or an object with fileno().  It
        stays the caller's: close the PollDesc first.
    :raises OSError: (EBADF) not an open descriptor; or out of memory or kernel resources.
    :raises NotPollableError: a kind of file that the kernel cannot poll, such as a regular file.
    :raises FileExistsError: open on this poller already.
    """
    return (hub_poller() or default_poller()).open(fd)


def backends() -> tuple[str, ...]:
    """The names of the backends that this build can use on this machine, best first."""
    return _engine.backends()


def is_poll_descriptor(fd: int | HasFileno) -> bool:
    """Is fd one of the descriptors that an open poller of this process is made of?"""
    number = _number(fd)
    return _fits(number) and _engine.is_poll_descriptor(number)
