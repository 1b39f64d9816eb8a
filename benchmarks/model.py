"""The vocabulary of the benchmarks.

A *subject* is one contestant doing one workload, in a process of its own that prints what it
measured as one line of JSON (or, a server, that serves until it is ended). A *table* sets subjects
that do the same work beside each other: every round runs each of them once, so that whatever else
the machine does falls on all, and a ratio is the median of the rounds' ratios. A *bound* says what
a ratio or a value must be. The files in `workloads/` are lists of tables; those in `rivals/`, `go/`
and `c/` are the contestants.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import ClassVar, Literal

from . import build

Values = dict[str, float]
"""What one run of a subject measured, by the name of the metric; times in seconds."""

Arg = int | str | bool


@dataclass(frozen=True)
class Python:
    """The function `workload` of the module `benchmarks.rivals.<rival>`, in a fresh interpreter."""

    rival: str
    workload: str
    args: Mapping[str, Arg] = field(default_factory=dict)
    preload: str | None = None  # a library of benchmarks/c
    cores: int | None = 1  # tied to so many; None: left to the kernel
    plain: bool = False  # netpoll's engine in Python, on plain cffi calls
    free_threaded: bool = False  # by the interpreter without the GIL

    def command(self, beside: bool, target: float) -> list[str]:
        job = json.dumps([self.rival, self.workload, dict(self.args), beside, target])
        interpreter = str(build.free_threaded()) if self.free_threaded else sys.executable
        return [interpreter, "-m", "benchmarks.worker", job]


@dataclass(frozen=True)
class C:
    """The workload of that name in the program `benchmarks/c/<program>.c`."""

    program: str
    workload: str
    args: tuple[Arg, ...] = (1,)
    preload: str | None = None
    cores: int | None = 1

    def command(self, beside: bool, target: float) -> list[str]:
        assert not beside, "there is no Python thread in a C program"
        return [
            str(build.c_program(self.program)),
            self.workload,
            str(target),
            *map(str, self.args),
        ]


@dataclass(frozen=True)
class Go:
    """A workload of the program in benchmarks/go; not tied to a core: its runtime has threads."""

    workload: str
    args: tuple[Arg, ...] = ()
    procs: int | None = 1  # GOMAXPROCS; None: as many as there are cores
    preload: str | None = None
    cores: int | None = None

    def command(self, beside: bool, target: float) -> list[str]:
        assert not beside, "there is no Python thread in a Go program"
        return [str(build.go_program()), self.workload, str(target), *map(str, self.args)]


Subject = Python | C | Go


@dataclass(frozen=True)
class Entry:
    """A row of a table: the name that a reader knows, and who does the work."""

    label: str
    subject: Subject


@dataclass(frozen=True)
class Column:
    metric: str
    heading: str
    show: Callable[[float], str]
    lower_is_better: bool = True


Kind = Literal["at most", "at least"]

Runs = Mapping[str, list[Values | None]]
"""What each row measured, round by round; None: it failed."""


@dataclass(frozen=True)
class Ratio:
    """How many times better `ours` is than `theirs`, in one metric, must be at least `limit`."""

    ours: str
    theirs: str
    metric: str
    limit: float
    says: str
    promise: str = ""  # what it is one case of, if there are others
    kind: ClassVar[Kind] = "at least"

    def value(self, runs: Runs, columns: Mapping[str, Column]) -> float | None:
        ratios = ratios_of(runs, self.ours, self.theirs, columns[self.metric])
        return median(ratios) if ratios else None

    def holds(self, value: float) -> bool:
        return value >= self.limit


@dataclass(frozen=True)
class Limit:
    """A value of one row must be `at most` or `at least` the limit."""

    ours: str
    metric: str
    kind: Kind
    limit: float
    says: str
    promise: str = ""  # as above

    def value(self, runs: Runs, columns: Mapping[str, Column]) -> float | None:
        values = [run[self.metric] for run in runs[self.ours] if run is not None]
        return median(values) if values else None

    def holds(self, value: float) -> bool:
        return value <= self.limit if self.kind == "at most" else value >= self.limit


Bound = Ratio | Limit


def ratios_of(runs: Runs, ours: str, theirs: str, column: Column) -> list[float]:
    """How many times better `ours` was than `theirs`, in each round in which both ran."""
    pairs = [
        (mine[column.metric], other[column.metric])
        for mine, other in zip(runs[ours], runs[theirs], strict=True)
        if mine is not None and other is not None
    ]
    return [theirs / ours if column.lower_is_better else ours / theirs for ours, theirs in pairs]


Measure = Callable[[Subject, float], Values]
"""Run a subject once, measuring for about so many seconds."""


@dataclass(frozen=True)
class Table:
    """`rows[0]` is what the ratios in the table are of: ours. The first column decides them."""

    name: str  # unique; also that of its plot
    title: str
    rows: tuple[Entry, ...]
    columns: tuple[Column, ...]
    measure: Measure
    bounds: tuple[Bound, ...] = ()
    rounds: int = 3
    note: str = ""
    ratios: str = ""  # their heading, where "better" is not the word
