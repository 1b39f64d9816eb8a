"""CPython's own tests with other sockets: what passes with the standard class must pass with ours.

    python tests/dropin/cpython_suite.py MODULE SOCKETS PLACE [PATTERN...]

runs a test module with the standard class, then as told, and prints what passed only the first
time.  The tests are dealt out to several processes, as they mostly sleep.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

HERE = Path(__file__).parent
WORKERS = 10
#: Seconds a test; above the patience of the tests themselves.
LIMIT = 30.0


@dataclass(frozen=True)
class Outcome:
    kind: str  #: ok, skipped, failed, hung
    text: str  #: the traceback, or the reason


Outcomes = dict[str, Outcome]


def available(module: str) -> str:
    """Why the tests of the interpreter cannot run, or an empty string.

    They are a part of CPython that distributions split off (Debian: libpython3-testsuite).
    """
    command = [sys.executable, "-c", f"import {module}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def names(module: str) -> list[str]:
    """The ids of the module's tests."""
    script = (
        "import sys, unittest, run_cpython\n"
        "suite = unittest.defaultTestLoader.loadTestsFromName(sys.argv[1])\n"
        "print(*(test.id() for test in run_cpython.tests_of(suite)))\n"
    )
    command = [sys.executable, "-c", script, module]
    env = dict(os.environ, PYTHONPATH=str(HERE))
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=env, timeout=60)
    return done.stdout.split()


def outcomes(
    module: str, sockets: str, place: str, tests: Iterable[str], limit: float = LIMIT
) -> Outcomes:
    """Run these tests."""
    tests = list(tests)
    hands = [hand for i in range(WORKERS) if (hand := tests[i::WORKERS])]
    with ThreadPoolExecutor(WORKERS) as pool:
        found = pool.map(lambda hand: _in_processes([module, sockets, place], hand, limit), hands)
        return {name: outcome for part in found for name, outcome in part.items()}


def _in_processes(what: list[str], tests: list[str], limit: float) -> Outcomes:
    """In one process, and in a new one after each test that hangs or crashes."""
    found: Outcomes = {}
    while left := [test for test in tests if test not in found]:
        with tempfile.TemporaryDirectory() as folder:
            lines, errors = _one_process(what, left, limit, folder)
        unfinished = None
        for name, kind, text in lines:
            if kind == "begun":
                unfinished = name
            else:
                unfinished = None
                found[name] = Outcome(kind, text)
        if unfinished is None:
            for name in left:
                found.setdefault(name, Outcome("failed", errors))
        else:
            found[unfinished] = Outcome("hung", errors)
    return found


def _one_process(
    what: list[str], tests: list[str], limit: float, folder: str
) -> tuple[list[list[str]], str]:
    results = Path(folder, "results")
    results.touch()
    done = subprocess.run(
        [sys.executable, str(HERE / "run_cpython.py"), *what, str(results), str(limit)],
        input=" ".join(tests),
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        cwd=folder,  # the tests leave files behind if they hang
        timeout=1200,
    )
    lines = results.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines], f"status {done.returncode}\n{done.stderr}"


def regressions(before: Outcomes, after: Outcomes) -> Outcomes:
    """What passed before, and did not after."""
    return {
        name: after.get(name, Outcome("failed", "did not run"))
        for name, outcome in before.items()
        if outcome.kind == "ok" and (name not in after or after[name].kind != "ok")
    }


def matching(tests: Iterable[str], patterns: Iterable[str]) -> list[str]:
    patterns = tuple(patterns)
    return [test for test in tests if any(fnmatchcase(test, pattern) for pattern in patterns)]


def again(found: Outcomes, rerun: Callable[[list[str]], Outcomes]) -> Outcomes:
    """Run what failed once more, one at a time: a busy machine is no reason to fail."""
    still: Outcomes = {}
    for name, outcome in found.items():
        if outcome.kind == "skipped" or rerun([name])[name].kind != "ok":
            still[name] = outcome
    return still


def main(module: str, sockets: str, place: str, *patterns: str) -> int:
    tests = matching(names(module), patterns or ["*"])
    before = outcomes(module, "standard", "threads", tests)
    after = outcomes(module, sockets, place, tests)
    worse = regressions(before, after)
    for name, outcome in worse.items():
        print(f"--- {outcome.kind}: {name}\n{outcome.text}")
    passed = sum(outcome.kind == "ok" for outcome in before.values())
    print(f"{len(tests)} tests, {passed} pass with the standard class, {len(worse)} only with it")
    return bool(worse)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
