"""A `queue.LifoQueue` in which whoever waits parks: in a hub its greenlet, elsewhere its thread.

Pools of connections wait in a queue until one is free; one that blocks the thread would block the
whole hub, and whoever is to give a connection back too::

    from netpoll.adapters.queue import LifoQueue

    pool = redis.BlockingConnectionPool(connection_class=Connection, queue_class=LifoQueue)
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from netpoll._parking import Gate, gate

__all__ = ["LifoQueue"]

_T = TypeVar("_T")


class LifoQueue(queue.LifoQueue[Any]):
    """As the standard class; for threads and greenlets, also of several threads, at once."""

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self._getting: deque[Gate] = deque()
        self._putting: deque[Gate] = deque()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """As in the standard class."""
        item = _wait(self._getting, partial(super().get, False), queue.Empty, block, timeout)
        _let_in(self._putting)
        return item

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """As in the standard class."""
        _wait(self._putting, partial(super().put, item, False), queue.Full, block, timeout)
        _let_in(self._getting)


def _wait(
    waiting: deque[Gate],
    attempt: Callable[[], _T],
    failure: type[Exception],
    block: bool,
    timeout: float | None,
) -> _T:
    """Attempt it until that does not fail any more, or the time is over."""
    if timeout is not None and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")
    until = None if timeout is None else time.monotonic() + timeout
    while True:
        place = gate()
        waiting.append(place)  # before the attempt, lest its success come in between
        try:
            return attempt()
        except failure:
            left = None if until is None else until - time.monotonic()
            if not block or (left is not None and left <= 0):
                raise
            place.wait(left)
        finally:
            _leave(waiting, place)


def _leave(waiting: deque[Gate], place: Gate) -> None:
    """Whoever was let in may be about to leave for another reason, and so lets the next one in."""
    try:
        waiting.remove(place)
    except ValueError:
        _let_in(waiting)


def _let_in(waiting: deque[Gate]) -> None:
    """The first; it looks for itself."""
    try:
        place = waiting.popleft()
    except IndexError:
        return
    place.open()
