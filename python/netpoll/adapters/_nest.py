"""Pollers nested in somebody else's loop: what the adapters share.

A task that waits parks a `Wait`, which is its token.  Its loop watches `Poller.fileno()` as long
as tasks of it wait on that poller; when that is readable, the loop calls `collect`, which brings
the tokens out and hands each to its task.  Several loops, in several threads, may watch one poller:
whichever collects a token delivers it to the loop that it is for.  Where a poller has no
descriptor, as on Windows, a thread that polls takes the loop's place while tasks of it wait.

What a loop watches is a duplicate of that descriptor, which is ours.  The poller may be closed at
any time by anybody, and its number be somebody else's at once, while the loop still has it in its
books.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from netpoll import BusyError, ClosedError, PollDesc, Poller, PollError

if TYPE_CHECKING:
    from typing_extensions import Self


#: Seconds for another thread to deliver what it has polled out.
PATIENCE = 1.0


class Token(ABC):
    """What an adapter parks.  Whoever polls one out calls `deliver`, in any thread."""

    #: Did it come out, since it was parked last?
    out = False

    def deliver(self) -> None:
        self.out = True
        self._notify()

    @abstractmethod
    def _notify(self) -> None:
        """Make the waiter run; harmless if it has left."""


def collect(poller: Poller, timeout: float = 0) -> None:
    """Bring out what has become ready on the poller, and deliver it.

    :raises RuntimeError: a scheduler that is no adapter parks on the poller too, and its tokens
        came out here, where nobody knows whom they are for.
    """
    tokens: list[Any]
    try:
        tokens = poller.poll(timeout)
    except ClosedError as error:
        tokens = error.tokens
    strange = [token for token in tokens if not isinstance(token, Token)]
    for token in tokens:
        if isinstance(token, Token):
            token.deliver()
    if strange:
        raise RuntimeError(f"{poller!r} is driven by an adapter; nobody takes {strange!r}")


#: The adapters' waits of the whole process, by descriptor and mode.  One stays here until its task
#: has seen the outcome: so nobody else parks there meanwhile, and to cancel hits no other's token.
_waits: dict[tuple[PollDesc, int], Wait] = {}


class Wait(Token):
    """One wait of one task, as a context manager around the loop that every adapter has::

        with Wait(...) as wait:
            while wait.park():
                ...                  # until _notify was called
                if wait.resume():
                    break

    Left by an exception, a kill or a cancellation, it withdraws the token; a notification that was
    on its way stays for the next waiter.
    """

    def __init__(self, nest: Nest, desc: PollDesc, mode: int) -> None:
        self.nest = nest
        self.desc = desc
        self.mode = mode
        self.poller: Poller = desc.poller
        #: Is the token parked?  Set before it is, so that what comes between undoes it too.
        self.parked = False
        self._entered = False

    def __repr__(self) -> str:  # for dump
        return repr(self._who())

    @abstractmethod
    def _who(self) -> object:
        """The task that waits."""

    def __enter__(self) -> Self:
        key = self.desc, self.mode
        other = _waits.setdefault(key, self)
        if other is not self and other._abandoned():
            if other.parked:
                other._withdraw()
            _waits[key] = other = self
        if other is not self:
            raise BusyError(f"fd {self.desc.fd}: another task waits for the same mode")
        return self

    def _abandoned(self) -> bool:
        """Was its loop closed, so that its task never ends?"""
        return False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self.parked:
                self._withdraw()
            self._leave()
        finally:
            if _waits.get((self.desc, self.mode)) is self:
                del _waits[self.desc, self.mode]

    def park(self) -> bool:
        """`PollDesc.park`; from True on, the loop watches the poller."""
        self.out = False
        self.parked = True
        try:
            self.parked = self.desc.park(self.mode, self)
        except (PollError, BusyError, ValueError):  # and not what a signal handler raised
            self.parked = False
            raise
        if self.parked and not self._entered:
            self.nest.enter(self.poller)
            self._entered = True
        return self.parked

    def resume(self) -> bool:
        """`PollDesc.resume`, after the token came out."""
        self.parked = False
        return self.desc.resume(self.mode)

    def _withdraw(self) -> None:
        """A token that is about to come out keeps others from parking until it has: here, or in
        another thread that polls, which is awake by now."""
        self.parked = False
        if self.desc.cancel(self.mode):
            return
        patience = time.monotonic() + PATIENCE
        while not self.out and time.monotonic() < patience:
            collect(self.poller)
            time.sleep(0)

    def _leave(self) -> None:
        if self._entered:
            self._entered = False
            self.nest.leave(self.poller)


class Nest(ABC):
    """The pollers that one loop watches.  Used in the thread of the loop only."""

    def __init__(self) -> None:
        self._watches: dict[Poller, Watch] = {}

    @abstractmethod
    def _watch(self, poller: Poller) -> Watch:
        """Begin to watch."""

    def enter(self, poller: Poller) -> None:
        """One more of the loop's tasks waits on the poller."""
        watch = self._watches.get(poller)
        if watch is None:
            watch = self._watches[poller] = self._watch(poller)
        if not watch.waits:
            watch.busy()
        watch.waits += 1

    def leave(self, poller: Poller) -> None:
        """One less."""
        watch = self._watches.get(poller)
        if watch is None:  # it ended, as the poller was closed
            return
        watch.waits -= 1
        if not watch.waits:
            watch.idle()

    def forget(self, watch: Watch) -> None:
        """It has ended."""
        if self._watches.get(watch.poller) is watch:
            del self._watches[watch.poller]


