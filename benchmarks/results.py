"""The latest result of every table, kept until the page is written of them."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import build
from .harness import Outcome
from .model import Table

FOLDER = build.BUILD / "results"


@dataclass(frozen=True)
class Stored:
    machine: list[str]
    rounds: int
    runs: dict[str, Any]
    failures: dict[str, str]
    commit: str  # of netpoll and of the benchmarks
    taken: float  # when; by time.time()


@dataclass(frozen=True)
class Kept:
    outcome: Outcome
    commit: str
    taken: float


def _path(name: str) -> Path:
    return FOLDER / f"{name}.json"


def save(outcome: Outcome, machine: list[str], commit: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    runs = dict(outcome.runs)
    stored = Stored(machine, outcome.rounds, runs, outcome.failures, commit, time.time())
    _path(outcome.table.name).write_text(json.dumps(asdict(stored), indent=1))


def load(table: Table, machine: list[str]) -> Kept | None:
    """The latest result of a table; None if there is none of these rows on this machine."""
    try:
        stored = Stored(**json.loads(_path(table.name).read_text()))
    except (FileNotFoundError, TypeError):  # or an earlier version kept it, with other fields
        return None
    if stored.machine != machine or list(stored.runs) != [row.label for row in table.rows]:
        return None
    outcome = Outcome(table, stored.rounds, stored.runs, stored.failures)
    return Kept(outcome, stored.commit, stored.taken)
