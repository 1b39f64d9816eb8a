"""The same workloads beside one CPU-bound Python thread of the same process, and what it leaves.

A thread that computes and one that waits share one interpreter lock: each can have half at most.
They have a core each, as on a machine with cores to spare; on a single one the kernel takes turns
between them, in tables that say so. Servers share theirs with it, as the load has the other one.
"""

from __future__ import annotations

from benchmarks import loaded
from benchmarks.harness import run, with_and_without
from benchmarks.model import Column, Entry, Limit, Table
from benchmarks.table import percent, rate, seconds
from benchmarks.workloads import contestants

KEPT = Column("kept", "speed kept", percent, lower_is_better=False)
TIMES = (Column("beside", "beside it", seconds), Column("time", "alone", seconds), KEPT)
RATES = (
    Column("beside", "beside it", rate, lower_is_better=False),
    Column("rate", "alone", rate, lower_is_better=False),
    KEPT,
)
SIZE = 64


def times(name: str, title: str, rows: tuple[Entry, ...], says: str = "") -> Table:
    bounds = (Limit("netpoll", "kept", "at least", 0.4, says),) if says else ()
    measure = with_and_without(run, "time")
    return Table(
        f"beside-{name}",
        f"beside a CPU-bound thread: {title}",
        rows,
        TIMES,
        measure,
        bounds,
        5 if says else 2,
    )


def rates(name: str, title: str, mode: str, says: str = "") -> Table:
    bounds = (Limit("netpoll", "kept", "at least", 0.4, says),) if says else ()
    return Table(
        f"beside-{name}",
        f"beside a CPU-bound thread: {title}",
        contestants.echo_servers(beside=True),
        RATES,
        with_and_without(loaded.rate_of(SIZE, mode), "rate"),
        bounds,
        2,
    )


TABLES = [
    times(
        "ping-pong-unix-100",
        "ping-pong, 100 pairs, socketpair",
        contestants.ping_pong(100, beside=2),
        "ping-pong beside a CPU-bound thread: at least 40% of our own speed without it",
    ),
    times(
        "one-core",
        "ping-pong, 100 pairs, socketpair, both threads on one core",
        contestants.ping_pong(100, beside=1),
    ),
    times(
        "ping-pong-tcp-300",
        "ping-pong, 300 pairs, TCP",
        contestants.ping_pong(300, "tcp", beside=2),
    ),
    times(
        "deadline",
        "ping-pong, 100 pairs, a deadline moved at every receive",
        contestants.ping_pong(100, deadline=True, beside=2),
    ),
    times(
        "idle",
        "ping-pong, 100 pairs among 10,000 idle connections",
        contestants.ping_pong(100, idle=10_000, beside=2),
    ),
    rates("echo", f"echo server, {SIZE} B, messages a second, on one core", "peak"),
    rates("churn", "connections a second, on one core", "churn"),
]
