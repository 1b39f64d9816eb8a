"""The examples of other loops, and the page that makes a scheduler, do what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import needs_greenlet

pytestmark = needs_greenlet

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "howto" / "hub.md"


def run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def test_the_scheduler_of_ones_own_does_what_its_page_says() -> None:
    page = PAGE.read_text(encoding="utf-8")
    parts = re.findall(r"^```python\n# (?:of )?scheduler.py\n(.*?)^```", page, re.M | re.S)
    scheduler, sockets, semas = parts
    assert run("-c", scheduler + sockets) == "b'hello'\nnothing for a tenth of a second\n"
    assert run("-c", scheduler + semas) == "False\nslow\nquick\nall have ended\n"
    lines = [line for line in scheduler.splitlines() if line.strip()]
    assert len(lines) <= 42, "it is told to have forty lines"


EXAMPLES = {
    "on_asyncio.py": "client: the server hung up",
    "on_asyncio.py --uvloop": "client: the server hung up",
    "on_trio.py": "quick: the answer",
    "on_gevent.py": "(nothing new for a while)",
    "on_selectors.py": "then: []",
}


@pytest.mark.parametrize("command", EXAMPLES)
def test_examples_run(command: str) -> None:
    name, *arguments = command.split()
    if "gevent" in name and sys.platform == "win32":
        pytest.skip("it waits on a pipe")
    for library in ("uvloop", "trio", "gevent"):
        if library in command:
            pytest.importorskip(library)
    output = run("-W", "error", str(ROOT / "examples" / name), *arguments)
    assert output.splitlines()[-1] == EXAMPLES[command]
