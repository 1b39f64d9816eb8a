"""What docs/proof.md counts is as many as there are."""

from __future__ import annotations

import importlib
import re
import sys
from types import ModuleType

import pytest
from support import ROOT

pytestmark = [
    pytest.mark.any_engine,
    pytest.mark.skipif(not (ROOT / "docs").exists(), reason="the pages are not here"),
]

PAGE = ROOT / "docs" / "proof.md"


def counted(pattern: str) -> int:
    """The one number that the page has there."""
    [number] = re.findall(pattern, PAGE.read_text(encoding="utf-8"))
    return int(number.replace(",", ""))


@pytest.fixture
def fuzz_c(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "explore"))
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "fuzz"))
    return importlib.import_module("fuzz_c")


def test_planted_bugs(fuzz_c: ModuleType) -> None:
    assert counted(r"\| ([\d,]+) planted, one at a time") == len(fuzz_c.BUGS)
    asserted = sum(bug.asserted for bug in fuzz_c.BUGS)
    assert counted(r"For (\d+) of these, marked `asserted`") == asserted


def test_fuzzed_bugs_and_kept_sequences(fuzz_c: ModuleType) -> None:
    bugs = sum(len(target.bugs) for target in fuzz_c.TARGETS)
    kept = sum(len(list(target.corpus.iterdir())) for target in fuzz_c.TARGETS)
    assert counted(r"\| (\d+) of the explorer's bugs") == bugs
    assert counted(r"(\d+) kept and replayed by the tests") == kept


def test_assertions() -> None:
    files = [path for path in (ROOT / "csrc").rglob("*.[ch]") if path.stem != "assert"]
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    text = re.sub(r"^#define.*", "", text, flags=re.MULTILINE)
    uses = re.findall(r"\bnp_assert(?:_locked)?\(", text)
    assert counted(r"\| (\d+) places, run in all C tests") == len(uses)


@pytest.mark.skipif(sys.platform != "linux", reason="signals are struck with on Linux")
def test_scenarios_of_raising_signal_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("greenlet")
    pytest.importorskip("trustme")
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "torn"))
    for path in (ROOT / "tests" / "torn").glob("scenarios_*.py"):
        importlib.import_module(path.stem)
    scenarios = importlib.import_module("world").SCENARIOS
    assert counted(r"There are (\d+) scenarios: pollers, sockets") == len(scenarios)


def test_what_proves_a_defect_mended_exists() -> None:
    page = PAGE.read_text(encoding="utf-8")
    table = page[page.index("## Defects found") : page.index("## Not done")]
    named = {name for row in re.findall(r"^\|.*\| (.*) \|$", table, re.MULTILINE) for name in
             re.findall(r"`(\w+)`", row)}  # fmt: skip
    sources = [path for path in (ROOT / "tests").rglob("*.*") if path.suffix in {".c", ".py"}]
    words = set(re.findall(r"\w+", "\n".join(p.read_text(encoding="utf-8") for p in sources)))
    assert named - words == set()
    assert len(named) > 30
