"""Deadlines are instants that anyone may move, never early, and kept even if nobody drives."""

from __future__ import annotations

import errno
import math
import random
import statistics
import time

import pytest
from netpoll import READ, WRITE, DeadlineExceeded, Poller, PollError
from netpoll._engine import features
from support import (
    LONG,
    PAUSE,
    Sockets,
    Stage,
    blocked,
    fill,
    never_early,
    now_ns,
    read_some,
    take_tokens,
)

BOTH = READ | WRITE


# --- expiry ---------------------------------------------------------------------------------------


@pytest.mark.rule(3, 5)
def test_a_deadline_ends_the_wait(stage: Stage, sockets: Sockets, mode: int) -> None:
    desc, _ = blocked(stage.open, sockets, mode)
    with never_early(0.03):
        desc.set_deadline(0.03, mode)
        error = stage.spawn(desc.wait, mode).raises(DeadlineExceeded)
    assert isinstance(error, TimeoutError) and isinstance(error, PollError)
    assert error.errno == errno.ETIMEDOUT
    assert str(desc.fd) in str(error)


@pytest.mark.rule(3)
def test_after_expiry_everything_raises_until_the_deadline_is_moved(
    stage: Stage, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(stage.open, sockets, mode)
    desc.set_deadline(0.005, mode)
    stage.spawn(desc.wait, mode).raises(DeadlineExceeded)
    for _ in range(3):
        with pytest.raises(DeadlineExceeded):
            desc.reset(mode)
        stage.spawn(desc.wait, mode).raises(DeadlineExceeded)
    desc.set_deadline(LONG, mode)
    make_ready()
    desc.reset(mode)
    stage.wait(desc, mode)


@pytest.mark.rule(3)
def test_after_expiry_a_cleared_deadline_makes_the_descriptor_work_again(
    stage: Stage, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(stage.open, sockets, mode)
    desc.set_deadline(0.005)
    stage.spawn(desc.wait, mode).raises(DeadlineExceeded)
    desc.set_deadline(None)
    waiter = stage.spawn(desc.wait, mode)
    stage.stays_blocked(waiter)
    make_ready()
    waiter.result()


@pytest.mark.rule(3)
def test_readiness_that_came_with_an_expired_deadline_waits_for_the_next_attempt(
    stage: Stage, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(stage.open, sockets, mode)
    desc.set_deadline(-1, mode)
    make_ready()
    stage.settle()
    stage.spawn(desc.wait, mode).raises(DeadlineExceeded)
    desc.set_deadline(None)
    stage.wait(desc, mode)


@pytest.mark.rule(2, 3)
def test_a_deadline_binds_only_its_mode(stage: Stage, sockets: Sockets, mode: int) -> None:
    desc, make_ready = blocked(stage.open, sockets, mode)
    other = BOTH - mode
    desc.set_deadline(0.005, other)
    waiter = stage.spawn(desc.wait, mode)
    stage.stays_blocked(waiter)
    with pytest.raises(DeadlineExceeded):
        desc.reset(other)
    make_ready()
    waiter.result()


@pytest.mark.rule(3)
def test_a_deadline_binds_later_waits_as_well(stage: Stage, sockets: Sockets) -> None:
    """An instant, not a timeout of each call: three waits share it."""
    a, b = sockets.pair()
    desc = stage.open(a)
    with never_early(0.1):
        desc.set_deadline(0.1)
        for _ in range(2):
            b.send(b"x")
            assert read_some(desc) == b"x"
        stage.spawn(read_some, desc).raises(DeadlineExceeded)


@pytest.mark.rule(6)
def test_expiry_is_seen_although_nobody_drives_the_poller(
    poller: Poller, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(poller.open, sockets, mode)
    with desc:
        make_ready()
        desc.set_deadline(0.005, mode)
        end = now_ns() + 5_000_000
        while now_ns() <= end:
            pass
        with pytest.raises(DeadlineExceeded):
            desc.reset(mode)
        with pytest.raises(DeadlineExceeded):
            desc.wait(mode)
        with pytest.raises(DeadlineExceeded):
            desc.park(mode, "token")
        left = desc.deadline(mode)
        assert left is not None and left < 0


@pytest.mark.rule(5, 6)
def test_expiry_is_not_seen_before_its_time(poller: Poller, sockets: Sockets) -> None:
    a, _ = sockets.pair()
    with poller.open(a) as desc:
        for _ in range(200):
            start = now_ns()
            desc.set_deadline(0.0005)
            with pytest.raises(DeadlineExceeded):
                while True:
                    desc.reset(READ)
            assert now_ns() - start >= 500_000


# --- special values -------------------------------------------------------------------------------


@pytest.mark.rule(3, 5)
@pytest.mark.parametrize("timeout", [0, 0.0, -0.0, -1e-9, -1, -5.0, -1e300, -math.inf, -(10**400)])
def test_a_deadline_in_the_past_expires_at_once_even_if_the_descriptor_is_ready(
    poller: Poller, sockets: Sockets, mode: int, timeout: float
) -> None:
    desc, make_ready = blocked(poller.open, sockets, mode)
    with desc:
        make_ready()
        poller.poll(0)
        desc.set_deadline(timeout, mode)
        for call in (desc.reset, desc.wait):
            with pytest.raises(DeadlineExceeded):
                call(mode)
        left = desc.deadline(mode)
        assert left is not None and left <= 0


@pytest.mark.rule(3)
@pytest.mark.parametrize("timeout", [-1, 0, 1e-9, 0.001])
def test_a_deadline_set_under_a_waiter_wakes_it(
    stage: Stage, sockets: Sockets, mode: int, timeout: float
) -> None:
    desc, _ = blocked(stage.open, sockets, mode)
    waiter = stage.spawn(desc.wait, mode)
    stage.stays_blocked(waiter, seconds=0.01)
    desc.set_deadline(timeout)
    waiter.raises(DeadlineExceeded)


@pytest.mark.rule(5)
@pytest.mark.parametrize("timeout", [1e-9, 2e-9, 1e-8, 1e-7, 1e-6, 1e-5, 5e-324])
def test_tiny_deadlines_expire_and_are_not_early(
    stage: Stage, sockets: Sockets, timeout: float
) -> None:
    a, _ = sockets.pair()
    desc = stage.open(a)
    for _ in range(5):
        with never_early(timeout):
            desc.set_deadline(timeout)
            stage.spawn(desc.wait, READ).raises(DeadlineExceeded)


@pytest.mark.rule(3)
@pytest.mark.parametrize(
    "timeout", [math.inf, 1e300, 1e18, 9.3e9, 9223372036.854775, 2**63, 2.0**63, 10**30, 10**400]
)
def test_too_large_a_deadline_means_never(stage: Stage, sockets: Sockets, timeout: float) -> None:
    a, b = sockets.pair()
    desc = stage.open(a)
    desc.set_deadline(0)
    desc.set_deadline(timeout)
    assert desc.deadline(READ) is None and desc.deadline(WRITE) is None
    assert stage.poller.next_deadline() is None
    waiter = stage.spawn(read_some, desc)
    stage.stays_blocked(waiter, seconds=0.01)
    b.send(b"x")
    assert waiter.result() == b"x"


@pytest.mark.rule(3)
@pytest.mark.parametrize("timeout", [3600, 86400 * 365, 9e9])
def test_far_deadlines_are_kept(poller: Poller, sockets: Sockets, timeout: float) -> None:
    a, _ = sockets.pair()
    with poller.open(a) as desc:
        desc.set_deadline(timeout)
        assert desc.deadline(READ) == pytest.approx(timeout, abs=LONG)
        assert poller.poll(0.001) == []
        assert poller.next_deadline() == pytest.approx(timeout, abs=LONG)


@pytest.mark.rule(3)
def test_nan_is_refused_and_changes_nothing(poller: Poller, sockets: Sockets) -> None:
    a, _ = sockets.pair()
    with poller.open(a) as desc:
        desc.set_deadline(100, READ)
        with pytest.raises(ValueError):
            desc.set_deadline(math.nan)
        assert desc.deadline(READ) == pytest.approx(100, abs=LONG)
        assert desc.deadline(WRITE) is None


# --- moved under a waiter -------------------------------------------------------------------------


@pytest.mark.rule(4)
def test_a_deadline_shortened_under_a_waiter_applies_to_it(
    stage: Stage, sockets: Sockets, mode: int
) -> None:
    desc, _ = blocked(stage.open, sockets, mode)
    desc.set_deadline(100)
    waiter = stage.spawn(desc.wait, mode)
    stage.stays_blocked(waiter, seconds=0.01)
    with never_early(0.02):
        desc.set_deadline(0.02, mode)
        waiter.raises(DeadlineExceeded)


@pytest.mark.rule(4)
def test_a_deadline_prolonged_under_a_waiter_applies_to_it(
    stage: Stage, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(stage.open, sockets, mode)
    desc.set_deadline(0.2)
    waiter = stage.spawn(desc.wait, mode)
    for _ in range(10):  # well past the first instant
        stage.stays_blocked(waiter, seconds=0.03)
        desc.set_deadline(LONG)
    make_ready()
    waiter.result()


@pytest.mark.rule(4)
def test_a_deadline_cleared_under_a_waiter_never_fires(
    stage: Stage, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(stage.open, sockets, mode)
    desc.set_deadline(0.05)
    waiter = stage.spawn(desc.wait, mode)
    stage.sleep(0.005)
    desc.set_deadline(None)
    if not waiter.done:  # else this machine slept too long
        stage.stays_blocked(waiter, seconds=0.1)
        make_ready()
        waiter.result()


@pytest.mark.rule(4, 11)
def test_a_deadline_moved_by_another_thread_applies_to_the_waiter(
    stage: Stage, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(stage.open, sockets, mode)
    desc.set_deadline(100)
    waiter = stage.spawn(desc.wait, mode)
    stage.stays_blocked(waiter, seconds=0.01)
    stage.thread(desc.set_deadline, 0.01).result()
    waiter.raises(DeadlineExceeded)
    stage.thread(desc.set_deadline, None).result()
    make_ready()
    stage.wait(desc, mode)


@pytest.mark.rule(4)
def test_a_deadline_that_fired_and_was_moved_before_the_waiter_ran_does_not_end_the_wait(
    greenlets: Stage, sockets: Sockets, mode: int
) -> None:
    """Greenlets make the order certain: the waiter cannot run between the two calls."""
    desc, make_ready = blocked(greenlets.open, sockets, mode)
    waiter = greenlets.spawn(desc.wait, mode)
    greenlets.stays_blocked(waiter, seconds=0.001)
    for later in (None, 100, LONG):
        desc.set_deadline(0)
        desc.set_deadline(later)
        greenlets.stays_blocked(waiter, seconds=0.005)
    make_ready()
    waiter.result()


@pytest.mark.rule(4)
def test_a_token_whose_deadline_fired_and_was_moved_parks_again(
    poller: Poller, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(poller.open, sockets, mode)
    with desc:
        for later in (None, 100):
            assert desc.park(mode, "token")
            desc.set_deadline(0.001)
            assert take_tokens(poller, 1) == ["token"]
            desc.set_deadline(later)
            assert desc.resume(mode) is False
        assert desc.park(mode, "token")
        make_ready()
        assert take_tokens(poller, 1) == ["token"]
        assert desc.resume(mode) is True


@pytest.mark.rule(4, 17)
def test_a_deadline_that_fires_while_it_is_moved_loses_nothing(
    stage: Stage, sockets: Sockets
) -> None:
    """Each round either times out or goes on; a waiter that does neither is lost."""
    a, b = sockets.pair()
    desc = stage.open(a)
    stop = False
    outcomes = {"data": 0, "expired": 0}

    def wait_on() -> None:
        while not stop:
            try:
                read_some(desc)
                outcomes["data"] += 1
            except DeadlineExceeded:
                outcomes["expired"] += 1
                desc.set_deadline(None)

    def move() -> None:
        chance = random.Random(4)
        end = time.monotonic() + 0.6
        while time.monotonic() < end:
            desc.set_deadline(
                chance.choice([0, 1e-6, 1e-5, 1e-4, 1, None]), chance.choice([READ, WRITE, BOTH])
            )
            if chance.random() < 0.1:
                stage.sleep(0.0001)

    waiter = stage.spawn(wait_on)
    stage.thread(move).result()
    for i in range(50):
        stop = i == 49
        seen = outcomes["data"]
        desc.set_deadline(None)
        b.send(b"x")
        stage.until(
            lambda seen=seen: outcomes["data"] > seen, f"byte {i} wakes the waiter; {outcomes}"
        )
    waiter.result()


# --- whose timer ----------------------------------------------------------------------------------


@pytest.mark.rule(5)
def test_equal_deadlines_fire_as_one(stage: Stage, sockets: Sockets) -> None:
    a, _ = sockets.pair()
    fill(a.fileno())
    desc = stage.open(a)
    fired = stage.poller.stats().deadlines_fired
    with never_early(0.02):
        desc.set_deadline(0.02)
        waiters = [stage.spawn(desc.wait, mode) for mode in (READ, WRITE)]
        for waiter in waiters:
            waiter.raises(DeadlineExceeded)
    assert stage.poller.stats().deadlines_fired == fired + 1


@pytest.mark.rule(5)
def test_different_deadlines_fire_each_at_its_time(
    stage: Stage, sockets: Sockets, mode: int
) -> None:
    a, _ = sockets.pair()
    fill(a.fileno())
    desc = stage.open(a)
    fired = stage.poller.stats().deadlines_fired
    with never_early(0.06):
        desc.set_deadline(0.06, BOTH - mode)
        with never_early(0.01):
            desc.set_deadline(0.01, mode)
            late, early = stage.spawn(desc.wait, BOTH - mode), stage.spawn(desc.wait, mode)
            early.raises(DeadlineExceeded)
        late.raises(DeadlineExceeded)
    assert stage.poller.stats().deadlines_fired == fired + 2


@pytest.mark.rule(4, 5)
@pytest.mark.parametrize("later", [0.2, None, 100])
def test_equal_deadlines_come_apart_when_one_is_moved(
    stage: Stage, sockets: Sockets, mode: int, later: float | None
) -> None:
    """Moving one of the two that share a timer must not take the other's away."""
    a, b = sockets.pair()
    fill(a.fileno())
    desc = stage.open(a)
    with never_early(0.1):
        desc.set_deadline(0.1)
        stays, moves = stage.spawn(desc.wait, mode), stage.spawn(desc.wait, BOTH - mode)
        desc.set_deadline(later, BOTH - mode)
        stays.raises(DeadlineExceeded)
    if later == 0.2:
        moves.raises(DeadlineExceeded)
    else:
        stage.stays_blocked(moves)
        b.close()
        moves.result()


@pytest.mark.rule(3, 4, 5, 6)
@pytest.mark.parametrize("seed", range(8))
def test_random_moves_against_a_model(poller: Poller, sockets: Sockets, seed: int) -> None:
    """Whatever the history, what counts is the last value given to each mode."""
    chance = random.Random(seed)
    a, _ = sockets.pair()
    with poller.open(a) as desc:
        model: dict[int, tuple[int, int] | None] = {
            READ: None,
            WRITE: None,
        }  # set between these two, in ns
        for _ in range(400):
            timeout = chance.choice([None, -1, 0, 1e-5, 3e-4, 2e-3, 0.5, 1000])
            modes = chance.choice([READ, WRITE, BOTH])
            before = now_ns()
            desc.set_deadline(timeout, modes)
            after = now_ns()
            for mode in (READ, WRITE):
                if mode & modes:
                    delta = None if timeout is None else int(max(timeout, 0) * 1e9)
                    model[mode] = None if delta is None else (before + delta, after + delta)
            if chance.random() < 0.3:
                assert poller.poll(chance.choice([0, 0, 1e-4])) == []
            for mode in (READ, WRITE):
                _check_against_model(desc, mode, model[mode])
        _check_next(poller, model)


def _check_against_model(desc: object, mode: int, instant: tuple[int, int] | None) -> None:
    before = now_ns()
    try:
        desc.reset(mode)  # type: ignore[attr-defined]
        expired = False
    except DeadlineExceeded:
        expired = True
    left = desc.deadline(mode)  # type: ignore[attr-defined]
    after = now_ns()
    if instant is None:
        assert not expired and left is None
        return
    earliest, latest = instant
    if expired:
        assert after >= earliest, "early"
        assert left is not None and left <= 0
    else:
        assert before <= latest, "an expired deadline was not seen"
        assert left is not None and left * 1e9 <= latest - before + 1000


def _check_next(poller: Poller, model: dict[int, tuple[int, int] | None]) -> None:
    """`next_deadline` speaks of deadlines that have still to fire."""
    poller.poll(0)
    pending = [instant for instant in model.values() if instant and instant[0] > now_ns()]
    left = poller.next_deadline()
    if not pending:
        assert left is None or left < 0.01
    else:
        assert left is not None and left * 1e9 <= min(pending)[1] - now_ns() + 1e9


# --- late by scheduling only ----------------------------------------------------------------------


@pytest.mark.skipif(
    "millisecond" in features(), reason="the system waits in milliseconds (Wine, older Windows)"
)
@pytest.mark.rule(5)
def test_deadlines_are_better_than_a_millisecond(stage: Stage, sockets: Sockets) -> None:
    """A kernel wait in milliseconds would be late by 0.9 ms every time; the best of many tells."""
    a, _ = sockets.pair()
    desc = stage.open(a)
    lateness = []

    def measure() -> None:
        for _ in range(40):
            start = now_ns()
            desc.set_deadline(0.0011)
            with pytest.raises(DeadlineExceeded):
                desc.wait(READ)
            lateness.append(now_ns() - start - 1_100_000)

    stage.spawn(measure).result()
    assert 0 <= min(lateness) < 600_000, f"{statistics.median(lateness)} ns late (median)"


@pytest.mark.rule(5, 12)
def test_many_deadlines_fire_each_at_its_time(stage: Stage, sockets: Sockets) -> None:
    chance = random.Random(5)
    late: list[float] = []

    def wait_until(timeout: float) -> None:
        a, _ = sockets.pair()
        desc = stage.open(a)
        start = now_ns()
        desc.set_deadline(timeout)
        with pytest.raises(DeadlineExceeded):
            desc.wait(READ)
        late.append((now_ns() - start) / 1e9 - timeout)

    waiters = [stage.spawn(wait_until, chance.uniform(0.001, 0.3)) for _ in range(60)]
    for waiter in waiters:
        waiter.result()
    assert len(late) == 60 and min(late) >= -2e-9 and statistics.median(late) < 1


@pytest.mark.rule(4, 12)
def test_an_earlier_deadline_reaches_whoever_sleeps_in_the_kernel(
    stage: Stage, sockets: Sockets
) -> None:
    """One waiter drives without a deadline; then another descriptor gets one."""
    (a, b), (c, _) = sockets.pair(), sockets.pair()
    driver = stage.spawn(read_some, stage.open(a))
    stage.until_parked(readers=1)
    desc = stage.open(c)
    for timeout in (0.05, 0.02, 0.001):
        waiter = stage.spawn(desc.wait, READ)
        stage.until_parked(readers=2)
        with never_early(timeout):
            desc.set_deadline(timeout)
            waiter.raises(DeadlineExceeded)
        desc.set_deadline(None)
    b.send(b"x")
    driver.result()


# --- deadline() and next_deadline() ---------------------------------------------------------------


@pytest.mark.rule(3)
def test_deadline_tells_the_seconds_left(poller: Poller, sockets: Sockets) -> None:
    a, _ = sockets.pair()
    with poller.open(a) as desc:
        assert desc.deadline(READ) is None and desc.deadline(WRITE) is None
        desc.set_deadline(100, READ)
        desc.set_deadline(200, WRITE)
        read_left, write_left = desc.deadline(READ), desc.deadline(WRITE)
        assert read_left is not None and 100 - LONG < read_left <= 100
        assert write_left is not None and 200 - LONG < write_left <= 200
        desc.set_deadline(None, READ)
        assert desc.deadline(READ) is None and desc.deadline(WRITE) is not None


@pytest.mark.rule(3)
def test_next_deadline_is_the_earliest_of_all_descriptors(poller: Poller, sockets: Sockets) -> None:
    assert poller.next_deadline() is None
    descs = [poller.open(sockets.pair()[0]) for _ in range(3)]
    for desc, timeout in zip(descs, (300, 100, 200), strict=True):
        desc.set_deadline(timeout)
    for desc, expected in ((descs[1], 100), (descs[2], 200), (descs[0], 300)):
        assert poller.next_deadline() == pytest.approx(expected, abs=LONG)
        desc.close()
    assert poller.next_deadline() is None


@pytest.mark.rule(3)
def test_next_deadline_follows_a_deadline_that_is_moved(poller: Poller, sockets: Sockets) -> None:
    a, _ = sockets.pair()
    with poller.open(a) as desc:
        for timeout in (50, 500, 5000, 100, 1000):
            desc.set_deadline(timeout, READ)
            assert poller.next_deadline() == pytest.approx(timeout, abs=LONG)
        desc.set_deadline(None)
        assert poller.next_deadline() is None


@pytest.mark.rule(5)
def test_a_poll_fires_deadlines_that_nobody_waits_for(poller: Poller, sockets: Sockets) -> None:
    a, _ = sockets.pair()
    with poller.open(a) as desc:
        desc.set_deadline(0.001)
        fired = poller.stats().deadlines_fired
        end = time.monotonic() + LONG
        while poller.stats().deadlines_fired == fired and time.monotonic() < end:
            assert poller.poll(PAUSE) == []
        assert poller.stats().deadlines_fired == fired + 1
        assert poller.next_deadline() is None
