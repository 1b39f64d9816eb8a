"""Semaphores and timers: what threads, greenlets and schedulers' tokens wait for besides
descriptors."""

from __future__ import annotations

import gc
import math
import random
import re
import threading
import time
import weakref
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from netpoll import ClosedError, Poller, Sema, Timer, Waiter
from support import (
    LONG,
    Stage,
    ThreadTask,
    check_python,
    name_of,
    needs_counts,
    needs_fileno,
    needs_fork,
    needs_greenlet,
    needs_sigint,
    never_early,
    no_tokens,
    take_tokens,
    turns,
    until,
    waits,
)


class Token:
    """Something that can be watched going away."""

    waiter: Waiter | Timer | None = None


def park(sema: Sema, poller: Poller, token: object, timeout: float | None = None) -> Waiter:
    """Park where there is no unit."""
    waiter = sema.park(poller, token, timeout)
    assert waiter is not None
    return waiter


def arrive(stage: Stage, sema: Sema, name: str, *actors: Callable[[], object]) -> list[Any]:
    """Actors that wait at a semaphore of that name, one behind the other."""
    tasks = []
    before = waits(name)
    for number, actor in enumerate(actors, 1):
        tasks.append(stage.spawn(actor))
        stage.until(lambda n=number: waits(name) == before + n, f"actor {number} waits at {sema!r}")
    return tasks


# --- units ----------------------------------------------------------------------------------------


def test_units_are_taken_and_what_nothing_waits_for_is_remembered() -> None:
    sema = Sema(2)
    assert sema.units == 2
    assert sema.try_acquire() and sema.acquire()
    assert not sema.try_acquire() and not sema.acquire(0)
    sema.release()
    sema.release(n=3)
    assert sema.units == 4
    assert Sema().units == 0 and not Sema().try_acquire()


def test_its_repr_tells_its_name_and_what_is_there() -> None:
    assert re.fullmatch(r"<netpoll\.Sema jobs at 0x[0-9a-f]+, 3 units>", repr(Sema(3, name="jobs")))
    sema = Sema()
    sema.open()
    assert re.fullmatch(r"<netpoll\.Sema at 0x[0-9a-f]+, open>", repr(sema))


def test_it_can_be_a_base_class(poller: Poller) -> None:
    class Lock(Sema):
        def __new__(cls) -> Lock:
            return super().__new__(cls, 1, name="lock")

        def __enter__(self) -> None:
            self.acquire()

        def __exit__(self, *unused: object) -> None:
            self.release()

    lock = Lock()
    with lock:
        assert not lock.try_acquire()
    assert lock.try_acquire()

    class Alarm(Timer):
        pass

    alarm = Alarm(poller, "token", 0)
    assert take_tokens(poller, 1) == ["token"]
    alarm.resume()


@pytest.mark.rule(11, 12)
def test_a_release_ends_a_wait(stage: Stage) -> None:
    sema = Sema(name="a release")
    (waiter,) = arrive(stage, sema, "a release", sema.acquire)
    stage.stays_blocked(waiter, seconds=0.01)
    sema.release()
    assert waiter.result() is True
    assert sema.units == 0


@pytest.mark.rule(11, 12)
def test_a_release_by_another_thread_ends_a_wait(stage: Stage) -> None:
    sema = Sema(name="by another")
    (waiter,) = arrive(stage, sema, "by another", sema.acquire)
    stage.thread(sema.release).result()
    assert waiter.result() is True


# --- the order of coming --------------------------------------------------------------------------


@pytest.mark.rule(17)
def test_they_are_served_in_the_order_of_coming(stage: Stage) -> None:
    sema, served = Sema(name="in order"), []

    def serve(number: int) -> Callable[[], object]:
        return lambda: sema.acquire() and served.append(number)

    tasks = arrive(stage, sema, "in order", *map(serve, range(5)))
    for n in range(1, 6):
        sema.release()
        stage.until(lambda n=n: len(served) == n, "one more is served")
    assert served == [0, 1, 2, 3, 4]
    for task in tasks:
        task.result()


@pytest.mark.rule(11, 17)
def test_threads_greenlets_and_tokens_are_in_one_queue(greenlets: Stage, backend: str) -> None:
    sema = Sema(name="one queue")
    with Poller(backend) as poller:
        first = park(sema, poller, "a token")
        (second,) = arrive(greenlets, sema, "one queue", sema.acquire)
        third = greenlets.thread(sema.acquire)
        greenlets.until(lambda: waits("one queue") == 3, "the thread waits")
        last = park(sema, poller, "another")
        sema.release()
        assert take_tokens(poller, 1) == ["a token"] and first.resume()
        greenlets.stays_blocked(second, third, seconds=0.01)
        sema.release()
        assert second.result() is True
        greenlets.stays_blocked(third, seconds=0.01)
        sema.release(2)
        assert third.result() is True
        assert take_tokens(poller, 1) == ["another"] and last.resume()
    assert sema.units == 0


