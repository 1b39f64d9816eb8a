"""`timeout` over cffi: what python/ext/timeout.c is on CPython."""

from __future__ import annotations

from typing import Any, TypeVar

from netpoll import _errors
from netpoll._cffi.engine import NEVER, HubToken, nanoseconds
from netpoll._cffi.hub import running_greenlet
from netpoll._cffi.sema import Timer
from netpoll._cffi.wait import instant_after
from netpoll._cffi.waiter import waiter_of

S = TypeVar("S", bound="TimeoutBase")

#: Something else is about to be raised: seconds until it is due again.
_RETRY = 0.001

# What `bind_green` gives: see python/ext/bind.h.
_outer_timeout: type[BaseException]


def bind_green(outer_timeout: type[BaseException]) -> None:
    """The class of what other blocks let pass."""
    global _outer_timeout
    _outer_timeout = outer_timeout


class _Due(HubToken):
    """The token of a timer."""

    __slots__ = ("_timeout", "greenlet")

    def __init__(self, timeout: TimeoutBase, greenlet: Any) -> None:
        self._timeout = timeout
        self.greenlet = greenlet

    def deliver(self) -> None:
        self._timeout.due(self)


class TimeoutBase:
    """What `timeout` inherits: a limit for all that a greenlet waits for in a `with` block."""

    __reduce_ex__ = _errors.refuse_copies

    def __init__(self, seconds: float | None) -> None:
        self._limit = NEVER if seconds is None else nanoseconds(seconds)
        self._waiter: Any = None  # of the greenlet inside
        self._outer: Any = None  # what that was inside before
        self._timer: Timer | None = None
        self._token: _Due | None = None  # of that timer
        self._error: BaseException | None = None  # what was thrown
        self._expired = False

    def __enter__(self: S) -> S:
        if self._waiter is not None:
            raise RuntimeError(f"{self!r}: a greenlet is inside already")
        greenlet = running_greenlet()
        if greenlet is None:
            raise RuntimeError(
                "a timeout is for greenlets: use it in what green.run or green.spawn calls"
            )
        waiter = waiter_of(greenlet)
        self._expired = False
        self._outer, self._waiter = waiter.timeout, waiter
        waiter.timeout = self
        self._start(self._limit)
        return self

    def _start(self, after: int) -> None:
        self._when = instant_after(after)
        if after != NEVER:
            self._token = _Due(self, self._waiter.greenlet)
            self._timer = Timer(self._waiter.hub.poller, self._token, after / 1e9, name="timeout")

    def _stop(self) -> None:
        timer, self._timer, self._token = self._timer, None, None
        if timer is not None:
            timer.cancel()

    def due(self, token: _Due) -> None:
        """The timer's token has come out of the poller."""
        timer = self._timer
        if token is not self._token or timer is None:
            return
        self._timer = self._token = None
        if self._waiter is None or self._waiter.greenlet is None:
            return
        try:
            timer.resume()
        except _errors.ClosedError:
            self._start(max(self._when - instant_after(0), 0))
            return
        if self._waiter.thrown is not None:
            self._start(nanoseconds(_RETRY))
            return
        innermost = self._waiter.timeout is self
        self._error = (TimeoutError if innermost else _outer_timeout)("timed out")
        self._expired = True
        self._waiter.hub.throw(self._waiter, self._error)

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        waiter, thrown = self._waiter, self._error
        self._stop()
        self._waiter = self._error = None
        if waiter is not None:
            while waiter.timeout is not None and waiter.timeout._waiter is None:
                waiter.timeout = waiter.timeout._outer
            self._outer = None
            if thrown is not None:
                waiter.withdraw(thrown)
        try:
            if thrown is not None and thrown is error and kind is _outer_timeout:
                raise TimeoutError("timed out").with_traceback(traceback) from None
        finally:
            del thrown, error, traceback

    def move(self, seconds: float | None) -> None:
        """To another instant, so many seconds from now; None: never.

        In the greenlet's thread.  One that has expired expires once more.
        """
        self._limit = NEVER if seconds is None else nanoseconds(seconds)
        if self._waiter is None:
            return
        self._stop()
        if self._error is not None and self._waiter.withdraw(self._error):
            self._expired = False
        self._error = None
        self._start(self._limit)

    def cancel(self) -> None:
        """There is no limit any more."""
        self.move(None)

    @property
    def expired(self) -> bool:
        """Has the time been over, since the block began?"""
        return self._expired

    def __repr__(self) -> str:
        greenlet = None if self._waiter is None else self._waiter.greenlet
        of = "" if greenlet is None else f" of {greenlet!r}"
        return f"<netpoll.timeout{of} at {id(self):#x}>"
