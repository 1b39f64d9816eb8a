"""Measures of a server that is loaded from outside, by `c/load.c` in a process of its own.

A server of one thread is tied to the first core and the load to the second; Go with as many
threads as cores has both, and shares one with the load.
"""

from __future__ import annotations

import functools
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from . import build
from .harness import SubjectFailed, last_words, line_of, start, tied, values_in
from .model import Subject, Values

CONNECTIONS = 64
START_LIMIT = 30.0
LOAD_LIMIT = 60.0

Load = Callable[..., Values]


@contextmanager
def served(subject: Subject, beside: bool) -> Iterator[tuple[int, Load]]:
    """A running server's process, and how to load it."""
    server = start(subject, 0.0, beside)
    watchdog = threading.Timer(START_LIMIT, server.kill)
    watchdog.start()
    try:
        answer = line_of(server.stdout)
        watchdog.cancel()
        if not answer:
            raise SubjectFailed(last_words(server, server.communicate()[1]))
        yield server.pid, functools.partial(load, server.pid, int(values_in(answer)["port"]))
    except LoadFailed as failure:
        server.kill()
        complaint = server.communicate()[1].strip().splitlines()
        raise SubjectFailed(f"{failure} {complaint[-1] if complaint else ''}".strip()) from None
    finally:
        watchdog.cancel()
        server.kill()
        server.communicate()


class LoadFailed(Exception):
    """The load did not come to its end."""


def cpu_seconds(pid: int) -> float:
    """What a process has had of the processors."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system = fields[11:13]  # 14 and 15, counted from 1, in proc(5)
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def load(
    server: int, port: int, size: int, seconds: float, mode: str, *, rate: float | None = None
) -> Values:
    """What the load measures, and how much of a core the server took meanwhile.

    :raises LoadFailed: a connection was lost, an echo was wrong or never came.
    """
    command = [
        str(build.c_program("load")),
        str(port),
        str(size),
        str(CONNECTIONS),
        str(seconds),
        mode,
    ]
    if rate is not None:
        command.append(str(rate))
    before = cpu_seconds(server)
    try:
        with tied([max(os.sched_getaffinity(0))]):
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=LOAD_LIMIT, check=False
            )
    except subprocess.TimeoutExpired:
        raise LoadFailed(f"load hung for {LOAD_LIMIT:g} s") from None
    if done.returncode != 0:
        raise LoadFailed(f"load: {done.stderr.strip() or done.returncode}")
    values = values_in(done.stdout)
    return values | {"server": (cpu_seconds(server) - before) / values["took"]}


def echo(size: int, common: float) -> Callable[[Subject, float], Values]:
    """A measure: the peak, then the latencies at half of it and at a rate that is the same for all,
    from the same server."""

    def measure(subject: Subject, target: float) -> Values:
        with served(subject, False) as (_, load):
            peak = load(size, 3 * target, "peak")
            half = load(size, 5 * target, "open", rate=peak["rate"] / 2)
            same = load(size, 3 * target, "open", rate=common)
        return (
            peak
            | {f"half {name}": value for name, value in half.items()}
            | {f"same {name}": value for name, value in same.items()}
        )

    return measure


def rate_of(size: int, mode: str) -> Callable[[Subject, float, bool], Values]:
    """Only the rate, with or without a CPU-bound thread in the server."""

    def measure(subject: Subject, target: float, beside: bool) -> Values:
        with served(subject, beside) as (_, load):
            return load(size, 3 * target, mode)

    return measure


def churn(size: int) -> Callable[[Subject, float], Values]:
    """A measure: connections served a second."""
    rate = rate_of(size, "churn")
    return lambda subject, target: rate(subject, target, False)
