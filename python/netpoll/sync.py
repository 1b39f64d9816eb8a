"""Locks, queues and the like for threads and greenlets: those of `threading` and `queue`::

    from netpoll import sync

    lock = sync.Lock()
    with lock:
        ...  # other greenlets of the thread run while this one waits for the lock

Names, signatures and errors are the standard ones.  Each object works in a plain thread, in a
greenlet, and between threads and greenlets of any hubs.  What waits is served in the order of
coming.  It is held by the greenlet as the standard ones are by the thread: an RLock's owner is the
greenlet, and a `local` has values for each.

An exception that ends a wait, such as that of a timeout, a kill or a signal handler, loses no
notification: it is passed on to the next that waits.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
import types
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from operator import attrgetter
from queue import Empty, Full
from threading import BrokenBarrierError
from typing import Any, TypeVar

from netpoll import _engine
from netpoll._engine import (
    ConditionBase,
    Lock,
    RLock,
    Sema,
    SemaphoreBase,
    SimpleQueue,
    get_ident,
    local,
)
from netpoll._whole import call, consume

if sys.version_info >= (3, 13):
    from queue import ShutDown

    _ShutDown: type[Exception] = ShutDown
else:
    _ShutDown = Full  # no queue is ever shut down

__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "BrokenBarrierError",
    "Condition",
    "Empty",
    "Event",
    "Full",
    "LifoQueue",
    "Lock",
    "PriorityQueue",
    "Queue",
    "RLock",
    "Semaphore",
    "SimpleQueue",
    "get_ident",
    "local",
]
if sys.version_info >= (3, 13):
    __all__ += ["ShutDown"]

T = TypeVar("T")

_engine.bind(queue_empty=Empty)


def _where(thing: object) -> str:
    kind = type(thing)
    module = "netpoll" if kind.__module__ == __name__ else kind.__module__
    return f"<{module}.{kind.__qualname__} at {id(thing):#x}"


# --- threading ------------------------------------------------------------------------------------


class Condition(ConditionBase):
    """A condition variable, as `threading.Condition`.

    :param lock: a Lock or RLock, or one of `threading`; None: an RLock of its own.
    """

    def __init__(self, lock: Any = None) -> None:
        if lock is None:
            lock = RLock()
        super().__init__(lock)
        self.acquire = lock.acquire
        self.release = lock.release
        for name in ("locked", "_release_save", "_acquire_restore"):
            if hasattr(lock, name):
                setattr(self, name, getattr(lock, name))

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Wait until the predicate is true, or for timeout seconds; its last result."""
        left, end = timeout, None
        result = predicate()
        while not result:
            if left is not None:
                now = time.monotonic()
                if end is None:  # wait once in any case: that lets others have the lock
                    end = now + left
                elif (left := end - now) <= 0:
                    break
            self.wait(left)
            result = predicate()
        return result

    if hasattr(threading.Condition, "notifyAll"):  # the old name, as long as there is one
        notifyAll = threading.Condition.notifyAll

    def __repr__(self) -> str:
        return f"{_where(self)}, {self._lock!r}>"


class Event:
    """A flag to wait for, as `threading.Event`."""

    def __init__(self) -> None:
        self._flag = Sema(name="event")

    def is_set(self) -> bool:
        """Is the flag set?"""
        return self._flag.is_open

    if hasattr(threading.Event, "isSet"):  # the old name, as long as there is one
        isSet = threading.Event.isSet

    def set(self) -> None:
        """Set the flag, and let all go on that wait."""
        self._flag.open()

    def clear(self) -> None:
        """Clear the flag: what comes from now on waits."""
        self._flag.reset()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is set.

        :param timeout: seconds; None waits for ever.
        :returns: False: the time was over first.
        """
        return self._flag.acquire(timeout)

    def _at_fork_reinit(self) -> None:
        """Nothing of it is another thread's."""

    def __repr__(self) -> str:
        return f"{_where(self)}: {'set' if self.is_set() else 'unset'}>"


class Semaphore(SemaphoreBase):
    """A counter to wait for, as `threading.Semaphore`.

    :raises ValueError: the value is negative.
    """

    def __init__(self, value: int = 1) -> None:
        super().__init__(value, False)

    def __repr__(self) -> str:
        return f"{_where(self)}: value={self._value}>"


