"""A descriptor may be waited on from any thread or greenlet, whichever poller it was opened on."""

from __future__ import annotations

import gc
import threading
import time

import netpoll
import pytest
from netpoll import READ, BusyError, ClosedError, DeadlineExceeded, PollDesc
from support import (
    LONG,
    GreenStage,
    Sockets,
    Stage,
    ThreadTask,
    blocked,
    never_early,
    read_exactly,
    read_some,
    until,
    write_all,
)

pytestmark = pytest.mark.rule(11)


@pytest.fixture(
    params=["a poller that nobody drives", "the default poller", "the poller of another hub"]
)
def foreign(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class ForeignPoller:
    """A poller that is not the waiting greenlet's own."""

    def __init__(self, stage: Stage, which: str) -> None:
        self._leave = threading.Event()
        self._hub: ThreadTask[None] | None = None
        if which == "a poller that nobody drives":
            self.poller = stage.new_poller()
        elif which == "the default poller":
            self.poller = netpoll.default_poller()
        else:
            found: list[netpoll.Poller] = []
            self._hub = ThreadTask(
                "the other hub", GreenStage(stage.backend).perform, (lambda: self._play(found),)
            )
            stage.until(lambda: found, "the other hub runs")
            (self.poller,) = found

    def _play(self, found: list[netpoll.Poller]) -> None:
        from netpoll import green

        found.append(green.get_hub().poller)
        while not self._leave.is_set():
            green.sleep(0.002)

    def __enter__(self) -> netpoll.Poller:
        return self.poller

    def __exit__(self, *_: object) -> None:
        self._leave.set()
        if self._hub is not None:
            self._hub.result()


def test_a_greenlet_waits_on_a_foreign_poller(
    greenlets: Stage, sockets: Sockets, mode: int, foreign: str
) -> None:
    with ForeignPoller(greenlets, foreign) as poller:
        desc, make_ready = blocked(lambda sock: greenlets.open(sock, poller), sockets, mode)
        for _ in range(3 if mode == READ else 1):  # once drained it stays writable
            desc.reset(mode)
            waiter = greenlets.spawn(desc.wait, mode)
            greenlets.sleep(0.002)
            make_ready()
            waiter.result()
        desc.close()


def test_deadlines_of_a_foreign_poller_reach_the_greenlet(
    greenlets: Stage, sockets: Sockets, foreign: str
) -> None:
    with ForeignPoller(greenlets, foreign) as poller:
        desc = greenlets.open(sockets.pair()[0], poller)
        for timeout in (0.02, 0.001, 1e-9):
            waiter = greenlets.spawn(desc.wait, READ)
            with never_early(timeout):
                desc.set_deadline(timeout)
                waiter.raises(DeadlineExceeded)
            desc.set_deadline(None)
        desc.close()


def test_a_foreign_poller_that_closes_ends_the_greenlets_wait(
    greenlets: Stage, sockets: Sockets
) -> None:
    poller = greenlets.new_poller()
    waiters = [
        greenlets.spawn(greenlets.open(sockets.pair()[0], poller).wait, READ) for _ in range(3)
    ]
    greenlets.until_parked(readers=3, poller=poller)
    greenlets.thread(poller.close).result()
    for waiter in waiters:
        waiter.raises(ClosedError)


def test_a_descriptor_of_a_foreign_poller_may_be_closed_under_the_greenlet(
    greenlets: Stage, sockets: Sockets, foreign: str
) -> None:
    with ForeignPoller(greenlets, foreign) as poller:
        for end in (PollDesc.close, PollDesc.unblock):
            desc = greenlets.open(sockets.pair()[0], poller)
            waiter = greenlets.spawn(desc.wait, READ)
            greenlets.sleep(0.005)
            greenlets.thread(end, desc).result()
            waiter.raises(ClosedError)
            desc.close()


@pytest.mark.rule(12)
def test_greenlets_and_threads_wait_on_one_poller(greenlets: Stage, sockets: Sockets) -> None:
    """Threads drive a poller while greenlets of a hub wait on it, too; each gets its own."""
    poller = greenlets.new_poller()
    pairs = [sockets.pair() for _ in range(8)]
    for round_ in range(10):
        descs = [poller.open(a) for a, _ in pairs]
        actors = [
            (greenlets.thread if i % 2 else greenlets.spawn)(read_some, desc)
            for i, desc in enumerate(descs)
        ]
        greenlets.until_parked(readers=len(pairs), poller=poller)
        order = range(len(pairs)) if round_ % 2 else reversed(range(len(pairs)))
        for i in order:
            pairs[i][1].send(b"%d" % i)
            assert actors[i].result() == b"%d" % i
        for desc in descs:
            desc.close()


@pytest.mark.rule(12)
def test_a_poll_of_another_thread_does_not_keep_a_greenlets_token(
    greenlets: Stage, sockets: Sockets
) -> None:
    """A greenlet's token may come out of a poll() that somebody else called: it is passed on."""
    a, b = sockets.pair()
    poller = greenlets.new_poller()
    desc = greenlets.open(a, poller)
    stop = threading.Event()

    def poll_on() -> list[object]:
        out: list[object] = []
        while not stop.is_set():
            out += poller.poll(0.05)
        return out

    polling = greenlets.thread(poll_on)
    for i in range(50):
        reader = greenlets.spawn(read_some, desc)
        greenlets.sleep(0.001 * (i % 3))
        b.send(b"%d" % i)
        assert reader.result() == b"%d" % i
    stop.set()
    poller.wake()
    assert polling.result() == [], "a greenlet's token came out for somebody else"


@pytest.mark.rule(12)
def test_a_hub_that_looks_after_a_foreign_poller_leaves_others_their_tokens(
    greenlets: Stage, sockets: Sockets
) -> None:
    """A scheduler in another thread parks its own tokens on the same poller."""
    poller = greenlets.new_poller()
    (a, b), (c, d) = sockets.pair(), sockets.pair()
    reader = greenlets.spawn(read_some, greenlets.open(a, poller))
    greenlets.until_parked(readers=1, poller=poller)

    def schedule() -> None:
        with poller.open(c) as desc:
            for i in range(20):
                desc.reset(READ)
                while not desc.park(READ, i):
                    pass
                d.send(b"x")
                out: list[object] = []
                end = time.monotonic() + LONG
                while not out:
                    assert time.monotonic() < end, f"token {i} is lost"
                    out = poller.poll(1)
                assert out == [i]
                assert desc.resume(READ)
                c.recv(10)

    greenlets.thread(schedule).result()
    assert not reader.done
    b.send(b"x")
    assert reader.result() == b"x"


def test_hubs_of_two_threads_talk_to_each_other(greenlets: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()

    def other_hub() -> None:
        desc = netpoll.open(b)
        try:
            while data := read_some(desc):
                write_all(desc, data)
        finally:
            desc.close()

    echoing = greenlets.thread(GreenStage(greenlets.backend).perform, other_hub)
    mine = greenlets.open(a)
    for i in range(200):
        write_all(mine, b"%04d" % i)
        assert read_exactly(mine, 4) == b"%04d" % i
    a.shutdown(1)
    echoing.result()


def test_a_thread_and_a_greenlet_are_rivals_for_one_mode(
    greenlets: Stage, sockets: Sockets
) -> None:
    a, b = sockets.pair()
    desc = greenlets.open(a)
    waiter = greenlets.spawn(desc.wait, READ)
    greenlets.until_parked(readers=1)
    greenlets.thread(desc.wait, READ).raises(BusyError)
    b.send(b"x")
    waiter.result()
    thread = greenlets.thread(desc.wait_canceled, READ)
    greenlets.settle()
    until(
        lambda: thread.done or desc.poller.stats().parked_readers == 1,
        "the thread waits",
        sleep=greenlets.sleep,
    )
    if not thread.done:
        greenlets.spawn(desc.wait, READ).raises(BusyError)
        b.send(b"y")
    thread.result()


def test_a_descriptor_of_a_hub_that_is_gone_is_closed(
    greenlets: Stage, threads: Stage, sockets: Sockets
) -> None:
    """The first stage performs: its hub's thread ends while the test still holds the handle."""
    kept: list[PollDesc] = []

    def hub() -> None:
        kept.append(netpoll.open(sockets.pair()[0]))

    greenlets.thread(GreenStage(threads.backend).perform, hub).result()
    (desc,) = kept
    greenlets.until(
        lambda: (gc.collect(), desc.closed)[1], "the poller closed with its hub's thread"
    )
    with pytest.raises(ClosedError):
        desc.reset(READ)
    desc.close()


def test_a_wait_in_a_thread_without_a_hub_blocks_only_that_thread(
    greenlets: Stage, sockets: Sockets
) -> None:
    a, b = sockets.pair()
    desc = greenlets.open(a)
    waiter = greenlets.thread(read_some, desc)
    greenlets.until_parked(readers=1)
    turns = 0
    for _ in range(20):
        greenlets.sleep(0.001)
        turns += 1
    assert turns == 20 and not waiter.done
    b.send(b"x")
    assert waiter.result() == b"x"


@pytest.mark.rule(12)
def test_a_poll_of_the_hubs_own_poller_loses_no_greenlet(
    greenlets: Stage, sockets: Sockets
) -> None:
    """A user may poll it, in the hub's thread or in another: greenlets' tokens are not for him."""
    a, b = sockets.pair()
    desc = greenlets.open(a)
    for i in range(20):
        reader = greenlets.spawn(read_some, desc)
        greenlets.until_parked(readers=1)
        b.send(b"%d" % i)
        if i % 2:
            assert greenlets.poller.poll(0.01) == []
        else:
            assert greenlets.thread(greenlets.poller.poll, 0.01).result() == []
        assert reader.result() == b"%d" % i


@pytest.mark.rule(1)
def test_a_greenlet_is_killed_while_it_waits_on_a_foreign_poller(
    greenlets: Stage, sockets: Sockets, foreign: str
) -> None:
    from netpoll import green

    a, b = sockets.pair()
    with ForeignPoller(greenlets, foreign) as poller:
        desc = greenlets.open(a, poller)
        for i in range(5):
            victim = green.spawn(desc.wait, READ)
            greenlets.sleep(0.002)
            if i % 2:
                b.send(b"x")
            victim.kill()
            victim.join(LONG)
            assert victim.dead
            if not i % 2:
                b.send(b"x")
            assert greenlets.spawn(read_some, desc).result() == b"x"
        desc.close()


def test_a_hub_sleeps_and_wakes_while_it_has_waiters_on_a_foreign_poller(
    greenlets: Stage, sockets: Sockets, foreign: str
) -> None:
    """Its own waiters, sleepers and the newly spawned have their turn meanwhile."""
    (a, b), (c, d) = sockets.pair(), sockets.pair()
    with ForeignPoller(greenlets, foreign) as poller:
        distant = greenlets.open(a, poller)
        far = greenlets.spawn(read_some, distant)
        near = greenlets.spawn(read_some, greenlets.open(c))
        with never_early(0.01):
            greenlets.sleep(0.01)
        assert greenlets.spawn(lambda: "fresh").result() == "fresh"
        d.send(b"near")
        assert near.result() == b"near"
        assert not far.done
        greenlets.thread(b.send, b"far").result()
        assert far.result() == b"far"
        distant.close()
