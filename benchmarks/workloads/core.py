"""The C core without Python, beside bare epoll where epoll has the operation."""

from __future__ import annotations

from benchmarks.harness import alone
from benchmarks.model import C, Column, Entry, Ratio, Table
from benchmarks.table import seconds
from benchmarks.workloads import contestants

MILLION = 1_000_000
PRELOAD = "imaginary"  # so many descriptors are not to be had


def live(workload: str, count: int) -> Entry:
    return Entry(f"{count:,} live", C("core", workload, (count,), PRELOAD))


def flat(workload: str, title: str) -> Table:
    return Table(
        f"core-{workload.replace('_', '-')}",
        f"C core: set_deadline, {title}",
        (live(workload, MILLION), live(workload, 1)),
        (Column("time", "a move", seconds),),
        alone,
        (
            Ratio(
                f"{MILLION:,} live",
                "1 live",
                "time",
                1 / 1.5,
                f"C core, {title}: at most 1.5 times",
                contestants.MILLION_OF_DEADLINES,
            ),
        ),
    )


TABLES = [
    *(
        Table(
            f"core-ping-pong-{pairs}",
            f"C core: tokens in ping-pong, {pairs:,} pair{'s' * (pairs > 1)}",
            (
                Entry("C core", C("core", "ping_pong", (pairs,))),
                Entry("bare epoll", C("epoll", "ping_pong", (pairs, "unix", 0, "none"))),
            ),
            (Column("time", "a round trip", seconds),),
            alone,
        )
        for pairs in (1, 100, 1000)
    ),
    flat("move_one", "the same one moved again and again"),
    flat("move_each", "each of them moved in turn"),
]
