"""One CPU-bound Python thread, such as a program has that computes while it serves."""

from __future__ import annotations

import os
import threading
from types import TracebackType

CHUNK = 1000


class Spinner:
    """A thread that computes in pure Python.

    It takes the last core of the process, and the thread that makes it the first: left to the
    kernel, they share a core in one run and not in the next. If they do, whoever gives up the
    interpreter's lock for a moment has it back before the other runs; on a core of its own the
    other one takes it at once, and keeps it for a switch interval.
    """

    def __init__(self) -> None:
        self._stop = False
        self._core = max(os.sched_getaffinity(0))
        self._thread = threading.Thread(target=self._spin, daemon=True)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    def _spin(self) -> None:
        os.sched_setaffinity(0, {self._core})  # of this thread
        while not self._stop:
            number = 0
            while number < CHUNK:
                number += 1

    def start(self) -> None:
        self._thread.start()

    def __enter__(self) -> Spinner:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop = True
        self._thread.join()
