"""Does cibuildwheel, as pyproject.toml configures it, build what the table says?

    python wheels/identifiers.py

For each platform with a wheel there must be a build with the oldest CPython, which makes the wheel,
and no build for a platform that the table has not.
"""

from __future__ import annotations

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
    missing = {platform for platform in wanted if ABI3 not in built.get(platform, set())}
    for what, which in (("not built", missing), ("not in the table", built.keys() - wanted)):
        if which:
            print(f"{what}: {', '.join(sorted(which))}", file=sys.stderr)
    return 1 if missing or built.keys() - wanted else 0


if __name__ == "__main__":
    sys.exit(main())
