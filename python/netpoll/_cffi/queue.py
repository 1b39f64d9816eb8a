"""`SimpleQueue` over cffi: what python/ext/queue.c is on CPython."""

from __future__ import annotations

import math
import types
from collections import deque
from queue import Empty
from typing import Any, Generic, TypeVar

from netpoll._cffi.sema import Sema
from netpoll._errors import refuse_copies

T = TypeVar("T")


class SimpleQueue(Generic[T]):
    """An unbounded FIFO queue, as `queue.SimpleQueue`: `put` never waits, and may be called from
    signal handlers and finalizers.

    Threads and greenlets that wait for an item are served in the order of coming.
    """

    __slots__ = ("__weakref__", "_items", "_units")
    __reduce_ex__ = refuse_copies

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._units = Sema(name="queue")  # one for each item

    def put(self, item: T, block: bool = True, timeout: float | None = None) -> None:
        """Append an item.  It never waits: block and timeout are those of `Queue.put`."""
        self._items.append(item)
        self._units.release()

    def put_nowait(self, item: T) -> None:
        """Append an item."""
        self.put(item)

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Take the first item; wait until there is one.

        :param timeout: seconds; None waits for ever.
        :raises queue.Empty: block is false and there is none, or the time was over.
        :raises ValueError: the timeout is negative.
        """
        if not block:
            return self.get_nowait()
        if timeout is not None and math.ldexp(timeout, 0) < 0:
            raise ValueError("'timeout' must be a non-negative number")
        if not self._units.acquire(timeout):
            raise Empty
        return self._items.popleft()

    def get_nowait(self) -> T:
        """Take the first item.

        :raises queue.Empty: there is none.
        """
        if not self._units.try_acquire():
            raise Empty
        return self._items.popleft()

    def qsize(self) -> int:
        """How many items there are, at this moment."""
        return len(self._items)

    def empty(self) -> bool:
        """Is there no item, at this moment?"""
        return not self._items

    def __reduce__(self) -> Any:
        raise TypeError(f"cannot pickle {type(self).__qualname__!r} object")

    __class_getitem__: Any = classmethod(types.GenericAlias)


SimpleQueue.__module__ = "netpoll.sync"
