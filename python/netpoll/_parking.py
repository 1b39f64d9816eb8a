"""Those who queue for a mode of a socket: threads and greenlets alike.

A gate is what one of them waits at, once; whoever opens it, from any thread, lets it through.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Protocol

from netpoll import _hooks
from netpoll._core import lib

OK, PARKED, NEVER = lib.NP_OK, lib.NP_PARKED, lib.NP_NEVER


class Gate(Protocol):
    """Closed when made."""

    def wait(self, timeout: float | None) -> None:
        """Until it is open, or for timeout seconds; may return early."""

    def open(self) -> None:
        """From any thread; once."""


class _ThreadGate:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def wait(self, timeout: float | None) -> None:
        longest = threading.TIMEOUT_MAX
        if self._lock.acquire(timeout=-1 if timeout is None else min(max(timeout, 0), longest)):
            self._lock.release()

    def open(self) -> None:
        self._lock.release()


def gate() -> Gate:
    """One for the calling greenlet, if its thread has a hub, or else for the thread."""
    return _hooks.gate() or _ThreadGate()


def pause(seconds: float) -> None:
    """Sleep, the calling greenlet if its thread has a hub, or else the thread."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        gate().wait(left)


class Place:
    """A place in a queue."""

    def __init__(self) -> None:
        self.gate = gate()
        self.thread = threading.get_ident()
        self.granted = False  # the mode is ours; written with the queue's lock held
        self.left = False  # taken out of the queue; likewise


class Locked(Protocol):
    """An FD: what its queues need of its lock, csrc/fdmutex.c."""

    def _lock_or_queue(self, mode: int) -> int: ...
    def _dequeued(self, mode: int) -> None: ...
    def _leave(self, mode: int) -> None: ...
    def _owned_by(self, mode: int, thread: int, /) -> None: ...


class Queues:
    """Who wants a mode of an FD that somebody else has; first come, first served."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may come in between
        self._places: dict[int, deque[Place]] = {1: deque(), 2: deque()}

    def enter(self, fd: Locked, mode: int, limit: int) -> bool:
        """Until the mode is ours.

        :param limit: an instant; NP_NEVER: none.
        :returns: False: the FD was closed.
        :raises TimeoutError: at the limit.
        """
        place = Place()
        with self._lock:
            rc = fd._lock_or_queue(mode)
            if rc != PARKED:
                return bool(rc == OK)
            self._places[mode].append(place)
        try:
            while not place.left:
                left = None if limit == NEVER else (limit - lib.np_now()) / 1e9
                if left is not None and left <= 0:
                    raise TimeoutError("timed out")
                place.gate.wait(left)
        except BaseException:
            self._give_up(fd, mode, place)
            raise
        return place.granted

    def _give_up(self, fd: Locked, mode: int, place: Place) -> None:
        with self._lock:
            if not place.left:
                place.left = True
                self._places[mode].remove(place)
        if place.granted:
            fd._leave(mode)

    def pass_on(self, fd: Locked, mode: int) -> bool:
        """Who has the mode leaves it to the first in the queue, and its reference with it.

        :returns: False: nobody is there any more; it is to be unlocked.
        """
        with self._lock:
            if self._places[mode]:
                place = self._places[mode].popleft()
                fd._owned_by(mode, place.thread)
                self._let_in(place, True)
                return True
            fd._dequeued(mode)
            return False

    def dismiss(self, fd: Locked) -> None:
        """Everybody: the FD is closed."""
        with self._lock:
            for mode, places in self._places.items():
                while places:
                    self._let_in(places.popleft(), False)
                fd._dequeued(mode)

    def forget_the_gone(self, survivor: int) -> None:
        """In a forked child: one thread is left, perhaps in the middle of something here."""
        if not self._lock._is_owned():  # type: ignore[attr-defined]
            self._lock = threading.RLock()
        for mode, places in self._places.items():
            self._places[mode] = deque(place for place in places if place.thread == survivor)

    def _let_in(self, place: Place, granted: bool) -> None:
        place.granted = granted
        place.left = True
        place.gate.open()
