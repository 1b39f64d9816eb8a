"""What a planted bug is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

CSRC = Path(__file__).resolve().parents[2] / "csrc"


class Bug(NamedTuple):
    name: str
    what: str
    near: str  # a scenario to try first
    changes: tuple[tuple[str, str, str], ...]  # file, text, what takes its place
    asserted: bool = False  # only an assertion catches it

    def plant(self, csrc: Path) -> None:
        """Make a copy of the core with the bug in it."""
        shutil.copytree(CSRC, csrc)
        for file, text, instead in self.changes:
            (path,) = csrc.rglob(file)
            source = path.read_text(encoding="utf-8")
            if source.count(text) != 1:
                raise SystemExit(
                    f"bug {self.name}: found {source.count(text)} times in {file}: {text!r}"
                )
            path.write_text(source.replace(text, instead), encoding="utf-8")
