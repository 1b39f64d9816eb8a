"""CPython's own tests of selectors and of asyncio's selector loops, run on PollerSelector.

They come with the interpreter.  What is left out:

* test_modify_unregister patches the selector classes of the standard library; it skips itself.
* asyncio's test_get_event_loop_* and subprocess tests do not touch the selector that is under the
  loop; the mix-in with the tests of the loop's descriptors is what runs.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
import unittest
from types import ModuleType

import netpoll
import pytest
from netpoll.adapters.selectors import PollerSelector
from support import WINDOWS, open_fds

BACKENDS = netpoll.backends()


def standard(name: str) -> ModuleType | None:
    """A module of CPython's test package, which some distributions ship separately."""
    if sys.implementation.name != "cpython":
        return None
    try:
        return importlib.import_module(name)
    except (ImportError, unittest.SkipTest):
        return None


selectors_tests = standard("test.test_selectors")
asyncio_tests = standard("test.test_asyncio.test_events")

needs_selectors_tests = pytest.mark.skipif(
    selectors_tests is None, reason="not CPython, or without test.test_selectors"
)
needs_asyncio_tests = pytest.mark.skipif(
    asyncio_tests is None or WINDOWS, reason="not CPython, or without test.test_asyncio"
)


def run(suite: unittest.TestSuite) -> unittest.TestResult:
    result = unittest.TestResult()
    suite.run(result)
    gc.collect()
    report = "\n".join(text for _, text in [*result.errors, *result.failures])
    assert result.wasSuccessful(), report
    return result


def selector_of(backend: str) -> type[PollerSelector]:
    class Selector(PollerSelector):
        def __init__(self) -> None:
            super().__init__(backend)

    return Selector


@needs_selectors_tests
@pytest.mark.allow_leak("test_register_file does not close its selector")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("backend", BACKENDS)
def test_selectors(backend: str) -> None:
    assert selectors_tests is not None
    open_at_first = len(open_fds())
    # The tests of epoll, which refuses files, and of kqueue, which waits with nothing registered.
    bases = [selectors_tests.BaseSelectorTestCase]
    if not WINDOWS:
        bases = [selectors_tests.EpollSelectorTestCase, selectors_tests.KqueueSelectorTestCase]
    body = {"SELECTOR": selector_of(backend), "__unittest_skip__": False}
    case = type("NetpollSelectorTests", (*bases, unittest.TestCase), body)
    result = run(unittest.defaultTestLoader.loadTestsFromTestCase(case))
    assert result.testsRun >= 18
    skipped = {test.id().rpartition(".")[2] for test, _ in result.skipped}
    # It takes all descriptors but 32; libkqueue has some of its own, and so have tests before.
    if (backend == "kqueue" and sys.platform == "linux") or open_at_first > 20:
        skipped.discard("test_above_fd_setsize")
    assert skipped == {"test_modify_unregister"}


#: Connects to a port that is free, from another that the kernel picks.  If that is the same one, it
#: is connected to itself, with the standard selector too: seen about once in a thousand times.
NEEDS_LUCK = "test_create_connection_local_addr_skip_different_family"


@needs_asyncio_tests
@pytest.mark.timeout(240)
@pytest.mark.slow
@pytest.mark.allow_leak("asyncio's tests leave what the collector finds later")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("backend", BACKENDS)
def test_asyncio_loops(backend: str) -> None:
    assert asyncio_tests is not None
    utils = importlib.import_module("test.test_asyncio.utils")
    selector = selector_of(backend)

    def create_event_loop(self: object) -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop(selector())

    case = type(
        "NetpollLoopTests",
        (asyncio_tests.EventLoopTestsMixin, utils.TestCase),
        {"create_event_loop": create_event_loop, NEEDS_LUCK: None},
    )
    result = run(unittest.defaultTestLoader.loadTestsFromTestCase(case))
    assert result.testsRun >= 40
