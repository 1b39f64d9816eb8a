"""Finalizers of users, which the collector finds in one cycle with our objects, may use them.

It calls finalizers by age.  With glibc's MALLOC_PERTURB_ memory that was freed holds nonsense.
"""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable
from typing import Any

import netpoll
import pytest
from netpoll import READ, Poller
from support import check_python, needs_pipe

pytestmark = pytest.mark.rule(9)

USES: dict[str, Callable[[Any], object]] = {
    "reset": lambda it: it.desc.reset(READ),
    "park": lambda it: it.desc.park(READ, "token"),
    "cancel": lambda it: it.desc.cancel(READ),
    "set_deadline": lambda it: it.desc.set_deadline(1),
    "close": lambda it: it.desc.close(),
    "poll": lambda it: it.poller.poll(0),
    "wake": lambda it: it.poller.wake(),
    "open": lambda it: it.poller.open(0),
    "stats": lambda it: it.poller.stats(),
    "move": lambda it: it.timer.move(5),
    "cancel_timer": lambda it: it.timer.cancel(),
    "resume_waiter": lambda it: it.waiter.resume(),
    "read": lambda it: it.file.read(1),
    "repr": lambda it: (repr(it.desc), repr(it.poller), repr(it.timer), repr(it.file)),
}


class User:
    """Older than what it uses, or younger."""

    def __init__(self, use: str, outcomes: list[str]) -> None:
        self.use, self.outcomes, self.me = use, outcomes, self

    def take(self, poller: Poller) -> None:
        self.poller = poller
        reads, writes = os.pipe()
        self.file = netpoll.File(reads)
        self.desc = poller.open(writes)
        self.timer = netpoll.Timer(poller, "timer", 5)
        self.waiter = netpoll.Sema().park(poller, "waiter", 5)
        os.close(writes)

    def __del__(self) -> None:
        try:
            USES[self.use](self)
            self.outcomes.append("done")
        except (OSError, RuntimeError, ValueError) as error:  # closed, parked, closed file
            self.outcomes.append(type(error).__name__)


def make(use: str, outcomes: list[str], *, user_first: bool) -> None:
    if user_first:
        User(use, outcomes).take(Poller())
    else:
        poller = Poller()
        User(use, outcomes).take(poller)


@needs_pipe
@pytest.mark.any_engine
@pytest.mark.parametrize("pure", ["0", "1"], ids=["C", "cffi"])
def test_a_finalizer_uses_what_is_collected_with_it(
    pure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETPOLL_PURE", pure)
    monkeypatch.setenv("MALLOC_PERTURB_", "165")
    script = """
        import gc, sys, warnings
        warnings.simplefilter("ignore")
        sys.path.insert(0, sys.argv[1])
        from test_finalizers_in_cycles import USES, make
        outcomes = []
        for use in USES:
            for user_first in True, False:
                make(use, outcomes, user_first=user_first)
        gc.collect()
        print(len(outcomes) == 2 * len(USES), "done" in outcomes)
    """
    assert check_python(script, os.path.dirname(__file__)) == "True True\n"


@needs_pipe
@pytest.mark.filterwarnings("error")
def test_a_closed_file_in_a_cycle_is_closed() -> None:
    """And is not warned of, nor closed again, by the buffers around it."""
    reads, writes = os.pipe()
    file = netpoll.fdopen(reads)
    os.write(writes, b"x\n")
    assert file.readline() == "x\n"
    file.close()
    os.close(writes)
    file.me = file
    gone = weakref.ref(file)
    del file
    gc.collect()
    assert gone() is None


def test_a_poller_lives_as_long_as_a_timer_or_waiter(backend: str) -> None:
    sema = netpoll.Sema()
    poller = Poller(backend)
    timer = netpoll.Timer(poller, "timer", 5)
    waiter = sema.park(poller, "waiter", 5)
    alive = weakref.ref(poller)
    del poller
    gc.collect()
    found = alive()
    assert found is not None
    with found:
        assert timer.move(7) is True
        assert timer.cancel() is True
        assert waiter is not None and waiter.cancel() is True
