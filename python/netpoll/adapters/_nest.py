"""Pollers nested in another loop: what the adapters share.

A task that waits parks a `Wait`, which is its token.  Its loop watches `Poller.fileno()` as long
as tasks of it wait on that poller; when that is readable, the loop calls `deliver_ready`, which
brings the tokens out and hands each to its task.  Several loops, in several threads, may watch one
poller: whichever brings a token out delivers it to the loop that it is for.  Where a poller has no
descriptor, as on Windows, a thread that polls takes the loop's place while tasks of it wait.

What a loop watches is a duplicate of that descriptor, which is ours.  The poller may be closed at
any time, by any thread, and its number be another file's at once, while the loop still has it
registered.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
import weakref
from _thread import allocate_lock
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from time import sleep
from types import TracebackType
from typing import TYPE_CHECKING, Any

from netpoll import BusyError, ClosedError, PollDesc, Poller, PollError
from netpoll._core import ffi, lib

if TYPE_CHECKING:
    from typing_extensions import Self


#: Seconds for another thread to deliver what it has polled out.
TIMEOUT = 1.0


class Token(ABC):
    """What an adapter parks.  Whoever polls one out calls `deliver`, in any thread."""

    #: Did it come out, since it was parked last?
    out = False

    def deliver(self) -> None:
        self.out = True
        self.notify()

    @abstractmethod
    def notify(self) -> None:
        """Make the waiter run; harmless if it has left, or for no reason."""


def deliver_ready(poller: Poller, timeout: float = 0) -> None:
    """Bring out what has become ready on the poller, and deliver it.

    :raises RuntimeError: a scheduler that is no adapter parks on the poller too, and its tokens
        came out here, where their owner is not known.
    """
    tokens: list[Any]
    try:
        try:
            tokens = poller.poll(timeout)
        except ClosedError as error:
            tokens = error.tokens
        strange = [token for token in tokens if not isinstance(token, Token)]
        for token in tokens:
            if isinstance(token, Token):
                token.deliver()
    except BaseException:  # a signal handler's; whose tokens had come out is not known any more
        for reference in _waits_on(poller).copy():
            if (wait := reference()) is not None:
                wait.may_be_lost = True
                wait.notify()
        raise
    if strange:
        raise RuntimeError(f"{poller!r} is driven by an adapter; nothing takes {strange!r}")


def _waits_on(poller: Poller) -> set[weakref.ref[Wait]]:
    """Of all tasks that wait there by an adapter."""
    waits: set[weakref.ref[Wait]] = vars(poller).setdefault("_adapter_waits", set())
    return waits


def _waits_for(desc: PollDesc) -> dict[int, Wait]:
    """The same for a descriptor, by mode.  One stays here until its task has seen the outcome: so
    no other parks there meanwhile, and to cancel hits no other's token."""
    waits: dict[int, Wait] = vars(desc).setdefault("_adapter_waits", {})
    return waits


class Wait(Token):
    """One wait of one task: two context managers around the loop that every adapter has::

        wait = Wait(...)
        with wait.inside, wait:
            try:
                while wait.park():
                    ...                  # until it was notified
                    if wait.resume():
                        break
            finally:
                if wait.parked:
                    wait.cancel()

    Left by an exception, a kill or a cancellation, it withdraws the token; a notification that was
    on its way stays for the next waiter.

    Signals.  A handler that raises may cut off what is written in Python, the leaving too.  But
    `inside` and `cancel` are in C; so the token is withdrawn in any case, and it is known that the
    task has left: whoever waits there next does the rest.
    """

    def __init__(self, watches: PollerWatches, desc: PollDesc, mode: int) -> None:
        self.watches = watches
        self.desc = desc
        self.mode = mode
        self.poller: Poller = desc.poller
        #: Locked while the task is in its loop.
        self.inside = allocate_lock()
        #: Is the token parked?  Set before it is, so that what comes between undoes it too.
        self.parked = False
        #: Has the token perhaps come out and been lost?
        self.may_be_lost = False
        self._cancelled: list[bool] = []
        #: Withdraw the token, once.
        self.cancel = partial(self._cancelled.extend, map(desc.cancel, (mode,)))

    def __repr__(self) -> str:  # for dump
        return repr(self._who())

    @abstractmethod
    def _who(self) -> object:
        """The task that waits."""

    def __enter__(self) -> Self:
        waits = _waits_for(self.desc)
        other = waits.setdefault(self.mode, self)
        if other is not self and other._has_left():
            other._withdraw()
            other.watches.leave(other)
            waits[self.mode] = other = self
        if other is not self:
            raise BusyError(f"fd {self.desc.fd}: another task waits for the same mode")
        on_poller = _waits_on(self.poller)
        on_poller.add(weakref.ref(self, on_poller.discard))
        return self

    def _has_left(self) -> bool:
        return not self.inside.locked() or self._abandoned()

    def _abandoned(self) -> bool:
        """Was its loop closed, so that its task never ends?"""
        return False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        waits = _waits_for(self.desc)
        if waits.get(self.mode) is not self:
            return
        try:
            self._withdraw()
            self.watches.leave(self)
        finally:
            del waits[self.mode]

    def park(self) -> bool:
        """`PollDesc.park`; from True on, the loop watches the poller."""
        self.out = False
        self.parked = True
        try:
            self.parked = self.desc.park(self.mode, self)
        except (PollError, BusyError, ValueError):  # and not what a signal handler raised
            self.parked = False
            raise
        if self.parked:
            self.watches.enter(self)
        return self.parked

    def resume(self) -> bool:
        """`PollDesc.resume`, after the token came out."""
        ready = self.desc.resume(self.mode)
        self.parked = False
        return ready

    def _withdraw(self) -> None:
        """A token that is about to come out keeps others from parking until it has: here, or in
        another thread that polls, which is awake by now."""
        if not self.parked:
            return
        self.cancel()
        if not self._cancelled:  # the engine in Python: a signal handler cut it off
            self._cancelled.append(self.desc.cancel(self.mode))
        if not any(self._cancelled):
            end = time.monotonic() + TIMEOUT
            while not self.out and time.monotonic() < end:
                deliver_ready(self.poller)
                if self.may_be_lost:
                    break
                sleep(0)
        self.parked = False


