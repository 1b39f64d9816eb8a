"""Waiting by level: for code that leaves data behind and expects to be told of it again."""

from __future__ import annotations

import pytest
from netpoll import READ, WRITE, BusyError, ClosedError, DeadlineExceeded
from netpoll.adapters.level import is_ready, poll_now, wait_level
from support import LONG, ClosedMeanwhile, Sockets, Stage, blocked, drain, fill, needs_fileno


def test_what_is_left_ends_every_wait(stage: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    desc = stage.open(a)
    b.send(b"xyz")
    for _ in range(3):
        assert stage.spawn(wait_level, desc, READ).result() == READ
        a.recv(1)
    waiter = stage.spawn(wait_level, desc, READ)
    stage.until_parked(readers=1)
    stage.stays_blocked(waiter)
    b.send(b"x")
    assert waiter.result() == READ


def test_what_was_taken_ends_no_wait(stage: Stage, sockets: Sockets) -> None:
    """A remembered notification may be about data that is gone."""
    a, b = sockets.pair()
    desc = stage.open(a)
    b.send(b"x")
    stage.settle()
    a.recv(1)
    waiter = stage.spawn(wait_level, desc, READ)
    stage.until_parked(readers=1)
    stage.stays_blocked(waiter)
    b.send(b"x")
    assert waiter.result() == READ


def test_either_mode(stage: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    desc = stage.open(a)
    assert stage.spawn(wait_level, desc, READ | WRITE).result() == WRITE
    b.send(b"x")
    assert stage.spawn(wait_level, desc, READ | WRITE).result() == READ | WRITE
    a.recv(1)
    fill(a.fileno())
    for make_ready, mode in ((lambda: b.send(b"x"), READ), (lambda: drain(b.fileno()), WRITE)):
        waiter = stage.spawn(wait_level, desc, READ | WRITE)
        stage.until_parked(readers=1, writers=1)
        stage.stays_blocked(waiter, seconds=0.01)
        make_ready()
        assert waiter.result() & mode
        stage.until_parked()
        if mode == READ:
            a.recv(1)


@needs_fileno
def test_a_wait_for_either_mode_ends_if_the_poller_is_closed_as_it_begins(
    threads: Stage, sockets: Sockets
) -> None:
    a, _ = sockets.pair()
    fill(a.fileno())
    with ClosedMeanwhile(threads.backend) as poller:
        waiter = threads.spawn(wait_level, threads.open(a, poller), READ | WRITE)
        waiter.raises(ClosedError)


def test_a_wait_for_either_mode_ends_with_deadlines_and_closing(
    stage: Stage, sockets: Sockets, mode: int
) -> None:
    a, _ = sockets.pair()
    fill(a.fileno())
    desc = stage.open(a)
    desc.set_deadline(0.01, mode)
    stage.spawn(wait_level, desc, READ | WRITE).raises(DeadlineExceeded)
    stage.until_parked()
    desc.set_deadline(LONG)
    waiter = stage.spawn(wait_level, desc, READ | WRITE)
    stage.until_parked(readers=1, writers=1)
    desc.set_deadline(0, mode)
    waiter.raises(DeadlineExceeded)
    desc.set_deadline(None)
    waiter = stage.spawn(wait_level, desc, READ | WRITE)
    stage.until_parked(readers=1, writers=1)
    desc.close()
    waiter.raises(ClosedError)
    stage.spawn(wait_level, desc, READ | WRITE).raises(ClosedError)


def test_a_wait_for_either_mode_ends_when_its_poller_is_closed(
    stage: Stage, sockets: Sockets
) -> None:
    a, _ = sockets.pair()
    fill(a.fileno())
    poller = stage.new_poller()
    desc = stage.open(a, poller)
    waiter = stage.spawn(wait_level, desc, READ | WRITE)
    stage.until_parked(readers=1, writers=1, poller=poller)
    poller.close()
    waiter.raises(ClosedError)


def test_a_second_waiter_is_refused(stage: Stage, sockets: Sockets) -> None:
    desc, make_ready = blocked(stage.open, sockets, WRITE)
    first = stage.spawn(wait_level, desc, READ | WRITE)
    stage.until_parked(readers=1, writers=1)
    stage.spawn(wait_level, desc, READ | WRITE).raises(BusyError)
    stage.spawn(wait_level, desc, READ).raises(BusyError)
    make_ready()
    assert first.result() == WRITE


def test_many_threads_wait_for_either_mode_on_one_poller(threads: Stage, sockets: Sockets) -> None:
    pairs = [sockets.pair() for _ in range(10)]
    descs = [threads.open(a) for a, _ in pairs]
    for a, _ in pairs:
        fill(a.fileno())
    for _ in range(20):
        waiters = [threads.spawn(wait_level, desc, READ | WRITE) for desc in descs]
        for _, b in pairs:
            b.send(b"x")
        assert [waiter.result() for waiter in waiters] == [READ] * len(pairs)
        for a, _ in pairs:
            a.recv(1)


def test_is_ready_asks_and_does_not_wait(stage: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    desc = stage.open(a)
    assert is_ready(desc, READ) == 0
    assert is_ready(desc, READ | WRITE) == WRITE
    b.send(b"x")
    assert is_ready(desc, READ) == READ
    desc.set_deadline(0, READ)
    with pytest.raises(DeadlineExceeded):
        is_ready(desc, READ)
    assert is_ready(desc, WRITE) == WRITE
    desc.close()
    with pytest.raises(ClosedError):
        is_ready(desc, WRITE)


def test_modes_that_are_none_are_refused(stage: Stage, sockets: Sockets) -> None:
    desc = stage.open(sockets.pair()[0])
    for modes in (0, 4, -1, 7):
        with pytest.raises(ValueError, match="modes are READ, WRITE or both"):
            wait_level(desc, modes)


def test_look_tells_what_is_ready_of_any_number(sockets: Sockets) -> None:
    (a, b), (c, d) = sockets.pair(), sockets.pair()
    both = READ | WRITE
    a.send(b"x")
    wanted = {b.fileno(): both, c.fileno(): both, d.fileno(): READ, a.fileno(): WRITE}
    assert dict(poll_now(wanted)) == {b.fileno(): both, c.fileno(): WRITE, a.fileno(): WRITE}
    c.close()
    assert poll_now({d.fileno(): READ}) == [(d.fileno(), READ)]  # the end makes it readable
    assert poll_now({}) == []
