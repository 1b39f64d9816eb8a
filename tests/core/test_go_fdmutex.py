"""The scenarios of Go's internal/poll/fd_mutex_test.go that make sense for a poller.

Go's fdMutex is a layer above the poller: it counts users and serialises readers and writers.  Here
the poller itself guards what the mutex guards there: one waiter a mode, and the memory until the
last user left.
"""

from __future__ import annotations

import pytest
from netpoll import READ, WRITE, BusyError, ClosedError, PollDesc, PollError
from support import Sockets, Stage, blocked, contend, fill

pytestmark = pytest.mark.rule(8)


@pytest.mark.rule(2)
def test_mutex_lock(stage: Stage, sockets: Sockets) -> None:
    """A reader and a writer come and go, one after another, and leave nothing behind."""
    a, b = sockets.pair()
    desc = stage.open(a)
    for _ in range(3):
        b.send(b"x")
        stage.wait(desc, READ)
        assert a.recv(10)
        stage.until_parked(0, 0)
    stage.wait(desc, WRITE)
    stage.until_parked(0, 0)


@pytest.mark.rule(9)
def test_mutex_close(stage: Stage, sockets: Sockets) -> None:
    """After the close nobody gets in any more, and a second close is nothing."""
    desc = stage.open(sockets.pair()[0])
    desc.close()
    for mode in (READ, WRITE):
        stage.spawn(desc.wait, mode).raises(ClosedError)
        with pytest.raises(ClosedError):
            desc.reset(mode)
        with pytest.raises(ClosedError):
            desc.park(mode, "token")
    desc.close()
    assert desc.closed


@pytest.mark.rule(2)
def test_mutex_close_unblock(stage: Stage, sockets: Sockets) -> None:
    """One holds the mode and others want it again and again: the close ends them all."""
    desc = stage.open(sockets.pair()[0])
    holder = stage.spawn(desc.wait, READ)
    stage.until_parked(readers=1)

    def want() -> None:
        while True:
            try:
                desc.wait(READ)
            except BusyError:
                stage.sleep(0.001)

    wanting = [stage.spawn(want) for _ in range(4)]
    stage.stays_blocked(holder, *wanting, seconds=0.02)
    desc.close()
    for task in (holder, *wanting):
        task.raises(ClosedError)


@pytest.mark.rule(9, 17)
def test_mutex_panic(stage: Stage, sockets: Sockets, mode: int) -> None:
    """Where Go panics, a call without its counterpart is an error or nothing; all still works."""
    desc, make_ready = blocked(stage.open, sockets, mode)
    for _ in range(2):
        assert desc.cancel(mode) is False
        _in_vain(desc, mode)
    assert desc.park(mode, "token") is True
    assert desc.cancel(mode) is True
    assert desc.cancel(mode) is False
    _in_vain(desc, mode)
    waiter = stage.spawn(desc.wait, mode)
    stage.stays_blocked(waiter, seconds=0.01)
    make_ready()
    waiter.result()


def _in_vain(desc: PollDesc, mode: int) -> None:
    try:
        assert desc.resume(mode) is False
    except (PollError, RuntimeError):
        pass


@pytest.mark.rule(17)
def test_mutex_overflow(stage: Stage, sockets: Sockets) -> None:
    """Go's count of users can overflow; whatever counts here is given back by every call."""
    desc = stage.open(sockets.pair()[0])
    for _ in range(50_000):
        desc.reset(READ)
        desc.set_deadline(None)
    stage.wait(desc, WRITE)


@pytest.mark.rule(2, 17)
def test_mutex_stress(stage: Stage, sockets: Sockets) -> None:
    """Six users at random on both modes: one waits, the others are busy; none is lost."""
    a, _ = sockets.pair()
    fill(a.fileno())
    contend(stage, stage.open(a), 0.6, [1e-5, 5e-4, 1e-3])
