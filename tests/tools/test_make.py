"""`make help` lists what the Makefile has, and pages name no target that it has not."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support import ROOT
from test_docs import PAGES

pytestmark = [
    pytest.mark.any_engine,
    pytest.mark.skipif(shutil.which("make") is None, reason="there is no make"),
]


def make(*arguments: str) -> str:
    done = subprocess.run(
        ["make", "-C", ROOT, "--no-print-directory", *arguments],
        text=True,
        capture_output=True,
        timeout=60,
        check=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def targets() -> set[str]:
    """All phony targets, from make's own database."""
    (phony,) = re.findall(r"^\.PHONY: (.+)$", make("-n", "-p", "help"), re.MULTILINE)
    return set(phony.split())


def test_help_lists_every_target_with_one_short_line(targets: set[str]) -> None:
    lines = [line for line in make("help").splitlines() if line]
    listed = [line.split()[1] for line in lines]
    assert sorted(listed) == sorted(targets)
    assert [line for line in lines if len(line) > 125 or len(line.split()) < 4] == []


def test_clean_removes_all_that_git_ignores() -> None:
    """But for what is made in folders that are removed, and on Windows."""
    elsewhere = {"*.py[cod]", "*.pyd", "*.o"}
    ignored = set((ROOT / ".gitignore").read_text(encoding="utf-8").split()) - elsewhere
    command = make("-n", "clean")
    assert [name for name in ignored if name.strip("/") not in command] == []


def test_every_target_that_a_page_names_exists(targets: set[str]) -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named = re.findall(r"`make ([a-z][\w-]*)", text)
        for block in re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.M):
            named += re.findall(r"^make ([a-z][\w-]*)", block, re.M)
        assert set(named) <= targets, page


def test_the_example_of_a_driver_says_first_what_is_not_installed(tmp_path: Path) -> None:
    program = shutil.which("make")
    assert program is not None
    nobody = tmp_path / "id"
    nobody.write_text("#!/bin/sh\necho 1000\n")
    nobody.chmod(0o755)
    done = subprocess.run(
        [program, "-C", ROOT, "--no-print-directory", "example-redis"],
        env={"PATH": str(tmp_path)},
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    missing = "redis-server openssl"
    said = f"not installed: {missing} (Debian: as root, apt-get install {missing})"
    assert done.stderr.splitlines()[0] == said
