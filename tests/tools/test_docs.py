"""What the README and docs/ show is true: it runs, or it is the code of the repository."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import netpoll
import pytest
from support import HAS_GREENLET, ROOT, WINDOWS

README = ROOT / "README.md"
PAGES = [
    README,
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

#: Blocks in these languages are output, commands or pictures, not code of ours; others are code.
NOT_CODE = {"text", "sh", "console"}


def blocks(*languages: str) -> Iterator[tuple[Path, int, str, str]]:
    """Page, line, language and text of each block."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in BLOCK.finditer(text):
            if found[1] in languages:
                yield page, text.count("\n", 0, found.start()) + 1, found[1], found[2]


def named(page: Path, line: int) -> str:
    return f"{page.relative_to(ROOT)}:{line}"


SAMPLES = [
    pytest.param(page, text, id=named(page, line))
    for page, line, _, text in blocks("python")
    if not text.startswith("# examples/")
]
QUOTES = [
    pytest.param(text, id=named(page, line))
    for page, line, language, text in blocks("python", "c", "make")
    if language != "python" or text.startswith("# examples/")
]


def modules_of(page: Path) -> dict[str, str]:
    """Samples that begin with "# name.py" are files.  Others of their page may import them, or go
    on with them: such a one begins with "# of name.py"."""
    samples = [text for where, _, _, text in blocks("python") if where == page]
    return {found[1]: text for text in samples if (found := re.match(r"# (\w+\.py)\n", text))}


def missing_modules(sample: str) -> list[str]:
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(sample))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    return [name for name in sorted(imported) if importlib.util.find_spec(name) is None]


@pytest.mark.parametrize(("page", "sample"), SAMPLES)
def test_a_sample_in_python_runs_as_it_stands(page: Path, sample: str, tmp_path: Path) -> None:
    for name, text in modules_of(page).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    if whole := re.match(r"# of (\w+\.py)\n", sample):
        sample = modules_of(page)[whole[1]] + sample
    missing = [name for name in missing_modules(sample) if f"{name}.py" not in modules_of(page)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    if WINDOWS and page.name == "children.md":
        pytest.skip("commands of POSIX")
    if WINDOWS and "os.kill(" in sample:
        pytest.skip("a signal ends the process there")
    if "green" in sample and not HAS_GREENLET:
        pytest.skip("greenlet is not installed")
    done = subprocess.run(
        [sys.executable, "-c", sample],
        check=False,
        capture_output=True,
        text=True,
        timeout=45,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr, done.stderr


@cache
def code_of_the_repository() -> str:
    """Without indentation, for a sample may be a part of it."""
    files = [
        path
        for folder in ("csrc", "python", "examples")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in {".c", ".h", ".py"} or path.name == "Makefile"
    ]
    return "\n".join(flat(path.read_text(encoding="utf-8")) for path in files)


def flat(code: str) -> str:
    return "\n".join(line.strip() for line in code.splitlines() if line.strip())


@pytest.mark.parametrize("quote", QUOTES)
def test_other_code_is_quoted_from_the_repository(quote: str) -> None:
    if (first := quote.partition("\n")[0]).startswith("# examples/"):
        whole = (ROOT / first.removeprefix("# ")).read_text(encoding="utf-8")
        assert flat(quote.partition("\n")[2]) in flat(whole)
    else:
        assert flat(quote) in code_of_the_repository()


def test_every_block_is_of_a_known_kind() -> None:
    """So that no sample escapes for being called something else."""
    found = {
        found[1] for page in PAGES for found in BLOCK.finditer(page.read_text(encoding="utf-8"))
    }
    assert found <= NOT_CODE | {"python", "c", "make"}


def test_there_are_samples_for_threads_and_for_greenlets() -> None:
    samples = [text for page, _, _, text in blocks("python") if page == README]
    assert any("thread" in sample for sample in samples)
    assert any("green" in sample for sample in samples)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_inside_the_repository_exist(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


NAMED_FILE = re.compile(
    r"`((?:csrc|python|tests|mk|docs|wheels|benchmarks|examples)/[\w/.-]+\.\w+)`"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page: Path) -> None:
    named_there = NAMED_FILE.findall(page.read_text(encoding="utf-8"))
    assert [file for file in named_there if not (ROOT / file).exists()] == []


def test_both_commands_are_there() -> None:
    text = README.read_text(encoding="utf-8")
    assert "make demo" in text and "make test" in text


# --- the picture of the states --------------------------------------------------------------------


def test_the_picture_shows_every_state_of_the_semaphore_and_no_other() -> None:
    header = (ROOT / "csrc" / "core" / "internal.h").read_text()
    (states,) = re.findall(r"enum \{\s*(SEM_NIL.*?)\}", header, re.DOTALL)
    picture = (ROOT / "docs" / "states.svg").read_text()
    shown = set(re.findall(r'class="state"[^>]*>(\w+)<', picture))
    assert shown == {name.removeprefix("SEM_") for name in re.findall(r"\bSEM_\w+", states)}


def test_the_reference_has_every_method_of_pollers_and_descriptors() -> None:
    page = (ROOT / "docs" / "reference" / "netpoll.md").read_text(encoding="utf-8")
    for cls in netpoll.Poller, netpoll.PollDesc:
        public = {name for name in dir(cls) if not name.startswith("_")}
        named = set(re.findall(rf":: netpoll\.{cls.__name__}\.(\w+)", page))
        assert named == public
