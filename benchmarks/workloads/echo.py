"""An echo server over TCP, loaded by a process of its own over 64 connections."""

from __future__ import annotations

from benchmarks import loaded
from benchmarks.model import Bound, Column, Ratio, Table
from benchmarks.table import percent, rate, seconds
from benchmarks.workloads import contestants

SIZES = {64: "64 B", 4096: "4 KiB", 65536: "64 KiB"}
COMMON = {64: 20_000, 4096: 20_000, 65536: 10_000}  # messages a second that all can serve


def columns(size: int) -> tuple[Column, ...]:
    return (
        Column("rate", "peak", rate, lower_is_better=False),
        Column("p50", "p50 at peak", seconds),
        Column("p99", "p99", seconds),
        Column("p999", "p99.9", seconds),
        Column("half p50", "p50 at half of it", seconds),
        Column("half usual p99", "usual p99", seconds),
        Column("half p99", "p99", seconds),
        Column("half p999", "p99.9", seconds),
        Column("same p50", f"p50 at {COMMON[size]:,}/s", seconds),
        Column("same usual p99", "usual p99", seconds),
        Column("server", "server's core", percent),
        Column("load", "load's core", percent),
    )


def bounds(size: int) -> tuple[Bound, ...]:
    """At half of each one's own peak, and where all have the same load."""
    half, same = "at half the peak", f"at {COMMON[size]:,}/s"
    return tuple(
        Ratio(
            contestants.OURS,
            rival,
            metric,
            1.0,
            f"echo, {SIZES[size]}: {says} {where} below {who}'s",
            f"an echo server, messages of {SIZES[size]}: p99 below gevent's and uvloop's",
        )
        for metric, says, where in (
            ("half usual p99", "usual p99", half),
            ("half p99", "p99", half),
            ("same usual p99", "usual p99", same),
        )
        for who, rival in (("gevent", contestants.GEVENT), ("uvloop", contestants.UVLOOP))
    )


TABLES = [
    Table(
        f"echo-{size}",
        f"echo server, {SIZES[size]}, 64 connections",
        contestants.echo_servers(),
        columns(size),
        loaded.echo(size, COMMON[size]),
        bounds(size),
        3,
        "Half of the peak is half of each server's own; there, and at the rate that is the same "
        "for all, messages are sent at random instants "
        "(Poisson) and latencies count from when they were due. The usual p99 is the median of "
        "those of each tenth of a second: it leaves out that the virtual machine is stopped now "
        "and then, which p99 and p99.9 of a whole second are made of, for C on epoll as for all. "
        "The last columns are how much of its core the server took at peak, and the load of the "
        "other one (it wakes for every few messages, so much of what it takes is no limit).",
    )
    for size in SIZES
]