class LoopNest(Nest):
    """Of a loop that others can call in: it watches what has no descriptor too."""

    @abstractmethod
    def call_soon(self, function: Callable[[], object]) -> None:
        """In the thread of the loop, from any thread; nothing where the loop has ended."""

    @abstractmethod
    def _watch_fd(self, poller: Poller) -> Watch:
        """Begin to watch a poller that has a descriptor."""

    def _watch_by_thread(self, poller: Poller) -> Watch:
        return ThreadWatch(self, poller)

    def _watch(self, poller: Poller) -> Watch:
        begin = self._watch_fd if has_descriptor(poller) else self._watch_by_thread
        watch = begin(poller)
        if poller.closed:  # perhaps before it knew of the watch: then nobody else wakes that
            self.call_soon(watch.wake)
        return watch


def has_descriptor(poller: Poller) -> bool:
    """Can a loop watch it?"""
    try:
        poller.fileno()
    except NotImplementedError:
        return False
    return True


class Watch(ABC):
    """A poller that a loop watches."""

    def __init__(self, poller: Poller) -> None:
        self.poller = poller
        self.waits = 0  #: tasks of the loop that wait on the poller
        poller.add_watcher(self)
        _all_watches.add(self)

    @abstractmethod
    def wake(self) -> None:
        """The poller is closed, perhaps by another thread: the loop has to collect."""

    @abstractmethod
    def busy(self) -> None:
        """A task begins to wait, and no other does."""

    @abstractmethod
    def idle(self) -> None:
        """No task waits any more."""

    @abstractmethod
    def renew(self) -> None:
        """In a forked child."""


class FdWatch(Watch):
    """Through a descriptor of its own."""

    def __init__(self, poller: Poller) -> None:
        self.fd = -1
        self.fd = os.dup(poller.fileno())
        super().__init__(poller)

    def __del__(self) -> None:
        self.release()

    def release(self) -> None:
        """Give the descriptor back, once the loop does not watch it any more.  Idempotent."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            self.poller.remove_watcher(self)
            os.close(fd)

    def renew(self) -> None:
        """There the poller has another kernel object behind the same number."""
        if self.fd >= 0 and not self.poller.closed:
            os.dup2(self.poller.fileno(), self.fd, inheritable=False)


class ThreadWatch(Watch):
    """By a thread that polls.  It ends when, a turn of the loop later, still no task waits."""

    #: Somebody else who polls may get the wake-up that is to end the thread: it looks by itself.
    LOOK = 1.0

    def __init__(self, nest: LoopNest, poller: Poller) -> None:
        self._nest = weakref.ref(nest)  # weakly, as the thread has us: a loop may just be dropped
        self._ended = False
        super().__init__(poller)  # from now on another thread may wake us
        self.renew()

    def renew(self) -> None:
        """There is no thread there yet."""
        if not self._ended:
            self._start_thread()

    def _start_thread(self) -> None:
        threading.Thread(target=self._drive, name="netpoll adapter", daemon=True).start()

    def _drive(self) -> None:
        while not self._ended and self._nest() is not None:
            self._ended = self.poller.closed  # what is left there comes out now
            try:
                collect(self.poller, self.LOOK)
            except RuntimeError:  # a stranger's token; those who wait are no worse off
                traceback.print_exc()

    def busy(self) -> None:
        pass

    def idle(self) -> None:
        self._call_soon(self._end_if_idle)

    def _end_if_idle(self) -> None:
        if not self.waits:
            self._end()
            self.poller.wake()

    def wake(self) -> None:
        self._call_soon(self._poller_closed)

    def _poller_closed(self) -> None:
        self._end()
        collect(self.poller)  # the thread may end before it has polled even once

    def _call_soon(self, function: Callable[[], object]) -> None:
        nest = self._nest()
        if nest is not None:
            nest.call_soon(function)

    def _end(self) -> None:
        self._ended = True
        nest = self._nest()
        if nest is not None:
            nest.forget(self)
        self.poller.remove_watcher(self)


_all_watches: weakref.WeakSet[Watch] = weakref.WeakSet()


def _renew_watches() -> None:
    for watch in list(_all_watches):
        watch.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_watches)
