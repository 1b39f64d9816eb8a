"""Descriptors on which nothing happens: what they cost the others, and in memory."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.harness import alone
from benchmarks.model import (
    Arg,
    C,
    Column,
    Entry,
    Go,
    Limit,
    Python,
    Ratio,
    Subject,
    Table,
    Values,
)
from benchmarks.table import percent, seconds, size
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


def parked(count: int) -> tuple[Entry, ...]:
    """Whoever can be made to believe in imaginary descriptors, with a waiter on each."""

    def py(rival: str, workload: str = "ping_pong", **more: Arg) -> Python:
        return Python(rival, workload, {"pairs": 100, "imaginary": count} | more, PRELOAD)

    def on_asyncio(loop: str) -> Python:
        return py("asyncio_loop", loop=loop, style="protocol")

    return (
        Entry("netpoll", py("netpoll_sockets", parked=True)),
        Entry(contestants.GEVENT, py("gevent_sockets")),
        Entry("asyncio, protocol", on_asyncio("asyncio")),
        Entry(contestants.UVLOOP, on_asyncio("uvloop")),
        Entry("trio", py("trio_sockets", "ping_pong_among")),
        Entry("eventlet", py("eventlet_sockets")),
        Entry("C on epoll", C("epoll", "ping_pong_among", (100, count), PRELOAD)),
    )


def with_and_without_them(subject: Subject, target: float) -> Values:
    """A measure: the pairs among the idle descriptors, and among none. For twice as long, as most
    of the time goes into making them."""
    if isinstance(subject, C):
        none: Subject = replace(subject, args=(*subject.args[:-1], 0))
    else:
        assert isinstance(subject, Python)
        none = replace(subject, args={**subject.args, "imaginary": 0})
    without, among = alone(none, 2 * target)["time"], alone(subject, 2 * target)["time"]
    return {"time": among, "without": without, "kept": without / among}


def beyond_standard(subject: Subject, target: float) -> Values:
    """A measure: the memory of a socket, and how much of it the standard one has not."""
    own, standard = alone(subject, target)["bytes"], alone(py("standard"), target)["bytes"]
    return {"bytes": own, "standard": standard, "beyond": own - standard}


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
                "100 pairs among 100,000 idle descriptors keep 95% of their speed",
            ),
        ),
        7,
        "The pairs are real, the kernel does not know the idle ones (benchmarks/c/imaginary.c).",
    ),
    Table(
        "idle-100000",
        "ping-pong, 100 pairs among 100,000 idle descriptors with a waiter each",
        parked(100_000),
        (
            *TIME,
            Column("without", "among none", seconds),
            Column("kept", "speed kept", percent, lower_is_better=False),
        ),
        with_and_without_them,
        (
            Limit(
                "netpoll",
                "kept",
                "at least",
                0.95,
                "100 pairs among 100,000 idle, each with a waiter: 95% of the speed kept",
            ),
        ),
        5,
        "The pairs are played as in the other tables; the kernel does not know the idle "
        "descriptors (benchmarks/c/imaginary.c). On each of them waits a greenlet (PollDesc.wait, "
        "wait_read, trampoline), a task (wait_readable) or a callback (add_reader). To C it is one "
        "call that does nothing. Go is not here: it makes its system calls itself, so it cannot be "
        "told of descriptors that are none. trio runs in a thread of its own here.",
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
    Table(
        "memory-socket",
        "memory of an idle socket object beyond the standard one",
        (Entry("netpoll, socket", py("netpoll_sockets", parked=False)),),
        (
            *BYTES,
            Column("standard", "socket.socket", size),
            Column("beyond", "beyond it", size),
        ),
        beyond_standard,
        (
            Limit(
                "netpoll, socket",
                "beyond",
                "at most",
                500,
                "an idle socket object costs at most 500 bytes beyond the standard one",
            ),
        ),
        3,
        f"By the growth of the process over {REAL:,} real sockets, ours with a deadline.",
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
