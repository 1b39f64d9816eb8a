"""Locks and conditions over cffi: what python/ext/lock.c and condition.c are on CPython."""

from __future__ import annotations

import itertools
import math
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from netpoll import _errors
from netpoll._cffi.engine import INTERRUPTED, NEVER, OK, nanoseconds
from netpoll._cffi.hub import MAX_EXITS, current_hub, running_greenlet
from netpoll._cffi.sema import instant
from netpoll._cffi.wait import acquire, acquire_into, coop_yield, instant_after, new_unit
from netpoll._core import ffi, lib
from netpoll._whole import call, consume

T = TypeVar("T")

_LOCK = ffi.new("char[]", b"lock")
_CONDITION = ffi.new("char[]", b"condition")


def get_ident() -> int:
    """What runs: the greenlet, in a hub, elsewhere the thread.  As `threading.get_ident`.

    The main greenlet of a thread is the thread.
    """
    greenlet = running_greenlet()
    return threading.get_ident() if greenlet is None else id(greenlet)


def _limit(blocking: bool, timeout: float) -> int:
    """Until when to wait; 0: not at all."""
    seconds = math.ldexp(timeout, 0)  # a float, of no string
    if seconds == -1:
        return NEVER if blocking else 0
    if not blocking:
        raise ValueError("can't specify a timeout for a non-blocking call")
    if math.isnan(seconds):
        raise ValueError("the timeout is NaN")
    if seconds < 0:
        raise ValueError("timeout value must be a non-negative number")
    if seconds * 1e9 >= 1 << 63:
        raise OverflowError("timeout value is too large")
    return instant_after(nanoseconds(seconds)) if seconds else 0


class Leaving:
    """`__exit__` of a lock or a semaphore.

    A signal handler may raise when that is acquired and the block has not begun, or in `__exit__`
    before it has done anything.  `with` looks that up before it enters; when it is left so, it
    drops what it has found, and that releases what was acquired.
    """

    def __get__(self, lock: Any, owner: type) -> Any:
        if lock is None:
            return self
        block, kept = lock._new_block()
        leave = partial(_leave, lock, block)
        # Not for `_leave`: the traceback would keep it with the frame.
        leave.__dict__["dropped"] = ffi.gc(block, partial(lib.drop_block, kept))
        lock._begun[get_ident()] = block
        return leave

    def __call__(self, lock: Any, *error: object) -> None:
        lock.release()


def _leave(lock: Any, block: Any, *error: object) -> None:
    if not lib.leave_block(block):
        lock.release()  # which says what is wrong


def _begun(lock: Any) -> Any:
    """The block that is about to be entered; NULL: none."""
    return lock._begun.pop(get_ident(), ffi.NULL)


def enter(lock: Any, sema: Any, what: Any) -> bool:
    """`__enter__`: acquire a unit of the semaphore."""
    block = _begun(lock)
    coop_yield()
    unit = new_unit(sema, what)
    rc = acquire_into(unit, sema, NEVER, what)
    if rc < 0:
        raise _errors.system(-rc, "acquire")
    lib.enter_block(block, unit)
    return True


class _LockBase:
    __reduce_ex__ = _errors.refuse_copies
    __slots__ = ("__weakref__", "_begun", "_free")

    #: Blocks of `with`, by what runs, from the look-up of `__exit__` to `__enter__`.
    _begun: dict[int, Any]

    def __init__(self) -> None:
        self._free = ffi.new("np_sema *")
        self._begun = {}
        lib.np_sema_init(self._free, 1)

    def _acquire(self, until: int) -> bool:
        coop_yield(until != 0)
        if until == 0:
            return bool(lib.np_sema_try(self._free) == OK)
        rc = acquire(self._free, until, _LOCK)
        if rc < 0:
            raise _errors.system(-rc, "lock")
        return rc == OK

    def acquire_anyway(self) -> None:
        """Until it is acquired; what is raised meanwhile is raised afterwards."""
        error: BaseException | None = None
        rc, exits = INTERRUPTED, 0
        while rc == INTERRUPTED:
            unit: Any = None
            try:
                unit = new_unit(self._free, _LOCK)
                rc = acquire_into(unit, self._free, NEVER, _LOCK)
            except BaseException as raised:
                error = raised
                if unit is not None and unit.state == lib.UNIT_HELD:
                    rc = OK
                else:
                    if unit is not None:
                        ffi.release(unit)  # now, as the error keeps it
                    hub = current_hub()
                    exits += hub is not None and hub.finished
                    if exits == MAX_EXITS:
                        raise
        try:
            lib.enter_block(ffi.NULL, unit)
            if rc < 0:
                raise _errors.system(-rc, "lock")
            if error is not None:
                raise error
        finally:
            del error  # its traceback has this frame

    def _release(self) -> bool:
        return bool(lib.np_sema_release_within(self._free, 1, 1) == OK)

    def locked(self) -> bool:
        """Is it locked?"""
        return bool(lib.np_sema_count(self._free) == 0)

    def __reduce__(self) -> Any:
        raise TypeError(f"cannot pickle {type(self).__qualname__!r} object")


