"""Many descriptors, many waiters, more ready events than one batch, and counters that add up."""

from __future__ import annotations

import random

import pytest
from netpoll import READ, WRITE, DeadlineExceeded, Poller
from support import Sockets, Stage, fill, read_some


@pytest.mark.rule(12, 17)
def test_many_waiters_all_ready_at_once(stage: Stage, sockets: Sockets) -> None:
    """Several batches of events at the same moment, for actors who all sleep."""
    count = 150 if stage.kind == "threads" else 1000
    pairs = [sockets.pair() for _ in range(count)]
    readers = [stage.spawn(read_some, stage.open(a)) for a, _ in pairs]
    stage.until_parked(readers=count)
    for i, (_, b) in enumerate(pairs):
        b.send(b"%d" % i)
    for i, reader in enumerate(readers):
        assert reader.result() == b"%d" % i
    stage.until_parked(0, 0)


@pytest.mark.rule(5, 12, 17)
def test_many_deadlines_at_the_same_moment(stage: Stage, sockets: Sockets) -> None:
    count = 100 if stage.kind == "threads" else 600
    descs = [stage.open(sockets.pair()[0]) for _ in range(count)]
    waiters = [stage.spawn(desc.wait, READ) for desc in descs]
    stage.until_parked(readers=count)
    for desc in descs:
        desc.set_deadline(0.05)
    for waiter in waiters:
        waiter.raises(DeadlineExceeded)


@pytest.mark.rule(8, 17)
def test_many_descriptors_open_and_close(poller: Poller, sockets: Sockets) -> None:
    """More than one block of the poll cache, closed in another order and opened again."""
    pairs = [sockets.pair() for _ in range(800)]
    for seed in range(3):
        descs = [poller.open(a) for a, _ in pairs]
        assert poller.stats().open == len(descs)
        random.Random(seed).shuffle(descs)
        for desc in descs:
            desc.close()
        assert poller.stats().open == 0


@pytest.mark.rule(12, 17)
def test_idle_descriptors_do_not_hide_the_busy_one(stage: Stage, sockets: Sockets) -> None:
    for _ in range(500):
        stage.open(sockets.pair()[0])
    a, b = sockets.pair()
    desc = stage.open(a)
    for i in range(20):
        reader = stage.spawn(read_some, desc)
        b.send(b"%d" % i)
        assert reader.result() == b"%d" % i


@pytest.mark.rule(17)
def test_waiters_with_their_descriptors_on_several_pollers(stage: Stage, sockets: Sockets) -> None:
    pollers = [stage.poller, *(stage.new_poller() for _ in range(4))]
    pairs = [sockets.pair() for _ in range(50)]
    readers = [
        stage.spawn(read_some, stage.open(a, pollers[i % 5])) for i, (a, _) in enumerate(pairs)
    ]
    for poller in pollers:
        stage.until_parked(readers=10, poller=poller)
    for i, (_, b) in enumerate(pairs):
        b.send(b"%d" % i)
    assert [reader.result() for reader in readers] == [b"%d" % i for i in range(50)]


@pytest.mark.rule(17)
def test_counters_add_up(threads: Stage, sockets: Sockets) -> None:
    poller = threads.poller
    start = poller.stats()
    assert (start.open, start.parked_readers, start.parked_writers) == (0, 0, 0)
    a, b = sockets.pair()
    fill(a.fileno())
    desc = threads.open(a)
    assert poller.stats().open == 1
    desc.park(READ, "r")
    desc.park(WRITE, "w")
    stats = poller.stats()
    assert (stats.parked_readers, stats.parked_writers) == (1, 1)
    b.send(b"x")
    threads.until(lambda: poller.poll(0.1) == ["r"], "the reader's token")
    stats = poller.stats()
    assert stats.events > start.events and stats.polls > start.polls
    assert (stats.parked_readers, stats.parked_writers) == (0, 1)
    desc.cancel(WRITE)
    assert poller.stats().parked_writers == 0
    desc.set_deadline(0.001)
    threads.until(
        lambda: poller.poll(0.01) == [] and poller.stats().deadlines_fired, "the deadline fires"
    )
    assert poller.stats().deadlines_fired == start.deadlines_fired + 1
    desc.close()
    assert poller.stats().open == 0
