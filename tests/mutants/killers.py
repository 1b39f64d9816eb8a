"""What kills a mutant: the compiler, the explorer, the C tests, the suite, the quickest first.

A killer takes a mutant and what killed others of its file, with their lines.  It gives a verdict,
or None: the next one tries.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from programs import (
    C_PROGRAMS,
    RELEASED,
    ROOT,
    Unit,
    c_program,
    compiled,
    explorer,
    lay,
    module,
    once,
    overlay,
    workplace,
)
from reach import breadth, scenarios_at


class Mutant(NamedTuple):
    file: str
    text: str
    line: int


class Kill(NamedTuple):
    """Of another mutant of the same file: by a scenario, a program, a file of tests."""

    line: int
    by: str


Killer = Callable[[Mutant, list[Kill]], "str | None"]

#: Every scenario that reaches the line, without a preemption: a glance.
GLANCE = ["--first", "--seconds", "0.002", "--bound", "0"]
#: The most telling of them for longer.
LOOK = ["--first", "--seconds", "0.05", "--bound", "1"]
LIKELY, LOOKED_AT = 5, 15
#: Seconds, on the wall.
EXPLORER_LIMIT, C_TEST_LIMIT, SUITE_LIMIT = 300, 120, 900
QUICK = {"RACE_MS": "150"}
PYTEST = ["-qx", "-p", "no:cacheprovider", "-m", "not slow", "--timeout", "40"]

#: Calls of every kind, most of which fail: the first for all that is Python's.
CALLS = "tests/core/test_references.py"
CORE = [
    *("tests/core/test_readiness.py", "tests/core/test_deadlines.py", "tests/core/test_closing.py"),
    *("tests/core/test_tokens.py", "tests/core/test_wake.py", "tests/core/test_api.py"),
    *("tests/core/test_bad_input.py", "tests/core/test_nesting.py", "tests/core/test_numbers.py"),
    *("tests/core/test_error_events.py", "tests/process/test_sandbox.py"),
]
SOCKETS = [
    *("tests/sockets/test_sockets.py", "tests/dropin/test_same_outcome.py"),
    *("tests/sockets/test_blocking_promises.py", "tests/sockets/test_socket_operations.py"),
    *("tests/sockets/test_limits_bind.py", "tests/process/test_gil.py", "tests/files"),
]
SYNC = ["tests/sync/test_locks.py", "tests/sync/test_conditions.py", "tests/sync/test_queues.py"]
GREEN = [
    *("tests/green/test_green_hub.py", "tests/green/test_green_kill.py"),
    *("tests/green/test_green_timeouts.py", "tests/green/test_green_groups.py"),
    *("tests/green/test_closed_poller.py", "tests/green/test_coop_budget.py"),
]
WAITS = ["tests/core/test_sema.py", "tests/tools/test_dump.py"]
FORK = "tests/process/test_fork.py"
SIGNALS = ["tests/process/test_signals.py"]
#: By what a file's name matches, the tests that tell most of it in the least time.
SUITES = {
    r"csrc/io/": [*SOCKETS, FORK],
    r"csrc/sema/": ["tests/core/test_sema.py", *SYNC, FORK],
    r"csrc/": [*CORE, FORK],
    r"python/ext/fd_connect": [CALLS, *SOCKETS, "tests/names/test_names.py"],
    r"python/ext/(accept|address|blocking|buffer|fd_|socket_)": [CALLS, *SOCKETS],
    r"python/ext/(condition|leaving|lock|queue|sema)": [CALLS, *SYNC, "tests/core/test_sema.py"],
    r"python/ext/hub": [CALLS, *GREEN, "tests/process/test_exit.py"],
    r"python/ext/wait(_type)?\.": [CALLS, *WAITS, *GREEN, *SYNC],
    r"python/ext/convert": [CALLS, *CORE, *SYNC, *SOCKETS],
    r"python/ext/gil": [CALLS, "tests/process/test_gil.py", *SIGNALS],
    r"python/ext/recheck": [CALLS, *GREEN, *SOCKETS],
    r"python/ext/local": [CALLS, "tests/sync/test_locals.py"],
    r"python/ext/capi": ["tests/core/test_c_api.py"],
    r"python/ext/desc": [CALLS, *CORE, "tests/green/test_green_kill.py"],
    r"python/ext/poller": [CALLS, *CORE, FORK, "tests/tools/test_dump.py"],
    r"python/ext/": [CALLS, *GREEN],
    r"python/netpoll/green": [CALLS, *GREEN],
    r"python/netpoll/_file": ["tests/files/test_file.py"],
}


def normalized(text: str, language: str) -> str:
    """Without comments, docstrings and spaces: two that are equal here are the same program."""
    if language == "c":
        return re.sub(r"/\*.*?\*/|\s+", "", text, flags=re.DOTALL)
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return text
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = None  # a docstring
    return ast.dump(tree)


def compiler(mutant: Mutant, before: list[Kill]) -> str | None:
    """As released: so a mutant of an assertion is equivalent, too."""
    code = object_code(mutant.file)
    if code is None:
        return "invalid"
    return "equivalent" if code == original_code(mutant.file) else None


def parser(mutant: Mutant, before: list[Kill]) -> str | None:
    try:
        compile(mutant.text, mutant.file, "exec")
    except SyntaxError:
        return "invalid"
    return None


def object_code(file: str) -> bytes | None:
    target = workplace() / "released.o"
    unit = Unit(file, tuple(RELEASED), (file,), target)
    if file.startswith("python/"):
        [unit] = (unit for unit in module().units if unit.source == file)
    return target.read_bytes() if compiled(unit, overlay(), target) else None


@once
def original_code(file: str) -> bytes | None:
    mutated = (overlay() / file).read_text(encoding="utf-8")
    lay(file, (ROOT / file).read_text(encoding="utf-8"))
    code = object_code(file)
    lay(file, mutated)
    return code


def explored(mutant: Mutant, search: list[str], scenarios: Collection[str]) -> str | None:
    """The explorer with the mutant in it, which is made once."""
    if not scenarios:
        return None
    program = workplace() / "explore"
    if not program.exists():
        objects = explorer().mutated(mutant.file)
        if objects is None or not explorer().linked(objects, program):
            return "invalid"
    command = [str(program), *search, "--scenarios", ",".join(scenarios)]
    status, output = run(command, EXPLORER_LIMIT)
    if status == 0:
        return None
    failed = re.search(r"^FAILED ([^/]+)/", output, re.MULTILINE)
    return f"killed: {failed[1] if failed else 'explorer'}"


def likely_scenarios(mutant: Mutant, before: list[Kill]) -> str | None:
    """What killed others nearby."""
    reached = set(scenarios_at(mutant.file, mutant.line))
    killed = [by for by in nearest(mutant, before) if by in reached]
    return explored(mutant, LOOK, killed[:LIKELY])


def all_scenarios(mutant: Mutant, before: list[Kill]) -> str | None:
    """All that come to the line, at a glance."""
    return explored(mutant, GLANCE, scenarios_at(mutant.file, mutant.line))


def telling_scenarios(mutant: Mutant, before: list[Kill]) -> str | None:
    """Those that come to the line and to little else."""
    reached = sorted(set(scenarios_at(mutant.file, mutant.line)), key=breadth)
    return explored(mutant, LOOK, reached[:LOOKED_AT])


def nearest(mutant: Mutant, before: list[Kill]) -> list[str]:
    """What killed others, those of lines nearby first, each once."""
    kills = sorted(before, key=lambda kill: abs(kill.line - mutant.line))
    return list(dict.fromkeys(kill.by for kill in kills))


def fuzzers(mutant: Mutant, before: list[Kill]) -> str | None:
    return c_programs(mutant, [name for name in C_PROGRAMS if name.startswith("fuzz-")])


def c_tests(mutant: Mutant, before: list[Kill]) -> str | None:
    killed = [by for by in nearest(mutant, before) if by in C_PROGRAMS]
    rest = [name for name in C_PROGRAMS if not name.startswith("fuzz-")]
    return c_programs(mutant, list(dict.fromkeys([*killed, *rest])))


def c_programs(mutant: Mutant, names: Iterable[str]) -> str | None:
    objects: dict[Path, Path] = {}
    for name in names:
        program = c_program(name)
        if not program.of(mutant.file):
            continue
        made = program.mutated(mutant.file, objects)
        target = workplace() / "c_test"
        if made is None or not program.linked(made, target):
            return "invalid"
        for arguments in C_PROGRAMS[name]:
            if run([str(target), *arguments], C_TEST_LIMIT, workplace(), **QUICK)[0] != 0:
                return f"killed: {name}"
    return None


def suite(mutant: Mutant, before: list[Kill]) -> str | None:
    """The package with the mutant in it, and the files of tests that are about its file."""
    tests = in_order(mutant, before)
    sound(tuple(sorted(tests)))
    python = workplace() / "python"
    shutil.rmtree(python, ignore_errors=True)
    shutil.copytree(ROOT / "python" / "netpoll", python / "netpoll")
    if mutant.file.endswith(".c"):
        objects = module().mutated(mutant.file)
        [library] = (python / "netpoll").glob("_core*.so")
        if objects is None or not module().linked(objects, library):
            return "invalid"
    else:
        (workplace() / mutant.file).write_text(mutant.text, encoding="utf-8")
    return run_suite(python, tests)


def in_order(mutant: Mutant, before: list[Kill]) -> list[str]:
    chosen = next(tests for name, tests in SUITES.items() if re.match(name, mutant.file))
    killed = [by for by in (by.split("::")[0] for by in nearest(mutant, before)) if by in chosen]
    return list(dict.fromkeys([*killed, *chosen]))


@once
def sound(tests: tuple[str, ...]) -> None:
    """They pass without a mutant, or each of their verdicts would be wrong."""
    failed = run_suite(ROOT / "python", tests)
    if failed:
        raise SystemExit(f"{failed}, without a mutant")


def run_suite(python: Path, tests: Iterable[str]) -> str | None:
    """A test that fails kills if it fails again, alone: some have too little time on a busy
    machine."""
    for _ in range(3):
        failed = first_failure(python, tests)
        if failed is None:
            return None
        if "::" not in failed or first_failure(python, [failed]):
            return f"killed: {failed}"
    return None


def first_failure(python: Path, tests: Iterable[str]) -> str | None:
    """Its id, or "suite" if the process ended otherwise."""
    command = [sys.executable, "-m", "pytest", *PYTEST, *tests]
    status, output = run(command, SUITE_LIMIT, PYTHONPATH=str(python))
    if status == 0:
        return None
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.MULTILINE)
    return failed[1] if failed else "suite"


def run(command: list[str], limit: float, cwd: Path = ROOT, **env: str) -> tuple[int, str]:
    """Its status, which is not 0 if it hangs, and what it wrote."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return -1, ""
    return process.returncode, output


def killers_of(file: str) -> tuple[Killer, ...]:
    if file.startswith("csrc/"):
        return (
            compiler,
            likely_scenarios,
            fuzzers,
            all_scenarios,
            c_tests,
            telling_scenarios,
            suite,
        )
    return (compiler, suite) if file.endswith(".c") else (parser, suite)
