"""Queues: as `queue`'s, between threads, greenlets of one hub, and greenlets of several."""

from __future__ import annotations

import copy
import gc
import pickle
import queue
import random
import sys
import time
import weakref
from collections import Counter
from typing import Any

import pytest
from netpoll import sync
from support import LONG, Stage, check_python, needs_sigint, never_early, turns, waits

KINDS = [sync.Queue, sync.LifoQueue, sync.PriorityQueue, sync.SimpleQueue]
queue_kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
bounded = pytest.mark.parametrize("kind", KINDS[:3], ids=lambda kind: kind.__name__)
WAITS = {"SimpleQueue": "queue"}


def waiting(kind: type) -> int:
    return waits("queue" if kind is sync.SimpleQueue else "condition")


@pytest.mark.rule(11)
@pytest.mark.rule(17)
@queue_kinds
def test_each_item_comes_out_once(crew: Stage, kind: Any) -> None:
    q = kind() if kind is sync.SimpleQueue else kind(3)
    each = turns(60)

    def produce(number: int) -> None:
        for item in range(each):
            q.put((number, item))

    def consume() -> list[Any]:
        return list(iter(q.get, (99, 0)))

    producers = [crew.spawn(produce, number) for number in range(3)]
    consumers = [crew.spawn(consume) for _ in range(3)]
    for task in producers:
        task.result()
    crew.until(q.empty, "all are taken")
    for _ in consumers:
        q.put((99, 0))
    found = Counter(item for task in consumers for item in task.result())
    assert found == Counter((n, i) for n in range(3) for i in range(each))


@queue_kinds
def test_getters_are_served_in_the_order_of_coming(crew: Stage, kind: Any) -> None:
    q, order = kind(), []

    def take(number: int) -> None:
        q.get()
        order.append(number)

    tasks = []
    for number in range(4):
        tasks.append(crew.spawn(take, number))
        crew.until(lambda n=number: waiting(kind) == n + 1, "it waits")
    for number in range(4):
        q.put(number)
        crew.until(lambda n=number: len(order) == n + 1, "it was served")
    assert order == [0, 1, 2, 3]


@queue_kinds
def test_getting_in_vain(crew: Stage, kind: Any) -> None:
    q = kind()

    def get() -> None:
        with never_early(0.01):
            q.get(timeout=0.01)

    crew.spawn(get).raises(queue.Empty)
    crew.spawn(q.get, False).raises(queue.Empty)
    crew.spawn(q.get_nowait).raises(queue.Empty)
    crew.spawn(q.get, True, -1).raises(ValueError)
    assert waiting(kind) == 0 and q.empty() and q.qsize() == 0


@bounded
def test_putting_in_vain(crew: Stage, kind: Any) -> None:
    q = kind(1)
    q.put(1)
    with never_early(0.01):
        crew.spawn(q.put, 2, True, 0.01).raises(queue.Full)
    crew.spawn(q.put_nowait, 2).raises(queue.Full)
    crew.spawn(q.put, 2, True, -1).raises(ValueError)
    putter = crew.spawn(q.put, 2)
    crew.until(lambda: waits("condition") == 1, "it waits")
    assert q.get() == 1
    putter.result()
    assert q.get() == 2


@pytest.mark.rule(17)
@queue_kinds
def test_a_killed_getter_takes_nothing(greenlets: Stage, kind: Any) -> None:
    q = kind()
    first: Any = greenlets.spawn(q.get)
    second = greenlets.spawn(q.get)
    greenlets.until(lambda: waiting(kind) == 2, "they wait")
    q.put("item")  # for the first
    first.greenlet.kill()
    first.join(LONG)
    assert second.result() == "item"


@pytest.mark.rule(17)
def test_a_killed_putter_passes_the_room_on(greenlets: Stage) -> None:
    q: sync.Queue[str] = sync.Queue(1)
    q.put("zero")
    first: Any = greenlets.spawn(q.put, "one")
    second = greenlets.spawn(q.put, "two")
    greenlets.until(lambda: waits("condition") == 2, "they wait")
    assert q.get() == "zero"
    first.greenlet.kill()
    first.join(LONG)
    second.result()
    assert q.get() == "two" and q.empty()


@pytest.mark.rule(17)
@queue_kinds
def test_storms_of_kills_lose_no_item(greenlets: Stage, kind: Any) -> None:
    q, pick, taken = kind(), random.Random(7), []

    def take() -> None:
        while True:
            item = q.get()
            taken.append(item)

    end, sent = time.monotonic() + 0.2, 0
    while time.monotonic() < end:
        takers: list[Any] = [greenlets.spawn(take) for _ in range(3)]
        greenlets.sleep(0)
        for _ in range(4):
            q.put(sent)
            sent += 1
            if pick.random() < 0.5:
                takers[0].greenlet.kill()
                greenlets.sleep(0)
        for taker in takers:
            taker.greenlet.kill()
            taker.join(LONG)
    while not q.empty():
        taken.append(q.get_nowait())
    assert sorted(taken) == list(range(sent))


