"""What the pages show passes two type checkers, which see of the package what a user's do.

Strictly, but for annotations: the samples have none.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_docs import SAMPLES, modules_of

MYPY = [
    "--strict",
    "--allow-untyped-defs",
    "--allow-untyped-calls",
    "--allow-incomplete-defs",
    "--check-untyped-defs",
    "--disable-error-code=var-annotated",
    "--disable-error-code=func-returns-value",
    "--ignore-missing-imports",
    "--allow-subclassing-any",
    "--python-version=3.11",
]
#: Of samples without annotations, what the standard mode says too much.
PYRIGHT = {
    "typeCheckingMode": "standard",
    "pythonVersion": "3.11",
    "reportMissingImports": "none",
    "reportMissingModuleSource": "none",
}

pytestmark = [pytest.mark.any_engine, pytest.mark.timeout(300), pytest.mark.slow]


def write_samples(folder: Path) -> None:
    """Each in a folder of its own, with the modules of its page."""
    for number, parameters in enumerate(SAMPLES):
        page, sample = parameters.values
        place = folder / f"sample{number}"
        place.mkdir()
        if whole := re.match(r"# of (\w+\.py)\n", sample):
            sample = modules_of(page)[whole[1]] + sample
        place.joinpath("__init__.py").touch()
        place.joinpath("sample.py").write_text(f"# {parameters.id}\n{sample}", encoding="utf-8")


def test_mypy_accepts_every_sample(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    write_samples(tmp_path)
    done = run("-m", "mypy", *MYPY, ".", cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_pyright_accepts_every_sample(tmp_path: Path) -> None:
    pytest.importorskip("basedpyright")
    write_samples(tmp_path)
    tmp_path.joinpath("pyrightconfig.json").write_text(json.dumps(PYRIGHT), encoding="utf-8")
    done = run("-m", "basedpyright", "--level", "error", cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=250,
        cwd=cwd,
    )