def test_nothing_overtakes_the_queue(poller: Poller) -> None:
    sema = Sema()
    first, second = park(sema, poller, 1), park(sema, poller, 2)
    sema.release()  # it is the first one's, before that has been polled out
    assert not sema.try_acquire() and not sema.acquire(0) and sema.units == 0
    sema.release(2)
    assert sema.units == 1
    assert take_tokens(poller, 2) == [1, 2]
    assert first.resume() and second.resume()


# --- the way of a token ---------------------------------------------------------------------------


@pytest.mark.rule(17)
def test_a_token_parks_and_comes_out_once_with_its_unit(poller: Poller) -> None:
    sema, token = Sema(1), Token()
    assert sema.park(poller, token) is None  # a unit was there
    waiter = park(sema, poller, token)
    no_tokens(poller, 0.01)
    sema.release()
    (out,) = take_tokens(poller, 1)
    assert out is token
    no_tokens(poller, 0.01)
    assert waiter.resume() is True
    assert sema.units == 0


@pytest.mark.parametrize("token", [None, 0, -1, 1 << 80, "text", (), [], Poller], ids=name_of)
def test_anything_is_a_token(poller: Poller, token: object) -> None:
    sema = Sema()
    waiter, timer = park(sema, poller, token), Timer(poller, token, 0)
    sema.release()
    first, second = take_tokens(poller, 2)
    assert first is token and second is token
    assert waiter.resume() is True
    timer.resume()


@pytest.mark.rule(12)
@pytest.mark.parametrize("how", ["release", "open"])
def test_a_token_that_another_thread_makes_ready_wakes_the_poll(threads: Stage, how: str) -> None:
    sema = Sema()
    waiter = park(sema, threads.poller, "token")
    polling = threads.spawn(threads.poller.poll, None)
    threads.stays_blocked(polling, seconds=0.02)
    getattr(sema, how)()
    assert polling.result() == ["token"]
    assert waiter.resume()


@needs_fileno
@pytest.mark.rule(12)
def test_a_nested_poller_is_readable_for_a_token_and_a_timer(poller: Poller) -> None:
    import select

    sema = Sema()
    waiter = park(sema, poller, "token")
    number = poller.fileno()
    assert select.select([number], [], [], 0) == ([], [], [])
    sema.release()
    assert select.select([number], [], [], LONG)[0] == [number]
    assert take_tokens(poller, 1) == ["token"] and waiter.resume()
    timer = Timer(poller, "timer", 0.01)
    assert select.select([number], [], [], LONG)[0] == [number]
    assert take_tokens(poller, 1) == ["timer"]
    timer.resume()


def test_resume_before_the_token_came_out_is_an_error_and_harms_nothing(poller: Poller) -> None:
    sema = Sema(name="a lock")
    waiter, timer = park(sema, poller, "token"), Timer(poller, "timer", LONG)
    with pytest.raises(RuntimeError, match=r"Waiter a lock, parked>.* has not come out"):
        waiter.resume()
    with pytest.raises(RuntimeError, match=r"Timer, parked>.* has not come out"):
        timer.resume()
    sema.release()  # granted, but not polled out
    with pytest.raises(RuntimeError, match="has not come out"):
        waiter.resume()
    assert take_tokens(poller, 1) == ["token"]
    assert "given out by poll" in repr(waiter)
    assert waiter.resume() is True
    assert timer.cancel() is True


def test_a_wait_ends_once(poller: Poller) -> None:
    sema = Sema()
    waiter, timer = park(sema, poller, 1), Timer(poller, 2, 0)
    sema.release()
    take_tokens(poller, 2)
    waiter.resume()
    timer.resume()
    for wait in (waiter, timer):
        assert "ended" in repr(wait)
        with pytest.raises(RuntimeError, match="resumed or cancelled before"):
            wait.resume()
        assert wait.cancel() is False
    assert sema.units == 0
    cancelled = park(sema, poller, 3)
    assert cancelled.cancel() is True and cancelled.cancel() is False
    with pytest.raises(RuntimeError, match="resumed or cancelled before"):
        cancelled.resume()


@pytest.mark.rule(17)
def test_more_ready_tokens_than_one_batch_all_come_out(poller: Poller) -> None:
    sema, count = Sema(), 1500
    waiters = [park(sema, poller, i) for i in range(count)]
    sema.release(count)
    assert take_tokens(poller, count) == list(range(count))
    assert all(waiter.resume() for waiter in waiters)


# --- timeouts -------------------------------------------------------------------------------------


