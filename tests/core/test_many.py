"""Many descriptors, many waiters, more ready events than one batch, and counters that add up."""

from __future__ import annotations

import random
import time

import pytest
from netpoll import READ, WRITE, DeadlineExceeded, Poller
from support import Sockets, Stage, fill, not_on_libkqueue, read_some, take_tokens


@not_on_libkqueue("loses events when more than half a batch is ready")
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


@pytest.mark.rule(3, 4, 5, 17)
def test_many_deadlines_moved_at_random_fire_each_at_its_last_instant(
    poller: Poller, sockets: Sockets
) -> None:
    """The heap in a storm: moved to and fro, cleared, closed; what is left fires, and not early."""
    chance = random.Random(300)
    descs = {i: poller.open(sockets.pair()[0]) for i in range(300)}
    last: dict[int, int] = {}
    for _ in range(6000):
        i = chance.choice(list(descs))
        timeout = chance.choice([None, 1000, chance.uniform(0.2, 0.6), chance.uniform(0.2, 0.6)])
        before = time.monotonic_ns()
        descs[i].set_deadline(timeout)
        last.pop(i, None)
        if timeout is not None and timeout < 1000:
            last[i] = before + int(timeout * 1e9)
        if chance.random() < 0.005:
            descs.pop(i).close()
            last.pop(i, None)
    parked = set()
    for i, desc in descs.items():
        try:
            parked.add(i) if desc.park(READ, i) else None
        except DeadlineExceeded:
            assert time.monotonic_ns() >= last.pop(i)
    assert len(last) > 50
    while last:
        for i in take_tokens(poller, 1):
            assert time.monotonic_ns() >= last.pop(i), "early, or not to fire at all"
            parked.remove(i)
    assert poller.poll(0.01) == []
    assert all(descs[i].cancel(READ) for i in parked)
    poller.close()
