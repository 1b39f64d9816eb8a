"""Kernel events and timers of a descriptor that is gone never reach the next one in its slot."""

from __future__ import annotations

import os
import random
import socket
import threading
import time

import pytest
from netpoll import READ, WRITE, ClosedError, PollDesc, Poller
from support import (
    LONG,
    Sockets,
    Stage,
    fill,
    needs_pipe,
    no_tokens,
    not_on_libkqueue,
    read_some,
    take_tokens,
)


@not_on_libkqueue("reports a number that was closed")
@pytest.mark.rule(10)
def test_an_event_of_a_registration_that_outlives_its_descriptor_wakes_nobody(
    threads: Stage, sockets: Sockets
) -> None:
    """A duplicate keeps the kernel's registration alive when the number was closed behind our back.

    On epoll nothing can remove it then: its events keep coming, with the old tag.  The next
    descriptor takes the same slot of the poll cache, and a token parked there must stay parked.
    """
    poller = threads.poller
    a, b = sockets.pair()
    old = threads.open(a)
    duplicate = sockets.keep(a.dup())
    a.close()
    old.close()
    del old
    c, d = sockets.pair()
    desc = threads.open(c)
    desc.reset(READ)
    assert desc.park(READ, "new")
    stale = poller.stats().stale_events
    for _ in range(10):
        b.send(b"x")
        no_tokens(poller, 0.005)
    assert duplicate.recv(100) == b"x" * 10
    if poller.backend == "epoll":
        assert poller.stats().stale_events > stale
    d.send(b"y")
    assert take_tokens(poller, 1) == ["new"]


