"""Runs scenarios in processes of their own, so that none suffers from what another has torn.

A child strikes one place after the other and says what it found.  When one hangs, the child ends,
and another goes on behind that place; likewise when one crashes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import machine
from machine import Fault
from strike import Place
from world import SCENARIOS, Scenario

#: Seconds; what takes longer hangs.  What has failed has a second chance, on a busy machine.
PATIENCE = (0.25, 2.0)
#: Seconds for a child to say something: above all bounds in it.
SILENCE = 60

#: Which of the places are to be struck, by their numbers from 1 on.
Choose = Callable[[list[Place]], list[int]]


@dataclass
class Report:
    """What became of a scenario."""

    scenario: str
    places: list[Place] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)  #: of the places that were struck
    faults: list[Fault] = field(default_factory=list)


def everywhere(places: list[Place]) -> list[int]:
    return list(range(1, len(places) + 1))


def explore(name: str, choose: Choose = everywhere, chances: int = len(PATIENCE)) -> Report:
    report = _ask_for_places(name, choose)
    if report.faults:
        return report
    left = report.numbers
    for patience in PATIENCE[:chances]:
        report.faults.clear()
        while left:
            left = _strike_in_child(report, left, patience)
        left = [fault.number for fault in report.faults]
    return report


def _ask_for_places(name: str, choose: Choose) -> Report:
    report = Report(name)
    child = _Child(lambda say: say.send(machine.places_of(SCENARIOS[name], PATIENCE[-1])))
    answer = child.hear()
    if answer is None:
        answer = _lost(name, 0, child)
    else:
        child.end()
    if isinstance(answer, list):
        report.places, report.numbers = answer, choose(answer)
    else:
        report.faults.append(answer)
    return report


def _strike_in_child(report: Report, numbers: list[int], patience: float) -> list[int]:
    """Which are left."""
    scenario, done = SCENARIOS[report.scenario], 0
    child = _Child(lambda say: _strike(scenario, numbers, patience, say))
    while done < len(numbers):
        answer = child.hear()
        if answer is None:
            answer = _lost(scenario.name, numbers[done], child)
        done += 1
        if isinstance(answer, Fault):
            report.faults.append(answer)
            if answer.fatal:
                break
    child.end()
    return numbers[done:]


def _strike(scenario: Scenario, numbers: list[int], patience: float, say: Connection) -> None:
    machine.places_of(scenario, PATIENCE[-1])  # what is made once in a process is made
    for number in numbers:
        say.send(machine.Run(scenario, number, patience).go() or True)


def _lost(name: str, number: int, child: _Child) -> Fault:
    return Fault(name, number, None, None, child.end(), "", True)


class _Child:
    """A process that does something and says what it found."""

    def __init__(self, work: Callable[[Connection], None]) -> None:
        self._end: str | None = None
        self._answers, say = multiprocessing.Pipe(duplex=False)
        self._pid = os.fork()
        if self._pid == 0:
            try:
                with machine.quiet():
                    work(say)
            finally:
                os._exit(0)
        say.close()

    def hear(self) -> object:
        """The next answer; None: there is none."""
        try:
            return self._answers.recv() if self._answers.poll(SILENCE) else None
        except EOFError:
            return None

    def end(self) -> str:
        """How it ended, if not by us; idempotent."""
        if self._end is not None:
            return self._end
        os.kill(self._pid, signal.SIGKILL)
        _, status = os.waitpid(self._pid, 0)
        self._answers.close()
        number = os.waitstatus_to_exitcode(status)
        killed = number == -signal.SIGKILL
        self._end = "hangs, with all its process" if killed else f"ends its process: {number}"
        return self._end
