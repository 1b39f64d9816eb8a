"""A byte bounced between two greenlets, tasks or goroutines: what a wait that waits costs."""

from __future__ import annotations

import resource

from benchmarks.harness import alone
from benchmarks.model import Bound, Column, Entry, Measure, Ratio, Table
from benchmarks.table import seconds, size
from benchmarks.workloads import contestants

TIMES = (Column("time", "a round trip", seconds), Column("cpu", "processor", seconds))
TRIPS = Column("operations", "round trips", size)
SPARE = 200  # descriptors that a process needs for itself
MANY = 1000

PLACES = {"unix": "socketpair", "tcp": "TCP"}


def as_many_pairs_as_fit(wanted: int) -> int:
    """A pair takes two descriptors of this process's limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        min(wanted, (limit - SPARE) // 2 // 100 * 100)
        if limit != resource.RLIM_INFINITY
        else wanted
    )


def long_enough(pairs: int, measure: Measure, most: int = 14) -> Measure:
    """With many pairs for longer, as the greenlets' end would count among few trips."""
    if pairs < MANY:
        return measure
    longer = 4 if pairs == MANY else most
    return lambda subject, target: measure(subject, longer * target)


MOST = as_many_pairs_as_fit(10_000)
WHY_NOT_MORE = (
    "" if MOST == 10_000 else f"10,000 pairs do not fit the limit of descriptors here: {MOST:,} do."
)


def title_of(pairs: int, kind: str) -> str:
    return f"ping-pong, {pairs:,} pair{'s' * (pairs > 1)}, {PLACES[kind]}"


def table(pairs: int, kind: str, rounds: int = 3, bounds: tuple[Bound, ...] = ()) -> Table:
    all_rows = pairs == 100
    rows: tuple[Entry, ...] = contestants.ping_pong(
        pairs, kind, every_style=all_rows, plain=all_rows, floor=pairs in (100, 300)
    )
    ahead = Ratio(
        contestants.OURS,
        contestants.UVLOOP,
        "time",
        1.0,
        f"{title_of(pairs, kind)}: ahead of uvloop",
        "ping-pong: ahead of uvloop's protocols, with 1 pair or thousands, on socketpairs and TCP",
    )
    notes = [contestants.who_is_absent(pairs)]
    if pairs <= contestants.MOST_PAIRS_OF_THREADS:
        notes.insert(0, "Threads are on one core here; more of them in tables of their own.")
    if pairs == MOST:
        notes.insert(0, WHY_NOT_MORE)
    return Table(
        f"ping-pong-{kind}-{pairs}",
        title_of(pairs, kind),
        rows,
        (*TIMES, TRIPS) if pairs >= MANY else TIMES,
        long_enough(pairs, alone),
        (*bounds, ahead),
        rounds,
        " ".join(filter(None, notes)),
    )


KEEPS = "of the speed of C that makes the same system calls"
OF_C = Ratio("netpoll", contestants.FLOOR, "time", 0.73, f"100 pairs: at least 0.73 {KEEPS}")
OF_C_TCP = Ratio(
    "netpoll", contestants.FLOOR, "time", 0.83, f"TCP, 300 pairs: at least 0.83 {KEEPS}"
)
OF_GO = Ratio(
    "netpoll",
    contestants.GO_1,
    "time",
    1.25,
    "100 pairs: at least 1.25 times Go's speed, GOMAXPROCS=1",
)

TABLES = [
    table(1, "unix"),
    table(100, "unix", 5, (OF_C, OF_GO)),
    table(1000, "unix"),
    table(MOST, "unix", 2),
    table(1, "tcp"),
    table(100, "tcp"),
    table(300, "tcp", 5, (OF_C_TCP,)),
    table(1000, "tcp"),
    table(MOST, "tcp", 2),
]
