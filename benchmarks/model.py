"""The vocabulary of the benchmarks.

A *subject* is one contestant doing one workload: a process of its own that answers each line on its
standard input with the seconds one operation took (see `worker.py` and `c/rounds.h`). A *case* sets
two subjects beside each other and says what their ratio must be. A *figure* is one number with a
limit. The files in `workloads/` are lists of cases and figures; the files in `rivals/` are the
contestants.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from . import cbuild

Round = Callable[[], float]
"""Do a workload once; return the seconds that one operation of it took."""


@dataclass(frozen=True)
class Python:
    """The function `workload` of the module `benchmarks.rivals.<rival>`, in a fresh interpreter."""

    rival: str
    workload: str
    args: dict[str, int | str] = field(default_factory=dict)
    preload: str | None = None  # a library of benchmarks/c

    def __str__(self) -> str:
        return f"{self.rival}.{self.workload}"

    def command(self) -> list[str]:
        job = json.dumps([self.rival, self.workload, self.args])
        return [sys.executable, "-m", "benchmarks.worker", job]


@dataclass(frozen=True)
class C:
    """The workload of that name in the program `benchmarks/c/<program>.c`."""

    program: str
    workload: str
    size: int = 1
    preload: str | None = None

    def __str__(self) -> str:
        return f"{self.program}.c: {self.workload}"

    def command(self) -> list[str]:
        return [str(cbuild.program(self.program)), self.workload, str(self.size)]


Subject = Python | C


@dataclass(frozen=True)
class Bound:
    """`at most`: our time over the rival's. `at least`: the rival's time over ours."""

    kind: Literal["at most", "at least"]
    limit: float

    def __str__(self) -> str:
        return f"{self.kind} {self.limit:g}x"

    def holds(self, ours: float, theirs: float) -> bool:
        if self.kind == "at most":
            return ours / theirs <= self.limit
        return theirs / ours >= self.limit


def at_most(times: float) -> Bound:
    """We may take this many times as long as the rival."""
    return Bound("at most", times)


def faster(times: float) -> Bound:
    """The rival must take this many times as long as we do."""
    return Bound("at least", times)


@dataclass(frozen=True)
class Case:
    title: str
    rival: str
    ours: Subject
    theirs: Subject
    bound: Bound | None = None


@dataclass(frozen=True)
class Figure:
    title: str
    subject: Subject
    unit: str
    limit: float
