"""Moving deadlines forward, which a server does at every message."""

from __future__ import annotations

import sys

from benchmarks.harness import alone
from benchmarks.model import Arg, C, Column, Entry, Go, Python, Ratio, Table
from benchmarks.table import seconds
from benchmarks.workloads import contestants

MILLION = 1_000_000
AS_QUICK_AS_GO = "a deadline is moved no slower than in Go"
PRELOAD = "imaginary"  # so many descriptors are not to be had
TIME = (Column("time", "a move", seconds),)


def py(rival: str, workload: str = "move_deadline", **args: Arg) -> Python:
    return Python(rival, workload, args)


def live(workload: str, count: int) -> Entry:
    subject = Python("netpoll_desc", workload, {"live": count}, PRELOAD)
    return Entry(f"{count:,} live", subject)


def flat(workload: str, title: str) -> Table:
    most = f"{MILLION:,} live"
    return Table(
        f"deadlines-{workload.replace('_', '-')}",
        f"set_deadline, {title}",
        tuple(live(workload, count) for count in (MILLION, 100_000, 1000, 1)),
        TIME,
        alone,
        (
            Ratio(
                most,
                "1 live",
                "time",
                1 / 1.5,
                f"{title}: 1,000,000 live cost at most 1.5 times 1 live",
                contestants.MILLION_OF_DEADLINES,
            ),
        ),
        5,
        "The kernel does not know these descriptors (benchmarks/c/imaginary.c): epoll_ctl does "
        "nothing for them, the core and its callers do all that they do for real ones.",
    )


def timeout(label: str, loop: str) -> Entry:
    return Entry(f"{label}, reschedule", py("asyncio_loop", "move_timeout", loop=loop))


TIMEOUTS = (
    (timeout("asyncio.timeout", "asyncio"), timeout("asyncio.timeout on uvloop", "uvloop"))
    if sys.version_info >= (3, 11)
    else ()
)


TABLES = [
    Table(
        "deadlines-move",
        "a deadline moved two hours forward",
        (
            Entry(
                "netpoll, PollDesc.set_deadline",
                Python("netpoll_desc", "move_one", {"live": 1}, PRELOAD),
            ),
            Entry(
                contestants.PLAIN,
                Python("netpoll_desc", "move_one", {"live": 1}, PRELOAD, plain=True),
            ),
            Entry("netpoll, socket.set_read_deadline", py("netpoll_sockets")),
            Entry("Go, SetReadDeadline", Go("move_deadline", (2,))),
            Entry("Go, SetReadDeadline, 9,000 live", Go("move_deadline", (9000,))),
            Entry("socket.settimeout", py("standard")),
            Entry("gevent.Timeout", py("gevent_sockets")),
            Entry("eventlet.Timeout", py("eventlet_sockets")),
            Entry("asyncio, call_later", py("asyncio_loop", loop="asyncio")),
            Entry("uvloop, call_later", py("asyncio_loop", loop="uvloop")),
            *TIMEOUTS,
            Entry("trio, CancelScope.deadline", py("trio_sockets")),
            Entry("C core alone", C("core", "move_one", (1,), PRELOAD)),
        ),
        TIME,
        alone,
        (
            Ratio(
                "netpoll, PollDesc.set_deadline",
                "Go, SetReadDeadline",
                "time",
                1.0,
                "set_deadline: no slower than Go's SetReadDeadline",
                AS_QUICK_AS_GO,
            ),
            Ratio(
                "netpoll, socket.set_read_deadline",
                "Go, SetReadDeadline",
                "time",
                1.0,
                "socket.set_read_deadline: no slower than Go's SetReadDeadline",
                AS_QUICK_AS_GO,
            ),
        ),
        5,
        "Go computes the instant by time.Now().Add, netpoll from seconds. asyncio and uvloop "
        "cancel a call_later and make it anew, which asyncio.timeout does too where it is "
        "rescheduled (CPython has it from 3.11 on). The PollDesc's descriptor is an imaginary one.",
    ),
    flat("move_one", "the same one moved again and again"),
    flat("move_each", "each of them moved in turn"),
    Table(
        "deadlines-ping-pong",
        "ping-pong, 100 pairs, a deadline moved at every receive",
        contestants.ping_pong(100, deadline=True),
        (Column("time", "a round trip", seconds),),
        alone,
        note=contestants.who_is_absent(100, deadline=True),
    ),
]
