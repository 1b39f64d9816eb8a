"""A lock for what must not happen twice at once, such as two calls into one OpenSSL object."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from netpoll._parking import Place

try:
    from greenlet import getcurrent as _current
except ImportError:
    from threading import get_ident as _current  # type: ignore[assignment]


class Turn:
    """A `with` block that one thread or greenlet is in at a time; the others park, in their order.

    Whoever is inside may come in again: a signal handler does, and so does a callback of OpenSSL.
    """

    __slots__ = ("_depth", "_guard", "_holder", "_queue")

    def __init__(self) -> None:
        self._guard = threading.RLock()  # guards the rest; a signal handler may come in
        self._holder: Any = None
        self._depth = 0
        self._queue: deque[tuple[Place, Any]] = deque()

    def __enter__(self) -> None:
        me = _current()
        with self._guard:
            # Equality, since a thread's identity is a number.
            if self._holder is None or self._holder == me:
                self._holder = me
                self._depth += 1
                return
            place = Place()
            self._queue.append((place, me))
        try:
            while not place.left:
                place.gate.wait(None)
        except BaseException:
            self._give_up(place, me)
            raise

    def _give_up(self, place: Place, me: Any) -> None:
        with self._guard:
            if not place.left:
                self._queue.remove((place, me))
                return
        self.__exit__()

    def __exit__(self, *unused: object) -> None:
        with self._guard:
            self._depth -= 1
            if self._depth:
                return
            self._holder = None
            if self._queue:
                place, self._holder = self._queue.popleft()
                self._depth = 1
                place.left = True
                place.gate.open()