@pytest.mark.rule(5)
def test_a_wait_ends_with_its_time_and_not_earlier(stage: Stage) -> None:
    sema = Sema()
    with never_early(0.03):
        assert stage.spawn(sema.acquire, 0.03).result() is False
    sema.release()
    assert stage.spawn(sema.acquire, 0.03).result() is True


@pytest.mark.rule(5)
def test_a_tokens_time_brings_it_out(poller: Poller) -> None:
    sema = Sema()
    with never_early(0.03):
        waiter = park(sema, poller, "token", 0.03)
        assert take_tokens(poller, 1) == ["token"]
    assert waiter.resume() is False
    sema.release()
    assert sema.units == 1  # nothing waits any more


@pytest.mark.parametrize("timeout", [0, -1, -math.inf])
def test_a_token_whose_time_is_over_comes_out_of_the_next_poll(
    poller: Poller, timeout: float
) -> None:
    sema = Sema()
    late = park(sema, poller, "token", timeout)
    other = park(sema, poller, "other", timeout)
    assert other.cancel() is True
    sema.release()
    assert poller.poll(0) == ["token"] and late.resume() is False
    assert sema.units == 1
    assert sema.park(poller, "token", timeout) is None  # a unit is there


@pytest.mark.rule(17)
def test_releases_against_timeouts_lose_no_unit(stage: Stage) -> None:
    sema, rounds = Sema(), turns(200)
    chance = random.Random(11)
    given = 0

    def wait_on() -> int:
        return sum(sema.acquire(chance.choice([0, 1e-5, 1e-4, 1e-3])) for _ in range(rounds))

    tasks = [stage.spawn(wait_on) for _ in range(3)]
    while not all(task.done for task in tasks):
        sema.release()
        given += 1
        stage.sleep(1e-4)
    assert sum(task.result() for task in tasks) + sema.units == given


# --- open -----------------------------------------------------------------------------------------


def test_what_is_open_lets_all_pass_and_takes_nothing(stage: Stage) -> None:
    event = Sema(name="an event")
    tasks = arrive(stage, event, "an event", event.acquire, event.acquire)
    waiter = park(event, stage.poller, None) if stage.kind == "threads" else None
    assert not event.is_open
    event.open()
    assert event.is_open
    assert all(task.result() for task in tasks)
    if waiter is not None:
        assert take_tokens(stage.poller, 1) == [None] and waiter.resume()
    assert event.acquire() and event.try_acquire() and event.park(stage.poller, 1) is None
    event.reset()
    assert not event.is_open and event.units == 0
    assert event.acquire(0.001) is False


def test_those_that_waited_pass_also_if_it_is_reset_at_once(poller: Poller) -> None:
    event = Sema()
    waiters = [park(event, poller, i) for i in range(100)]
    event.open()
    event.reset()
    assert take_tokens(poller, 100) == list(range(100))
    assert all(waiter.resume() for waiter in waiters)
    assert event.units == 0


# --- cancel ---------------------------------------------------------------------------------------


def test_a_cancelled_token_does_not_come_out_and_takes_no_unit(poller: Poller) -> None:
    sema = Sema()
    first, second = park(sema, poller, 1), park(sema, poller, 2)
    assert first.cancel() is True
    sema.release()
    assert take_tokens(poller, 1) == [2] and second.resume()
    no_tokens(poller, 0.01)


@pytest.mark.rule(17)
@pytest.mark.parametrize("polled", [False, True], ids=["granted", "given out"])
def test_a_unit_that_a_cancelled_token_was_granted_is_passed_on(
    poller: Poller, polled: bool
) -> None:
    sema = Sema()
    first, second = park(sema, poller, 1), park(sema, poller, 2)
    sema.release()
    assert not polled or poller.poll(0) == [1]
    assert first.cancel() is not polled
    assert take_tokens(poller, 1) == [2] and second.resume()
    third = park(sema, poller, 3)
    sema.release()
    third.cancel()
    assert sema.units == 1


def test_a_cancel_after_open_or_timeout_passes_nothing_on(poller: Poller) -> None:
    event = Sema()
    waiting, timed_out = park(event, poller, 1), park(event, poller, 2, 0)
    event.open()
    event.reset()
    assert waiting.cancel() is True and timed_out.cancel() is True
    assert event.units == 0
    no_tokens(poller, 0.01)


@needs_greenlet
@pytest.mark.rule(17)
def test_a_killed_greenlet_leaves_the_unit_to_the_next(greenlets: Stage) -> None:
    from netpoll import green

    sema = Sema(name="killed")
    victims = [green.spawn(sema.acquire) for _ in range(2)]
    greenlets.until(lambda: waits("killed") == 2, "both wait")
    (waiter,) = arrive(greenlets, sema, "killed", sema.acquire)
    victims[0].kill()
    victims[0].join()
    sema.release()  # granted, and on its way
    victims[1].kill()
    victims[1].join()
    assert waiter.result() is True
    assert sema.units == 0


