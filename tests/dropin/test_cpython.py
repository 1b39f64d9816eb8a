"""CPython's own tests of sockets pass with ours: in threads, in hubs, and as greenlets of one hub.

What passes with the standard class must pass, but for the list in cpython_exceptions.py.
"""

from __future__ import annotations

import sys
from fnmatch import fnmatchcase

import cpython_suite as suite
import pytest
from cpython_exceptions import EXCEPTIONS, LEFT_OUT
from support import HAS_GREENLET

SOCKET = "test.test_socket"

MISSING = suite.available(SOCKET)

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"the interpreter came without its tests: {MISSING}"),
    pytest.mark.skipif(sys.platform != "linux", reason="examined on Linux only so far"),
    pytest.mark.timeout(600),
]

_baselines: dict[str, suite.Outcomes] = {}


def baseline(module: str) -> suite.Outcomes:
    """With the standard class; once a run."""
    if module not in _baselines:
        tests = suite.names(module)
        left_out = set(suite.matching(tests, LEFT_OUT))
        tests = [test for test in tests if test not in left_out]
        _baselines[module] = suite.outcomes(module, "standard", "threads", tests)
    return _baselines[module]


def worse(module: str, sockets: str, place: str) -> suite.Outcomes:
    """The regressions, of which those that failed had a second chance on their own."""
    before = baseline(module)
    found = suite.regressions(before, suite.outcomes(module, sockets, place, before))
    excepted = suite.matching(found, EXCEPTIONS)
    return {name: found[name] for name in excepted} | suite.again(
        {name: outcome for name, outcome in found.items() if name not in excepted},
        lambda tests: suite.outcomes(module, sockets, place, tests),
    )


def described(found: suite.Outcomes) -> str:
    return "\n".join(f"--- {o.kind}: {name}\n{o.text}" for name, o in found.items())


def test_the_standard_class_passes_most() -> None:
    passed = [name for name, outcome in baseline(SOCKET).items() if outcome.kind == "ok"]
    assert len(passed) > 300


@pytest.mark.parametrize("place", ["threads", "hubs", "greenlets"])
def test_sockets(place: str) -> None:
    if place != "threads" and not HAS_GREENLET:
        pytest.skip("greenlet is not installed")
    found = worse(SOCKET, "netpoll", place)
    unexpected = {name: o for name, o in found.items() if not suite.matching([name], EXCEPTIONS)}
    assert not unexpected, described(unexpected)
    expected = [pattern for pattern in EXCEPTIONS if pattern.startswith(f"{SOCKET}.")]
    stale = [p for p in expected if not any(fnmatchcase(name, p) for name in found)]
    assert not stale, f"no exceptions any more: {stale}"


def test_a_subclass_that_changes_nothing_passes_all() -> None:
    """So a failure with ours is ours, and not the harness's."""
    before = _some()
    after = suite.outcomes(SOCKET, "subclass", "threads", before)
    assert suite.regressions(before, after) == {}


@pytest.mark.parametrize(
    ("sockets", "kind"), [("lossy", "failed"), ("deaf", "hung")], ids=["lossy", "deaf"]
)
def test_a_broken_class_is_found_out(sockets: str, kind: str) -> None:
    before = _some()
    after = suite.outcomes(SOCKET, sockets, "threads", before, limit=6)
    found = suite.regressions(before, after)
    assert kind in {outcome.kind for outcome in found.values()}, described(found)


def _some() -> suite.Outcomes:
    """The baseline of a few tests."""
    patterns = ["*.BasicTCPTest.*", "*.TCPTimeoutTest.testTCPTimeout"]
    return {test: baseline(SOCKET)[test] for test in suite.matching(baseline(SOCKET), patterns)}
