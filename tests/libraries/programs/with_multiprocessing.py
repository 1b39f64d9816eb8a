"""multiprocessing: a pool of processes, whose results greenlets wait for."""

from __future__ import annotations

import multiprocessing.pool
import time
from typing import Any

from netpoll import green

SERVER = "none"
LIMIT = 5
LATE = multiprocessing.TimeoutError

pool: Any = None
process: Any = None
pipe: Any = None


def begin(servers: Any) -> None:
    """To start processes blocks."""
    global pool, process, pipe
    context = multiprocessing.get_context("spawn")
    pool = context.Pool(LIMIT)
    pipe, other = context.Pipe()
    process = context.Process(target=other.recv, daemon=True)
    process.start()
    pool.map(abs, range(LIMIT))


def ask(seconds: float, timeout: float) -> None:
    pool.apply_async(time.sleep, (min(seconds, 1),)).get(timeout)


def a_process_that_is_joined() -> None:
    def end() -> None:
        green.sleep(0.2)
        pipe.send("end")

    green.spawn(end)
    process.join(10)
    assert process.exitcode == 0


def the_end() -> None:
    pool.close()
    pool.join()
