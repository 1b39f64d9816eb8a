"""Does cibuildwheel, as pyproject.toml and the workflow configure it, build what the table says?

    python wheels/identifiers.py

For each platform with a wheel there must be a build with the oldest CPython, which makes the wheel,
one without the GIL, one with PyPy where the table has it, and a job of the workflow; none may be
for a platform that the table has not.  The jobs must ask for what pyproject.toml does.
"""

from __future__ import annotations

import re
import subprocess
import sys

from platforms import ABI3, ROOT, WITH_WHEELS


def identifiers(system: str) -> list[str]:
    command = [sys.executable, "-m", "cibuildwheel", "--print-build-identifiers", "--archs", "all"]
    done = subprocess.run(
        [*command, "--platform", system], cwd=ROOT, check=True, capture_output=True, text=True
    )
    # This is about what is built there; some of it another machine would not build.
    elsewhere = re.findall(r"Note: (\S+) was selected, but can't be built on", done.stderr)
    return done.stdout.split() + elsewhere


def builds() -> dict[str, set[str]]:
    """The interpreters of each platform."""
    found: dict[str, set[str]] = {}
    for system in ("linux", "macos", "windows"):
        for identifier in identifiers(system):
            python, _, platform = identifier.partition("-")
            found.setdefault(platform, set()).add(python)
    return found


def workflow() -> tuple[set[str], str]:
    """The platforms of its jobs, and what each of them builds, for any platform."""
    text = (ROOT / ".github" / "workflows" / "wheels.yml").read_text(encoding="utf-8")
    [selected] = re.findall(r'^ *CIBW_BUILD: "(.*)"$', text, re.MULTILINE)
    jobs = set(re.findall(r"^ *- \{ platform: (\w+),", text, re.MULTILINE))
    return jobs, selected.replace("${{ matrix.platform }}", "*")


def selected_by_default() -> str:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    [section] = re.findall(r"^\[tool\.cibuildwheel\]\n((?:.+\n)+)", text, re.MULTILINE)
    [selected] = re.findall(r'^build = "(.*)"$', section, re.MULTILINE)
    return selected


def main() -> int:
    built = builds()
    jobs, asked_for = workflow()
    wanted = {platform.cibuildwheel for platform in WITH_WHEELS}
    pypy = {platform.cibuildwheel for platform in WITH_WHEELS if platform.pypy}
    for platform in sorted(wanted | built.keys()):
        print(f"{platform:20} {' '.join(sorted(built.get(platform, set())))}")

    def built_by(pattern: str) -> set[str]:
        matches = re.compile(pattern).fullmatch
        return {name for name, pythons in built.items() if any(map(matches, pythons))}

    faults = {
        "no wheel": wanted - built_by(ABI3),
        "none without the GIL": wanted - built_by(r"cp\d+t"),
        "PyPy in the table or in cibuildwheel only": pypy ^ built_by(r"pp\d+"),
        "no job": wanted - jobs,
        "not in the table": (built.keys() | jobs) - wanted,
        "the jobs ask for other builds": {asked_for} - {selected_by_default()},
    }
    for what, which in faults.items():
        if which:
            print(f"{what}: {', '.join(sorted(which))}", file=sys.stderr)
    return 1 if any(faults.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
