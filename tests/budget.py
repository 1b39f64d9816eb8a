"""Lines of code a folder against the budget that docs/design.md gives it: `make budget`.

Counted are the lines of a folder's C files, headers and Python files that are not blank, without
those of the folders in it.  What a build makes does not count.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = "docs/design.md"
MADE = re.compile(r"_made\.h$|/_core\.c$|^python/netpoll/include/")


def budgets(page: str) -> dict[str, int]:
    """The table of folders: | `folder` | concern | budget | argument |"""
    rows = re.findall(r"^\| `([\w/]+)` \| [^|]+ \| ([\d,]+) \| [^|]+ \|$", page, re.MULTILINE)
    return {folder: int(lines.replace(",", "")) for folder, lines in rows}


def counts(root: Path) -> Counter[str]:
    """folder -> lines"""
    lines: Counter[str] = Counter()
    for path in (path for top in ("csrc", "python") for path in (root / top).rglob("*.*")):
        name = path.relative_to(root).as_posix()
        if path.suffix in {".c", ".h", ".py"} and not MADE.search(name):
            text = path.read_text(encoding="utf-8")
            lines[name.rpartition("/")[0]] += sum(1 for line in text.splitlines() if line.strip())
    return lines


def complaints(lines: Counter[str], allowed: dict[str, int]) -> list[str]:
    found = [
        f"{folder} is not in the table of {PAGE}"
        for folder in sorted(lines.keys() - allowed.keys())
    ]
    return found + [
        f"{folder} is {lines[folder] - most} lines over its budget: shrink it, or argue in {PAGE}"
        for folder, most in allowed.items()
        if lines[folder] > most
    ]


def main(root: Path = ROOT) -> int:
    lines, allowed = counts(root), budgets((root / PAGE).read_text(encoding="utf-8"))
    print(f"{'folder':26}{'lines':>7}{'budget':>8}")
    for folder, most in allowed.items():
        print(f"{folder:26}{lines[folder]:7,}{most:8,}")
    print(f"{'all':26}{lines.total():7,}")
    found = complaints(lines, allowed)
    print(*found, sep="\n", file=sys.stderr, end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