def test_join_waits_until_all_is_done(crew: Stage) -> None:
    q: sync.Queue[int] = sync.Queue()
    for item in range(3):
        q.put(item)
    joiner = crew.spawn(q.join)
    for _ in range(3):
        q.get()
        crew.stays_blocked(joiner, seconds=0.005)
        q.task_done()
    joiner.result()
    with pytest.raises(ValueError):
        q.task_done()


def test_the_order_of_each_kind() -> None:
    items = [3, 1, 2]
    for kind, expected in ((sync.Queue, [3, 1, 2]), (sync.LifoQueue, [2, 1, 3])):
        q: Any = kind()
        for item in items:
            q.put(item)
        assert [q.get() for _ in items] == expected
    q = sync.PriorityQueue()
    for item in items:
        q.put(item)
    assert [q.get() for _ in items] == [1, 2, 3]


def test_the_order_is_kept_as_a_queue_grows() -> None:
    q: sync.SimpleQueue[int] = sync.SimpleQueue()
    put = taken = 0
    for fill, take in ((16, 5), (21, 11), (70, 60), (200, 231)):  # full with its start anywhere
        for _ in range(fill):
            q.put(put)
            put += 1
        for _ in range(take):
            assert q.get_nowait() == taken
            taken += 1
    assert q.empty() and taken == put


@bounded
def test_subclasses_override_the_hooks(kind: Any) -> None:
    class Doubled(kind):  # type: ignore[misc]
        def _put(self, item: int) -> None:
            super()._put(2 * item)

        def _get(self) -> int:
            return int(kind._get(self)) + 1

    q = Doubled()
    q.put(5)
    assert q.get() == 11
    assert isinstance(q, sync.Queue)


def test_a_failing_hook_leaves_the_queue_whole(crew: Stage) -> None:
    class Choosy(sync.Queue[int]):
        def _put(self, item: int) -> None:
            if item < 0:
                raise KeyError(item)
            super()._put(item)

    q = Choosy()
    getter = crew.spawn(q.get)
    crew.until(lambda: waits("condition") == 1, "it waits")
    with pytest.raises(KeyError):
        q.put(-1)
    assert q.unfinished_tasks == 0
    q.put(1)
    assert getter.result() == 1


@queue_kinds
def test_objects_behave_as_the_standard_ones(kind: Any) -> None:
    q = kind()
    assert kind[int].__origin__ is kind and kind[int].__args__ == (int,)
    assert weakref.ref(q)() is q
    for attempt in (pickle.dumps, copy.copy if kind is sync.SimpleQueue else pickle.dumps):
        with pytest.raises(TypeError):
            attempt(q)

    class Mine(kind):  # type: ignore[misc]
        pass

    Mine().put(1)


def test_the_attributes_that_programs_use_are_there() -> None:
    q: sync.Queue[int] = sync.Queue(2)
    q.put(1)
    with q.mutex:
        assert list(q.queue) == [1] and q.unfinished_tasks == 1
        q.queue.clear()
    assert q.empty() and not q.full() and q.maxsize == 2
    with q.all_tasks_done:
        assert q.all_tasks_done.wait(0.001) is False


def test_a_simple_queue_is_collected_with_what_is_in_it() -> None:
    q: Any = sync.SimpleQueue()
    for item in range(40):  # its ring grows
        q.put(item)
    assert [q.get() for _ in range(30)] == list(range(30))
    for item in range(40, 70):
        q.put(item)
    assert [q.get() for _ in range(40)] == list(range(30, 70))
    q.put(q)
    gone = weakref.ref(q)
    del q
    gc.collect()
    assert gone() is None


@pytest.mark.rule(13)
@needs_sigint
def test_a_signal_handler_may_put_into_the_queue_that_its_thread_waits_for() -> None:
    check_python(
        """
        import os, signal, threading
        from netpoll import sync
        q = sync.SimpleQueue()
        signal.signal(signal.SIGINT, lambda *unused: q.put("item"))
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        assert q.get(timeout=10) == "item"
        """
    )


@pytest.mark.skipif(sys.version_info < (3, 13), reason="queues are shut down from 3.13 on")
def test_a_shutdown_ends_all_waits(crew: Stage) -> None:
    q: Any = sync.Queue(1)
    getter = crew.spawn(q.get)
    crew.until(lambda: waits("condition") == 1, "it waits")
    q.shutdown()
    getter.raises(sync.ShutDown)
    with pytest.raises(sync.ShutDown):
        q.put(1)
