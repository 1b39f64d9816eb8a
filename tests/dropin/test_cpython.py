"""CPython's own tests of sockets, locks, queues and locals pass with ours: in threads, in hubs, and
as greenlets of one hub.

What passes with the standard class must pass, but for the list in cpython_exceptions.py.
"""

from __future__ import annotations

import sys

import cpython_suite as suite
import pytest
from cpython_exceptions import LEFT_OUT, exceptions
from support import HAS_GREENLET

SOCKET = "test.test_socket"
SSL = "test.test_ssl"
SYNC = "sync_tests"  # those of locks, queues and locals, in a module of ours
#: With both engines; the others only use the sockets that these have tried.
LIBRARIES = ["test.test_httpservers", "test.test_smtplib", "test.test_socketserver"]
OTHER_LIBRARIES = [
    "test.test_ftplib",
    "test.test_httplib",
    "test.test_imaplib",
    "test.test_poplib",
    "test.test_urllib2_localnet",
    "test.test_xmlrpc",
]

MISSING = suite.available(SOCKET)

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"the interpreter came without its tests: {MISSING}"),
    pytest.mark.skipif(sys.platform != "linux", reason="examined on Linux only so far"),
    pytest.mark.timeout(600),
]


def of(module: str) -> pytest.MarkDecorator:
    """What compares with the same baseline runs in the same process."""
    return pytest.mark.xdist_group(module)


_baselines: dict[str, suite.Outcomes] = {}


def baseline(module: str) -> suite.Outcomes:
    """With the standard class; once a run."""
    if module not in _baselines:
        tests = suite.names(module)
        left_out = set(suite.matching(tests, LEFT_OUT))
        tests = [test for test in tests if test not in left_out]
        _baselines[module] = suite.outcomes(module, "standard", "threads", tests)
    return _baselines[module]


def described(found: suite.Outcomes) -> str:
    return "\n".join(f"--- {o.kind}: {name}\n{o.text}" for name, o in found.items())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "least"),
    [pytest.param(SOCKET, 300, marks=of(SOCKET)), pytest.param(SSL, 80, marks=of(SSL))],
)
def test_the_standard_class_passes_most(module: str, least: int) -> None:
    passed = [name for name, outcome in baseline(module).items() if outcome.kind == "ok"]
    assert len(passed) > least


@of(SOCKET)
@pytest.mark.slow
@pytest.mark.parametrize("place", ["threads", "hubs", "greenlets"])
def test_sockets(place: str) -> None:
    all_pass(SOCKET, "netpoll", place)


@of(SSL)
@pytest.mark.slow
@pytest.mark.parametrize(
    ("modules", "place"),
    [("netpoll", "threads"), ("netpoll", "hubs"), ("netpoll+ssl", "greenlets")],
    ids=["threads", "hubs", "greenlets"],
)
def test_tls(modules: str, place: str) -> None:
    """With the standard module's contexts, or ours."""
    all_pass(SSL, modules, place)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["threads", "hubs", "greenlets"])
@pytest.mark.parametrize(
    "module",
    [
        pytest.param(name, marks=of(name))
        for name in ("test.test_select", "test.test_poll", "test.test_epoll")
    ],
)
def test_select(module: str, place: str) -> None:
    all_pass(module, "select", place)


@of("test.test_subprocess")
@pytest.mark.slow
@pytest.mark.any_engine
@pytest.mark.parametrize("place", ["threads", "hubs"])
def test_subprocess(place: str) -> None:
    all_pass("test.test_subprocess", "subprocess", place)


@of(SYNC)
@pytest.mark.parametrize(
    "place",
    [
        pytest.param("threads", marks=pytest.mark.slow),
        pytest.param("hubs", marks=pytest.mark.slow),
        "greenlets",  # where most can go wrong
    ],
)
def test_locks_queues_and_locals(place: str) -> None:
    all_pass(SYNC, "sync", place)


def test_a_standard_lock_blocks_the_hub() -> None:
    """So what passes there waits in greenlets."""
    tests = ["sync_tests.LockTests.test_acquire_contended", "sync_tests.QueueTests.test_basic"]
    found = suite.outcomes(SYNC, "standard", "greenlets", tests, limit=3)
    assert {outcome.kind for outcome in found.values()} == {"hung"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        *LIBRARIES,
        *(pytest.param(name, marks=pytest.mark.any_engine) for name in OTHER_LIBRARIES),
    ],
)
def test_clients_and_servers_of_the_standard_library(module: str) -> None:
    """Under netpoll.patch, every thread of theirs with a hub."""
    all_pass(module, "patched", "hubs")


def all_pass(module: str, modules: str, place: str) -> None:
    """But for the exceptions, of which each is needed."""
    if place != "threads" and not HAS_GREENLET:
        pytest.skip("greenlet is not installed")
    before = baseline(module)
    allowed = exceptions(module, place)  # some of them hang: do not wait as long as for others
    found = suite.regressions(before, suite.outcomes(module, modules, place, before, 12))
    excepted = suite.matching(found, allowed)
    unexpected = suite.again(
        {name: outcome for name, outcome in found.items() if name not in excepted},
        lambda tests: suite.outcomes(module, modules, place, tests),
    )
    assert not unexpected, described(unexpected)
    passed = [name for name, outcome in before.items() if outcome.kind == "ok"]
    needed = [pattern for pattern in allowed if suite.matching(passed, [pattern])]
    stale = [pattern for pattern in needed if not suite.matching(excepted, [pattern])]
    assert not stale, f"no exceptions any more: {stale}"


@of(SOCKET)
@pytest.mark.slow
def test_a_subclass_that_changes_nothing_passes_all() -> None:
    """So a failure with ours is ours, and not the harness's."""
    before = _some()
    after = suite.outcomes(SOCKET, "subclass", "threads", before)
    assert suite.regressions(before, after) == {}


@of(SOCKET)
@pytest.mark.slow
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
