"""A byte bounced between two greenlets, tasks or goroutines: what a wait that waits costs."""

from __future__ import annotations

import resource

from benchmarks.harness import alone
from benchmarks.model import Bound, Column, Entry, Ratio, Subject, Table, Values
from benchmarks.table import seconds
from benchmarks.workloads import contestants

TIMES = (Column("time", "a round trip", seconds), Column("cpu", "processor", seconds))
SPARE = 200  # descriptors that a process needs for itself
LONGER, MANY = 4, 1000

PLACES = {"unix": "socketpair", "tcp": "TCP"}


def as_many_pairs_as_fit(wanted: int) -> int:
    """A pair takes two descriptors of this process's limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        min(wanted, (limit - SPARE) // 2 // 100 * 100)
        if limit != resource.RLIM_INFINITY
        else wanted
    )


def alone_for_long(subject: Subject, target: float) -> Values:
    """A measure: for longer, as with many pairs the greenlets' end would count among few trips."""
    return alone(subject, LONGER * target)


def table(
    pairs: int, kind: str, rounds: int = 3, bounds: tuple[Bound, ...] = (), note: str = ""
) -> Table:
    rows: tuple[Entry, ...] = contestants.ping_pong(
        pairs, kind, every_style=pairs == 100, floor=pairs in (100, 300)
    )
    if pairs == 1:
        note = note or "Two threads on one core here; more of threads in a table of their own."
    return Table(
        f"ping-pong-{kind}-{pairs}",
        f"ping-pong, {pairs:,} pair{'s' * (pairs > 1)}, {PLACES[kind]}",
        rows,
        TIMES,
        alone_for_long if pairs >= MANY else alone,
        bounds,
        rounds,
        note,
    )


def limited(kind: str) -> Table:
    pairs = as_many_pairs_as_fit(10_000)
    note = (
        ""
        if pairs == 10_000
        else f"10,000 pairs do not fit the limit of descriptors here: {pairs:,} do."
    )
    return table(pairs, kind, 2, note=note)


NETPOLL_GEVENT = Ratio(
    "netpoll", contestants.GEVENT, "time", 3.3, "100 pairs: at least 3.3 times gevent's speed"
)
NETPOLL_GO = Ratio(
    "netpoll",
    contestants.GO_1,
    "time",
    1.2,
    "100 pairs: at least 1.2 times Go's speed, GOMAXPROCS=1",
)
NETPOLL_TCP = Ratio(
    "netpoll", contestants.GEVENT, "time", 2.5, "TCP, 300 pairs: at least 2.5 times gevent's speed"
)

TABLES = [
    table(1, "unix"),
    table(100, "unix", 5, (NETPOLL_GEVENT, NETPOLL_GO)),
    table(1000, "unix"),
    limited("unix"),
    table(1, "tcp"),
    table(100, "tcp"),
    table(300, "tcp", 5, (NETPOLL_TCP,)),
    table(1000, "tcp"),
    limited("tcp"),
]
