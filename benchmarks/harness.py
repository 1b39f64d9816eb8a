"""Run two subjects in turns and compare them.

Both processes live through the whole comparison; the rounds alternate (ours, theirs, theirs, ours,
...), so that whatever else the machine does in that time falls on both. A ratio is taken from each
pair of neighbouring rounds, and the median of these ratios is what counts.
"""

from __future__ import annotations

import os
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import TracebackType

from .cbuild import library
from .model import Case, Figure, Subject

ROOT = Path(__file__).resolve().parent.parent
ROUND_LIMIT = 60.0  # seconds after which a round is taken to hang


class SubjectFailed(Exception):
    """The process of a subject ended, or was ended for hanging."""


class Contestant:
    """The running process of one subject."""

    def __init__(self, subject: Subject) -> None:
        self._name = str(subject)
        environment = dict(os.environ)
        if subject.preload is not None:
            environment["LD_PRELOAD"] = str(library(subject.preload))
        self._process = subprocess.Popen(
            subject.command(),
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Contestant:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def round(self) -> float:
        """Have one round done; the seconds of one operation."""
        assert self._process.stdin is not None and self._process.stdout is not None
        watchdog = threading.Timer(ROUND_LIMIT, self._process.kill)
        watchdog.start()
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            watchdog.cancel()
        if not answer:
            raise SubjectFailed(f"{self._name}: {self._last_words()}")
        return float(answer)

    def _last_words(self) -> str:
        _, complaint = self._process.communicate()
        lines = complaint.strip().splitlines()
        return lines[-1] if lines else f"ended with status {self._process.returncode}"


@dataclass(frozen=True)
class Outcome:
    """What one row of the table says. Times in seconds; `ratio` is ours over theirs."""

    ours: float
    theirs: float
    ratio: float


def compare(case: Case, rounds: int) -> Outcome:
    """Run the case's subjects in turns.

    :raises SubjectFailed: one of them did not finish.
    """
    ours: list[float] = []
    theirs: list[float] = []
    with Contestant(case.ours) as we, Contestant(case.theirs) as they:
        we.round(), they.round()  # warm up
        for number in range(rounds):
            if number % 2 == 0:
                ours.append(we.round())
                theirs.append(they.round())
            else:
                theirs.append(they.round())
                ours.append(we.round())
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return Outcome(median(ours), median(theirs), median(ratios))


def read(figure: Figure) -> float:
    """:raises SubjectFailed: the process that knows the figure did not give it."""
    with Contestant(figure.subject) as process:
        return process.round()
