"""local and get_ident: of the greenlet in a hub, of the thread elsewhere."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest
from netpoll import sync
from support import LONG, Stage, ThreadTask, needs_greenlet, until


class Value:
    pass


def test_each_actor_has_values_of_its_own(crew: Stage) -> None:
    mine = sync.local()
    mine.x = "main"

    def work(number: int) -> tuple[bool, int]:
        fresh = not hasattr(mine, "x")
        mine.x = number
        for _ in range(5):
            barrier.wait(LONG)
        return fresh, mine.x

    barrier = sync.Barrier(5)
    tasks = [crew.spawn(work, number) for number in range(5)]
    assert [task.result() for task in tasks] == [(True, number) for number in range(5)]
    assert mine.x == "main" and mine.__dict__ == {"x": "main"}


def test_values_go_with_their_actor(crew: Stage) -> None:
    mine, values = sync.local(), []

    def work() -> None:
        mine.value = Value()
        values.append(weakref.ref(mine.value))

    task = crew.spawn(work)
    task.result()
    crew.until(lambda: (gc.collect(), values[0]())[1] is None, "it is gone")


def test_values_go_with_the_local() -> None:
    mine = sync.local()
    mine.value = Value()
    mine.itself = mine
    gone = weakref.ref(mine), weakref.ref(mine.value)
    del mine
    gc.collect()
    assert [one() for one in gone] == [None, None]


def test_a_local_may_be_a_value_of_its_own() -> None:
    mine = sync.local()
    mine.itself = mine
    assert mine.itself is mine
    del mine.itself
    with pytest.raises(AttributeError):
        del mine.itself


def test_many_locals_leave_nothing_with_the_thread() -> None:
    def work() -> None:
        for _ in range(100):
            mine = sync.local()
            mine.value = 1

    ThreadTask("work", work, ()).result()
    work()


def test_a_subclass_begins_anew_in_each_actor(crew: Stage) -> None:
    class Counted(sync.local):
        made = 0

        def __init__(self, start: int, *, step: int = 1) -> None:
            type(self).made += 1
            self.count, self.step = start, step

        @property
        def next(self) -> int:
            self.count += self.step
            return self.count

    mine = Counted(10, step=5)
    assert mine.next == 15
    assert crew.spawn(lambda: mine.next).result() == 15
    assert mine.next == 20 and Counted.made == 2


def test_an_init_that_fails_is_called_again(crew: Stage) -> None:
    attempts: list[int] = []

    class Choosy(sync.local):
        def __init__(self) -> None:
            attempts.append(1)
            if len(attempts) == 2:
                raise KeyError
            self.x = len(attempts)

    mine = Choosy()

    def work() -> int:
        with pytest.raises(KeyError):
            mine.x  # noqa: B018
        return int(mine.x)

    assert crew.spawn(work).result() == 3


def test_wrong_use_has_the_standard_outcome() -> None:
    for kind in (sync.local, threading.local):
        with pytest.raises(TypeError, match="not supported"):
            kind(1)
        mine = kind()
        with pytest.raises(AttributeError):
            mine.x  # noqa: B018
        with pytest.raises(AttributeError):
            mine.__dict__ = {}
        with pytest.raises(AttributeError):
            del mine.__dict__
        mine.x = 1
        del mine.x
        with pytest.raises(AttributeError):
            del mine.x
        assert weakref.ref(mine)() is mine


def test_a_property_may_wait(greenlets: Stage) -> None:
    class Slow(sync.local):
        @property
        def slow(self) -> Any:
            before = self.x
            greenlets.sleep(0.001)
            return before, self.x

    mine = Slow()

    def work(number: int) -> Any:
        mine.x = number
        return mine.slow

    tasks = [greenlets.spawn(work, number) for number in range(4)]
    assert [task.result() for task in tasks] == [(n, n) for n in range(4)]


@needs_greenlet
def test_a_finalizer_of_a_value_runs_in_the_greenlet_that_ends() -> None:
    from netpoll import green

    mine, idents = sync.local(), []

    class Noisy:
        def __del__(self) -> None:
            idents.append(sync.get_ident())

    def work() -> int:
        mine.value = Noisy()
        return sync.get_ident()

    def body() -> None:
        job = green.spawn(work)
        ident = job.get()
        assert idents == [ident]

    ThreadTask("body", body, ()).result()


def test_idents_differ(crew: Stage) -> None:
    barrier = sync.Barrier(4)

    def work() -> int:
        barrier.wait(LONG)
        first = sync.get_ident()
        barrier.wait(LONG)
        assert sync.get_ident() == first
        return first

    found = [task.result() for task in [crew.spawn(work) for _ in range(4)]]
    assert len({*found, sync.get_ident()}) == 5


def test_without_a_hub_it_is_the_threads() -> None:
    task = ThreadTask("one", lambda: (sync.get_ident(), threading.get_ident()), ())
    ours, standard = task.result()
    assert ours == standard
    until(lambda: True, "done")
