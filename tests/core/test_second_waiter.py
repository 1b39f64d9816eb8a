"""One waiter a mode: the second is refused and the first does not notice."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable

import pytest
from netpoll import READ, WRITE, BusyError, ClosedError, DeadlineExceeded, Poller
from support import (
    LONG,
    Sockets,
    Stage,
    ThreadTask,
    blocked,
    fill,
    no_tokens,
    read_exactly,
    read_some,
    take_tokens,
    turns,
    until,
)


@pytest.mark.rule(2)
def test_a_second_waiter_is_refused_and_the_first_is_unharmed(
    stage: Stage, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(stage.open, sockets, mode)
    first = stage.spawn(desc.wait, mode)
    stage.until_parked(readers=mode == READ, writers=mode == WRITE)
    for _ in range(3):
        error = stage.spawn(desc.wait, mode).raises(BusyError)
        assert isinstance(error, RuntimeError) and not isinstance(error, OSError)
        assert str(desc.fd) in str(error)
    stage.thread(desc.wait, mode).raises(BusyError)
    stage.stays_blocked(first, seconds=0.01)
    make_ready()
    first.result()


@pytest.mark.rule(2)
def test_after_the_first_left_another_may_wait(stage: Stage, sockets: Sockets, mode: int) -> None:
    desc, make_ready = blocked(stage.open, sockets, mode)
    first = stage.spawn(desc.wait, mode)
    stage.until_parked(readers=mode == READ, writers=mode == WRITE)
    stage.spawn(desc.wait, mode).raises(BusyError)
    desc.set_deadline(0)
    first.raises(DeadlineExceeded)
    desc.set_deadline(None)
    second = stage.spawn(desc.wait, mode)
    make_ready()
    second.result()


@pytest.mark.rule(2)
def test_waiters_of_different_modes_are_not_in_each_others_way(
    stage: Stage, sockets: Sockets
) -> None:
    a, b = sockets.pair()
    fill(a.fileno())
    desc = stage.open(a)
    reader, writer = stage.spawn(desc.wait, READ), stage.spawn(desc.wait, WRITE)
    stage.until_parked(readers=1, writers=1)
    b.close()
    reader.result()
    writer.result()


@pytest.mark.rule(2)
def test_a_thread_is_refused_while_a_token_is_parked(
    poller: Poller, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(poller.open, sockets, mode)
    with desc:
        assert desc.park(mode, "token")
        for call in (desc.wait, desc.wait_canceled):
            with pytest.raises(BusyError):
                call(mode)
        with pytest.raises(BusyError):
            desc.park(mode, "another")
        make_ready()
        assert take_tokens(poller, 1) == ["token"]
        assert desc.resume(mode) is True
        no_tokens(poller)


@pytest.mark.rule(2)
def test_a_token_is_refused_while_somebody_waits(stage: Stage, sockets: Sockets, mode: int) -> None:
    desc, make_ready = blocked(stage.open, sockets, mode)
    waiter = stage.spawn(desc.wait, mode)
    stage.until_parked(readers=mode == READ, writers=mode == WRITE)
    with pytest.raises(BusyError):
        desc.park(mode, "token")
    make_ready()
    waiter.result()


@pytest.mark.rule(2, 7)
def test_what_is_wrong_with_the_descriptor_is_reported_before_busy(
    poller: Poller, sockets: Sockets, mode: int
) -> None:
    desc, _ = blocked(poller.open, sockets, mode)
    with desc:
        assert desc.park(mode, "token")
        desc.set_deadline(-1)
        with pytest.raises(DeadlineExceeded):
            desc.wait(mode)
        desc.unblock()
        with pytest.raises(ClosedError):
            desc.wait(mode)
        assert take_tokens(poller, 1) == ["token"]


@pytest.mark.rule(1, 2)
def test_a_reset_beside_a_parked_waiter_never_loses_it(stage: Stage, sockets: Sockets) -> None:
    """Before, while and after the event comes, somebody else resets all the time."""
    a, b = sockets.pair()
    desc = stage.open(a)
    stop = False

    def storm() -> None:
        while not stop:
            desc.reset(READ)

    def wait_once() -> bytes:
        desc.wait(READ)
        return a.recv(10)

    meddler = stage.thread(storm)
    for i in range(turns(50)):
        waiter = stage.spawn(wait_once)
        stage.until_parked(readers=1)
        b.send(b"%d" % i)
        assert waiter.result() == b"%d" % i
    stop = True
    meddler.result()


@pytest.mark.rule(1, 2)
def test_a_reset_between_token_and_resume_does_not_lose_the_readiness(
    poller: Poller, sockets: Sockets, mode: int
) -> None:
    """The scheduler is still this mode's waiter: what woke it must reach it."""
    desc, make_ready = blocked(poller.open, sockets, mode)
    with desc:
        assert desc.park(mode, "token")
        make_ready()
        assert take_tokens(poller, 1) == ["token"]
        desc.reset(mode)
        assert desc.resume(mode) is True


