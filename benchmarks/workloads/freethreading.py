"""Without the GIL: threads on sockets, and hubs in several threads, on two cores."""

from __future__ import annotations

from benchmarks.harness import alone
from benchmarks.model import Arg, Column, Entry, Go, Python, Ratio, Subject, Table, Values
from benchmarks.table import seconds
from benchmarks.workloads.contestants import THREADS

TIMES = (Column("time", "a round trip", seconds), Column("cpu", "processor", seconds))
ROUNDS = 5


def longer(subject: Subject, target: float) -> Values:
    """Both cores are seldom quiet at once."""
    return alone(subject, 4 * target)


PAIRS_OF_THREADS = 50
BLOCKING = "blocking sockets, no timeout"
OURS = "netpoll"
OURS_TIMED = "netpoll, settimeout"


def threads(sockets: str, timeout: bool) -> Python:
    args: dict[str, Arg] = {
        "pairs": PAIRS_OF_THREADS,
        "cores": 2,
        "sockets": sockets,
        "timeout": timeout,
    }
    return Python("standard", "ping_pong_threads", args, cores=2, free_threaded=True)


PAIRS = 100  # of all hubs together
TWO_HUBS = "two hubs"
ONE_HUB = "one hub"
WITH_GIL = "one hub, with the GIL"
GO_2 = "Go, GOMAXPROCS=2"


def hubs(count: int, free_threaded: bool = True) -> Python:
    args: dict[str, Arg] = {"hubs": count, "pairs": PAIRS // count}
    return Python(
        "netpoll_sockets", "ping_pong_hubs", args, cores=count, free_threaded=free_threaded
    )


TABLES = [
    Table(
        "freethreading-threads",
        f"without the GIL: ping-pong, {PAIRS_OF_THREADS} pairs of threads on two cores, socketpair",
        (
            Entry(OURS, threads("netpoll", False)),
            Entry(BLOCKING, threads("standard", False)),
            Entry(OURS_TIMED, threads("netpoll", True)),
            Entry(THREADS, threads("standard", True)),
        ),
        TIMES,
        longer,
        (
            Ratio(
                OURS,
                BLOCKING,
                "time",
                1.0,
                "without the GIL: threads no slower than on blocking sockets",
            ),
            Ratio(
                OURS_TIMED, THREADS, "time", 1.0, "without the GIL: no slower than with settimeout"
            ),
        ),
        ROUNDS,
    ),
    Table(
        "freethreading-hubs",
        f"without the GIL: ping-pong, {PAIRS} pairs in hubs, a thread and a core each, socketpair",
        (
            Entry(TWO_HUBS, hubs(2)),
            Entry(ONE_HUB, hubs(1)),
            Entry(WITH_GIL, hubs(1, free_threaded=False)),
            Entry(GO_2, Go("ping_pong", (PAIRS, "unix", 0, "none"), procs=2, cores=2)),
        ),
        TIMES,
        longer,
        (
            Ratio(TWO_HUBS, ONE_HUB, "time", 1.7, "without the GIL: two hubs 1.7 times one hub"),
            Ratio(
                TWO_HUBS,
                ONE_HUB,
                "cpu",
                0.95,
                "without the GIL: a hub beside another keeps 0.95, in processor time",
            ),
            Ratio(
                TWO_HUBS, GO_2, "time", 1.0, "without the GIL: two hubs ahead of Go on two cores"
            ),
            Ratio(ONE_HUB, WITH_GIL, "time", 0.7, "one hub keeps 0.7 of its speed with the GIL"),
        ),
        ROUNDS,
    ),
]
