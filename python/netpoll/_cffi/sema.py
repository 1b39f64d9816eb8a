"""Semaphores and timers on plain cffi calls: what python/ext/sema_type.c and wait_type.c are on
CPython.

The memory of a wait, a unit, is freed by a destructor that ends it first, and which is there before
the wait begins.  So a wait that an exception cuts off, wherever a signal handler raises it, is
withdrawn, and a unit that it was granted is passed on.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from netpoll import _errors
from netpoll._cffi.engine import (
    CLOSED,
    NEVER,
    OK,
    PARKED,
    TIMEOUT,
    checked_core_of,
    file_token,
    kept_of,
    nanoseconds,
    new_key,
)
from netpoll._cffi.wait import acquire, coop_yield, ending, instant_after
from netpoll._core import ffi, lib

#: More could overflow in the core's word.
MAX_UNITS = 1 << 28

_GONE = object()

Method = Callable[["Sema"], None]


def parts(sema: Sema) -> tuple[Any, int, Any]:
    """For a block of `with`: the core's semaphore, its limit, its name."""
    return sema._s, sema._limit, sema._name


class _InC:
    """A method that is one call into C, without arguments: no signal handler comes between."""

    def __init__(self, function: Callable[[Any], object], described: Any) -> None:
        self._function = function
        self.__doc__ = described.__doc__

    def __get__(self, sema: Sema | None, owner: type) -> Any:
        return self if sema is None else partial(self._function, sema._s)


def in_c(function: Callable[[Any], object]) -> Callable[[Method], Method]:
    """Decorates such a method, which itself has the signature and the docstring only."""

    def decorate(method: Method) -> Method:
        return cast(Method, _InC(function, method))

    return decorate


def instant(seconds: float | None) -> int:
    """Of np_now: so many seconds from now; 0: at once."""
    nanos = NEVER if seconds is None else nanoseconds(seconds)
    return instant_after(nanos) if nanos else 0


def _name(name: str | None) -> Any:
    """For the core, which keeps the pointer as long as it waits."""
    if name is None:
        return ffi.NULL
    if not isinstance(name, str):
        raise TypeError(f"a name is a str, not {name!r}")
    if "\0" in name:
        raise ValueError("embedded null character")
    return ffi.new("char[]", name.encode())


def _shown(name: Any) -> str:
    raw = ffi.string(name) if name else b""
    assert isinstance(raw, bytes)
    return f" {raw.decode()}" if raw else ""


def _units(number: int, least: int) -> int:
    units = operator.index(number)
    if not least <= units <= MAX_UNITS:
        raise ValueError(f"units are {least} to {MAX_UNITS}, not {number!r}")
    return units


class _Wait:
    """One wait of a token at a semaphore or timer."""

    __slots__ = ("_key", "_pending", "_tokens")
    __reduce_ex__ = _errors.refuse_copies

    #: The unit, its memory, which outlasts its destructor, its semaphore and its poller, until one
    #: caller, and no other, takes them out to end the wait.
    _pending: list[tuple[Any, Any, Any, Any]]
    #: Where the poller files the token, as long as it is inside.
    _tokens: dict[int, Any]
    _key: int

    def _begin(self, poller: Any, token: Any, sema: Any, until: int, name: Any) -> int:
        """Park, at a semaphore or with NULL as a timer; the result of the core."""
        p = checked_core_of(poller)
        memory = ffi.new("unit *")
        unit = ending(memory, sema, name, kept_of(poller)[0])
        self._pending = [(unit, memory, sema, poller)]
        self._key = key = new_key()
        self._tokens = file_token(poller, key, token)
        rc: int = lib.park_unit(sema, unit, p, key, until, name)
        if rc != PARKED:
            if rc == OK:
                ffi.gc(unit, None)  # the caller's
            self._pending.clear()
            self._unfile()
            if rc == CLOSED:
                raise _errors.poller_closed()
            if rc < 0:
                raise _errors.system(-rc, "park")
        return rc

    def _unfile(self, gone: object = _GONE) -> bool:
        """The token will not come out; False: it has."""
        return self._tokens.pop(self._key, gone) is not gone

    def _is_parked(self) -> bool:
        return bool(self._pending) and self._key in self._tokens

    def _resume(self) -> int:
        if self._is_parked():
            raise RuntimeError(f"{self!r}: its token has not come out")
        try:
            unit, _, sema, _ = self._pending.pop()
        except IndexError:
            raise RuntimeError(f"{self!r}: resumed or cancelled before") from None
        rc = lib.resume_unit(sema, unit)
        ffi.gc(unit, None)  # the caller's
        if rc == CLOSED:
            raise _errors.poller_closed()
        return rc

    def _cancel(self) -> bool:
        try:
            unit, *_ = self._pending.pop()
        except IndexError:
            return False
        ffi.release(unit)
        return self._unfile()

    def __del__(self) -> None:
        try:
            self._unfile()
        except AttributeError:  # it never began
            return

    def _show(self, kind: str, name: Any) -> str:
        state = "parked" if self._is_parked() else "given out by poll" if self._pending else "ended"
        return f"<netpoll.{kind}{_shown(name)}, {state}>"


