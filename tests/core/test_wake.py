"""wake() ends the poll in progress or the next one that blocks; none is lost and many are one."""

from __future__ import annotations

import random
import threading
import time

import pytest
from netpoll import READ, ClosedError, Poller
from support import LONG, Sockets, Stage, never_early, read_some, turns


@pytest.mark.rule(17)
def test_a_wake_ends_a_poll_in_progress(threads: Stage) -> None:
    polling = threads.spawn(threads.poller.poll, None)
    threads.stays_blocked(polling)
    threads.poller.wake()
    assert polling.result() == []


@pytest.mark.rule(17)
def test_a_wake_before_the_poll_is_not_lost(threads: Stage) -> None:
    for timeout in (None, LONG * 4):
        threads.poller.wake()
        assert threads.spawn(threads.poller.poll, timeout).result() == []


@pytest.mark.rule(17)
def test_thousands_of_wakes_are_one(threads: Stage) -> None:
    poller = threads.poller
    for _ in range(10_000):
        poller.wake()
    assert threads.spawn(poller.poll, None).result() == []
    with never_early(0.05):
        assert poller.poll(0.05) == []


@pytest.mark.rule(17)
def test_a_poll_that_does_not_block_leaves_the_wake_for_one_that_does(threads: Stage) -> None:
    poller = threads.poller
    poller.wake()
    for _ in range(10):
        assert poller.poll(0) == []
    assert threads.spawn(poller.poll, None).result() == []


@pytest.mark.rule(12, 17)
def test_a_wake_reaches_the_sleeper_whoever_looks_with_poll_0(threads: Stage) -> None:
    poller, stop = threads.poller, threading.Event()

    def look() -> None:
        while not stop.is_set():
            assert poller.poll(0) == []

    looking = threads.spawn(look)
    for _ in range(turns(100)):
        sleeping = threads.spawn(poller.poll, None)
        threads.sleep(0.001)
        poller.wake()
        assert sleeping.result() == []
    stop.set()
    looking.result()


@pytest.mark.rule(12, 17)
def test_a_wake_is_not_swallowed_by_a_thread_that_drives(threads: Stage, sockets: Sockets) -> None:
    """A waiter that has the turn sleeps in the same kernel object; the wake-up was not for it."""
    a, b = sockets.pair()
    poller, desc = threads.poller, threads.open(a)
    waiter = threads.spawn(read_some, desc)
    threads.until_parked(readers=1)
    poller.wake()
    threads.stays_blocked(waiter)
    assert threads.spawn(poller.poll, None).result() == []
    b.send(b"x")
    assert waiter.result() == b"x"


@pytest.mark.rule(17)
def test_wakes_disturb_no_waiter(stage: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    waiter = stage.spawn(read_some, stage.open(a))
    stage.until_parked(readers=1)
    for _ in range(100):
        stage.poller.wake()
    stage.stays_blocked(waiter)
    b.send(b"x")
    assert waiter.result() == b"x"


@pytest.mark.rule(17)
def test_no_wake_is_lost_between_two_polls(threads: Stage) -> None:
    """A producer raises a number and wakes; the consumer must always come to see the last one."""
    poller = threads.poller
    produced, seen, rounds = 0, 0, 3000

    def consume() -> None:
        nonlocal seen
        while seen < rounds:
            poller.poll(None)
            seen = produced

    consumer = threads.spawn(consume)
    chance = random.Random(1)
    for _ in range(rounds):
        produced += 1
        poller.wake()
        if chance.random() < 0.2:
            threads.until(lambda last=produced: seen >= last, "the consumer sees the last number")
    consumer.result()


@pytest.mark.rule(17)
def test_wakes_from_many_threads_are_counted_as_wakeups(threads: Stage) -> None:
    poller = threads.poller
    before = poller.stats().wakeups
    polling = threads.spawn(poller.poll, None)
    threads.stays_blocked(polling, seconds=0.01)
    wakers = [threads.spawn(lambda: [poller.wake() for _ in range(100)]) for _ in range(4)]
    for waker in wakers:
        waker.result()
    polling.result()
    assert before < poller.stats().wakeups <= before + 400


@pytest.mark.rule(9)
def test_a_wake_after_close_does_nothing(poller: Poller) -> None:
    poller.close()
    try:
        poller.wake()
    except ClosedError:
        pass


@pytest.mark.rule(5)
@pytest.mark.parametrize("timeout", [1e-9, 1e-6, 0.0011, 0.03])
def test_a_poll_is_not_early(poller: Poller, timeout: float) -> None:
    """It may return early with a reason; here there is none."""
    with never_early(timeout):
        assert poller.poll(timeout) == []


@pytest.mark.rule(16)
def test_a_poll_that_does_not_block_is_quick(poller: Poller) -> None:
    start = time.monotonic()
    for _ in range(100):
        assert poller.poll(0) == []
        assert poller.poll() == []
    assert time.monotonic() - start < LONG


@pytest.mark.rule(1)
def test_a_poll_without_waiters_remembers_what_it_saw(poller: Poller, sockets: Sockets) -> None:
    a, b = sockets.pair()
    with poller.open(a) as desc:
        b.send(b"x")
        assert poller.poll(0) == []
        desc.set_deadline(LONG)
        desc.wait(READ)
