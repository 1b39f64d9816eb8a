"""Does cibuildwheel, as pyproject.toml and the workflow configure it, build what the table says?

    python wheels/identifiers.py

For each platform with a wheel there must be a build with the oldest CPython, which makes the wheel,
one without the GIL, and a job of the workflow; none may be for a platform that the table has not.
"""

from __future__ import annotations

import re
import subprocess
import sys

from platforms import ABI3, WITH_WHEELS
from zig import ROOT


def identifiers(system: str) -> list[str]:
    command = [sys.executable, "-m", "cibuildwheel", "--print-build-identifiers", "--archs", "all"]
    done = subprocess.run(
        [*command, "--platform", system], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout.split()


def jobs() -> set[str]:
    """The platforms of the workflow's jobs."""
    workflow = (ROOT / ".github" / "workflows" / "wheels.yml").read_text(encoding="utf-8")
    return set(re.findall(r"^ *- \{ platform: (\w+),", workflow, re.MULTILINE))


def main() -> int:
    built: dict[str, set[str]] = {}
    for system in ("linux", "macos", "windows"):
        for identifier in identifiers(system):
            python, _, platform = identifier.partition("-")
            built.setdefault(platform, set()).add(python)
    wanted = {platform.cibuildwheel for platform in WITH_WHEELS}
    for platform in sorted(wanted | built.keys()):
        pythons = sorted(built.get(platform, set()))
        print(f"{platform:20} {' '.join(pythons)}")
    faults = {
        "no wheel": {name for name in wanted if ABI3 not in built.get(name, set())},
        "none without the GIL": {
            name
            for name in wanted
            if not any(python.endswith("t") for python in built.get(name, set()))
        },
        "no job": wanted - jobs(),
        "not in the table": (built.keys() | jobs()) - wanted,
    }
    for what, which in faults.items():
        if which:
            print(f"{what}: {', '.join(sorted(which))}", file=sys.stderr)
    return 1 if any(faults.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