class Lock(_LockBase):
    """A lock, as `threading.Lock`: not reentrant, and released from anywhere.

    Threads and greenlets that wait for it get it in the order of coming.
    """

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        raise TypeError("type 'netpoll.sync.Lock' is not an acceptable base type")

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Lock it; wait until it is unlocked.

        :param timeout: seconds; -1 waits for ever.
        :returns: False: it is locked, and blocking is false or the time was over.
        """
        return self._acquire(_limit(blocking, timeout))

    def release(self) -> None:
        """Unlock it, or hand it to the first that waits.

        :raises RuntimeError: it is not locked.
        """
        if not self._release():
            raise RuntimeError("release unlocked lock")

    def __enter__(self) -> bool:
        return enter(self, self._free, _LOCK)

    if TYPE_CHECKING:

        def __exit__(self, *unused: object) -> None: ...

    else:
        __exit__ = Leaving()

    def _new_block(self) -> Any:
        return ffi.new("block *", {"sema": self._free, "limit": 1}), self._free

    def _at_fork_reinit(self) -> None:
        self._release()

    # The names that DOC_Lock_locked needs stand in the class.
    def locked(self) -> bool:
        """Is it locked?"""
        return super().locked()

    def __repr__(self) -> str:
        state = "locked" if self.locked() else "unlocked"
        return f"<{state} netpoll.Lock object at {id(self):#x}>"


class RLock(_LockBase):
    """A reentrant lock, as `threading.RLock`: its owner may acquire it again.

    The owner is the greenlet, in a hub, and elsewhere the thread.
    """

    __slots__ = ("_lock",)

    def __init__(self, *unused: object, **unused_too: object) -> None:
        if (unused or unused_too) and type(self) is RLock and sys.version_info >= (3, 15):
            raise TypeError("RLock() takes no arguments")
        self._lock: Any = ffi.new("fifo_rlock *")  # who has it, and how often, is known there
        self._begun = {}
        self._free = ffi.addressof(self._lock, "free")
        lib.np_sema_init(self._free, 1)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Lock it, once more if it is the caller's; wait until it is unlocked.

        :param timeout: seconds; -1 waits for ever.
        :returns: False: it is another's, and blocking is false or the time was over.
        """
        return self._acquire_again(_limit(blocking, timeout))

    def _acquire_again(self, until: int, block: Any = ffi.NULL) -> bool:
        me = get_ident()
        if lib.lock_again(self._lock, me, block):
            return True
        coop_yield(until != 0)
        unit = new_unit(self._free, _LOCK)
        rc = acquire_into(unit, self._free, until, _LOCK)
        if rc < 0:
            raise _errors.system(-rc, "lock")
        if rc == OK:
            lib.lock_with(self._lock, me, unit, block)
        return rc == OK

    def release(self) -> None:
        """Undo one `acquire`; the last one unlocks it, or hands it to the first that waits.

        :raises RuntimeError: it is not the caller's.
        """
        if not lib.lock_release(self._lock, get_ident()):
            raise RuntimeError("cannot release un-acquired lock")

    def _check_owner(self) -> None:
        if not self._is_owned():
            raise RuntimeError("cannot release un-acquired lock")

    def __enter__(self) -> bool:
        return self._acquire_again(NEVER, _begun(self))

    if TYPE_CHECKING:

        def __exit__(self, *unused: object) -> None: ...

    else:
        __exit__ = Leaving()

    def _new_block(self) -> Any:
        return ffi.new("block *", {"lock": self._lock, "owner": get_ident()}), self._lock

    def _at_fork_reinit(self) -> None:
        lib.lock_break(self._lock)

    def _is_owned(self) -> bool:
        return bool(self._lock.owner == get_ident())

    def _recursion_count(self) -> int:
        return self._lock.depth if self._is_owned() else 0

    def _release_save(self) -> int:
        self._check_owner()
        depth: int = self._lock.depth
        lib.lock_break(self._lock)
        return depth

    def _acquire_restore(self, depth: int, /) -> None:
        me = get_ident()
        try:
            self.acquire_anyway()
        finally:
            self._lock.owner, self._lock.depth = me, depth

    def __repr__(self) -> str:
        state = "locked" if self.locked() else "unlocked"
        kind = f"netpoll.{type(self).__qualname__}"
        owner, count = self._lock.owner, self._lock.depth
        return f"<{state} {kind} object owner={owner} count={count} at {id(self):#x}>"


