"""Who takes part in the workloads that all can do, by the names that the tables show."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.model import Arg, C, Entry, Go, Python

OURS = "netpoll"
PLAIN = "netpoll, plain cffi"
OUR_THREADS = "netpoll, threads"
THREADS = "threads, settimeout"
GEVENT = "gevent"
ASYNCIO = "asyncio, protocol"
GO_1 = "Go, GOMAXPROCS=1"
FLOOR = "C on epoll, no read in vain"
UVLOOP = "uvloop, protocol"

MOST_PAIRS_OF_THREADS = 100

# A promise that tables of two files have cases of.
MILLION_OF_DEADLINES = (
    "one of a million deadlines is moved in at most 1.5 times as long as a single one"
)


def ping_pong(
    pairs: int,
    kind: str = "unix",
    *,
    idle: int = 0,
    deadline: bool = False,
    every_style: bool = False,
    plain: bool = False,
    floor: bool = False,
    beside: int | None = None,
) -> tuple[Entry, ...]:
    """All contestants; of asyncio and uvloop the quickest style, or every style, and of netpoll and
    gevent the descriptors' `wait` and `wait_read` too. `plain`: also netpoll's other engine.
    `floor`: also C with only the system calls that cannot be done without. `beside`: only those in
    Python, on so many cores, as there will be a thread beside them."""
    args: dict[str, Arg] = {"pairs": pairs, "kind": kind}
    extra: dict[str, Arg] = {"idle": idle, "deadline": deadline}

    def py(rival: str, workload: str = "ping_pong", **more: Arg) -> Python:
        return Python(rival, workload, args | more, cores=beside or 1)

    def on_asyncio(loop: str, style: str) -> Entry:
        return Entry(f"{loop}, {style}", py("asyncio_loop", loop=loop, style=style, **extra))

    rows = [Entry("netpoll", py("netpoll_sockets", **extra))]
    if every_style:
        rows.append(Entry("netpoll, PollDesc.wait", py("netpoll_desc")))
    if plain:
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
    if pairs <= MOST_PAIRS_OF_THREADS and not idle:
        for label, sockets in (THREADS, "standard"), (OUR_THREADS, "netpoll"):
            more: dict[str, Arg] = {"deadline": deadline, "sockets": sockets, "cores": 1}
            rows.append(Entry(label, py("standard", "ping_pong_threads", **more)))
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
            rows.append(Entry(FLOOR, epoll))
            rows.append(Entry("C on io_uring", C("uring", "ping_pong", (pairs, kind))))
    return tuple(rows)


def who_is_absent(
    pairs: int, *, idle: int = 0, deadline: bool = False, beside: bool = False
) -> str:
    """Of the ping-pong: who takes part in other tables and not in this one, and why."""
    said = []
    if pairs > MOST_PAIRS_OF_THREADS:
        said.append(f"No threads beyond {MOST_PAIRS_OF_THREADS} pairs: it takes two a pair.")
    if idle:
        said.append("No threads: there would be one for each idle connection.")
    if beside:
        said.append("No Go and no C, which have no interpreter to share.")
    elif deadline:
        said.append("No C on epoll, which has no deadlines.")
    elif pairs not in (100, 300):
        said.append("C on io_uring and without reads in vain: in the tables of 100 and 300 pairs.")
    if not beside and pairs != 100:
        said.append("All styles, and plain cffi: in those of 100.")
    return " ".join(said)


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
        Entry(THREADS, Python("standard", "echo")),
        Entry(OUR_THREADS, Python("standard", "echo", {"sockets": "netpoll"})),
    ]
    if not beside:
        rows += [
            Entry(GO_1, Go("echo", cores=1)),
            Entry("Go", Go("echo", procs=None)),
            Entry("C on epoll", C("echo", "echo")),
        ]
    return tuple(rows)
