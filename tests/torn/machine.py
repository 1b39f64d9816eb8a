"""Runs a scenario, struck at one place, and says what was torn."""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import netpoll
from netpoll._engine import PURE
from strike import Place, Strike, Striker
from world import Scenario, Torn, World, left_behind, still_there

PACKAGE = os.path.dirname(netpoll.__file__)
HERE = os.path.dirname(os.path.abspath(__file__))
SCENARIOS = os.path.join(HERE, "scenarios_")
#: What runs with globals of ours.
REBOUND = (subprocess.__file__,)


def is_under_test(file: str) -> bool:
    return file.startswith((PACKAGE, SCENARIOS)) or file in REBOUND


@dataclass(frozen=True)
class Fault:
    """What was torn, and by what."""

    scenario: str
    number: int  #: of the place; 0: it is so without a strike
    sent: Place | None  #: the signal came before this
    raised: Place | None  #: its handler raised here, if that is known
    found: str
    details: str = ""
    fatal: bool = False  #: to the process, as a thread of it hangs

    def __str__(self) -> str:
        where = f"the signal came before {self.sent}, and the handler raised at {self.raised}"
        return f"{self.scenario}, place {self.number}: {where}: {self.found}"


class Noise(io.StringIO):
    """What is printed, as tracebacks and ignored exceptions are."""

    def take(self) -> str:
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


_noise = Noise()

#: Strikes that CPython ignored, as it does whatever a finalizer in Python raises.  The engine in C
#: has no such finalizers, but `Popen` has the standard one; that in Python has two, which warn.
_ignored: list[BaseException] = []


def _note_ignored(unraisable: Any) -> None:
    ours = PURE and getattr(unraisable.object, "__name__", "") == "__del__"
    finalizer = ours or unraisable.object is subprocess.Popen.__del__
    if finalizer and isinstance(unraisable.exc_value, Strike):
        _ignored.append(unraisable.exc_value)
    else:
        sys.__unraisablehook__(unraisable)


@contextmanager
def quiet() -> Iterator[None]:
    """For all runs: what is printed is heard, objects are collected when we say so only."""
    netpoll.default_poller().fileno()  # all that it ever needs is made
    stderr, sys.stderr = sys.stderr, _noise
    sys.unraisablehook = _note_ignored
    gc.disable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            sys.stderr = stderr
            sys.unraisablehook = sys.__unraisablehook__
            gc.unfreeze()
            gc.collect()
            gc.freeze()  # as conftest.py did
            gc.enable()


class Run:
    """One run of a scenario, struck at the n-th place; 0: not at all.  Inside `quiet`."""

    def __init__(self, scenario: Scenario, at: int, patience: float) -> None:
        self.scenario = scenario
        self.at = at
        self.patience = patience
        self._striker = Striker(is_under_test, at)
        self._raised: Place | None = None
        self._found = ""
        self._details = ""
        self._numbers: list[int] = []

    def go(self) -> Fault | None:
        gc.collect()
        gc.freeze()
        before = _open_fds()
        thread = threading.Thread(target=self._in_thread, daemon=True)
        thread.start()
        thread.join(3 * self.patience)
        hangs = thread.is_alive()
        if hangs:
            self._found = "hangs"
            self._details = _stack(thread)
        else:
            self._examine_the_process(before)
        if printed := _noise.take():
            self._found = self._found or f"printed: {printed.strip().splitlines()[-1]}"
            self._details += printed
        if not self._found:
            return None
        return Fault(
            self.scenario.name,
            self.at,
            self._striker.armed,
            self._raised,
            self._found,
            self._details,
            hangs,
        )

    def places(self) -> list[Place]:
        return self._striker.places

    def _in_thread(self) -> None:
        try:
            self._act_and_examine()
        except Torn as torn:
            self._found = str(torn)
        except BaseException as error:
            self._found = f"raised {error!r}"
            self._details = "".join(traceback.format_exception(error))
            error.__traceback__ = None

    def _act_and_examine(self) -> None:
        with self._striker as striker:
            world = World(self.scenario, self.patience)
            act = self.scenario.prepare(world)
            try:
                striker.start()
                try:
                    act()
                finally:
                    striker.stop()
            except Strike as error:
                world.caught(error)
        del act
        while _ignored:
            world.caught(_ignored.pop())
        try:
            world.examine(striker.armed is not None)
        finally:
            self._raised = next(iter(world.struck), None)
        self._numbers = world.lend_numbers()

    def _examine_the_process(self, before: set[int]) -> None:
        left = self._left_behind()
        try:
            still_there(self._numbers)
        except Torn as torn:
            self._found = self._found or str(torn)
        if self._found:
            return
        if left:
            self._found = f"left behind: {', '.join(left)}"
        elif extra := self._new_fds(before):
            self._found = f"descriptors left behind: {', '.join(map(_describe, extra))}"

    def _left_behind(self) -> list[str]:
        """A thread's own are collected soon after its end."""
        limit = time.monotonic() + self.patience
        while (left := left_behind()) and time.monotonic() < limit:
            time.sleep(0.001)
        return left

    def _new_fds(self, before: set[int]) -> set[int]:
        """A thread's own are closed soon after its end."""
        limit = time.monotonic() + self.patience
        while (extra := _open_fds() - before) and time.monotonic() < limit:
            time.sleep(0.001)
        return extra


def _stack(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)
    return "".join(traceback.format_stack(frame)) if frame else ""


def _open_fds() -> set[int]:
    return {int(name) for name in os.listdir("/proc/self/fd")}


def _describe(number: int) -> str:
    try:
        return f"{number} -> {os.readlink(f'/proc/self/fd/{number}')}"
    except OSError:
        return str(number)


def places_of(scenario: Scenario, patience: float) -> list[Place] | Fault:
    """Where it can be struck.  The first run makes what is made once in a process."""
    for _ in range(2):
        last = Run(scenario, 0, patience)
        fault = last.go()
        if fault is not None:
            return fault
    return last.places()
