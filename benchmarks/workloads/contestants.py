"""Who takes part in the workloads that all can do, by the names that the tables show."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.model import Arg, C, Entry, Go, Python

PLAIN = "netpoll, plain cffi"
GEVENT = "gevent"
GO_1 = "Go, GOMAXPROCS=1"
UVLOOP = "uvloop, protocol"


def ping_pong(
    pairs: int,
    kind: str = "unix",
    *,
    idle: int = 0,
    deadline: bool = False,
    every_style: bool = False,
    floor: bool = False,
    beside: int | None = None,
) -> tuple[Entry, ...]:
    """All contestants; of asyncio and uvloop the quickest style, or every style, and of netpoll and
    gevent the descriptors' `wait` and `wait_read` too, and netpoll's other engine. `floor`: also C
    with only the system calls that cannot be done without. `beside`: only those in Python, on so
    many cores, as there will be a thread beside them."""
    args: dict[str, Arg] = {"pairs": pairs, "kind": kind}
    extra: dict[str, Arg] = {"idle": idle, "deadline": deadline}

    def py(rival: str, workload: str = "ping_pong", **more: Arg) -> Python:
        return Python(rival, workload, args | more, cores=beside or 1)

    def on_asyncio(loop: str, style: str) -> Entry:
        return Entry(f"{loop}, {style}", py("asyncio_loop", loop=loop, style=style, **extra))

    rows = [Entry("netpoll", py("netpoll_sockets", **extra))]
    if every_style:
        rows.append(Entry("netpoll, PollDesc.wait", py("netpoll_desc")))
        rows.append(Entry(PLAIN, replace(py("netpoll_sockets"), plain=True)))
    rows.append(Entry(GEVENT, py("gevent_sockets", **extra)))
    if every_style:
        rows.append(Entry("gevent, wait_read", py("gevent_sockets", "ping_pong_wait_read")))
    for loop in "asyncio", "uvloop":
        styles = ("streams", "sock", "protocol") if every_style else ("protocol",)
        rows += [on_asyncio(loop, style) for style in styles]
    rows += [
        Entry("trio", py("trio_sockets", **extra)),
        Entry("eventlet", py("eventlet_sockets", **extra)),
    ]
    if pairs <= 100 and not idle:
        threads = py("standard", "ping_pong_threads", deadline=deadline)
        rows.append(Entry("threads, settimeout", threads))
    if beside is None:
        go: tuple[Arg, ...] = (pairs, kind, idle, "deadline" if deadline else "none")
        rows += [
            Entry(GO_1, Go("ping_pong", go)),
            Entry("Go", Go("ping_pong", go, procs=None)),
        ]
        if not deadline:
            epoll = C("epoll", "ping_pong", (pairs, kind, idle, "none"))
            rows.append(Entry("C on epoll", epoll))
        if floor:
            epoll = C("epoll", "ping_pong", (pairs, kind, idle, "drained"))
            rows.append(Entry("C on epoll, no read in vain", epoll))
            rows.append(Entry("C on io_uring", C("uring", "ping_pong", (pairs, kind))))
    return tuple(rows)


def echo_servers(beside: bool = False) -> tuple[Entry, ...]:
    """Every echo server; beside a Python thread only those in Python."""
    rows = [
        Entry("netpoll", Python("netpoll_sockets", "echo")),
        Entry(GEVENT, Python("gevent_sockets", "echo")),
        Entry(
            "asyncio, streams",
            Python("asyncio_loop", "echo", {"loop": "asyncio", "style": "streams"}),
        ),
        Entry(
            "asyncio, protocol",
            Python("asyncio_loop", "echo", {"loop": "asyncio", "style": "protocol"}),
        ),
        Entry(
            "uvloop, streams",
            Python("asyncio_loop", "echo", {"loop": "uvloop", "style": "streams"}),
        ),
        Entry(UVLOOP, Python("asyncio_loop", "echo", {"loop": "uvloop", "style": "protocol"})),
        Entry("trio", Python("trio_sockets", "echo")),
        Entry("eventlet", Python("eventlet_sockets", "echo")),
        Entry("threads, settimeout", Python("standard", "echo")),
    ]
    if not beside:
        rows += [
            Entry(GO_1, Go("echo", cores=1)),
            Entry("Go", Go("echo", procs=None)),
            Entry("C on epoll", C("echo", "echo")),
        ]
    return tuple(rows)
