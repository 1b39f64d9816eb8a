"""What a function of `rivals/` returns, and how it is measured."""

from __future__ import annotations

import gc
import json
import math
import socket
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

PATIENCE = 5.0  # seconds that a run may take at most, where little of it is what is measured


@dataclass(frozen=True)
class Took:
    """The seconds of what was measured, and the processor's in the same time, if they are told."""

    elapsed: float
    cpu: float | None = None


@dataclass(frozen=True)
class Bout:
    """Something to be done again and again: `run(n)` does it n times and returns its seconds, or
    what it `Took`.

    Each time is so many `operations`. It raises if the work done is not the work asked for.
    """

    run: Callable[[int], float | Took]
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


def measured(bout: Bout, target: float) -> dict[str, float]:
    """Repeat a bout until it takes about `target` seconds: an operation's seconds, how many.

    Where little of its time is what is measured, `PATIENCE` ends it. What ran before the last
    repetition was the warm-up; `all` counts it too. A target below 0 is no time: -7 asks for seven
    times, at once. Garbage is collected before and not meanwhile, as timeit has it: a collection
    belongs to nobody.
    """
    gc.collect()
    gc.disable()
    times = done = max(1, int(-target))
    took, whole = timed(bout, times)
    while took.elapsed < target * 0.7 and whole < PATIENCE * 0.7:
        times = next_try(times, took.elapsed, whole, target)
        took, whole = timed(bout, times)
        done += times
    return values_of(took, times * bout.operations, done * bout.operations)


def timed(bout: Bout, times: int) -> tuple[Took, float]:
    """What it took, and the seconds all in all."""
    start = perf_counter()
    took = bout.run(times)
    return took if isinstance(took, Took) else Took(took), perf_counter() - start


def next_try(times: int, elapsed: float, whole: float, target: float) -> int:
    """How often to do it in the hope of reaching the target; ten times as often at most."""
    more = min(10.0, 1.05 * target / max(elapsed, 1e-9), PATIENCE / max(whole, 1e-9))
    return max(times + 1, math.ceil(times * more))


def values_of(took: Took, operations: float, everything: float) -> dict[str, float]:
    values = {"time": took.elapsed / operations, "operations": operations, "all": everything}
    return values if took.cpu is None else values | {"cpu": took.cpu / operations}


def say(values: dict[str, float]) -> None:
    """To the harness, which waits for one line."""
    print(json.dumps(values), flush=True)
