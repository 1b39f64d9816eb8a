"""Does this machine's wheel work in every CPython that is at hand?

    python wheels/native.py FOLDER [PYTHON...]

Without names, every CPython from 3.10 up on PATH and under pyenv.  Each gets a clean virtual
environment with the wheel from FOLDER and what its extra `test` asks for; then `python -m netpoll`,
and the tests that show most in little time, run against what was installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from platforms import ABI3, ROOT

TESTS = [
    *(f"core/test_{name}.py" for name in ("readiness", "closing", "deadlines", "tokens", "wake")),
    "green/test_green_hub.py",
]
OLDEST = (3, 10)
PROBE = "import sys; print(*sys.version_info[:2], sys.implementation.name, sys.base_prefix)"


def on_path() -> list[Path]:
    versions = [f"python3.{minor}" for minor in range(OLDEST[1], 20)]
    pyenv = sorted(
        Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/*/bin/python")
    )
    return [Path(found) for name in versions if (found := shutil.which(name))] + pyenv


def interpreters(names: list[str]) -> list[tuple[Path, str]]:
    """The interpreters that count, each once, with their versions."""
    found: dict[tuple[str, str], tuple[Path, str]] = {}  # Debian's have one home
    for path in map(Path, names) if names else on_path():
        done = subprocess.run([path, "-c", PROBE], capture_output=True, text=True, check=False)
        if done.returncode != 0:  # such as pyenv's own stand-ins for versions that are not chosen
            continue
        major, minor, kind, home = done.stdout.split(maxsplit=3)
        if kind == "cpython" and (int(major), int(minor)) >= OLDEST:
            version = f"{major}.{minor}"
            found.setdefault((home, version), (path, version))
    return sorted(found.values(), key=lambda item: int(item[1].split(".")[1]))


def wheel_for_this_machine(folder: Path) -> Path:
    """The one that pip takes here."""
    with tempfile.TemporaryDirectory() as scratch:
        choose: list[str | Path] = [
            "download",
            "-q",
            "--no-index",
            "--no-deps",
            "--only-binary=:all:",
            "-f",
            folder,
        ]
        subprocess.run([sys.executable, "-m", "pip", *choose, "-d", scratch, "netpoll"], check=True)
        [chosen] = Path(scratch).glob(f"*-{ABI3}-*.whl")
        return folder / chosen.name


def try_with(python: Path, wheel: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([python, "-m", "venv", scratch], check=True)
        inside = Path(scratch) / "bin" / "python"
        subprocess.run([inside, "-m", "pip", "install", "-q", f"{wheel}[test]"], check=True)
        subprocess.run(
            [inside, "-m", "netpoll"], check=True, cwd=scratch, stdout=subprocess.DEVNULL
        )
        tests = [ROOT / "tests" / name for name in TESTS]
        options = ["-q", "-p", "no:cacheprovider", "--no-header"]
        subprocess.run([inside, "-m", "pytest", *options, *tests], check=True, cwd=scratch)


def main() -> int:
    wheel = wheel_for_this_machine(Path(sys.argv[1]).resolve())
    failed = []
    for python, version in interpreters(sys.argv[2:]):
        print(f"CPython {version}: {wheel.name}", flush=True)
        try:
            try_with(python, wheel)
        except subprocess.CalledProcessError as error:
            failed.append(version)
            print(f"CPython {version}: FAILED: {error}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
