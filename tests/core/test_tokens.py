"""park, poll, resume, cancel: what schedulers build on.  Each token comes out exactly once."""

from __future__ import annotations

import gc
import random
import threading
import time
import weakref
from typing import Any

import pytest
from netpoll import (
    READ,
    WRITE,
    BusyError,
    ClosedError,
    DeadlineExceeded,
    PollDesc,
    Poller,
    PollError,
)
from support import (
    LEVEL_TRIGGERED,
    LONG,
    Sockets,
    Stage,
    blocked,
    fill,
    name_of,
    no_tokens,
    not_on_libkqueue,
    park_surely,
    read_some,
    take_tokens,
    turns,
    until,
)


class Token:
    """Something that can be watched going away."""


# --- the way of a token ---------------------------------------------------------------------------


@pytest.mark.rule(1)
def test_parking_on_a_ready_mode_says_so_and_consumes_the_readiness(
    poller: Poller, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(poller.open, sockets, mode)
    with desc:
        make_ready()
        if poller.backend in LEVEL_TRIGGERED:  # they look only for those who wait
            assert desc.park(mode, "first")
            assert take_tokens(poller, 1) == ["first"] and desc.resume(mode)
            return
        poller.poll(0)
        assert desc.park(mode, "first") is False
        assert desc.park(mode, "second") is True
        no_tokens(poller)
        assert desc.cancel(mode) is True


@pytest.mark.rule(1, 17)
def test_a_token_comes_out_exactly_once(poller: Poller, sockets: Sockets, mode: int) -> None:
    desc, make_ready = blocked(poller.open, sockets, mode)
    with desc:
        token = Token()
        assert desc.park(mode, token) is True
        no_tokens(poller, 0.01)
        make_ready()
        (out,) = take_tokens(poller, 1)
        assert out is token
        no_tokens(poller)
        assert desc.resume(mode) is True
        make_ready()
        no_tokens(poller)


@pytest.mark.rule(17)
@pytest.mark.parametrize(
    "token", [None, 0, 1, -1, 1 << 80, "text", (), [], {}, Poller, object()], ids=name_of
)
def test_anything_is_a_token(poller: Poller, sockets: Sockets, token: object) -> None:
    a, b = sockets.pair()
    with poller.open(a) as desc:
        desc.park(READ, token)
        b.send(b"x")
        (out,) = take_tokens(poller, 1)
        assert out is token


@pytest.mark.rule(2, 17)
def test_the_same_object_may_be_parked_many_times(poller: Poller, sockets: Sockets) -> None:
    token = Token()
    pairs = [sockets.pair() for _ in range(5)]
    for a, _ in pairs:
        fill(a.fileno())
    descs = [poller.open(a) for a, _ in pairs]
    for desc in descs:
        desc.park(READ, token)
        desc.park(WRITE, token)
    for _, b in pairs:
        b.close()
    assert take_tokens(poller, 10) == [token] * 10
    no_tokens(poller)
    poller.close()


@pytest.mark.rule(2)
def test_reader_and_writer_tokens_are_apart(poller: Poller, sockets: Sockets, mode: int) -> None:
    a, _ = sockets.pair()
    fill(a.fileno())
    with poller.open(a) as desc:
        desc.park(READ, READ)
        desc.park(WRITE, WRITE)
        other = READ + WRITE - mode
        desc.set_deadline(0, mode)
        assert take_tokens(poller, 1) == [mode]
        with pytest.raises(DeadlineExceeded):
            desc.resume(mode)
        assert desc.cancel(other) is True
        assert desc.cancel(mode) is False
        no_tokens(poller)


# --- why it came out ------------------------------------------------------------------------------


@pytest.mark.rule(3, 5)
def test_a_deadline_brings_the_token_out(poller: Poller, sockets: Sockets, mode: int) -> None:
    desc, _ = blocked(poller.open, sockets, mode)
    with desc:
        desc.park(mode, "token")
        start = time.monotonic_ns()
        desc.set_deadline(0.01)
        assert take_tokens(poller, 1) == ["token"]
        assert time.monotonic_ns() - start >= 10_000_000
        with pytest.raises(DeadlineExceeded):
            desc.resume(mode)
        with pytest.raises(DeadlineExceeded):
            desc.park(mode, "token")


@pytest.mark.rule(8)
@pytest.mark.parametrize("ending", ["close", "unblock"])
def test_closing_brings_the_token_out(
    poller: Poller, sockets: Sockets, mode: int, ending: str
) -> None:
    desc, _ = blocked(poller.open, sockets, mode)
    desc.park(mode, "token")
    getattr(desc, ending)()
    assert take_tokens(poller, 1) == ["token"]
    with pytest.raises(ClosedError):
        desc.resume(mode)
    no_tokens(poller)
    desc.close()


@pytest.mark.rule(8)
def test_after_a_poller_closed_its_tokens_resume_with_closed(
    poller: Poller, sockets: Sockets, mode: int
) -> None:
    desc, _ = blocked(poller.open, sockets, mode)
    desc.park(mode, "token")
    poller.close()
    with pytest.raises(ClosedError):
        poller.poll(0)
    with pytest.raises(ClosedError):
        desc.resume(mode)
    desc.close()


MAKING_READY = {
    "a deadline in the past": lambda desc: desc.set_deadline(0),
    "unblock": PollDesc.unblock,
    "close": PollDesc.close,
}


@pytest.mark.rule(4, 8, 12)
@pytest.mark.parametrize("how", MAKING_READY)
def test_a_token_made_ready_by_another_thread_wakes_the_poll(
    threads: Stage, sockets: Sockets, how: str
) -> None:
    desc = threads.open(sockets.pair()[0])
    desc.park(READ, "token")
    polling = threads.spawn(threads.poller.poll, None)
    threads.stays_blocked(polling)
    MAKING_READY[how](desc)
    assert polling.result() == ["token"]


@pytest.mark.rule(4, 12)
def test_a_deadline_set_by_another_thread_reaches_the_poll(
    threads: Stage, sockets: Sockets
) -> None:
    desc = threads.open(sockets.pair()[0])
    desc.park(READ, "token")
    polling = threads.spawn(take_tokens, threads.poller, 1)
    threads.stays_blocked(polling)
    desc.set_deadline(0.01)
    assert polling.result() == ["token"]


# --- errors of park and resume --------------------------------------------------------------------


@pytest.mark.rule(7)
def test_park_raises_what_wait_would_raise(poller: Poller, sockets: Sockets, mode: int) -> None:
    desc, _ = blocked(poller.open, sockets, mode)
    desc.set_deadline(-1)
    with pytest.raises(DeadlineExceeded):
        desc.park(mode, "token")
    desc.set_deadline(None)
    desc.park(mode, "token")
    with pytest.raises(BusyError):
        desc.park(mode, "second")
    desc.close()
    with pytest.raises(ClosedError):
        desc.park(mode, "third")
    assert take_tokens(poller, 1) == ["token"]
    no_tokens(poller)


def _resume_in_vain(desc: PollDesc, mode: int) -> None:
    try:
        assert desc.resume(mode) is False
    except (PollError, RuntimeError):
        pass


@pytest.mark.rule(9, 17)
def test_resume_without_a_token_harms_nobody(stage: Stage, sockets: Sockets, mode: int) -> None:
    desc, make_ready = blocked(stage.open, sockets, mode)
    for _ in range(3):
        _resume_in_vain(desc, mode)
    waiter = stage.spawn(desc.wait, mode)
    stage.until_parked(readers=mode == READ, writers=mode == WRITE)
    for _ in range(3):
        _resume_in_vain(desc, mode)
    stage.stays_blocked(waiter, seconds=0.01)
    make_ready()
    waiter.result()


@pytest.mark.rule(9, 17)
def test_resume_of_a_token_that_is_still_parked_leaves_it_parked(
    poller: Poller, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(poller.open, sockets, mode)
    with desc:
        desc.park(mode, "token")
        for _ in range(3):
            _resume_in_vain(desc, mode)
        make_ready()
        assert take_tokens(poller, 1) == ["token"]
        assert desc.resume(mode) is True


@pytest.mark.rule(1, 9)
def test_resume_in_vain_does_not_eat_a_notification(poller: Poller, sockets: Sockets) -> None:
    a, b = sockets.pair()
    with poller.open(a) as desc:
        b.send(b"x")
        poller.poll(0)
        _resume_in_vain(desc, READ)
        desc.set_deadline(LONG)
        desc.wait(READ)


# --- cancel ---------------------------------------------------------------------------------------


@pytest.mark.rule(17)
def test_a_cancelled_token_does_not_come_out(poller: Poller, sockets: Sockets, mode: int) -> None:
    desc, make_ready = blocked(poller.open, sockets, mode)
    with desc:
        desc.park(mode, "token")
        assert desc.cancel(mode) is True
        assert desc.cancel(mode) is False
        make_ready()
        no_tokens(poller)


@pytest.mark.rule(1)
def test_what_comes_after_a_cancel_stays_for_the_next_waiter(
    stage: Stage, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(stage.open, sockets, mode)
    assert desc.park(mode, "token")
    assert desc.cancel(mode) is True
    make_ready()
    stage.settle()
    stage.wait(desc, mode)


@pytest.mark.rule(1)
def test_a_notification_on_its_way_at_the_cancel_stays_for_the_next_waiter(
    stage: Stage, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(stage.open, sockets, mode)
    assert desc.park(mode, "token")
    make_ready()  # the kernel knows; the poller does not
    desc.cancel(mode)
    stage.wait(desc, mode)


@pytest.mark.rule(17)
def test_cancel_of_nothing_says_no(poller: Poller, sockets: Sockets, mode: int) -> None:
    desc, make_ready = blocked(poller.open, sockets, mode)
    with desc:
        assert desc.cancel(mode) is False
        desc.park(mode, "token")
        make_ready()
        assert take_tokens(poller, 1) == ["token"]
        assert desc.resume(mode) is True
        assert desc.cancel(mode) is False


@pytest.mark.rule(1)
def test_cancel_of_a_token_that_is_out_leaves_the_notification_to_the_next_waiter(
    poller: Poller, sockets: Sockets, mode: int
) -> None:
    """Whoever cancels will not resume: what the token would have reported must not be lost."""
    desc, make_ready = blocked(poller.open, sockets, mode)
    with desc:
        desc.park(mode, "token")
        make_ready()
        assert take_tokens(poller, 1) == ["token"]
        assert desc.cancel(mode) is False
        desc.set_deadline(LONG)
        desc.wait(mode)


@pytest.mark.rule(17)
def test_a_token_that_is_about_to_come_out_cannot_be_cancelled(
    poller: Poller, sockets: Sockets, mode: int
) -> None:
    desc, _ = blocked(poller.open, sockets, mode)
    with desc:
        desc.park(mode, "token")
        desc.set_deadline(0)  # ready now, not yet polled
        assert desc.cancel(mode) is False
        assert take_tokens(poller, 1) == ["token"]


@pytest.mark.rule(2)
def test_cancel_does_not_touch_a_waiting_thread(
    threads: Stage, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(threads.open, sockets, mode)
    waiter = threads.spawn(desc.wait, mode)
    threads.until_parked(readers=mode == READ, writers=mode == WRITE)
    assert desc.cancel(mode) is False
    threads.stays_blocked(waiter, seconds=0.01)
    make_ready()
    waiter.result()


@pytest.mark.rule(2)
def test_cancel_by_others_does_not_touch_a_waiting_greenlet(
    greenlets: Stage, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(greenlets.open, sockets, mode)
    waiter = greenlets.spawn(desc.wait, mode)
    greenlets.until_parked(readers=mode == READ, writers=mode == WRITE)
    assert desc.cancel(mode) is False
    greenlets.stays_blocked(waiter, seconds=0.01)
    make_ready()
    waiter.result()


@pytest.mark.rule(17)
def test_park_cancel_and_events_race(threads: Stage, sockets: Sockets) -> None:
    """Withdrawn or delivered, never both and never neither."""
    a, b = sockets.pair()
    desc = threads.open(a)
    out: list[Any] = []
    stop = threading.Event()

    def poll_on() -> None:
        while not stop.is_set():
            out.extend(threads.poller.poll(None))

    polling = threads.spawn(poll_on)
    chance = random.Random(17)
    for i in range(400):
        desc.reset(READ)
        if desc.park(READ, i):
            b.send(b"x")
            if chance.random() < 0.5:
                threads.sleep(chance.choice([0, 1e-5, 1e-4]))
            if not desc.cancel(READ):
                until(lambda i=i: out and out[-1] == i, f"token {i} comes out; {out[-3:]}")
            else:
                assert not out or out[-1] != i
        else:
            b.send(b"x")
        assert len(out) == len(set(out))
        a.recv(100)
    stop.set()
    threads.poller.wake()
    polling.result()
    assert len(out) == len(set(out))


# --- many, and many pollers of one poller ---------------------------------------------------------


@not_on_libkqueue("loses events when more than half a batch is ready")
@pytest.mark.rule(17)
def test_more_ready_tokens_than_one_batch_all_come_out(poller: Poller, sockets: Sockets) -> None:
    count = 1500
    pairs = [sockets.pair() for _ in range(count)]
    descs = [poller.open(a) for a, _ in pairs]
    for i, desc in enumerate(descs):
        assert desc.park(READ, i)
    for _, b in pairs:
        b.send(b"x")
    assert sorted(take_tokens(poller, count)) == list(range(count))
    no_tokens(poller)
    assert all(desc.resume(READ) for desc in descs)
    poller.close()


@pytest.mark.rule(8, 17)
def test_many_tokens_made_ready_without_the_kernel_all_come_out(
    poller: Poller, sockets: Sockets
) -> None:
    count = 1000
    descs = [poller.open(sockets.pair()[0]) for _ in range(count)]
    for i, desc in enumerate(descs):
        assert desc.park(READ, i)
    for desc in descs:
        desc.close()
    assert sorted(take_tokens(poller, count)) == list(range(count))
    no_tokens(poller)


@pytest.mark.rule(17)
def test_two_threads_that_poll_share_the_tokens(threads: Stage, sockets: Sockets) -> None:
    pairs = [sockets.pair() for _ in range(50)]
    descs = [threads.open(a) for a, _ in pairs]
    out: list[tuple[int, int]] = []
    rounds, stop = 40, threading.Event()

    def poll_on() -> None:
        while not stop.is_set():
            out.extend(threads.poller.poll(None))

    polling = [threads.spawn(poll_on) for _ in range(2)]
    for turn in range(rounds):
        for i, desc in enumerate(descs):
            park_surely(desc, READ, (turn, i))
        for _, b in pairs:
            b.send(b"x")
        threads.until(
            lambda turn=turn: len(out) >= (turn + 1) * len(pairs), "every token comes out"
        )
        for desc, (a, _) in zip(descs, pairs, strict=True):
            assert desc.resume(READ)
            a.recv(1)
            desc.reset(READ)
    stop.set()
    for task in polling:
        while not task.done:
            threads.poller.wake()
            threads.sleep(0.001)
    assert sorted(out) == [(turn, i) for turn in range(rounds) for i in range(len(pairs))]


@pytest.mark.rule(12)
def test_a_poll_that_does_not_block_takes_no_token_from_one_that_sleeps(
    threads: Stage, sockets: Sockets
) -> None:
    """The sleeper gets every token, however often somebody looks with poll(0).

    Nothing tells when it sleeps: on a busy machine it may be on its way there yet, a few times.
    """
    a, b = sockets.pair()
    desc, poller = threads.open(a), threads.poller
    stop = threading.Event()
    stolen: list[Any] = []
    rounds = turns(100)

    def look() -> None:
        while not stop.is_set():
            stolen.extend(poller.poll(0))

    looking = threads.spawn(look)
    for i in range(rounds):
        sleeping = threads.spawn(poller.poll, None)
        threads.sleep(0.002)
        park_surely(desc, READ, i)
        b.send(b"x")
        while not sleeping.done:
            if i in stolen:
                poller.wake()
            threads.sleep(0.001)
        if sleeping.result() != [i]:
            assert sleeping.result() == []
            threads.until(lambda i=i: i in stolen, f"token {i} comes out")
        assert desc.resume(READ)
        a.recv(10)
        desc.reset(READ)
    stop.set()
    looking.result()
    assert len(stolen) <= rounds // 5


# --- references -----------------------------------------------------------------------------------


@pytest.mark.rule(17)
def test_a_delivered_token_is_not_kept(poller: Poller, sockets: Sockets) -> None:
    a, b = sockets.pair()
    with poller.open(a) as desc:
        token = Token()
        alive = weakref.ref(token)
        desc.park(READ, token)
        del token
        gc.collect()
        assert alive() is not None
        b.send(b"x")
        take_tokens(poller, 1)
        assert desc.resume(READ)
        gc.collect()
        assert alive() is None


@pytest.mark.rule(17)
def test_a_withdrawn_token_is_not_kept(poller: Poller, sockets: Sockets) -> None:
    with poller.open(sockets.pair()[0]) as desc:
        token = Token()
        alive = weakref.ref(token)
        desc.park(READ, token)
        assert desc.cancel(READ)
        del token
        gc.collect()
        assert alive() is None


@pytest.mark.rule(1, 17)
def test_a_token_that_was_refused_is_not_kept(poller: Poller, sockets: Sockets) -> None:
    with poller.open(sockets.pair()[0]) as desc:
        token = Token()
        alive = weakref.ref(token)
        desc.park(READ, "first")
        with pytest.raises(BusyError):
            desc.park(READ, token)
        desc.set_deadline(-1)
        with pytest.raises(DeadlineExceeded):
            desc.park(READ, token)
        assert take_tokens(poller, 1) == ["first"]
        desc.close()
        with pytest.raises(ClosedError):
            desc.park(READ, token)
        del token
        gc.collect()
        assert alive() is None


@pytest.mark.rule(8, 17)
def test_a_closed_poller_keeps_no_tokens(backend: str, sockets: Sockets) -> None:
    poller = Poller(backend)
    token = Token()
    alive = weakref.ref(token)
    descs = [poller.open(sockets.pair()[0]) for _ in range(3)]
    for desc in descs:
        desc.park(READ, token)
    descs[0].unblock()  # one is ready when the poller closes
    poller.close()
    for desc in descs:
        desc.close()
    del desc, descs, poller, token
    until(lambda: (gc.collect(), alive() is None)[1], "nobody holds the token")


@pytest.mark.rule(17)
def test_a_token_may_be_dropped_by_a_destructor_that_calls_back(
    poller: Poller, sockets: Sockets
) -> None:
    """Dropping a token runs its destructor, which may use the very same objects."""
    desc = poller.open(sockets.pair()[0])
    calls = []

    class Nosy:
        def __del__(self) -> None:
            calls.append(poller.poll(0))
            desc.cancel(READ)
            desc.close()

    desc.park(READ, Nosy())
    desc.cancel(READ)
    gc.collect()
    assert calls == [[]] and desc.closed


@pytest.mark.rule(11)
def test_a_token_comes_out_of_the_poller_of_its_descriptor(
    threads: Stage, sockets: Sockets
) -> None:
    (a, b), other = sockets.pair(), threads.new_poller()
    desc = threads.open(a)
    desc.park(READ, "token")
    b.send(b"x")
    no_tokens(other)
    assert take_tokens(threads.poller, 1) == ["token"]


@pytest.mark.rule(2, 12)
def test_tokens_and_threads_share_a_poller(threads: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    fill(a.fileno())
    desc = threads.open(a)
    desc.park(WRITE, "token")
    reader = threads.spawn(read_some, desc)
    threads.until_parked(readers=1, writers=1)
    b.send(b"x")
    assert reader.result() == b"x"
    no_tokens(threads.poller, 0.01)
    b.close()
    assert take_tokens(threads.poller, 1) == ["token"]
