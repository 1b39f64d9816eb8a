"""The loops to be embedded in, and what of them stays behind by design."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import netpoll
import pytest
from loops import LOOPS, Loop
from netpoll.adapters import _nest
from support import NO_FILENO


@pytest.fixture(autouse=True, scope="session")
def _what_loops_keep() -> None:
    """libuv has a pipe a process, made by its first loop: before descriptors are counted."""
    for make in LOOPS.values():
        with contextlib.suppress(pytest.skip.Exception), make():
            pass


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> Iterator[Loop]:
    with LOOPS[request.param]() as loop:
        yield loop


@pytest.fixture(params=LOOPS)
def two_loops(request: pytest.FixtureRequest) -> Iterator[tuple[Loop, Loop]]:
    with LOOPS[request.param]() as one, LOOPS[request.param]() as other:
        yield one, other


@pytest.fixture(params=["descriptor", "thread"])
def watched(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How a loop watches a poller: a thread is for those that have no descriptor."""
    given = "backend" in request.fixturenames
    backend = request.getfixturevalue("backend") if given else netpoll.backends()[0]
    if request.param == "thread":
        monkeypatch.setattr(_nest, "has_descriptor", lambda poller: False)
    elif backend in NO_FILENO:
        pytest.skip(f"a {backend} poller has no descriptor here")
    return str(request.param)
