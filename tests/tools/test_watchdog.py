"""The suite's own watchdog: what hangs with the GIL ends the run, and shows where it hung."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import TESTS, WINDOWS, python

HANGING = """
import ctypes

def test_it_hangs():
    ctypes.PyDLL(None).sleep(100)
"""


@pytest.mark.skipif(WINDOWS, reason="the hang is a call of the POSIX libc")
def test_a_call_that_hangs_with_the_gil_ends_the_run_and_is_shown(tmp_path: Path) -> None:
    guards = (TESTS / "conftest.py").read_text(encoding="utf-8")
    hasty = guards.replace("WATCHDOG_SECONDS = 120", "WATCHDOG_SECONDS = 1")
    assert hasty != guards
    (tmp_path / "conftest.py").write_text(hasty, encoding="utf-8")
    (tmp_path / "test_hanging.py").write_text(HANGING, encoding="utf-8")
    done = python("import pytest, sys; pytest.main([sys.argv[1]])", str(tmp_path))
    assert done.returncode == 1
    assert "in test_it_hangs" in done.stderr