class Waiter(_Wait):
    """One wait of a scheduler's token at a semaphore.  From `Sema.park`.

    Keep it until it is resumed or cancelled: one that is collected is cancelled.
    """

    __slots__ = ("_late", "_name")

    _name: Any
    _late: bool

    def __new__(cls) -> Waiter:
        raise TypeError("a Waiter comes from Sema.park")

    def resume(self) -> bool:
        """What became of the wait, once, after the token came out.

        :returns: True: the unit is the caller's.  False: the time was over first.
        :raises ClosedError: the poller was closed first.
        :raises RuntimeError: the token has not come out, and the wait goes on; or it was resumed or
            cancelled before.
        """
        return self._resume() == OK and not self._late

    def cancel(self) -> bool:
        """End the wait.  A unit that it has been granted is passed on.

        :returns: True: the token does not come out.  False: it has, or the wait had ended before.
        """
        return self._cancel()

    def __repr__(self) -> str:
        return self._show("Waiter", self._name)


class Timer(_Wait):
    """A token that comes out of a poller's `poll` after a time, or when the poller is closed.

    Keep it until it is resumed or cancelled: one that is collected is cancelled.  Timers cost no
    system call, and to move one later costs next to nothing.

    :param token: any object; the scheduler's own.
    :param seconds: from now; 0 or less: it comes out of the next `poll`; None, or too large: never.
    :param name: of the wait, for `dump`.
    :raises ClosedError: the poller is closed.
    :raises ValueError: the time is NaN.
    """

    __slots__ = ("_name",)

    _name: Any

    def __new__(
        cls, poller: Any, token: Any, seconds: float | None, *, name: str | None = None
    ) -> Timer:
        self = super().__new__(cls)
        self._name = _name(name)
        self._begin(poller, token, ffi.NULL, instant(seconds), self._name)
        return self

    def move(self, seconds: float | None) -> bool:
        """To another instant, so many seconds from now.  From any thread.

        :returns: False: it has fired already, or was cancelled.
        """
        when = instant(seconds)
        try:
            unit, *_ = self._pending[0]
        except IndexError:
            return False
        rc = lib.move_unit(unit, when)
        if rc < 0:
            raise MemoryError
        return bool(rc)

    def resume(self) -> None:
        """After the token came out, once.

        :raises ClosedError: the poller was closed before the time came.
        :raises RuntimeError: the token has not come out; or it was resumed or cancelled before.
        """
        self._resume()

    def cancel(self) -> bool:
        """End the wait.

        :returns: True: the token does not come out.  False: it has, or the wait had ended before.
        """
        return self._cancel()

    def __repr__(self) -> str:
        return self._show("Timer", self._name)


