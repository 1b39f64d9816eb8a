"""The C API against its reference: the corpus that libFuzzer left, and some random bytes."""

from __future__ import annotations

from pathlib import Path

import fuzz_c
import pytest
from compiling import needs_compiler
from support import needs_linux

pytestmark = [pytest.mark.any_engine, needs_compiler, needs_linux, pytest.mark.rule(17)]

SEQUENCES = 300


def test_the_core_agrees_with_the_reference(tmp_path: Path) -> None:
    done = fuzz_c.replay(fuzz_c.build_replay(tmp_path), SEQUENCES)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{SEQUENCES} sequences\n"


@pytest.mark.parametrize("name", ["no_tag_check", "no_seq_check"])
def test_it_can_fail(name: str) -> None:
    [bug] = [bug for bug in fuzz_c.BUGS if bug.name == name]
    assert fuzz_c.verdict(bug, SEQUENCES), f"{bug.what}: nothing noticed"