@not_on_libkqueue("reports a number that was closed")
@pytest.mark.rule(10)
def test_a_thread_is_not_woken_by_such_an_event_either(stage: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    old = stage.open(a)
    sockets.keep(a.dup())
    a.close()
    old.close()
    del old
    c, d = sockets.pair()
    desc = stage.open(c)
    waiter = stage.spawn(desc.wait, READ)
    stage.until_parked(readers=1)
    for _ in range(10):
        b.send(b"x")
        stage.stays_blocked(waiter, seconds=0.005)
    d.send(b"y")
    waiter.result()


@not_on_libkqueue("reports a number that was closed")
@needs_pipe
@pytest.mark.rule(10)
def test_an_error_event_of_such_a_registration_is_not_believed(
    threads: Stage, sockets: Sockets
) -> None:
    """EPOLLERR with an old tag must not mark the slot's new owner as broken."""
    r, w = sockets.pipe()
    fill(w)
    old = threads.open(w)
    sockets.keep_fd(os.dup(w))
    os.close(w)
    old.close()
    del old
    c, d = sockets.pair()
    desc = threads.open(c)
    os.close(r)  # EPOLLERR for the duplicate
    assert desc.park(READ, "new")
    no_tokens(threads.poller)
    desc.reset(WRITE)
    d.send(b"x")
    assert take_tokens(threads.poller, 1) == ["new"]
    assert desc.resume(READ) is True
    desc.reset(READ)


@pytest.mark.rule(3, 10)
def test_a_timer_of_a_closed_descriptor_does_not_fire_on_the_next(
    stage: Stage, sockets: Sockets
) -> None:
    a, b = sockets.pair()
    for _ in range(20):
        old = stage.poller.open(a)
        old.set_deadline(0.02)
        old.close()
        del old
    desc = stage.open(a)
    waiter = stage.spawn(read_some, desc)
    stage.stays_blocked(waiter, seconds=0.1)
    assert desc.deadline(READ) is None
    b.send(b"x")
    assert waiter.result() == b"x"


@pytest.mark.rule(3, 10)
def test_an_expired_deadline_of_a_closed_descriptor_does_not_stay_with_the_slot(
    stage: Stage, sockets: Sockets
) -> None:
    a, b = sockets.pair()
    old = stage.poller.open(a)
    old.set_deadline(-1)
    old.close()
    del old
    desc = stage.open(a)
    desc.reset(READ)
    desc.reset(WRITE)
    assert desc.deadline(READ) is None and desc.deadline(WRITE) is None
    waiter = stage.spawn(read_some, desc)
    stage.stays_blocked(waiter, seconds=0.01)
    b.send(b"x")
    waiter.result()


@pytest.mark.rule(1, 10)
def test_a_notification_of_a_closed_descriptor_does_not_stay_with_the_slot(
    stage: Stage, sockets: Sockets
) -> None:
    a, b = sockets.pair()
    c, d = sockets.pair()
    for _ in range(20):
        old = stage.poller.open(a)
        b.send(b"x")
        stage.settle()
        old.close()
        a.recv(1)
        del old
        desc = stage.poller.open(c)
        waiter = stage.spawn(read_some, desc)
        stage.stays_blocked(waiter, seconds=0.002)
        d.send(b"y")
        assert waiter.result() == b"y"
        desc.close()


@pytest.mark.rule(8, 10)
def test_a_slot_is_not_reused_while_a_waiter_is_still_leaving_it(
    stage: Stage, sockets: Sockets
) -> None:
    """Close wakes the waiter, which may run much later; meanwhile others open."""
    pairs = [sockets.pair() for _ in range(10)]
    for _ in range(20):
        olds = [stage.poller.open(a) for a, _ in pairs]
        waiters = [stage.spawn(old.wait, READ) for old in olds]
        stage.until_parked(readers=len(pairs))
        for old in olds:
            old.close()
        news = [stage.poller.open(a) for a, _ in pairs]
        readers = [stage.spawn(read_some, new) for new in news]
        for waiter in waiters:
            waiter.raises(ClosedError)
        stage.until_parked(readers=len(pairs))
        for i, (_, b) in enumerate(pairs):
            b.send(b"%d" % i)
        assert [reader.result() for reader in readers] == [b"%d" % i for i in range(len(pairs))]
        for new in news:
            new.close()


@pytest.mark.rule(9, 10, 17)
def test_a_storm_of_opens_and_closes_beside_idle_waiters(stage: Stage, sockets: Sockets) -> None:
    """Numbers and slots are reused at once, with events on their way; not one false wake-up."""
    idle_pairs = [sockets.pair() for _ in range(8)]
    idle = [stage.spawn(stage.open(a).wait, READ) for a, _ in idle_pairs]
    stage.until_parked(readers=len(idle))
    end = time.monotonic() + 1
    counts = [stage.thread(_storm, stage.poller, seed, end) for seed in range(3)]
    counts += [stage.spawn(_storm, stage.poller, 10 + seed, end) for seed in range(2)]
    rounds = [count.result(30) for count in counts]
    assert not any(waiter.done for waiter in idle), "a false wake-up"
    assert sum(rounds) > 50
    for waiter, (_, b) in zip(idle, idle_pairs, strict=True):
        b.send(b"x")
        waiter.result()


def _storm(poller: Poller, seed: int, end: float) -> int:
    """Open, get events going, close at a random point; every wake-up must be for one's own data."""
    chance, rounds = random.Random(seed), 0
    while time.monotonic() < end:
        a, b = socket.socketpair()
        with a, b:
            a.setblocking(False)
            desc: PollDesc = poller.open(a)
            if chance.random() < 0.5:
                desc.set_deadline(chance.choice([1e-6, 1e-4, 100]))
            if chance.random() < 0.7:
                b.send(b"%d" % rounds)
            if chance.random() < 0.5:
                desc.set_deadline(LONG)
                b.send(b"!")
                desc.wait(READ)
                assert a.recv(100).endswith(b"!")
            if chance.random() < 0.5:
                desc.close()
            a.close()
            desc.close()
        rounds += 1
    return rounds


@pytest.mark.rule(10, 17)
def test_a_storm_of_closes_while_a_poll_distributes(threads: Stage, sockets: Sockets) -> None:
    """Batches of events are under way in one thread while another closes their owners."""
    poller, stop = threads.poller, threading.Event()
    out: list[object] = []

    def poll_on() -> None:
        while not stop.is_set():
            out.extend(poller.poll(None))

    polling = threads.spawn(poll_on)
    pairs = [sockets.pair() for _ in range(40)]
    quiet = threads.open(sockets.pair()[0])
    assert quiet.park(READ, "quiet")
    parked = 0
    end = time.monotonic() + 1
    while time.monotonic() < end:
        descs = [poller.open(a) for a, _ in pairs]
        for desc in descs:
            parked += desc.park(READ, parked)
        for _, b in pairs:
            b.send(b"x")
        for desc in descs:
            desc.close()
        for a, _ in pairs:
            a.recv(10)
    threads.until(lambda: len(out) == parked, "every parked token came out")
    assert quiet.cancel(READ) is True
    stop.set()
    poller.wake()
    polling.result()
    assert sorted(map(str, out)) == sorted(map(str, range(parked)))
