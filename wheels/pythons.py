"""Does the suite pass on every CPython that is at hand?

    python wheels/pythons.py FOLDER [PYTHON...]

Without names, every CPython from 3.10 up on PATH and under pyenv.  Each gets a virtual environment
in FOLDER, kept for the next time, and in it the package, built from an sdist that it has made
itself.  Every module is imported with warnings as errors; then what `make test` selects runs on
both engines.  PYTEST_ARGS in the environment: what pytest takes besides.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from native import interpreters
from platforms import ROOT

BUILDS_WITH = ["setuptools", "cffi"]
#: Each is left out where it cannot be installed yet, and its tests are skipped.
OPTIONAL = ["trustme", "hypothesis", "gevent", "trio"]
SDIST = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"
#: Each on its own, as users import them; an adapter may want what is not installed.
IMPORTS = """
import importlib, pkgutil
import netpoll
for module in pkgutil.walk_packages(netpoll.__path__, "netpoll."):
    if not module.name.startswith("netpoll.adapters") and module.name != "netpoll.__main__":
        importlib.import_module(module.name)
"""
SUITE = ["-p", "no:cacheprovider", "-n", "auto", "--dist", "loadgroup", str(ROOT / "tests")]


def install(python: Path, env: Path) -> Path:
    """The environment's own interpreter."""
    inside = env / "bin" / "python"
    if not inside.exists():
        subprocess.run([python, "-m", "venv", env], check=True)
    pip = [inside, "-m", "pip", "install", "-q"]
    subprocess.run([*pip, *BUILDS_WITH], check=True)
    made = subprocess.run(
        [inside, "-c", SDIST, env], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    sdist = env / made.stdout.splitlines()[-1]
    subprocess.run([inside, "-m", "pip", "uninstall", "-q", "-y", "netpoll"], check=True)
    subprocess.run([*pip, f"{sdist}[test]"], check=True)
    for package in OPTIONAL:
        subprocess.run([*pip, package], check=False)
    return inside


def run_suite(inside: Path, engine: str) -> None:
    pure = engine == "plain"
    selected = "not slow and not any_engine" if pure else "not slow"
    args = ["-m", selected, *SUITE, *shlex.split(os.environ.get("PYTEST_ARGS", ""))]
    subprocess.run(
        [inside, "-m", "pytest", *args],
        check=True,
        cwd=ROOT,
        env={**os.environ, **({"NETPOLL_PURE": "1"} if pure else {})},
    )


def main() -> int:
    folder = Path(sys.argv[1]).resolve()
    failed = []
    for python, version in interpreters(sys.argv[2:]):
        try:
            inside = install(python, folder / version)
            subprocess.run([inside, "-W", "error", "-c", IMPORTS], check=True, cwd=folder)
        except subprocess.CalledProcessError as error:
            failed.append(f"CPython {version}: {error}")
            continue
        for engine in ("C", "plain"):
            print(f"CPython {version}, {engine} engine", flush=True)
            try:
                run_suite(inside, engine)
            except subprocess.CalledProcessError as error:
                failed.append(f"CPython {version}, {engine} engine: {error}")
    print("\n".join(failed), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
