"""The queue of connection pools, in which whoever waits parks."""

from __future__ import annotations

import queue

import pytest
from netpoll.adapters.queue import LifoQueue
from support import LONG, Stage, never_early, turns


def test_who_waits_gets_what_is_put_and_the_last_comes_first(stage: Stage) -> None:
    free = LifoQueue()
    waiter = stage.spawn(free.get)
    stage.stays_blocked(waiter, seconds=0.01)
    free.put("a")
    assert waiter.result() == "a"
    for item in "xyz":
        free.put(item)
    assert [free.get() for _ in range(3)] == ["z", "y", "x"]


def test_who_puts_into_a_full_queue_waits_for_room(stage: Stage) -> None:
    full = LifoQueue(1)
    full.put(1)
    with pytest.raises(queue.Full):
        full.put_nowait(2)
    putter = stage.spawn(full.put, 2)
    stage.stays_blocked(putter, seconds=0.01)
    assert full.get() == 1
    putter.result()
    assert full.get() == 2


def test_a_wait_has_a_timeout(stage: Stage) -> None:
    free = LifoQueue(1)
    with pytest.raises(queue.Empty):
        free.get_nowait()
    with never_early(0.05), pytest.raises(queue.Empty):
        free.get(timeout=0.05)
    free.put(1)
    with never_early(0.05), pytest.raises(queue.Full):
        free.put(2, timeout=0.05)
    for wait in (free.get, lambda timeout: free.put(2, timeout=timeout)):
        with pytest.raises(ValueError, match="non-negative"):
            wait(timeout=-1)
    assert not free._getting and not free._putting


def test_hundreds_share_a_few_places(stage: Stage) -> None:
    free = LifoQueue()
    inside = []

    def borrow() -> None:
        for _ in range(5):
            item = free.get(timeout=LONG)
            assert item not in inside
            inside.append(item)
            stage.sleep(0)
            inside.remove(item)
            free.put(item)

    borrowers = [stage.spawn(borrow) for _ in range(turns(200))]
    for item in range(3):
        free.put(item)
    for borrower in borrowers:
        borrower.result()
    assert sorted(free.queue) == [0, 1, 2] and not free._getting


def test_who_is_killed_when_its_turn_has_come_leaves_it_to_the_next(greenlets: Stage) -> None:
    free = LifoQueue()
    victim, heir = greenlets.spawn(free.get), greenlets.spawn(free.get)
    greenlets.stays_blocked(victim, heir, seconds=0.01)
    free.put("a")  # the victim is let in, and has not run yet
    victim.greenlet.kill()
    assert heir.result() == "a"


def test_threads_and_a_hub_share_one(greenlets: Stage) -> None:
    free = LifoQueue()
    waiter = greenlets.spawn(free.get)
    greenlets.stays_blocked(waiter, seconds=0.01)
    greenlets.thread(free.put, "of a thread").result()
    assert waiter.result() == "of a thread"
    waiting_thread = greenlets.thread(free.get)
    greenlets.spawn(free.put, "of a greenlet").result()
    assert waiting_thread.result() == "of a greenlet"
