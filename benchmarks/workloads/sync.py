"""Locks and queues beside the standard library's and gevent's."""

from __future__ import annotations

from benchmarks.harness import alone
from benchmarks.model import Arg, Column, Entry, Python, Ratio, Table
from benchmarks.table import seconds
from benchmarks.workloads.contestants import GEVENT, PLAIN

STANDARD = "threading.Lock"
OURS = "netpoll.sync.Lock"
IN_C = "netpoll"


def locks(workload: str, plain: bool = False, cores: int = 1, **args: Arg) -> Python:
    return Python("locks", workload, args, plain=plain, cores=cores)


def uncontended(library: str, kind: str, hub: bool = False) -> Python:
    return locks("uncontended", library=library, kind=kind, hub=hub)


TABLES = [
    Table(
        "lock",
        "a lock that nothing else wants: acquired and released",
        (
            Entry(OURS, uncontended("netpoll", "Lock")),
            Entry(STANDARD, uncontended("standard", "Lock")),
            Entry(f"{OURS}, in a hub", uncontended("netpoll", "Lock", hub=True)),
            Entry("netpoll.sync.RLock", uncontended("netpoll", "RLock")),
            Entry("threading.RLock", uncontended("standard", "RLock")),
            Entry("gevent.lock.RLock", uncontended("gevent", "RLock")),
        ),
        (Column("time", "time", seconds),),
        alone,
        (
            Ratio(
                OURS,
                STANDARD,
                "time",
                1 / 1.5,
                "an uncontended Lock costs at most 1.5 times threading's",
            ),
        ),
    ),
    Table(
        "hand_over",
        "a lock handed over between two that wait for each other",
        (
            Entry(IN_C, locks("hand_over", library="netpoll")),
            Entry(PLAIN, locks("hand_over", plain=True, library="netpoll")),
            Entry(GEVENT, locks("hand_over", library="gevent")),
            Entry("threading.Lock, two threads", locks("hand_over", library="standard")),
        ),
        (Column("time", "a hand-over", seconds),),
        alone,
        (
            Ratio(
                IN_C,
                GEVENT,
                "time",
                2.0,
                "a hand-over between greenlets costs at most half of gevent's",
            ),
        ),
    ),
    Table(
        "thread_queue",
        "an item through two queues: to a thread and back",
        (
            Entry("netpoll, a hub and a thread", locks("between", library="netpoll", hub=True)),
            Entry("netpoll, two threads", locks("between", library="netpoll", hub=False)),
            Entry(
                "queue.SimpleQueue, two threads",
                locks("between", library="standard", hub=False),
            ),
        ),
        (Column("time", "there and back", seconds),),
        alone,
    ),
]
