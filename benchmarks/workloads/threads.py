"""A byte bounced between two threads a pair, instead of greenlets.

Two threads that wake each other share a core in one run and not in the next, if it is left to the
kernel, and that decides more than all they do: so each row says where they run.
"""

from __future__ import annotations

from benchmarks.harness import alone
from benchmarks.model import Arg, Column, Entry, Python, Ratio, Table
from benchmarks.table import seconds

TIME = (Column("time", "a round trip", seconds),)
OURS, THEIRS = "netpoll", "blocking sockets, settimeout"


def table(pairs: int, kind: str, cores: int) -> Table:
    args: dict[str, Arg] = {"pairs": pairs, "kind": kind, "cores": cores}
    place = {"unix": "socketpair", "tcp": "TCP"}[kind]
    where = {1: "on one core", 2: "on two cores"}[cores]
    title = f"{2 * pairs} threads {where}, {place}"

    def threads(more: dict[str, Arg]) -> Python:
        return Python("standard", "ping_pong_threads", args | more, cores=None)

    return Table(
        f"threads-{2 * pairs}-{kind}-{cores}",
        f"ping-pong, {title}",
        (
            Entry(OURS, threads({"sockets": "netpoll"})),
            Entry(THEIRS, threads({})),
        ),
        TIME,
        alone,
        (
            Ratio(
                OURS,
                THEIRS,
                "time",
                1.0,
                f"{title}: no slower than blocking sockets",
                "threads: no slower than blocking sockets, 2 or 200 of them, on one core or two",
            ),
        ),
        7,
    )


TABLES = [
    table(pairs, kind, cores) for pairs in (1, 100) for kind in ("tcp", "unix") for cores in (1, 2)
]
