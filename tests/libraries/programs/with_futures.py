"""concurrent.futures: real threads, whose results greenlets wait for."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

SERVER = "none"
LIMIT = 5
LATE = TimeoutError

# The threads are real ones, and sleep as such.
executor = ThreadPoolExecutor(LIMIT)


def begin(servers: Any) -> None:
    pass


def ask(seconds: float, timeout: float) -> None:
    executor.submit(time.sleep, min(seconds, 1)).result(timeout)


def an_executor_in_a_block() -> None:
    with ThreadPoolExecutor(2) as other:
        other.submit(time.sleep, 0.2)
        other.submit(time.sleep, 0.2)


def as_they_complete() -> None:
    tasks = [executor.submit(time.sleep, 0.05 * number) for number in range(4)]
    assert list(as_completed(tasks, 10)) == tasks
