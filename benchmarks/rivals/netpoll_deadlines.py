"""Moving deadlines while others live."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

from netpoll import READ, PollDesc, Poller

from benchmarks.model import Round

IMAGINARY = 1 << 24
"""From here on there are as many descriptors as one likes: see `benchmarks/c/imaginary.c`."""


def live_deadlines(poller: Poller, count: int) -> list[PollDesc]:
    """So many descriptors, each with a deadline of its own, an hour or more away."""
    opened = [poller.open(IMAGINARY + number) for number in range(count)]
    for number, desc in enumerate(opened):
        desc.set_deadline(3600 + number / 1000, READ)
    return opened


def move(turns: Sequence[PollDesc]) -> float:
    start = perf_counter()
    for desc in turns:
        desc.set_deadline(7200.0, READ)
    return (perf_counter() - start) / len(turns)


def move_one(live: int, calls: int) -> Round:
    """Move one deadline again and again, so many being alive."""
    opened = live_deadlines(Poller(), live)
    turns = [opened[live // 2]] * calls
    return lambda: move(turns)


def move_each(live: int, calls: int) -> Round:
    """Move each of the live deadlines in turn."""
    opened = live_deadlines(Poller(), live)
    turns = opened * (calls // live or 1)
    return lambda: move(turns)
