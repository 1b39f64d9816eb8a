"""How a thread could wait, in plain C: what docs/design.md chooses between."""

from __future__ import annotations

from benchmarks.harness import alone
from benchmarks.model import C, Column, Entry, Table
from benchmarks.table import seconds

SCHEMES = {
    "driver": "one drives an epoll for all",
    "own_poll": "poll(2) with a wake object each",
    "blocking": "poll(2), as blocking sockets do",
}


def table(pairs: int, cores: int) -> Table:
    where = {1: "on one core", 2: "on two cores"}[cores]
    return Table(
        f"schemes-{2 * pairs}-{cores}",
        f"C: {2 * pairs} threads {where}, ping-pong, socketpair",
        tuple(
            Entry(label, C("schemes", scheme, (pairs, cores), cores=cores))
            for scheme, label in SCHEMES.items()
        ),
        (Column("time", "a round trip", seconds),),
        alone,
        rounds=5,
    )


TABLES = [table(pairs, cores) for pairs in (1, 100) for cores in (1, 2)]
