"""Fixtures, and the guards around every test: a watchdog, leaks, warnings."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import netpoll
import pytest
from netpoll import Poller, _engine, socket
from netpoll._blocking import threads as pools
from netpoll._core import ffi, lib
from support import HAS_GREENLET, NO_FILENO, GreenStage, Sockets, Stage, ThreadStage, open_fds

#: Above every bound inside a test, so that it speaks only when a call hangs in C.
WATCHDOG_SECONDS = 120

#: As many as a process of the suite may need.
DESCRIPTORS = 4096

_stderr = -1

#: Idle threads of pools end before a test's are counted.
pools.IDLE = 0.02


def enough_descriptors() -> None:
    """The usual soft limit is 1024; the tests with many of them need more."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < DESCRIPTORS <= hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))


def with_ctrl_c() -> None:
    """What a shell starts in the background ignores it, and so would the processes of the tests."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    global _stderr
    enough_descriptors()
    with_ctrl_c()
    _stderr = os.dup(2)  # now, while nothing is captured
    config.addinivalue_line(
        "markers", "rule(*numbers): the rules of the contract's section 2 that it proves"
    )
    config.addinivalue_line(
        "markers", "allow_leak(reason): the test leaves descriptors or threads behind"
    )
    config.addinivalue_line("markers", "not_on(backend, reason): left out for one backend")
    config.addinivalue_line("markers", "needs_fileno: a poller must have a descriptor")
    config.addinivalue_line(
        "markers", "any_engine: the same with either engine, so `make test` runs it once"
    )
    config.addinivalue_line(
        "markers", "one_process: for the tests of a file, as what they share takes long to make"
    )
    config.addinivalue_line("markers", "xdist_group(name): pytest-xdist's, which may be missing")
    config.addinivalue_line("markers", "slow: for `make test-all`; `make test` leaves it out")
    for action in (
        "error::ResourceWarning",
        "error::pytest.PytestUnraisableExceptionWarning",
        "error::pytest.PytestUnhandledThreadExceptionWarning",
    ):
        config.addinivalue_line("filterwarnings", action)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--share",
        default="1/1",
        metavar="I/N",
        help="of every N tests only the I-th, for N processes side by side",
    )
    parser.addoption(
        "--backend",
        choices=netpoll.backends(),
        help="leave out what would run on other backends",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Most tests wait for a clock most of the time."""
    return 3 * (os.cpu_count() or 1)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The tests that were skipped, by reason: one line each, however many places have it."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
    )
    if reasons:
        terminalreporter.section("skipped")
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count:5} {reason}")


def pytest_report_header() -> str:
    engine = "pure cffi" if os.environ.get("NETPOLL_PURE") == "1" else "C types"
    return (
        f"netpoll {netpoll.__version__}: backends {', '.join(netpoll.backends())}; engine: {engine}"
    )


