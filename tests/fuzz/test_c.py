"""The C API against its references: the corpora that libFuzzer left, and some random bytes."""

from __future__ import annotations

from pathlib import Path

import fuzz_c
import pytest
from compiling import needs_compiler
from support import needs_linux

pytestmark = [pytest.mark.any_engine, needs_compiler, needs_linux, pytest.mark.rule(17)]

SEQUENCES = 300
TARGETS = {target.name: target for target in fuzz_c.TARGETS}


@pytest.mark.parametrize("name", TARGETS)
def test_the_core_agrees_with_the_reference(tmp_path: Path, name: str) -> None:
    target = TARGETS[name]
    done = fuzz_c.replay(target, fuzz_c.build_replay(target, tmp_path), SEQUENCES)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{SEQUENCES} sequences\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "name"),
    [("poller", "no_tag_check"), ("poller", "no_seq_check"), ("file", "number_never_closed")],
)
def test_it_can_fail(target: str, name: str) -> None:
    [bug] = [bug for bug in fuzz_c.BUGS if bug.name == name]
    assert fuzz_c.verdict(TARGETS[target], bug, SEQUENCES), f"{bug.what}: nothing noticed"