Lock.__module__ = RLock.__module__ = "netpoll.sync"


class _LeavingLock:
    """`Condition.__exit__`: that of its lock, looked up when `with` does."""

    def __get__(self, condition: ConditionBase | None, owner: type) -> Any:
        return self if condition is None else condition._lock.__exit__

    def __call__(self, condition: ConditionBase, *error: object) -> None:
        condition._lock.release()


class ConditionBase:
    """What `Condition` inherits: a queue of waiters beside a lock."""

    __reduce_ex__ = _errors.refuse_copies

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        #: Those that no notification has been for: a semaphore each.
        self._line: deque[Any] = deque()
        #: To take the first out and release it a unit is one next().
        self._notifications = map(
            lib.np_sema_release, iter(self._line.popleft, None), itertools.repeat(1)
        )

    def __enter__(self) -> Any:
        return self._lock.__enter__()

    if TYPE_CHECKING:

        def __exit__(self, *error: Any) -> None: ...

    else:
        __exit__ = _LeavingLock()

    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock, wait for a notification, acquire the lock again.

        Whatever ends the wait, the lock is the caller's afterwards.

        :param timeout: seconds; None waits for ever, 0 or less does not wait.
        :returns: False: the time was over first.
        :raises RuntimeError: the lock is not the caller's.
        """
        until = instant(timeout)
        self._check_owner("wait")
        hub = current_hub()
        if hub is not None:
            hub.current_waiter()  # not in the hub's greenlet
            hub.coop_yield(until != 0)
        release, depth = self._how_to_release()
        released: list[Any] = []
        notified = ffi.new("np_sema *")
        self._line.append(notified)
        try:
            try:
                released.extend(map(call, (release,)))  # and noted, in one call
                rc = acquire(notified, until, _CONDITION)
                if rc < 0:
                    raise _errors.system(-rc, "condition")
            except BaseException:
                self._leave_line(notified, True)
                raise
            return self._leave_line(notified, False)
        finally:
            if released:
                self._acquire_lock(depth or released[0])

    def _how_to_release(self) -> tuple[Callable[[], Any], int]:
        """And how often the caller has a lock of ours that counts that."""
        lock = self._lock
        if isinstance(lock, Lock):
            return partial(lib.np_sema_release_within, lock._free, 1, 1), 0
        if type(lock) is RLock:
            return partial(lib.lock_break, lock._lock), lock._lock.depth
        return getattr(lock, "_release_save", lock.release), 0

    def _acquire_lock(self, state: Any) -> None:
        if isinstance(self._lock, Lock):
            self._lock.acquire_anyway()
        elif hasattr(self._lock, "_acquire_restore"):
            self._lock._acquire_restore(state)
        else:
            self._lock.acquire()

    def _leave_line(self, notified: Any, raised: bool) -> bool:
        """The wait is over.  True: it was notified; if an exception ended it, the next is."""
        try:
            self._line.remove(notified)
        except ValueError:
            if raised:
                self._notify(1)
            return True
        return False

    def _notify(self, n: int) -> None:
        with suppress(IndexError):  # there are no more
            consume(itertools.islice(self._notifications, min(max(n, 0), sys.maxsize)))

    def notify(self, n: int = 1) -> None:
        """Let the first n that wait go on.

        :raises RuntimeError: the lock is not the caller's.
        """
        self._check_owner("notify")
        self._notify(n)

    def notify_after(self, function: Callable[[], T], *more: Callable[[], object]) -> T:
        """Call the functions, and let the first that waits go on.

        One call: if the functions are in C, no signal handler comes between.

        :returns: the result of the first.
        :raises RuntimeError: the lock is not the caller's.
        """
        self._check_owner("notify")
        result = function()
        for another in more:
            another()
        self.notify()
        return result

    def notify_all(self) -> None:
        """Let all that wait go on.

        :raises RuntimeError: the lock is not the caller's.
        """
        self.notify(len(self._line))

    def _check_owner(self, verb: str) -> None:
        if not self._is_owned():
            raise RuntimeError(f"cannot {verb} on un-acquired lock")

    def _is_owned(self) -> bool:
        lock = self._lock
        if isinstance(lock, Lock):
            return lock.locked()
        if hasattr(lock, "_is_owned"):
            return bool(lock._is_owned())
        if lock.acquire(False):
            lock.release()
            return False
        return True

    def _at_fork_reinit(self) -> None:
        self._line.clear()
        with suppress(AttributeError):
            self._lock._at_fork_reinit()
