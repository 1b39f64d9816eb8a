"""Which scenarios of the explorer come to a line of csrc?  gcov tells."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

from programs import BUILD, ROOT, Program, explored, explorer, once

CSRC = ROOT / "csrc"
FOLDER = BUILD / "reach"
#: Each scenario's search is short: it need not find anything.
SEARCH = ["--seconds", "0.002", "--bound", "0"]


def scenarios_at(file: str, line: int) -> list[str]:
    """Those that come there, and those that are newer than the table."""
    known = table()
    reached = known.get(f"{file}:{line}")
    if reached is None:  # a line without code of its own, such as the rest of a call
        reached = next((known[k] for k in nearby(file, line) if k in known), [])
    return [*(name for name in names() if name not in known["all"]), *reached]


@once
def breadths() -> Counter[str]:
    return Counter(name for names in table().values() for name in names)


def breadth(scenario: str) -> int:
    """How much of csrc it comes to: the narrow ones are about something."""
    return breadths()[scenario]


def nearby(file: str, line: int) -> list[str]:
    return [f"{file}:{near}" for step in range(1, 6) for near in (line - step, line + step)]


@once
def names() -> list[str]:
    program = BUILD / "explore"
    explorer().linked((unit.object for unit in explorer().units), program)
    listed = subprocess.run([program, "--list"], check=True, capture_output=True, text=True)
    return [line.split()[0] for line in listed.stdout.splitlines()]


@once
def table() -> dict[str, list[str]]:
    """By "file:line" the scenarios; kept for as long as csrc stays the same."""
    kept = FOLDER / f"{fingerprint()}.json"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(measure()), encoding="utf-8")
    found: dict[str, list[str]] = json.loads(kept.read_text(encoding="utf-8"))
    return found


def fingerprint() -> str:
    digest = hashlib.sha256()
    for path in sorted(CSRC.rglob("*.[ch]")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def measure() -> dict[str, list[str]]:
    units = explored(extra=["--coverage"])
    covered = Program(units, ["--coverage"]).prepare()
    program = FOLDER / "explore"
    covered.linked((unit.object for unit in units), program)
    notes = [unit.object.with_suffix(".gcno") for unit in units if unit.of]
    found: dict[str, list[str]] = {"all": names()}
    for scenario in names():
        for place in places_of(program, scenario, notes):
            found.setdefault(place, []).append(scenario)
    return found


def places_of(program: Path, scenario: str, notes: list[Path]) -> set[str]:
    """The lines that it came to."""
    counts = FOLDER / "counts"
    shutil.rmtree(counts, ignore_errors=True)
    counts.mkdir(parents=True)
    for path in notes:
        (counts / path.name).symlink_to(path)
    env = {**os.environ, "GCOV_PREFIX": str(counts), "GCOV_PREFIX_STRIP": "99"}
    search = [str(program), *SEARCH, "--scenarios", scenario]
    subprocess.run(search, env=env, capture_output=True, check=False)
    names = [path.name for path in counts.glob("*.gcda")]
    command = ["gcov", "--json-format", "--stdout", *names]
    done = subprocess.run(command, cwd=counts, capture_output=True, check=True, text=True)
    return {place for report in done.stdout.splitlines() for place in places_in(report)}


def places_in(report: str) -> set[str]:
    return {
        f"{Path(of['file']).relative_to(ROOT).as_posix()}:{line['line_number']}"
        for of in json.loads(report)["files"]
        if of["file"].startswith(str(CSRC))
        for line in of["lines"]
        if line["count"]
    }
