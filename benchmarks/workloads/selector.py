"""netpoll's selector beside the standard library's, which the kernel is level-triggered for."""

from __future__ import annotations

from benchmarks.harness import alone
from benchmarks.model import Arg, Column, Entry, Python, Table
from benchmarks.table import seconds


def table(name: str, title: str, workload: str, heading: str, **args: Arg) -> Table:
    return Table(
        f"selector-{name}",
        title,
        (
            Entry("PollerSelector", Python("selector", workload, {"kind": "netpoll", **args})),
            Entry("EpollSelector", Python("selector", workload, {"kind": "standard", **args})),
        ),
        (Column("time", heading, seconds),),
        alone,
    )


def turn(name: str, idle: int, ready: int, drained: bool) -> Table:
    then = "and drained" if drained else "and left as they are"
    title = f"select, {ready} of {idle + ready:,} ready {then}"
    return table(name, title, "select", "a turn", idle=idle, ready=ready, drained=drained)


TABLES = [
    turn("1", 4_999, 1, True),
    turn("10", 4_990, 10, True),
    turn("100", 4_900, 100, True),
    turn("stay", 4_990, 10, False),
    turn("few", 0, 10, True),
    table("register", "a socket registered and unregistered", "register_unregister", "both"),
]