class PollerWatches(ABC):
    """The pollers that one loop watches.  Used in the thread of the loop only."""

    def __init__(self) -> None:
        self._by_poller: dict[Poller, Watch] = {}

    @abstractmethod
    def _watch(self, poller: Poller) -> Watch:
        """Begin to watch."""

    def enter(self, wait: Wait) -> None:
        """One of the loop's tasks waits on its poller.  Idempotent."""
        watch = self._by_poller.get(wait.poller)
        if watch is None:
            watch = self._by_poller[wait.poller] = self._watch(wait.poller)
        watch.waits.add(wait.inside)
        watch.busy()

    def leave(self, wait: Wait) -> None:
        """It does not any more.  Idempotent."""
        watch = self._by_poller.get(wait.poller)
        if watch is None:  # it ended, as the poller was closed
            return
        watch.waits.discard(wait.inside)
        if not watch.is_needed():
            watch.idle()

    def forget(self, watch: Watch) -> None:
        """It has ended."""
        if self._by_poller.get(watch.poller) is watch:
            del self._by_poller[watch.poller]


class LoopWatches(PollerWatches):
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
        if poller.closed:  # perhaps before it knew of the watch: then nothing else wakes that
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
        #: `Wait.inside` of the loop's waits on the poller; of some, perhaps, that have left.
        self.waits: set[threading.Lock] = set()
        poller.add_watcher(self)
        _all_watches.add(weakref.ref(self, _all_watches.discard))

    def is_needed(self) -> bool:
        return any(inside.locked() for inside in self.waits)

    @abstractmethod
    def wake(self) -> None:
        """The poller is closed, perhaps by another thread: the loop has to call `deliver_ready`."""

    @abstractmethod
    def busy(self) -> None:
        """A task waits: watch from now on.  Idempotent."""

    @abstractmethod
    def idle(self) -> None:
        """No task waits any more.  Idempotent."""

    @abstractmethod
    def renew(self) -> None:
        """In a forked child."""


class FdWatch(Watch):
    """Through a descriptor of its own, which is closed with it at the latest."""

    def __init__(self, poller: Poller) -> None:
        self._memory = ffi.new("np_fd *", -1)  # lasts longer than what closes the number
        self._box = ffi.gc(self._memory, lib.close_boxed_fd)
        if error := lib.dup_into_box(poller.fileno(), self._box):
            raise OSError(error, os.strerror(error))
        super().__init__(poller)

    @property
    def fd(self) -> int:
        return int(self._box[0])

    def release(self) -> None:
        """Give the descriptor back, once the loop does not watch it any more.  Idempotent."""
        self.poller.remove_watcher(self)
        lib.close_boxed_fd(self._box)

    def renew(self) -> None:
        """There the poller has another kernel object behind the same number."""
        if self.fd >= 0 and not self.poller.closed:
            os.dup2(self.poller.fileno(), self.fd, inheritable=False)


class ThreadWatch(Watch):
    """By a thread that polls.  It ends when, a turn of the loop later, still no task waits."""

    #: Another poll may get the wake-up that is to end the thread: it checks by itself.
    LOOK = 1.0

    def __init__(self, watches: LoopWatches, poller: Poller) -> None:
        # Weakly, as the thread holds us: a loop may just be dropped.
        self._watches = weakref.ref(watches)
        self._driven = self._ended = False
        super().__init__(poller)  # from now on another thread may wake us

    def renew(self) -> None:
        """There is no thread there yet."""
        if self._driven and not self._ended:
            self._start_thread()

    def _start_thread(self) -> None:
        threading.Thread(target=self._drive, name="netpoll adapter", daemon=True).start()

    def _drive(self) -> None:
        while not self._ended and self._watches() is not None:
            self._ended = self.poller.closed  # what is left there comes out now
            try:
                deliver_ready(self.poller, self.LOOK)
            except RuntimeError:  # a stranger's token; the waits are no worse off
                traceback.print_exc()

    def busy(self) -> None:
        if not self._driven:
            self._start_thread()
            self._driven = True

    def idle(self) -> None:
        self._call_soon(self._end_if_idle)

    def _end_if_idle(self) -> None:
        if not self.is_needed():
            self._end()
            self.poller.wake()

    def wake(self) -> None:
        self._call_soon(self._poller_closed)

    def _poller_closed(self) -> None:
        self._end()
        deliver_ready(self.poller)  # the thread may end before it has polled even once

    def _call_soon(self, function: Callable[[], object]) -> None:
        watches = self._watches()
        if watches is not None:
            watches.call_soon(function)

    def _end(self) -> None:
        self._ended = True
        watches = self._watches()
        if watches is not None:
            watches.forget(self)
        self.poller.remove_watcher(self)


#: As in a WeakSet, which forgets in Python: what a signal handler raised there would be lost.
_all_watches: set[weakref.ref[Watch]] = set()


def _renew_watches() -> None:
    for reference in _all_watches.copy():
        if (watch := reference()) is not None:
            watch.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_watches)
