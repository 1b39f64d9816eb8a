"""What a function of `rivals/` returns, and how it is measured."""

from __future__ import annotations

import gc
import math
import socket
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from time import perf_counter, process_time

from .spinner import Spinner

PATIENCE = 5.0  # seconds that a run may take at most, where little of it is what is measured


@dataclass(frozen=True)
class Bout:
    """Something to be done again and again: `run(n)` does it n times and returns its seconds.

    Each time is so many `operations`. It raises if the work done is not the work asked for.
    """

    run: Callable[[int], float]
    operations: int


@dataclass(frozen=True)
class Server:
    """A server on a listening socket of 127.0.0.1, that `serve` never comes back from."""

    listener: socket.socket
    serve: Callable[[], object]

    @property
    def port(self) -> int:
        port: int = self.listener.getsockname()[1]
        return port


def listening() -> socket.socket:
    """The listening socket of an echo server, the same for every contestant."""
    return socket.create_server(("127.0.0.1", 0), backlog=4096)


def measured(bout: Bout, target: float, spinner: Spinner | None = None) -> dict[str, float]:
    """Repeat a bout until it takes about `target` seconds: an operation's seconds, how many.

    Where little of its time is what is measured, `PATIENCE` ends it. What ran before the last
    repetition was the warm-up; `all` counts it too. Garbage is collected before and not meanwhile,
    as timeit has it: a collection belongs to nobody.
    """
    gc.collect()
    gc.disable()
    with spinner or nullcontext():
        times = done = 1
        elapsed, whole, cpu = timed(bout, times)
        while elapsed < target * 0.7 and whole < PATIENCE * 0.7:
            times = next_try(times, elapsed, whole, target)
            elapsed, whole, cpu = timed(bout, times)
            done += times
        operations = times * bout.operations
    return {
        "time": elapsed / operations,
        "cpu": cpu / operations,
        "operations": float(operations),
        "all": float(done * bout.operations),
    }


def timed(bout: Bout, times: int) -> tuple[float, float, float]:
    """The seconds that it took, all in all too, and those of the processor."""
    start, start_cpu = perf_counter(), process_time()
    elapsed = bout.run(times)
    return elapsed, perf_counter() - start, process_time() - start_cpu


def next_try(times: int, elapsed: float, whole: float, target: float) -> int:
    """How often to do it in the hope of reaching the target; ten times as often at most."""
    more = min(10.0, 1.05 * target / max(elapsed, 1e-9), PATIENCE / max(whole, 1e-9))
    return max(times + 1, math.ceil(times * more))
