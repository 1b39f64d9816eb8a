"""What the hub adds to a switch: tasks that take turns, begin and end, and wait for nothing."""

from __future__ import annotations

from benchmarks.harness import alone
from benchmarks.model import Arg, Column, Entry, Go, Python, Table
from benchmarks.table import seconds
from benchmarks.workloads.contestants import GEVENT, GO_1, PLAIN


def rivals(workload: str, tasks: int) -> tuple[Entry, ...]:
    args: dict[str, Arg] = {"tasks": tasks}

    def py(rival: str, plain: bool = False, **more: Arg) -> Python:
        return Python(rival, workload, args | more, plain=plain)

    rows = [
        Entry("netpoll", py("netpoll_hub")),
        Entry(PLAIN, py("netpoll_hub", plain=True)),
        Entry(GEVENT, py("gevent_sockets")),
        Entry("eventlet", py("eventlet_sockets")),
        Entry("asyncio", py("asyncio_loop", loop="asyncio")),
        Entry("uvloop", py("asyncio_loop", loop="uvloop")),
        Entry("trio", py("trio_sockets")),
        Entry(GO_1, Go(workload, (tasks,))),
        Entry("Go", Go(workload, (tasks,), procs=None)),
    ]
    return tuple(rows)


def bare(tasks: int) -> tuple[Entry, ...]:
    """Without a hub."""
    way = "there and back" if tasks == 1 else "to the next"
    return tuple(
        Entry(
            f"greenlet, {way}, from {language}",
            Python("bare_greenlets", "turns", {"tasks": tasks, "in_c": language == "C"}),
        )
        for language in ("Python", "C")
    )


def turn(tasks: int, note: str) -> Table:
    return Table(
        f"turn-{tasks}",
        f"a turn: sleep(0), {tasks} task{'s' * (tasks > 1)}",
        (*rivals("turns", tasks), *bare(tasks)),
        (Column("time", "a turn", seconds),),
        alone,
        note=note,
    )


TABLES = [
    turn(
        1,
        "Nobody else may run, so each turn is one of the loop; netpoll, asyncio, uvloop and trio "
        "ask the kernel in it, gevent and eventlet do not. In Go it is runtime.Gosched. "
        "The last rows have no hub: a greenlet switches to another, and that one back.",
    ),
    turn(
        100,
        "Each lets the 99 others run. The last rows have no hub: they are the switch.",
    ),
    Table(
        "spawn",
        "a task spawned and joined, 100 at a time",
        (
            *rivals("spawn", 100),
            Entry("greenlet, begun and ended", Python("bare_greenlets", "spawn", {"tasks": 100})),
            Entry("threading.Thread", Python("standard", "spawn", {"tasks": 100})),
        ),
        (Column("time", "a task", seconds),),
        alone,
    ),
]
