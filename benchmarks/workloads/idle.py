"""Descriptors on which nothing happens: what they cost the others, and in memory."""

from __future__ import annotations

from benchmarks.harness import alone
from benchmarks.model import Arg, C, Column, Entry, Go, Limit, Python, Ratio, Table
from benchmarks.table import seconds, size
from benchmarks.workloads import contestants

TIME = (Column("time", "a round trip", seconds),)
BYTES = (Column("bytes", "bytes", size),)
PRELOAD = "imaginary"  # 100,000 descriptors are not to be had
REAL = 9_000


def among(idle: int) -> Table:
    return Table(
        f"idle-{idle}",
        f"ping-pong, 100 pairs among {idle:,} idle connections",
        contestants.ping_pong(100, idle=idle),
        TIME,
        alone,
        note="Real sockets, each with a greenlet, task or goroutine parked in its read; asyncio's "
        "and uvloop's have a protocol instead, C's are registered.",
    )


def imaginary(count: int) -> Entry:
    args: dict[str, Arg] = {"pairs": 100, "imaginary": count}
    return Entry(f"{count:,} idle", Python("netpoll_sockets", "ping_pong", args, PRELOAD))


def memory(name: str, title: str, rows: tuple[Entry, ...], note: str) -> Table:
    return Table(f"memory-{name}", title, rows, BYTES, alone, rounds=2, note=note)


def py(rival: str, **args: Arg) -> Python:
    return Python(rival, "idle", {"count": REAL} | args)


def connections(parked: bool) -> tuple[Entry, ...]:
    rows = [
        Entry("netpoll, socket", py("netpoll_sockets", parked=parked)),
        Entry("gevent, socket", py("gevent_sockets", parked=parked)),
        Entry("asyncio", py("asyncio_loop", loop="asyncio", parked=parked)),
        Entry("uvloop", py("asyncio_loop", loop="uvloop", parked=parked)),
        Entry("trio, socket", py("trio_sockets", parked=parked)),
        Entry("eventlet, GreenSocket", py("eventlet_sockets", parked=parked)),
        Entry("Go, net.Conn", Go("idle", (REAL, "parked" if parked else "alone"))),
    ]
    return tuple(rows)


TABLES = [
    among(10_000),
    Table(
        "idle-netpoll",
        "netpoll, ping-pong of 100 pairs among open descriptors with a deadline each",
        (imaginary(100_000), imaginary(10_000), imaginary(0)),
        TIME,
        alone,
        (
            Ratio(
                "100,000 idle",
                "0 idle",
                "time",
                1 / 1.05,
                "100,000 idle descriptors cost 100 active pairs at most 5% (as speed kept, 0.95)",
            ),
        ),
        7,
        "The pairs are real, the kernel does not know the idle ones (benchmarks/c/imaginary.c).",
    ),
    Table(
        "memory-descriptor",
        "memory of an open descriptor with a deadline",
        (
            Entry(
                "netpoll, PollDesc",
                Python("netpoll_desc", "idle", {"count": 100_000}, PRELOAD),
            ),
            Entry("of it the core's pollDesc", C("core", "size")),
        ),
        BYTES,
        alone,
        (
            Limit(
                "netpoll, PollDesc",
                "bytes",
                "at most",
                400,
                "an idle open descriptor costs at most 400 bytes, Python object included",
            ),
        ),
        2,
        "By the growth of the process (resident pages) over 100,000 of them.",
    ),
    memory(
        "connection",
        "memory of an open connection, nobody waiting",
        (*connections(parked=False), Entry("socket.socket", py("standard"))),
        f"By the growth of the process over {REAL:,} real sockets; what the kernel holds is not "
        "counted. netpoll's have a deadline; asyncio's are a transport and a protocol, which read.",
    ),
    memory(
        "parked",
        "memory of a connection with a greenlet, task or goroutine parked in its read",
        connections(parked=True),
        f"As above, over {REAL:,}; asyncio's are streams.",
    ),
]