@pytest.mark.rule(2, 17)
def test_many_rivals_for_one_mode_take_turns_by_busy_errors(stage: Stage, sockets: Sockets) -> None:
    """However they collide, each byte wakes exactly the one that waits."""
    a, b = sockets.pair()
    desc = stage.open(a)
    got: list[bytes] = []
    busy = 0

    def rival() -> None:
        nonlocal busy
        while len(got) < 100:
            try:
                got.append(read_exactly(desc, 1))
            except BusyError:
                busy += 1
                stage.sleep(0.0005)

    rivals = [stage.spawn(rival) for _ in range(4)]
    while len(got) < 100:
        sent = len(got)
        b.send(b"x")
        stage.until(lambda sent=sent: len(got) > sent, f"byte {sent} wakes a rival")
    b.send(b"x" * len(rivals))
    for task in rivals:
        task.result()
    assert busy > 0


@pytest.mark.rule(2)
def test_two_registrations_of_one_socket_have_a_waiter_each(stage: Stage, sockets: Sockets) -> None:
    """Registered on two pollers, a socket has two descriptors."""
    a, b = sockets.pair()
    one, two = stage.open(a), stage.open(a, stage.new_poller())
    waiters = [stage.spawn(desc.wait, READ) for desc in (one, two)]
    stage.until_parked(readers=1, poller=one.poller)
    stage.until_parked(readers=1, poller=two.poller)
    b.send(b"x")
    for waiter in waiters:
        waiter.result()
    assert stage.spawn(read_some, one).result() == b"x"


@pytest.mark.rule(2, 4, 17)
def test_a_waiter_that_lost_its_mode_between_expiry_and_running_is_not_lost(
    greenlets: Stage, sockets: Sockets
) -> None:
    """Its deadline fired and was moved, and before it ran a thread took the mode.

    It is busy then, or waits on after the thread; to sleep for ever is wrong.
    """
    a, b = sockets.pair()
    desc = greenlets.open(a)
    waiter = greenlets.spawn(desc.wait, READ)
    greenlets.until_parked(readers=1)
    desc.set_deadline(0)
    desc.set_deadline(None)
    thread = ThreadTask("the thread", desc.wait_canceled, (READ,))
    until(lambda: desc.poller.stats().parked_readers == 1, "the thread waits")
    greenlets.sleep(0.01)  # now the greenlet has run
    b.send(b"x")
    thread.result()
    b.send(b"y")
    waiter.join(LONG)
    assert waiter.done
    with contextlib.suppress(BusyError):
        waiter.result()


@pytest.mark.rule(2, 4, 17)
def test_waiters_of_both_kinds_with_deadlines_of_both_are_never_lost(
    stage: Stage, sockets: Sockets
) -> None:
    """Everybody moves the deadline that binds everybody; each wait ends, by expiry or as busy."""
    a, _ = sockets.pair()
    fill(a.fileno())
    desc = stage.open(a)
    end = time.monotonic() + 0.7

    def use(seed: int, sleep: Callable[[float], None]) -> None:
        chance = random.Random(seed)
        while time.monotonic() < end:
            mode = chance.choice([READ, WRITE])
            desc.set_deadline(chance.choice([1e-5, 5e-4, 1e-3]), mode)
            try:
                desc.wait(mode)
            except DeadlineExceeded:
                pass
            except BusyError:
                sleep(0)

    users = [stage.spawn(use, i, stage.sleep) for i in range(3)]
    users += [stage.thread(use, 3 + i, time.sleep) for i in range(3)]
    for user in users:
        user.result()