@needs_greenlet
@pytest.mark.rule(17)
def test_a_greenlet_that_is_switched_to_for_another_reason_waits_on(greenlets: Stage) -> None:
    from netpoll import green

    sema = Sema(name="nudged")
    waiter = green.spawn(lambda: sema.acquire() and sema.acquire())
    greenlets.until(lambda: waits("nudged") == 1, "it waits")

    def nudge(units: int) -> None:
        if units:
            sema.release(units)  # granted, and not polled out before the switch
        waiter.switch()

    nudgers = [green.spawn(nudge, 0)]
    green.sleep(0.01)
    assert waits("nudged") == 1
    nudgers.append(green.spawn(nudge, 1))
    greenlets.until(lambda: sema.units == 0 and waits("nudged") == 1, "it waits again")
    greenlets.stays_blocked(seconds=0.01)
    assert not waiter.dead
    nudgers.append(green.spawn(nudge, 1))
    assert waiter.get() is True
    for nudger in nudgers:
        nudger.kill()


@pytest.mark.rule(17)
def test_cancels_releases_and_polls_race(threads: Stage) -> None:
    """Withdrawn or delivered, never both and never neither; and no unit is lost."""
    sema, poller, rounds = Sema(), threads.poller, turns(1000)
    waiting: dict[int, Waiter] = {}
    served, stop = [], threading.Event()

    def poll_on() -> None:
        while not stop.is_set():
            for token in poller.poll(0.01):
                assert waiting.pop(token).resume()
                served.append(token)

    polling = threads.spawn(poll_on)
    withdrawn, chance = 0, random.Random(5)
    for i in range(rounds):
        waiter = sema.park(poller, i)
        if waiter is None:
            served.append(i)
            continue
        waiting[i] = waiter
        releaser = chance.random() < 0.7 and threading.Thread(target=sema.release)
        if releaser:
            releaser.start()
        if chance.random() < 0.5:
            time.sleep(chance.choice([0, 1e-5, 1e-4]))
        if not releaser and chance.random() < 0.9:
            assert waiter.cancel() is True
            del waiting[i]
            withdrawn += 1
        elif not releaser:
            sema.release()
        else:
            releaser.join()
    until(lambda: not waiting, "what was granted comes out")
    stop.set()
    polling.result()
    assert len(served) == len(set(served)) and len(served) + withdrawn == rounds


@pytest.mark.rule(17)
def test_a_wait_that_several_threads_end_is_ended_once(threads: Stage) -> None:
    sema, poller = Sema(), threads.poller
    for _ in range(turns(300)):
        waiter = park(sema, poller, "token")
        sema.release()
        barrier, results = threading.Barrier(3), []

        def end(how: Callable[[], bool], barrier: Any = barrier, results: Any = results) -> None:
            barrier.wait(LONG)
            try:
                results.append(how())
            except RuntimeError:
                results.append(None)

        enders = [threads.spawn(end, how) for how in (waiter.cancel, waiter.cancel, waiter.resume)]
        for ender in enders:
            ender.result()
        assert sorted(map(str, results)) == ["False", "None", "True"]
        assert sema.units == 1 and sema.try_acquire()
        assert poller.poll(0) == []
        threads._tasks.clear()


# --- closing --------------------------------------------------------------------------------------


@pytest.mark.rule(7, 8)
def test_closing_the_poller_ends_the_waits_of_its_tokens(poller: Poller) -> None:
    sema = Sema()
    waiter, timer = park(sema, poller, "waiter", LONG), Timer(poller, "timer", LONG)
    late = park(sema, poller, "late", 0)
    poller.close()
    with pytest.raises(ClosedError) as closed:
        poller.poll(None)
    assert sorted(map(str, closed.value.tokens)) == ["late", "timer", "waiter"]
    for wait in (waiter, timer, late):
        with pytest.raises(ClosedError, match="the poller is closed"):
            wait.resume()
        assert wait.cancel() is False
    sema.release()
    assert sema.units == 1


@pytest.mark.rule(7, 17)
def test_a_unit_granted_before_the_poller_closed_is_kept(poller: Poller) -> None:
    sema = Sema()
    waiter = park(sema, poller, "token")
    sema.release()
    poller.close()
    with pytest.raises(ClosedError) as closed:
        poller.poll(0)
    assert closed.value.tokens == ["token"] and waiter.resume() is True


@pytest.mark.rule(8)
def test_on_a_closed_poller_nothing_parks(poller: Poller) -> None:
    sema = Sema(1)
    poller.close()
    assert sema.park(poller, "token") is None  # a unit is there
    with pytest.raises(ClosedError, match="the poller is closed"):
        sema.park(poller, "token")
    with pytest.raises(ClosedError, match="the poller is closed"):
        sema.park(poller, "token", 0)
    with pytest.raises(ClosedError, match="the poller is closed"):
        Timer(poller, "token", 1)
    sema.release()
    assert sema.units == 1


