"""The same workloads beside one CPU-bound Python thread of the same process, and what it leaves.

A thread that computes and one that waits share one interpreter lock: each can have half at most.
They have a core each, as on a machine with cores to spare; on a single one the kernel takes turns
between them, in tables that say so. Servers share theirs with it, as the load has the other one.
It computes while it is measured; what is set up before, and taken apart after, has no part in it.
"""

from __future__ import annotations

from typing import Any

from benchmarks import loaded
from benchmarks.harness import run, with_and_without
from benchmarks.model import Column, Limit, Table
from benchmarks.pairs import LONGEST_TRIP
from benchmarks.table import percent, rate, seconds, size
from benchmarks.workloads import contestants
from benchmarks.workloads.echo import SIZES
from benchmarks.workloads.ping_pong import MOST, WHY_NOT_MORE, long_enough, title_of

KEPT = Column("kept", "speed kept", percent, lower_is_better=False)
TIMES = (
    Column("beside time", "beside it", seconds),
    Column("beside operations", "round trips", size),
    Column("time", "alone", seconds),
    KEPT,
)
RATES = (
    Column("beside rate", "beside it", rate, lower_is_better=False),
    Column("beside p50", "p50", seconds),
    Column("beside p99", "p99", seconds),
    Column("rate", "alone", rate, lower_is_better=False),
    Column("p50", "p50", seconds),
    Column("p99", "p99", seconds),
    KEPT,
)
BROKEN_OFF = (
    f"Where one trip of every pair takes more than {LONGEST_TRIP:g} s beside the thread, "
    "the round trips made by then are what counts."
)


def times(
    name: str,
    title: str,
    pairs: int,
    kind: str = "unix",
    *,
    says: str = "",
    cores: int = 2,
    **more: Any,
) -> Table:
    notes = [
        WHY_NOT_MORE if pairs == MOST else "",
        BROKEN_OFF if pairs > 100 else "",
        contestants.who_is_absent(pairs, idle=more.get("idle", 0), beside=True),
    ]
    return Table(
        f"beside-{name}",
        f"beside a CPU-bound thread: {title}",
        contestants.ping_pong(pairs, kind, beside=cores, **more),
        TIMES,
        long_enough(pairs, with_and_without(run, "time"), most=6),
        (Limit("netpoll", "kept", "at least", 0.4, says),) if says else (),
        5 if says else 2,
        " ".join(filter(None, notes)),
    )


def ping_pong(pairs: int, kind: str, says: str = "", **more: Any) -> Table:
    return times(f"ping-pong-{kind}-{pairs}", title_of(pairs, kind), pairs, kind, says=says, **more)


def rates(name: str, title: str, message: int, mode: str) -> Table:
    return Table(
        f"beside-{name}",
        f"beside a CPU-bound thread: {title}, on one core",
        contestants.echo_servers(beside=True),
        RATES,
        with_and_without(loaded.rate_of(message, mode), "rate"),
        rounds=2,
        note="No Go and no C, which have no interpreter to share.",
    )


TABLES = [
    ping_pong(1, "unix"),
    ping_pong(
        100,
        "unix",
        "ping-pong beside a CPU-bound thread: at least 40% of our own speed without it",
        plain=True,
    ),
    times("one-core", f"{title_of(100, 'unix')}, both threads on one core", 100, cores=1),
    ping_pong(1000, "unix"),
    ping_pong(MOST, "unix"),
    *(ping_pong(pairs, "tcp") for pairs in (1, 100, 300, 1000, MOST)),
    times(
        "deadline",
        "ping-pong, 100 pairs, a deadline moved at every receive",
        100,
        deadline=True,
    ),
    times("idle", "ping-pong, 100 pairs among 10,000 idle connections", 100, idle=10_000),
    *(
        rates(f"echo-{message}", f"echo server, {says}, messages a second", message, "peak")
        for message, says in SIZES.items()
    ),
    rates("churn", "connections a second", 64, "churn"),
]
