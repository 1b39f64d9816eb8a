"""One CPU-bound Python thread, such as a program has that computes while it serves."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from math import inf
from time import perf_counter

CHUNK = 1000


class Spinner:
    """A thread that computes in pure Python, while it is told to.

    It takes the last core of the process, and the thread that makes it the first: left to the
    kernel, they share a core in one run and not in the next. If they do, whoever gives up the
    interpreter's lock for a moment has it back before the other runs; on a core of its own the
    other one takes it at once, and keeps it for a switch interval.
    """

    def __init__(self) -> None:
        self._core = max(os.sched_getaffinity(0))
        self._computing = threading.Event()
        self._until = inf
        self._when_over: Callable[[], None]
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        threading.Thread(target=self._spin, daemon=True).start()

    def _spin(self) -> None:
        os.sched_setaffinity(0, {self._core})  # of this thread
        while True:
            self._computing.wait()
            while self._computing.is_set():
                number = 0
                while number < CHUNK:
                    number += 1
                if perf_counter() > self._until:
                    self._when_over()

    def compute(self) -> None:
        self._computing.set()

    def compute_for(self, seconds: float, when_over: Callable[[], None]) -> None:
        """Call `when_over` if there was no `rest` within so many seconds."""
        self._when_over = when_over
        self._until = perf_counter() + seconds
        self.compute()

    def rest(self) -> None:
        self._computing.clear()
        self._until = inf