@pytest.hookimpl(tryfirst=True)  # pytest-xdist looks at the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what a backend cannot do, and what was not asked for."""
    only = config.getoption("backend")
    if only:
        items[:] = [item for item in items if _backend_of(item, only) == only]
    share, processes = map(int, config.getoption("share").split("/"))
    items[:] = items[share - 1 :: processes]
    default = os.environ.get("NETPOLL_BACKEND", netpoll.backends()[0])
    for item in items:
        servers = item.path.parent.name == "drivers"  # they stand for a file
        if servers or item.get_closest_marker("one_process"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
        backend = _backend_of(item, default)
        for mark in item.iter_markers("not_on"):
            if mark.args[0] == backend:
                item.add_marker(pytest.mark.skip(reason=mark.args[1]))
        if backend in NO_FILENO and item.get_closest_marker("needs_fileno"):
            item.add_marker(pytest.mark.skip(reason=f"a {backend} poller has no descriptor here"))


def pytest_collection_finish() -> None:
    """Thousands of tests are objects, too, which no collection of garbage need look at again."""
    if hasattr(gc, "freeze"):  # CPython
        gc.collect()
        gc.freeze()


def _backend_of(item: pytest.Item, default: str) -> str:
    params = item.callspec.params if hasattr(item, "callspec") else {}
    return str(params.get("backend", default))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A C thread that needs no GIL: it ends a run that hangs while holding it."""
    own = item.get_closest_marker("timeout")
    seconds = max(WATCHDOG_SECONDS, 2 * own.args[0] if own else 0)
    faulthandler.dump_traceback_later(seconds, exit=True, file=_stderr)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A scenario runs where its actors are: under greenlets, inside a hub."""
    stage = next((arg for arg in pyfuncitem.funcargs.values() if isinstance(arg, Stage)), None)
    if stage is None:
        return None
    names = pyfuncitem._fixtureinfo.argnames
    stage.perform(partial(pyfuncitem.obj, **{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture(autouse=True, scope="session")
def _process_wide_poller() -> None:
    """Made before descriptors are counted, with all that it ever needs: it stays open by design."""
    with contextlib.suppress(NotImplementedError):  # a poller of IOCP, or of libkqueue
        netpoll.default_poller().fileno()
    a, b = socket.socketpair()
    with a, b:
        with contextlib.suppress(TimeoutError):  # a thread keeps what it waits with
            a.settimeout(0.001)
            a.recv(1)
        _make_the_overflow_poller(a)


def _make_the_overflow_poller(sock: Any) -> None:
    """Where the core registers a number for a token whose own poller has it already."""
    box, op, wait = ffi.new("np_file **"), ffi.new("np_op *"), ffi.new("np_waiter *")
    with Poller() as poller, poller.open(sock):
        p = ffi.cast("np_poller *", _engine.poller_address(poller))
        assert lib.np_file_new(sock.fileno(), lib.NP_FILE_MESSAGES, box) == lib.NP_OK
        assert lib.np_op_begin(op, box[0], lib.NP_READ, 1) == lib.NP_OK
        assert lib.np_op_park(op, p, wait, 1) == lib.NP_PARKED
        assert lib.np_op_cancel(op, wait) == 1
        assert lib.np_op_end(op) == lib.NP_OK
        lib.np_file_free(box[0])


@pytest.fixture(autouse=True)
def _no_leaks(request: pytest.FixtureRequest, _process_wide_poller: None) -> Iterator[None]:
    fds, threads, gil = open_fds(), set(threading.enumerate()), _has_gil()
    hub = _engine.current_hub()
    yield
    assert _engine.current_hub() is hub, "the main thread has a hub from now on"
    assert _has_gil() == gil, "a module brought the GIL back"
    if request.node.get_closest_marker("allow_leak"):
        return
    leaked = _wait_for_none_left(fds, threads)
    assert not leaked, f"left behind: {leaked}"


def _has_gil() -> bool:
    return not hasattr(sys, "_is_gil_enabled") or sys._is_gil_enabled()


def _wait_for_none_left(fds: set[int], threads: set[threading.Thread]) -> list[str]:
    end = time.monotonic() + 5
    while True:
        leaked = [_describe(fd) for fd in open_fds() - fds]
        leaked += [thread.name for thread in set(threading.enumerate()) - threads]
        leaked = [what for what in leaked if what]
        if not leaked or time.monotonic() > end:
            return leaked
        gc.collect()
        time.sleep(0.005)


def _describe(fd: int) -> str:
    try:
        return f"fd {fd} -> {os.readlink(f'/proc/self/fd/{fd}')}"
    except OSError:  # gone: the descriptor that listed the folder
        return ""


@pytest.fixture(params=netpoll.backends())
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def poller(backend: str) -> Iterator[Poller]:
    with Poller(backend) as poller:
        yield poller


@pytest.fixture(params=["threads", "greenlets"])
def stage(request: pytest.FixtureRequest, backend: str, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A scenario for either kind of actor."""
    if request.param == "threads":
        return ThreadStage(backend)
    return _green_stage(backend, monkeypatch)


@pytest.fixture
def threads(backend: str) -> Stage:
    """A scenario about threads alone."""
    return ThreadStage(backend)


@pytest.fixture
def greenlets(backend: str, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A scenario about greenlets alone."""
    return _green_stage(backend, monkeypatch)


def _green_stage(backend: str, monkeypatch: pytest.MonkeyPatch) -> Stage:
    if not HAS_GREENLET:
        pytest.skip("greenlet is not installed")
    monkeypatch.setenv("NETPOLL_BACKEND", backend)  # a hub takes the default
    return GreenStage(backend)


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    sockets = Sockets()
    yield sockets
    sockets.close()


def pytest_generate_tests(metafunc: Any) -> None:
    """`mode` runs a test for READ and for WRITE."""
    if "mode" in metafunc.fixturenames:
        metafunc.parametrize("mode", [netpoll.READ, netpoll.WRITE], ids=["read", "write"])
