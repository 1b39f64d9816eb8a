"""No background thread: parked threads drive their poller in turn, and nobody is left stranded."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Callable

import netpoll
import pytest
from netpoll import READ, ClosedError, DeadlineExceeded, PollDesc
from support import (
    LONG,
    PAUSE,
    Sockets,
    Stage,
    ThreadTask,
    needs_linux,
    park_surely,
    read_exactly,
    read_some,
    take_tokens,
    until,
)

#: How a waiter that has the turn may leave: (what ends its wait, the error that it gets).
WAYS_TO_LEAVE: dict[
    str, tuple[Callable[[PollDesc, socket.socket], object], type[BaseException] | None]
] = {
    "ready": (lambda desc, peer: peer.send(b"x"), None),
    "deadline that passes": (lambda desc, peer: desc.set_deadline(0.01), DeadlineExceeded),
    "deadline in the past": (lambda desc, peer: desc.set_deadline(0), DeadlineExceeded),
    "unblock": (lambda desc, peer: desc.unblock(), ClosedError),
    "close": (lambda desc, peer: desc.close(), ClosedError),
}


@pytest.mark.rule(12)
@pytest.mark.parametrize("way", WAYS_TO_LEAVE)
def test_when_the_first_waiter_leaves_the_others_are_still_served(
    stage: Stage, sockets: Sockets, way: str
) -> None:
    leave, error = WAYS_TO_LEAVE[way]
    pairs = [sockets.pair() for _ in range(4)]
    descs = [stage.open(a) for a, _ in pairs]
    waiters = []
    for i, desc in enumerate(descs):  # one after another, so that the first has the turn
        waiters.append(stage.spawn(desc.wait, READ))
        stage.until_parked(readers=i + 1)
    for desc, waiter, (_, b) in zip(descs[:-1], waiters, pairs, strict=False):
        leave(desc, b)
        if error is None:
            waiter.result()
        else:
            waiter.raises(error)
    stage.stays_blocked(waiters[-1])
    pairs[-1][1].send(b"x")
    waiters[-1].result()


@pytest.mark.rule(12, 17)
def test_waiters_wake_in_any_order_each_for_its_own_descriptor(
    stage: Stage, sockets: Sockets
) -> None:
    order = random.Random(12)
    pairs = [sockets.pair() for _ in range(10)]
    descs = [stage.open(a) for a, _ in pairs]
    for _ in range(10):
        waiters = [stage.spawn(read_some, desc) for desc in descs]
        stage.until_parked(readers=len(descs))
        turns = list(range(len(descs)))
        order.shuffle(turns)
        for done, i in enumerate(turns):
            pairs[i][1].send(b"%d" % i)
            assert waiters[i].result() == b"%d" % i
            assert sum(waiter.done for waiter in waiters) == done + 1


@pytest.mark.rule(12)
def test_a_poll_that_returns_leaves_its_turn_to_a_waiter(threads: Stage, sockets: Sockets) -> None:
    """The thread in poll() slept first and had the turn; afterwards it never comes back."""
    a, b = sockets.pair()
    desc = threads.open(a)
    polling = threads.spawn(threads.poller.poll, None)
    threads.sleep(0.02)
    waiter = threads.spawn(read_some, desc)
    threads.until_parked(readers=1)
    threads.poller.wake()
    assert polling.result() == []
    threads.stays_blocked(waiter)
    b.send(b"x")
    assert waiter.result() == b"x"


@pytest.mark.rule(12)
def test_a_poll_wakes_parked_threads_itself(threads: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    poller, desc = threads.poller, threads.open(a)
    done = threading.Event()

    def poll_until_done() -> None:
        while not done.is_set():
            assert poller.poll(None) == []

    polling = threads.spawn(poll_until_done)
    for _ in range(100):
        waiter = threads.spawn(read_some, desc)
        threads.until_parked(readers=1)
        b.send(b"x")
        assert waiter.result() == b"x"
    done.set()
    poller.wake()
    polling.result()


@pytest.mark.rule(12)
def test_a_poll_beside_a_driving_waiter_times_out(threads: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    waiter = threads.spawn(read_some, threads.open(a))
    threads.until_parked(readers=1)
    for _ in range(5):
        assert threads.spawn(threads.poller.poll, 0.01).result() == []
    threads.stays_blocked(waiter)
    b.send(b"x")
    assert waiter.result() == b"x"


@pytest.mark.rule(12)
def test_a_poll_beside_a_driving_waiter_gets_its_tokens(threads: Stage, sockets: Sockets) -> None:
    (a, b), (c, d) = sockets.pair(), sockets.pair()
    mine, theirs = threads.open(a), threads.open(c)
    waiter = threads.spawn(read_some, theirs)
    threads.until_parked(readers=1)
    for i in range(100):
        park_surely(mine, READ, i)
        polling = threads.spawn(take_tokens, threads.poller, 1)
        b.send(b"x")
        assert polling.result() == [i]
        assert mine.resume(READ)
        a.recv(10)
    assert not waiter.done
    d.send(b"x")
    assert waiter.result() == b"x"


@needs_linux
@pytest.mark.rule(12)
def test_there_is_no_background_thread(stage: Stage, sockets: Sockets) -> None:
    def unknown_to_python() -> set[str]:
        known = {str(thread.native_id) for thread in threading.enumerate()}
        return set(os.listdir("/proc/self/task")) - known

    before = unknown_to_python()  # the watchdog's
    a, b = sockets.pair()
    desc = stage.open(a)
    desc.set_deadline(LONG)
    waiter = stage.spawn(desc.wait, READ)
    stage.until_parked(readers=1)
    # a Python thread that ends is unknown to Python a moment before it is gone
    stage.until(lambda: unknown_to_python() <= before, "no thread but those of Python")
    b.send(b"x")
    waiter.result()


@pytest.mark.rule(11, 12)
def test_a_busy_hub_strands_no_thread_that_waits_on_its_poller(
    greenlets: Stage, sockets: Sockets
) -> None:
    a, b = sockets.pair()
    desc = greenlets.open(a)
    greenlets.sleep(0.01)  # the hub has driven its poller

    def play() -> None:
        waiter = ThreadTask("the waiter", read_some, (desc,))
        until(lambda: desc.poller.stats().parked_readers == 1, "parked")
        time.sleep(PAUSE)
        b.send(b"x")
        assert waiter.result() == b"x"
        desc.set_deadline(0.01)
        ThreadTask("the waiter", desc.wait, (READ,)).raises(DeadlineExceeded)

    outside = ThreadTask("the outside", play, ())
    outside.result()  # blocks the hub's whole thread: nobody but the waiter can drive


@pytest.mark.rule(11, 12)
def test_a_hub_that_is_gone_strands_no_thread_that_waits_on_its_poller(
    threads: Stage, greenlets: Stage, sockets: Sockets
) -> None:
    """Served by itself or ended with ClosedError: anything but stranded."""
    a, b = sockets.pair()
    opened: list[PollDesc] = []
    waiting = threading.Event()

    def hub() -> None:
        opened.append(greenlets.poller.open(a))
        greenlets.until(waiting.is_set, "the thread waits")

    hub_thread = threads.spawn(greenlets.perform, hub)
    threads.until(lambda: opened, "the hub runs")
    (desc,) = opened
    waiter = threads.spawn(read_some, desc)
    threads.until_parked(readers=1, poller=desc.poller)
    waiting.set()
    hub_thread.result()
    b.send(b"x")
    waiter.join(LONG)
    assert waiter.done, "stranded"
    try:
        assert waiter.result() == b"x"
    except ClosedError:
        assert desc.closed
    finally:
        desc.close()


@pytest.mark.rule(12, 17)
def test_a_crowd_that_comes_and_goes_is_always_served(stage: Stage, sockets: Sockets) -> None:
    """Waiters leave by data and by deadline in a random order while others arrive."""
    pairs = [sockets.pair() for _ in range(8)]
    descs = [stage.open(a) for a, _ in pairs]
    rounds = 40
    seen = [0] * len(pairs)

    def wait_often(i: int) -> None:
        chance = random.Random(i)
        while seen[i] < rounds:
            descs[i].set_deadline(chance.choice([0.0005, 0.002, None]))
            try:
                read_exactly(descs[i], 1)
            except DeadlineExceeded:
                continue
            seen[i] += 1

    waiters = [stage.spawn(wait_often, i) for i in range(len(pairs))]
    chance = random.Random(99)
    for _ in range(rounds):
        for i in chance.sample(range(len(pairs)), len(pairs)):
            pairs[i][1].send(b"x")
            if chance.random() < 0.3:
                stage.sleep(0.001)
    for waiter in waiters:
        waiter.result()
    assert seen == [rounds] * len(pairs)


@pytest.mark.rule(12, 17)
def test_a_thread_on_a_hubs_poller_is_not_stranded_while_the_hub_sleeps(
    greenlets: Stage, sockets: Sockets
) -> None:
    """The hub's first look at the kernel may drain the wake-up that was meant for the thread."""
    for _ in range(8):
        a, b = sockets.pair()
        with netpoll.open(a) as desc:
            desc.reset(READ)
            waiter = greenlets.thread(desc.wait, READ)
            greenlets.until_parked(readers=1, poller=desc.poller)
            greenlets.sleep(0.005)
            b.send(b"x")
            greenlets.sleep(0.3)
            assert waiter.done, "the thread slept as long as the hub did"
            waiter.result()
