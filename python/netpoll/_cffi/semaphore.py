"""`Semaphore` over cffi: what python/ext/semaphore.c is on CPython."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netpoll._cffi.lock import Leaving, enter
from netpoll._cffi.sema import MAX_UNITS, Sema, parts
from netpoll._core import ffi


class SemaphoreBase:
    """What `Semaphore` and `BoundedSemaphore` inherit: a counter to wait for."""

    def __init__(self, value: int, bounded: bool) -> None:
        if value < 0:
            raise ValueError("semaphore initial value must be >= 0")
        self._begun: dict[int, Any] = {}
        self._bounded = bounded
        self._units = Sema(value, limit=value if bounded else MAX_UNITS, name="semaphore")

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Subtract 1; wait until the counter is above 0.

        :param timeout: seconds; None waits for ever.
        :returns: False: it is 0, and blocking is false or the time was over.
        """
        if blocking:
            return self._units.acquire(timeout)
        if timeout is not None:
            raise ValueError("can't specify timeout for non-blocking acquire")
        return self._units.try_acquire()

    def release(self, n: int = 1) -> None:
        """Add n; as many go on that wait, in the order of coming.

        :raises ValueError: n is less than 1.
        """
        if n < 1:
            raise ValueError("n must be one or more")
        try:
            self._units.release(n)
        except OverflowError as error:
            kind = ValueError if self._bounded else OverflowError
            raise kind("Semaphore released too many times") from error

    def __enter__(self) -> bool:
        sema, _, name = parts(self._units)
        return enter(self, sema, name)

    if TYPE_CHECKING:

        def __exit__(self, *error: object) -> None: ...

    else:
        __exit__ = Leaving()

    def _new_block(self) -> Any:
        sema, limit, _ = parts(self._units)
        return ffi.new("block *", {"sema": sema, "limit": limit}), sema

    @property
    def _value(self) -> int:
        return self._units.units

    def __reduce__(self) -> Any:
        raise TypeError(f"cannot pickle {type(self).__qualname__!r} object")
