"""An echo server over TCP, loaded by a process of its own over 64 connections."""

from __future__ import annotations

from benchmarks import loaded
from benchmarks.model import Bound, Column, Ratio, Table
from benchmarks.table import percent, rate, seconds
from benchmarks.workloads import contestants

COLUMNS = (
    Column("rate", "peak", rate, lower_is_better=False),
    Column("p50", "p50 at peak", seconds),
    Column("p99", "p99", seconds),
    Column("p999", "p99.9", seconds),
    Column("half p50", "p50 at half of it", seconds),
    Column("half usual p99", "usual p99", seconds),
    Column("half p99", "p99", seconds),
    Column("half p999", "p99.9", seconds),
    Column("load", "load's core", percent),
)
SIZES = {64: "64 B", 4096: "4 KiB", 65536: "64 KiB"}


def bounds(size: int) -> tuple[Bound, ...]:
    return tuple(
        Ratio(
            "netpoll",
            rival,
            f"half {metric}",
            1.0,
            f"echo, {SIZES[size]}: {metric} at half the peak below {who}'s",
        )
        for metric in ("usual p99", "p99")
        for who, rival in (("gevent", contestants.GEVENT), ("uvloop", contestants.UVLOOP))
    )


TABLES = [
    Table(
        f"echo-{size}",
        f"echo server, {SIZES[size]}, 64 connections",
        contestants.echo_servers(),
        COLUMNS,
        loaded.echo(size),
        bounds(size),
        5,
        "Half of the peak is half of each server's own; there messages are sent at random instants "
        "(Poisson) and latencies count from when they were due. The usual p99 is the median of "
        "those of each tenth of a second: it leaves out that the virtual machine is stopped now "
        "and then, which p99 and p99.9 of a whole second are made of, for C on epoll as for all. "
        "The last column is how much of its core the load took at peak; where that is more than "
        "nine tenths, the load was the limit, and the server could do more.",
    )
    for size in SIZES
]
