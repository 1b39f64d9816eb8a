"""Every folder of code has a budget of lines, which `make budget` compares with what is there."""

from __future__ import annotations

from pathlib import Path

import budget
import pytest
from support import ROOT

pytestmark = pytest.mark.any_engine

PAGE = """\
| folder | concern | budget | why |
| --- | --- | --- | --- |
| `csrc/core` | the core | 3 | as much as it needs |
| `csrc/sema` | to come | 1,700 | enough |
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three lines in a folder that may have three."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "design.md").write_text(PAGE)
    core = tmp_path / "csrc" / "core"
    core.mkdir(parents=True)
    (core / "desc.c").write_text("int a;\n\n  \nint b;\n")
    (core / "desc.h").write_text("int c;\n")
    (core / "notes.md").write_text("not code\n")
    (core / "docs_made.h").write_text("made by a build\n")
    return tmp_path


def test_no_folder_is_over_its_budget() -> None:
    assert budget.main() == 0


def test_the_table_of_the_page_is_read() -> None:
    allowed = budget.budgets((ROOT / "docs" / "design.md").read_text(encoding="utf-8"))
    assert {"csrc", "csrc/core", "python/ext", "python/netpoll"} <= allowed.keys()


def test_lines_are_shown_beside_the_budget(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert budget.main(tree) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert shown[1:] == [["csrc/core", "3", "3"], ["csrc/sema", "0", "1,700"], ["all", "3"]]


def test_one_line_more_fails(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "csrc" / "core" / "more.py").write_text("one = 1\n")
    assert budget.main(tree) == 1
    assert "csrc/core is 1 lines over its budget" in capsys.readouterr().err


def test_a_folder_without_a_budget_fails(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "python" / "netpoll" / "_new").mkdir(parents=True)
    (tree / "python" / "netpoll" / "_new" / "thing.py").write_text("one = 1\n")
    assert budget.main(tree) == 1
    assert "python/netpoll/_new is not in the table" in capsys.readouterr().err