@needs_greenlet
@pytest.mark.rule(8, 12)
def test_a_poller_closed_under_its_hub_ends_no_wait_for_a_unit(greenlets: Stage) -> None:
    sema = Sema(name="closed under")
    (waiter,) = arrive(greenlets, sema, "closed under", sema.acquire)
    before = greenlets.poller
    before.close()
    greenlets.until(lambda: greenlets.poller is not before, "the hub takes a new one")
    greenlets.stays_blocked(waiter, seconds=0.01)
    sema.release()
    assert waiter.result() is True


# --- timers ---------------------------------------------------------------------------------------


@pytest.mark.rule(5)
def test_a_timer_fires_once_and_never_early(poller: Poller) -> None:
    with never_early(0.02):
        timer = Timer(poller, "token", 0.02)
        assert poller.next_deadline() is not None
        assert take_tokens(poller, 1) == ["token"]
    timer.resume()
    no_tokens(poller, 0.01)
    assert poller.next_deadline() is None


@pytest.mark.parametrize("seconds", [0, -1, -math.inf, -(10**400)])
def test_a_timer_in_the_past_fires_at_the_next_poll(poller: Poller, seconds: float) -> None:
    timer = Timer(poller, "token", seconds)
    assert poller.poll(0) == ["token"]
    timer.resume()


@pytest.mark.parametrize("seconds", [None, math.inf, 1e300, 10**400])
def test_a_timer_may_wait_for_ever(poller: Poller, seconds: float | None) -> None:
    timer = Timer(poller, "token", seconds)
    assert poller.next_deadline() is None
    no_tokens(poller, 0.01)
    assert timer.move(0) is True
    assert timer.move(seconds) is True
    no_tokens(poller, 0.01)
    assert timer.move(seconds=0) is True
    assert poller.poll(0) == ["token"]
    timer.resume()


@pytest.mark.rule(4)
def test_a_timer_moves_both_ways_and_not_once_it_has_fired(poller: Poller) -> None:
    first, second = Timer(poller, 1, 0.01), Timer(poller, 2, LONG)
    assert first.move(LONG) and second.move(0.02)
    assert take_tokens(poller, 1) == [2]
    assert second.move(1) is False
    second.resume()
    assert second.move(1) is False
    assert first.cancel() is True and first.move(0) is False
    no_tokens(poller, 0.03)


@pytest.mark.rule(4, 12)
def test_a_timer_that_is_moved_earlier_reaches_a_poll_in_progress(threads: Stage) -> None:
    timer = Timer(threads.poller, "token", 10 * LONG)
    polling = threads.spawn(take_tokens, threads.poller, 1)
    threads.stays_blocked(polling, seconds=0.02)
    timer.move(0.01)
    assert polling.result() == ["token"]
    timer.resume()


@pytest.mark.rule(5, 17)
def test_ten_thousand_timers_moved_all_fire_once_in_order_and_none_early(poller: Poller) -> None:
    count = turns(10_000)
    chance = random.Random(3)
    timers = [Timer(poller, i, chance.random()) for i in range(count)]
    assert poller.stats().waiters == count
    for _ in range(3):
        for timer in timers:
            assert timer.move(10 * LONG * chance.random())
    due = []
    for i, timer in enumerate(timers):
        if i % 10 == 0:
            assert timer.cancel()
        else:
            seconds = 0.05 * chance.random()
            due.append((time.monotonic_ns() + seconds * 1e9, i))
            assert timer.move(seconds)
    out: list[int] = []
    instants = dict(map(reversed, due))  # type: ignore[arg-type]
    while len(out) < len(due):
        tokens = poller.poll(LONG)
        now = time.monotonic_ns()
        assert all(instants[token] <= now + 1000 for token in tokens)
        out += tokens
    assert sorted(out) == sorted(instants)
    for token in out:
        timers[token].resume()
    assert (poller.stats().waiters, poller.stats().timers_fired) == (0, len(due))


def test_timers_that_are_due_fire_in_the_order_of_their_instants(poller: Poller) -> None:
    count = 50
    chance = random.Random(4)
    timers, due = [], []
    for i in range(count):
        seconds = 0.02 * chance.random()
        start = time.monotonic()
        timers.append(Timer(poller, i, seconds))
        due.append((start + seconds, time.monotonic() + seconds))
    time.sleep(0.03)
    out = take_tokens(poller, count)
    assert all(due[a][0] <= due[b][1] for a, b in pairwise(out))
    for timer in timers:
        timer.resume()


# --- references -----------------------------------------------------------------------------------


