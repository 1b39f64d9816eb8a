"""What the pages about other loops show runs as it stands there, and so do the examples."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import needs_greenlet

pytestmark = [pytest.mark.needs_fileno, needs_greenlet]

ROOT = Path(__file__).parent.parent.parent
PAGES = ("adapters.md", "own-scheduler.md")


def snippets() -> list[object]:
    """The code of the pages.  One that begins `# of NAME` goes on where `# NAME` ended."""
    found = []
    for page in PAGES:
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        files: dict[str, str] = {}
        for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)):
            name = re.match(r"# (of )?(\w+\.py)\n", code)
            if name and name[1]:
                code = files[name[2]] + code  # noqa: PLW2901
            elif name:
                files[name[2]] = code
            found.append(pytest.param(code, id=f"{page}-{number}"))
    return found


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


@pytest.mark.parametrize("code", snippets())
def test_snippets_run_as_they_stand(code: str) -> None:
    if "gevent" in code:
        pytest.importorskip("gevent")
    run("-W", "error", "-W", "ignore::ResourceWarning", "-c", code)


def test_the_scheduler_of_ones_own_does_what_the_page_says() -> None:
    code = next(param.values[0] for param in snippets() if "# of scheduler.py" in param.values[0])
    assert run("-c", code) == "b'hello'\nnothing for a tenth of a second\n"
    scheduler = code.split("# of scheduler.py")[0]
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
    for library in ("uvloop", "trio", "gevent"):
        if library in command:
            pytest.importorskip(library)
    output = run("-W", "error", str(ROOT / "examples" / name), *arguments)
    assert output.splitlines()[-1] == EXAMPLES[command]


def test_links_exist() -> None:
    for page in PAGES:
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#]+)", text):
            assert "://" in link or (ROOT / "docs" / link).exists(), link