class BoundedSemaphore(SemaphoreBase):
    """One whose counter never exceeds what it was at first, as `threading.BoundedSemaphore`.

    :raises ValueError: the value is negative; in `release`: it was released more often than
        acquired.
    """

    def __init__(self, value: int = 1) -> None:
        super().__init__(value, True)
        self._initial = value

    def __repr__(self) -> str:
        return f"{_where(self)}: value={self._value}/{self._initial}>"


class _Generation:
    """Those that pass a Barrier together."""

    def __init__(self) -> None:
        self.arrived = 0
        self.outcome: bool | None = None  #: True: they pass; False: it is broken


_STANDARD_BARRIER = threading.Barrier


class Barrier:
    """Where a number of threads or greenlets wait for each other, as `threading.Barrier`."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Barrier:
        if hasattr(cls, "_state"):
            _use_standard_methods(cls)
        return super().__new__(cls)

    def __init__(
        self,
        parties: int,
        action: Callable[[], object] | None = None,
        timeout: float | None = None,
    ) -> None:
        if parties < 1:
            raise ValueError("parties must be > 0")
        self._parties = parties
        self._action = action
        self._timeout = timeout
        self._changed = Condition()
        self._generation = _Generation()
        self._broken = False

    def wait(self, timeout: float | None = None) -> int:
        """Wait until all are here.

        :param timeout: seconds; None: that of the barrier.
        :returns: a number for each, from 0 to `parties` - 1.
        :raises BrokenBarrierError: it is broken, by a timeout, `abort`, or an exception that ended
            the wait of another; or it was reset meanwhile.
        """
        with self._changed:
            if self._broken:
                raise BrokenBarrierError
            mine = self._generation
            try:
                mine.arrived += 1
                index = mine.arrived - 1
                self._pass_or_wait(mine, self._timeout if timeout is None else timeout)
            except BaseException:
                if mine.outcome is None:
                    self._break(mine)
                raise
            return index

    def _pass_or_wait(self, mine: _Generation, timeout: float | None) -> None:
        if mine.arrived == self._parties:
            if self._action is not None:
                self._action()
            self._end(mine, True)
            return
        self._changed.wait_for(lambda: mine.outcome is not None, timeout)
        if not mine.outcome:
            raise BrokenBarrierError

    def _end(self, generation: _Generation, outcome: bool) -> None:
        consume(
            map(
                call,
                (
                    partial(setattr, generation, "outcome", outcome),
                    partial(setattr, self, "_generation", _Generation()),
                    self._changed.notify_all,
                ),
            )
        )

    def _break(self, generation: _Generation) -> None:
        self._broken = True
        self._end(generation, False)

    def reset(self) -> None:
        """Back to where it began; those that wait get BrokenBarrierError."""
        with self._changed:
            self._broken = False
            self._end(self._generation, False)

    def abort(self) -> None:
        """Break it: all that wait, and all that come, get BrokenBarrierError."""
        with self._changed:
            self._break(self._generation)

    @property
    def parties(self) -> int:
        """How many pass together."""
        return self._parties

    @property
    def n_waiting(self) -> int:
        """How many wait, at this moment."""
        return self._generation.arrived

    @property
    def broken(self) -> bool:
        """Is it broken?"""
        return self._broken

    def __repr__(self) -> str:
        if self.broken:
            return f"{_where(self)}: broken>"
        return f"{_where(self)}: waiters={self.n_waiting}/{self.parties}>"


def _use_standard_methods(cls: type[Barrier]) -> None:
    """For a subclass that keeps the state of the standard barrier where it likes: in memory that
    processes share, say.  It has been patched, and knows nothing of our state."""
    for name, value in vars(_STANDARD_BARRIER).items():
        is_method = isinstance(value, (types.FunctionType, property))
        if is_method and getattr(cls, name, None) is vars(Barrier).get(name):
            setattr(cls, name, value)


# --- queue ----------------------------------------------------------------------------------------


class _InC:
    """A hook of a queue, for subclasses to override, that is one call of C unless they do.

    :param bind: gives what is called, of a queue.
    :param function: the same as a function of the queue and its arguments.
    """

    def __init__(self, bind: Callable[[Any], Any], function: Callable[..., Any]) -> None:
        self._bind = bind
        self._function = function

    def __get__(self, instance: Any, owner: type) -> Any:
        return self._function if instance is None else self._bind(instance)


def _end_of(block: bool, timeout: float | None) -> float | None:
    """On the monotonic clock; None: never."""
    if not block:
        return 0
    return None if timeout is None else time.monotonic() + timeout


def _check_timeout(block: bool, timeout: float) -> None:
    if block and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")


def _wait_until(end: float | None, condition: Condition, error: type[Exception]) -> None:
    """Until it is notified.

    :raises error: the time is over.
    """
    left = None if end is None else end - time.monotonic()
    if left is not None and left <= 0:
        raise error
    condition.wait(left)


class Queue(queue.Queue[T]):
    """A queue with a maximum size, as `queue.Queue`.

    What has taken an item out, or put one in, has also notified the others: no signal handler comes
    between.
    """

    if sys.version_info < (3, 13):
        is_shutdown = False

    _put: Any = _InC(attrgetter("queue.append"), queue.Queue._put)
    _get: Any = _InC(attrgetter("queue.popleft"), queue.Queue._get)

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self.mutex: Any = Lock()
        self.not_empty: Any = Condition(self.mutex)
        self.not_full: Any = Condition(self.mutex)
        self.all_tasks_done: Any = Condition(self.mutex)

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Put an item in; wait until there is room.

        :param timeout: seconds; None waits for ever.
        :raises queue.Full: there is none, and block is false or the time was over.
        """
        if timeout is not None and self.maxsize > 0:
            _check_timeout(block, timeout)
        with self.mutex:
            try:
                if self.is_shutdown:
                    raise _ShutDown
                if 0 < self.maxsize <= self._qsize():
                    self._await_room(block, timeout)
                self.not_empty.notify_after(
                    partial(self._put, item),
                    partial(setattr, self, "unfinished_tasks", self.unfinished_tasks + 1),
                )
            except BaseException:
                self._pass_on()
                raise

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Take an item out; wait until there is one.

        :param timeout: seconds; None waits for ever.
        :raises queue.Empty: there is none, and block is false or the time was over.
        """
        if timeout is not None:
            _check_timeout(block, timeout)
        with self.mutex:
            try:
                if not self._qsize():
                    self._await_item(block, timeout)
                item: T = self.not_full.notify_after(self._get)
                return item
            except BaseException:
                self._pass_on()
                raise

    def task_done(self) -> None:
        """One of the items that were taken out is done; see `join`.

        :raises ValueError: it was called more often than items were put in.
        """
        with self.mutex:
            left = self.unfinished_tasks - 1
            if left < 0:
                raise ValueError("task_done() called too many times")
            notify = self.all_tasks_done.notify_all if left == 0 else int
            count = partial(setattr, self, "unfinished_tasks", left)
            consume(map(call, (count, notify)))

    def _await_room(self, block: bool, timeout: float | None) -> None:
        end = _end_of(block, timeout)
        while self._qsize() >= self.maxsize:
            _wait_until(end, self.not_full, Full)
            if self.is_shutdown:
                raise _ShutDown

    def _await_item(self, block: bool, timeout: float | None) -> None:
        end = _end_of(block, timeout)
        while not self._qsize():
            if self.is_shutdown:
                raise _ShutDown
            _wait_until(end, self.not_empty, Empty)

    def _pass_on(self) -> None:
        """What an exception ended may have been notified.  A notification for nothing does no
        harm: what waits checks."""
        self.not_empty.notify()
        self.not_full.notify()


class LifoQueue(Queue[T]):
    """The last item that was put in comes out first, as `queue.LifoQueue`."""

    _init = queue.LifoQueue._init
    _qsize = queue.LifoQueue._qsize
    _put = _InC(attrgetter("queue.append"), queue.LifoQueue._put)
    _get = _InC(attrgetter("queue.pop"), queue.LifoQueue._get)


class PriorityQueue(Queue[T]):
    """The least item comes out first, as `queue.PriorityQueue`."""

    _init = queue.PriorityQueue._init
    _qsize = queue.PriorityQueue._qsize
    _put = _InC(lambda q: partial(heappush, q.queue), queue.PriorityQueue._put)
    _get = _InC(lambda q: partial(heappop, q.queue), queue.PriorityQueue._get)