@needs_counts
@pytest.mark.rule(8, 17)
@pytest.mark.parametrize("kind", ["waiter", "timer"])
def test_what_is_collected_while_it_is_parked_is_withdrawn(poller: Poller, kind: str) -> None:
    sema, token = Sema(), Token()
    gone = weakref.ref(token)
    wait = park(sema, poller, token) if kind == "waiter" else Timer(poller, token, 0)
    assert poller.stats().waiters == 1
    del token
    gc.collect()
    assert gone() is not None  # it is parked
    del wait
    assert gone() is None
    assert poller.stats().waiters == 0
    sema.release()
    assert sema.units == 1
    no_tokens(poller, 0.01)


@needs_counts
@pytest.mark.rule(17)
@pytest.mark.parametrize("polled", [False, True], ids=["granted", "given out"])
def test_what_is_collected_passes_on_the_unit_that_it_was_granted(
    poller: Poller, polled: bool
) -> None:
    sema = Sema()
    waiter = park(sema, poller, "token")
    sema.release()
    assert not polled or poller.poll(0) == ["token"]
    del waiter
    assert sema.units == 1
    no_tokens(poller, 0.01)


@needs_counts
def test_a_token_is_let_go_when_its_wait_has_ended(poller: Poller) -> None:
    sema = Sema()
    for end in ("resume", "cancel"):
        token = Token()
        gone = weakref.ref(token)
        waiter = park(sema, poller, token)
        del token
        assert gone() is not None
        if end == "resume":
            sema.release()
            assert poller.poll(0) == [gone()]
        getattr(waiter, end)()
        assert gone() is None, end


@needs_counts
@pytest.mark.rule(17)
@pytest.mark.parametrize("closed", [False, True])
def test_cycles_through_what_is_parked_are_collected(backend: str, closed: bool) -> None:
    class Quiet(Poller):
        def __del__(self) -> None:  # it need not be closed
            pass

    poller, sema = Quiet(backend), Sema()
    token, other = Token(), Token()
    token.waiter = park(sema, poller, token)
    other.waiter = Timer(poller, other, LONG)
    gone = [weakref.ref(token), weakref.ref(other), weakref.ref(poller)]
    del token, other
    gc.collect()
    assert all(reference() is not None for reference in gone)
    if closed:
        poller.close()
    del poller
    gc.collect()
    assert not any(reference() is not None for reference in gone)
    sema.release()
    assert sema.units == 1


def test_a_poller_that_polls_in_another_thread_is_safe_from_the_collector(threads: Stage) -> None:
    sema, poller, rounds = Sema(), threads.poller, turns(300)
    got: list[Token] = []

    def poll_on() -> None:
        while len(got) < rounds:
            got.extend(poller.poll(None))

    polling = threads.spawn(poll_on)
    for i in range(rounds):
        token = Token()
        token.waiter = park(sema, poller, token)
        del token
        if i % 10 == 0:
            gc.collect()
        sema.release()
    polling.result()
    assert all(token.waiter is not None and token.waiter.resume() for token in got)


# --- statistics -----------------------------------------------------------------------------------


def test_the_counters_tell_of_waits(poller: Poller) -> None:
    sema = Sema()
    before = poller.stats()
    assert (before.waiters, before.timers_fired) == (0, 0)
    waiter, timer = park(sema, poller, 1), Timer(poller, 2, 0)
    late = park(sema, poller, 3, 0)
    assert poller.stats().waiters == 3
    assert sorted(take_tokens(poller, 2)) == [2, 3]
    assert (poller.stats().waiters, poller.stats().timers_fired) == (1, 2)
    timer.resume()
    assert late.resume() is False and waiter.cancel() is True
    assert poller.stats().waiters == 0


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.rule(17)
@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (-1, ValueError),
        ((1 << 28) + 1, ValueError),
        (1 << 100, ValueError),
        (-(1 << 100), ValueError),
        (1.0, TypeError),
        ("1", TypeError),
        (None, TypeError),
    ],
)
def test_a_number_of_units_that_cannot_be_is_refused(wrong: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Sema(wrong)
    sema = Sema()
    with pytest.raises(error):
        sema.release(wrong)
    assert sema.units == 0


@pytest.mark.rule(17)
def test_a_release_of_nothing_or_of_too_much_is_refused() -> None:
    with pytest.raises(ValueError, match="units are 1 to 268435456, not 0"):
        Sema().release(0)
    most = Sema(1 << 28)
    with pytest.raises(OverflowError, match="more than 268435456 units"):
        most.release()
    assert most.units == 1 << 28 and most.acquire()
    most.release()


@pytest.mark.rule(17)
@pytest.mark.parametrize(
    ("wrong", "error"), [(math.nan, ValueError), ("1", TypeError), (1j, TypeError)]
)
def test_a_time_that_is_none_is_refused(poller: Poller, wrong: Any, error: type[Exception]) -> None:
    sema = Sema(1)
    timer = Timer(poller, "token", None)
    for call in (
        lambda: sema.acquire(wrong),
        lambda: sema.park(poller, "token", wrong),
        lambda: Timer(poller, "token", wrong),
        lambda: timer.move(wrong),
    ):
        with pytest.raises(error):
            call()
    assert sema.units == 1 and poller.stats().waiters == 1
    assert timer.cancel()


@pytest.mark.rule(17)
@pytest.mark.parametrize("wrong", [None, 7, "poller", object(), Sema, Poller])
def test_what_is_no_poller_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="not a Poller"):
        Sema().park(wrong, "token")
    with pytest.raises(TypeError, match="not a Poller"):
        Timer(wrong, "token", 1)


