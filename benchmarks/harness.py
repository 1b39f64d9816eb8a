"""Run the subjects of a table in turns.

Each round runs every row once, each in a process of its own, in an order that differs from round to
round. A row that fails is reported as failed and left out of the rounds that follow.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from . import build
from .model import Go, Python, Runs, Subject, Table, Values

PROCESS_LIMIT = 90.0  # seconds after which a process is taken to hang


class SubjectFailed(Exception):
    """The process of a subject ended without a result, or was ended for hanging."""


def environment_of(subject: Subject) -> dict[str, str]:
    environment = dict(os.environ)
    if subject.preload is not None:
        environment["LD_PRELOAD"] = str(build.c_library(subject.preload))
    if isinstance(subject, Python) and subject.plain:
        environment["NETPOLL_PURE"] = "1"
    if isinstance(subject, Python) and subject.free_threaded:
        environment["PYTHONPATH"] = str(build.FREE_THREADED_LIB)
    if isinstance(subject, Go):
        environment.pop("GOMAXPROCS", None)
        if subject.procs is not None:
            environment["GOMAXPROCS"] = str(subject.procs)
    return environment


def start(subject: Subject, target: float, beside: bool = False) -> subprocess.Popen[str]:
    """The process of a subject, tied to its cores."""
    with tied(sorted(os.sched_getaffinity(0))[: subject.cores]):
        return subprocess.Popen(
            subject.command(beside, target),
            cwd=build.ROOT,
            env=environment_of(subject),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@contextmanager
def tied(cores: Iterable[int]) -> Iterator[None]:
    """Processes started meanwhile run on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def last_words(process: subprocess.Popen[str], complaint: str) -> str:
    lines = complaint.strip().splitlines()
    return lines[-1] if lines else f"ended with status {process.returncode}"


def run(subject: Subject, target: float, beside: bool = False) -> Values:
    """Run a subject to its end and return what it measured.

    :raises SubjectFailed: it did not finish.
    """
    process = start(subject, target, beside)
    try:
        answer, complaint = process.communicate(timeout=PROCESS_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise SubjectFailed(f"hung for {PROCESS_LIMIT:g} s") from None
    if process.returncode != 0:
        raise SubjectFailed(last_words(process, complaint))
    return values_in(answer)


def values_in(answer: str) -> Values:
    try:
        return {name: float(value) for name, value in json.loads(answer).items()}
    except (ValueError, AttributeError):
        raise SubjectFailed(f"no result but {answer!r}") from None


def line_of(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def alone(subject: Subject, target: float) -> Values:
    """A measure: the subject, undisturbed."""
    return run(subject, target)


def with_and_without(
    measure: Callable[[Subject, float, bool], Values], metric: str
) -> Callable[[Subject, float], Values]:
    """A measure: the subject alone, then `beside` one CPU-bound Python thread. `kept` is the share
    of its speed that remains; `metric` is a time, or a rate if its name is `rate`."""

    def both(subject: Subject, target: float) -> Values:
        without = measure(subject, target, False)
        beside = measure(subject, target, True)
        kept = without[metric] / beside[metric]
        return (
            without
            | {f"beside {name}": value for name, value in beside.items()}
            | {"kept": 1 / kept if metric == "rate" else kept}
        )

    return both


@dataclass
class Outcome:
    """What the rounds of one table gave: each row's values, round by round, or why it failed."""

    table: Table
    rounds: int
    runs: Runs = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def compare(table: Table, rounds: int, target: float, progress: Callable[[str], None]) -> Outcome:
    """Run all rows in turns."""
    outcome = Outcome(table, rounds, {row.label: [] for row in table.rows})
    for number in range(rounds):
        order = list(table.rows)
        random.Random(number).shuffle(order)
        for row in order:
            progress(f"{table.name}: round {number + 1} of {rounds}, {row.label}")
            values = None
            if row.label not in outcome.failures:
                try:
                    values = table.measure(row.subject, target)
                except (SubjectFailed, build.BuildFailed) as failure:
                    outcome.failures[row.label] = str(failure)
            outcome.runs[row.label].append(values)
    return outcome
