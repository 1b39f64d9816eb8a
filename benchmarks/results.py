"""The latest result of every table, kept until the page is written of them."""

from __future__ import annotations

import json
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


def _path(name: str) -> Path:
    return FOLDER / f"{name}.json"


def save(outcome: Outcome, machine: list[str]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    stored = Stored(machine, outcome.rounds, dict(outcome.runs), outcome.failures)
    _path(outcome.table.name).write_text(json.dumps(asdict(stored), indent=1))


def load(table: Table, machine: list[str]) -> Outcome | None:
    """The latest result of a table; None if there is none of these rows on this machine."""
    try:
        stored = Stored(**json.loads(_path(table.name).read_text()))
    except FileNotFoundError:
        return None
    if stored.machine != machine or list(stored.runs) != [row.label for row in table.rows]:
        return None
    return Outcome(table, stored.rounds, stored.runs, stored.failures)