class Sema:
    """A count of units, and a queue of those that want one: threads, greenlets, schedulers' tokens.

    They are served in the order of coming, from any thread, and nothing overtakes the queue.  With
    one unit it is a lock; opened, it is an event that was set, or the end of what others join.

    :param units: that are there at first.
    :param name: of the waits at it, for `dump`.
    :param limit: of the units that are free at a time; None: 2**28.
    :raises ValueError: units are negative, or more than the limit.
    """

    __slots__ = ("_limit", "_name", "_s")
    __reduce_ex__ = _errors.refuse_copies

    _limit: int
    _name: Any
    _s: Any

    def __new__(cls, units: int = 0, *, name: str | None = None, limit: int | None = None) -> Sema:
        self = super().__new__(cls)
        self._name = _name(name)
        self._limit = MAX_UNITS if limit is None else _units(limit, _units(units, 0))
        self._s = ffi.new("np_sema *")
        lib.np_sema_init(self._s, _units(units, 0))
        return self

    def try_acquire(self) -> bool:
        """Take a unit if there is one."""
        coop_yield(False)
        return bool(lib.np_sema_try(self._s) == OK)

    def acquire(self, timeout: float | None = None) -> bool:
        """Take a unit; wait until there is one.

        In a thread with a greenlet hub the calling greenlet waits, elsewhere the calling thread.
        Signal handlers run meanwhile, and it keeps its place in the queue.

        :param timeout: seconds; None waits for ever, 0 or less does not wait.
        :returns: False: the time was over first.
        :raises ValueError: the timeout is NaN.
        """
        until = instant(timeout)
        coop_yield(until != 0)
        rc = acquire(self._s, until, self._name)
        if rc < 0:
            raise _errors.system(-rc, "acquire")
        return rc == OK

    def park(self, poller: Any, token: Any, timeout: float | None = None) -> Waiter | None:
        """Take a unit, for a scheduler; or have a token wait for one.

        :param token: any object; the scheduler's own.
        :param timeout: seconds; when they are over the token comes out all the same.
        :returns: None: a unit was there, and is the caller's.  Else token comes out of exactly one
            later `poll` of the poller, unless it is cancelled; then call `Waiter.resume`.
        :raises ClosedError: the poller is closed.
        :raises ValueError: the timeout is NaN.
        """
        until = instant(timeout)
        waiter = object.__new__(Waiter)
        waiter._name = self._name
        rc = waiter._begin(poller, token, self._s, until, self._name)
        waiter._late = rc == TIMEOUT
        if waiter._late:  # its time was over before: it waits as a timer that is due
            rc = waiter._begin(poller, token, ffi.NULL, 0, self._name)
        return waiter if rc == PARKED else None

    def release(self, n: int = 1) -> None:
        """Put units back, from any thread: they go to those that wait, in the order of coming.

        What nothing waits for is remembered.

        :raises ValueError: n is less than 1.
        :raises OverflowError: more units than the limit would be free; nothing is released.
        """
        if lib.np_sema_release_within(self._s, _units(n, 1), self._limit) != OK:
            raise OverflowError(f"more than {self._limit} units")

    @in_c(lib.np_sema_open)
    def open(self) -> None:
        """From now on every acquire succeeds and takes nothing, and so do those that wait."""

    @in_c(lib.np_sema_reset)
    def reset(self) -> None:
        """Undo `open`, for those that come from now on."""

    @property
    def is_open(self) -> bool:
        """Has `open` been called, and not `reset`?"""
        return bool(lib.np_sema_is_open(self._s))

    @property
    def units(self) -> int:
        """Units that nothing has taken, at this moment."""
        return int(lib.np_sema_count(self._s))

    def __repr__(self) -> str:
        state = "open" if self.is_open else f"{self.units} units"
        address = int(ffi.cast("uintptr_t", self._s))
        return f"<netpoll.Sema{_shown(self._name)} at {address:#x}, {state}>"
