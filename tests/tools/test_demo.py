"""The demo in its quick mode: its own books must agree, and no wake-up may be lost."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from support import ROOT, needs_greenlet

DEMO = ROOT / "examples" / "demo.py"

pytestmark = needs_greenlet


def demo(*arguments: str, backend: str | None = None) -> subprocess.CompletedProcess[str]:
    env = dict(os.environ, **({"NETPOLL_BACKEND": backend} if backend else {}))
    return subprocess.run(
        [sys.executable, str(DEMO), *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=env,
    )


@pytest.mark.rule(3, 8, 17)
def test_the_demo_ends_well_and_loses_no_wake_up(backend: str) -> None:
    done = demo("--quick", backend=backend)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"lost wake-ups\D*0\b", done.stdout), done.stdout
    for figure in ("connections", "messages", "p50", "p99", "deadline", "close"):
        assert figure in done.stdout.lower(), figure


def test_bad_arguments_get_a_usage_line() -> None:
    done = demo("--nonsense")
    assert done.returncode == 2 and done.stderr.startswith("usage: ")
