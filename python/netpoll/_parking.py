"""Those who queue for a mode of a socket: threads and greenlets alike.

A gate is what one of them waits at, once; whoever opens it, from any thread, lets it through.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Protocol

from netpoll import _hooks


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


class Place:
    """A place in a queue."""

    def __init__(self) -> None:
        self.gate = gate()
        self.granted = False  # the mode is ours; written with the queue's lock held
        self.left = False  # taken out of the queue


#: By mode; the first entry is not used.
Queues = tuple[deque[Place], deque[Place], deque[Place]]


def queues() -> Queues:
    """For a new socket."""
    return deque(), deque(), deque()
