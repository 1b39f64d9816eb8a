"""What the README shows runs as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import HAS_GREENLET

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_there_is_a_snippet_for_threads_and_one_for_greenlets() -> None:
    assert len(SNIPPETS) >= 2
    assert any("thread" in snippet for snippet in SNIPPETS)
    assert any("green" in snippet for snippet in SNIPPETS)


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_snippets_run_as_they_stand(number: int) -> None:
    snippet = SNIPPETS[number]
    if "green" in snippet and not HAS_GREENLET:
        pytest.skip("greenlet is not installed")
    done = subprocess.run(
        [sys.executable, "-c", snippet], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_links_into_the_repository_exist() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", README) if "://" not in link]
    assert links and [link for link in links if not (ROOT / link).exists()] == []


def test_both_commands_are_there() -> None:
    assert "make demo" in README and "make test" in README
