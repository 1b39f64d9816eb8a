"""Soak, in short: many actors, few descriptors, everything at once, and every wake-up counted."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable

import pytest
from netpoll import READ, WRITE, BusyError, ClosedError, DeadlineExceeded, PollDesc, Poller
from support import LONG, Sockets, Stage, check_python, read_exactly, write_all

SECONDS = 1.0

Pair = tuple[socket.socket, socket.socket]
Call = Callable[[random.Random, Poller, PollDesc, int, Pair], object]


@pytest.mark.rule(8, 9, 17)
def test_conversations_on_ever_new_descriptors_lose_no_message(stage: Stage) -> None:
    """Short conversations, each on a fresh pair whose numbers were another's a moment ago."""
    end = time.monotonic() + SECONDS

    def converse(seed: int) -> int:
        chance, done = random.Random(seed), 0
        while time.monotonic() < end:
            a, b = socket.socketpair()
            with a, b:
                a.setblocking(False)
                b.setblocking(False)
                with stage.poller.open(a) as one, stage.poller.open(b) as two:
                    one.set_deadline(LONG)
                    two.set_deadline(LONG)
                    for i in range(chance.randint(1, 8)):
                        speaker, hearer = (one, two) if i % 2 else (two, one)
                        word = b"%06d" % (seed * 1000 + i)
                        speaking = stage.spawn(write_all, speaker, word)
                        assert read_exactly(hearer, 6) == word
                        speaking.result()
            done += 1
        return done

    talkers = [stage.spawn(converse, seed) for seed in range(6)]
    assert all(talker.result(30) > 0 for talker in talkers)


@pytest.mark.rule(3, 4, 17)
def test_deadlines_moved_by_many_threads_lose_no_wake_up(stage: Stage, sockets: Sockets) -> None:
    """Every byte sent is read although every deadline is pulled about; every wait ends."""
    end = time.monotonic() + SECONDS
    pairs = [sockets.pair() for _ in range(6)]
    descs = [stage.open(a) for a, _ in pairs]
    sent, read, expired = [0] * len(pairs), [0] * len(pairs), [0] * len(pairs)

    def reader(i: int) -> None:
        while True:
            try:
                if read_exactly(descs[i], 1) == b".":
                    return
                read[i] += 1
            except DeadlineExceeded:
                expired[i] += 1
                descs[i].set_deadline(None, READ)

    def mover(seed: int) -> None:
        chance = random.Random(seed)
        while time.monotonic() < end:
            chance.choice(descs).set_deadline(chance.choice([0, 1e-5, 1e-3, 1, 1000, None]), READ)
            if chance.random() < 0.05:
                time.sleep(0.0005)

    def sender(seed: int) -> None:
        chance = random.Random(seed)
        while time.monotonic() < end:
            i = chance.randrange(len(pairs))
            if sent[i] - read[i] < 100:
                pairs[i][1].send(b"x")
                sent[i] += 1
            stage.sleep(0.0002)

    readers = [stage.spawn(reader, i) for i in range(len(pairs))]
    movers = [stage.thread(mover, seed) for seed in range(3)]
    sending = stage.spawn(sender, 7)
    for task in (sending, *movers):
        task.result(30)
    for desc, (_, b) in zip(descs, pairs, strict=True):
        desc.set_deadline(None)
        b.send(b".")
    for task in readers:
        task.result()
    assert read == sent
    assert sum(expired) > 0


@pytest.mark.rule(2, 8, 9, 17)
def test_random_calls_from_many_threads_on_shared_handles(threads: Stage, sockets: Sockets) -> None:
    """No call does anything but what it may; nothing hangs and nothing is left parked."""
    end = time.monotonic() + SECONDS
    pairs = [sockets.pair() for _ in range(4)]
    poller = threads.poller
    lock = threading.Lock()
    handles: list[PollDesc] = [poller.open(a) for a, _ in pairs]
    everything = list(handles)

    def anything(seed: int) -> None:
        chance = random.Random(seed)
        while time.monotonic() < end - 0.1:
            i = chance.randrange(len(handles))
            desc, mode = handles[i], chance.choice([READ, WRITE])
            try:
                chance.choice(_CALLS)(chance, poller, desc, mode, pairs[i])
                if chance.random() < 0.02:
                    desc.close()
                    with lock:
                        handles[i] = poller.open(pairs[i][0])
                        everything.append(handles[i])
            except (ClosedError, DeadlineExceeded, BusyError, BlockingIOError, FileExistsError):
                pass

    actors = [threads.spawn(anything, seed) for seed in range(6)]
    threads.sleep(SECONDS)
    for desc in everything:  # a wait whose deadline somebody cleared ends only so
        desc.unblock()
    for actor in actors:
        actor.result()
    for desc in everything:
        desc.close()
    while poller.poll(0):
        pass
    threads.until_parked(0, 0)
    assert poller.stats().open == 0


def _wait(chance: random.Random, poller: Poller, desc: PollDesc, mode: int, pair: Pair) -> None:
    desc.set_deadline(0.001, mode)
    desc.wait(mode)


def _look(chance: random.Random, poller: Poller, desc: PollDesc, mode: int, pair: Pair) -> None:
    desc.deadline(mode)
    repr(desc)
    poller.stats()
    poller.next_deadline()


def _rarely_unblock(
    chance: random.Random, poller: Poller, desc: PollDesc, mode: int, pair: Pair
) -> None:
    if chance.random() < 0.1:
        desc.unblock()


_CALLS: list[Call] = [
    _wait,
    _look,
    _rarely_unblock,
    lambda chance, poller, desc, mode, pair: desc.set_deadline(
        chance.choice([None, 0, 0.0001, 10]), mode
    ),
    lambda chance, poller, desc, mode, pair: desc.reset(mode),
    lambda chance, poller, desc, mode, pair: desc.park(mode, object()),
    lambda chance, poller, desc, mode, pair: desc.cancel(mode),
    lambda chance, poller, desc, mode, pair: desc.resume(mode),
    lambda chance, poller, desc, mode, pair: poller.poll(chance.choice([0, 0, 0.0005])),
    lambda chance, poller, desc, mode, pair: poller.wake(),
    lambda chance, poller, desc, mode, pair: pair[1].send(b"x"),
    lambda chance, poller, desc, mode, pair: pair[0].recv(100),
]


@pytest.mark.rule(9, 17)
@pytest.mark.parametrize("seed", range(2))
def test_random_sequences_of_calls_never_crash(backend: str, seed: int) -> None:
    """In a process of its own: fuzz_calls.py, which also runs by hand for as long as one likes."""
    out = check_python(
        "import fuzz_calls, sys; fuzz_calls.main(['--seconds', '1', '--seed', sys.argv[1]])",
        str(seed),
        backend=backend,
    )
    assert "calls" in out