@pytest.mark.rule(17)
def test_a_poller_that_was_never_initialised_is_refused() -> None:
    poller = Poller.__new__(Poller)
    with pytest.raises(RuntimeError, match=r"Poller\.__init__ was not called"):
        Sema().park(poller, "token")
    with pytest.raises(RuntimeError, match=r"Poller\.__init__ was not called"):
        Timer(poller, "token", 1)


@pytest.mark.rule(17)
@pytest.mark.parametrize(
    ("wrong", "error"), [(7, TypeError), (b"x", TypeError), ("\0", ValueError)]
)
def test_a_name_that_is_none_is_refused(poller: Poller, wrong: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Sema(name=wrong)
    with pytest.raises(error):
        Timer(poller, "token", 1, name=wrong)
    assert poller.stats().waiters == 0


@pytest.mark.rule(17)
def test_other_wrong_calls_are_type_errors(poller: Poller) -> None:
    sema = Sema()
    wrong: list[Callable[[], object]] = [
        lambda: Sema(1, "name"),  # type: ignore[misc]
        lambda: Timer(poller, "token"),  # type: ignore[call-arg]
        lambda: sema.park(poller),  # type: ignore[call-arg]
        lambda: sema.acquire(1, 2),  # type: ignore[call-arg]
        lambda: sema.acquire(wait=1),  # type: ignore[call-arg]
        lambda: sema.release(1, 2),  # type: ignore[call-arg]
        Waiter,
    ]
    for call in wrong:
        with pytest.raises(TypeError):
            call()
    assert sema.units == 0


# --- signals --------------------------------------------------------------------------------------

SIGNALS = """
import os, signal, sys, threading, time
import netpoll
from support import waits
sema = netpoll.Sema(name="interrupted")
def after(count, *calls):
    def run():
        for call in calls:
            while waits("interrupted") != count:
                time.sleep(0.001)
            call()
    threading.Thread(target=run).start()
def kill():
    os.kill(os.getpid(), signal.SIGUSR1)
"""


@needs_sigint
@pytest.mark.rule(13)
def test_a_handler_runs_while_a_thread_waits_and_it_waits_on() -> None:
    out = check_python(f"""{SIGNALS}
signal.signal(signal.SIGUSR1, lambda *_: (print("handled"), sema.release()))
after(1, kill)
start = time.monotonic()
assert sema.acquire() and time.monotonic() - start < 10
print("got it")
""")
    assert out == "handled\ngot it\n"


@needs_sigint
@pytest.mark.rule(13)
def test_a_thread_that_ran_a_handler_keeps_its_place() -> None:
    out = check_python(f"""{SIGNALS}
served, handled = [], threading.Event()
signal.signal(signal.SIGUSR1, lambda *_: handled.set())
def second():
    while waits("interrupted") != 1:
        time.sleep(0.001)
    sema.acquire()
    served.append("second")
def third():
    while waits("interrupted") != 2:
        time.sleep(0.001)
    kill()
    handled.wait()
    while waits("interrupted") != 2:
        time.sleep(0.001)
    sema.release()
    while not served:
        time.sleep(0.001)
    sema.release()
threads = [threading.Thread(target=run) for run in (second, third)]
for thread in threads:
    thread.start()
sema.acquire()
served.append("first")
for thread in threads:
    thread.join()
print(*served)
""")
    assert out == "first second\n"


@needs_sigint
@pytest.mark.rule(13)
def test_a_handler_that_raises_ends_the_wait_and_nothing_else() -> None:
    out = check_python(f"""{SIGNALS}
def handler(*_):
    raise ZeroDivisionError
signal.signal(signal.SIGUSR1, handler)
after(1, kill)
try:
    sema.acquire(60)
except ZeroDivisionError:
    print("raised", waits("interrupted"))
sema.release()
assert sema.units == 1 and sema.acquire()
""")
    assert out == "raised 0\n"


@needs_sigint
@needs_greenlet
@pytest.mark.rule(13)
def test_ctrl_c_ends_a_hub_whose_greenlets_all_wait() -> None:
    out = check_python(f"""{SIGNALS}
from netpoll import green
after(2, lambda: os.kill(os.getpid(), signal.SIGINT))
other = green.spawn(sema.acquire)
try:
    green.run(sema.acquire)
except KeyboardInterrupt:
    print("interrupted")
sema.release(2)
print(other.get(), sema.units)
""")
    assert out == "interrupted\nTrue 1\n"


# --- fork and exit --------------------------------------------------------------------------------


@needs_fork
@pytest.mark.rule(14)
def test_in_a_forked_child_other_threads_are_gone_and_tokens_of_its_own_stay(backend: str) -> None:
    out = check_python(
        """
        import os, sys, threading, time
        import netpoll
        from support import waits
        sema = netpoll.Sema(name="forked")
        poller = netpoll.Poller()
        thread = threading.Thread(target=sema.acquire)
        thread.start()
        while waits("forked") != 1:
            time.sleep(0.001)
        waiter = sema.park(poller, "token")
        timer = netpoll.Timer(poller, "timer", 0.05)
        def finish():
            tokens = []
            while len(tokens) < 2:
                tokens += poller.poll(None)
            assert sorted(tokens) == ["timer", "token"] and waiter.resume()
            timer.resume()
            poller.close()
        child = os.fork()
        if child == 0:
            assert waits("forked") == 1
            sema.release(2)  # for the token, and one that nothing waits for
            finish()
            assert sema.units == 1
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert waits("forked") == 2
        sema.release(2)
        thread.join()
        finish()
        print("done", sema.units)
        """,
        backend=backend,
    )
    assert out == "done 0\n"


@needs_fork
@needs_greenlet
@pytest.mark.rule(14)
def test_a_hub_whose_greenlets_wait_goes_on_in_a_forked_child(backend: str) -> None:
    out = check_python(
        """
        import os
        import netpoll
        from netpoll import green
        sema = netpoll.Sema()
        def main():
            waiter = green.spawn(sema.acquire)
            green.sleep(0)
            child = os.fork()
            sema.release()
            assert waiter.get() is True and sema.units == 0
            if child == 0:
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            print("done")
        green.run(main)
        """,
        backend=backend,
    )
    assert out == "done\n"


@pytest.mark.rule(15)
def test_exit_with_all_kinds_parked(backend: str) -> None:
    out = check_python(
        """
        import threading, time
        import netpoll
        from support import HAS_GREENLET, waits
        sema = netpoll.Sema(name="left")
        poller = netpoll.default_poller()
        kept = [sema.park(poller, object()), netpoll.Timer(poller, object(), 60)]
        cycle = []
        cycle.append(sema.park(poller, cycle))
        for _ in range(5):
            threading.Thread(target=sema.acquire, daemon=True).start()
        if HAS_GREENLET:
            from netpoll import green
            left = [green.spawn(sema.acquire), green.spawn(sema.acquire, 60)]
            def in_hub():
                green.run(sema.acquire)
            threading.Thread(target=in_hub, daemon=True).start()
            green.sleep(0.01)
        while waits("left") < 7:
            time.sleep(0.001)
        print("done")
        """,
        backend=backend,
    )
    assert out == "done\n"


# --- from many threads ----------------------------------------------------------------------------


@pytest.mark.rule(11, 17)
def test_a_semaphore_of_one_is_a_lock_for_all_kinds(stage: Stage) -> None:
    lock, rounds = Sema(1), turns(200)
    inside = counter = 0

    def work() -> None:
        nonlocal inside, counter
        for i in range(rounds):
            assert lock.acquire()
            inside += 1
            assert inside == 1
            if i % 50 == 0:
                stage.sleep(0)
            counter += 1
            inside -= 1
            lock.release()

    actors = [stage.spawn(work) for _ in range(3)] + [stage.thread(work)]
    for actor in actors:
        actor.result()
    assert counter == 4 * rounds and lock.units == 1


@pytest.mark.rule(12)
def test_a_greenlet_that_never_has_to_wait_lets_others_run(greenlets: Stage) -> None:
    sema = Sema()
    stop = False

    def spin() -> None:
        while not stop:
            sema.release()
            sema.acquire()

    spinning = greenlets.spawn(spin)
    greenlets.sleep(0)
    stop = True
    spinning.result()


def test_threads_in_hubs_of_their_own_pass_units_to_each_other(greenlets: Stage) -> None:
    from netpoll import green

    ping, pong, rounds = Sema(), Sema(), turns(200)

    def serve() -> None:
        for _ in range(rounds):
            assert ping.acquire(LONG)
            pong.release()

    def in_hub() -> None:
        green.run(serve)

    other = ThreadTask("another hub", in_hub, ())
    for _ in range(rounds):
        ping.release()
        assert pong.acquire(LONG)
    greenlets.until(lambda: other.done, "the other hub ends")
    other.result()
