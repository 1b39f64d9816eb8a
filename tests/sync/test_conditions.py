"""Condition, Event, Semaphore, BoundedSemaphore, Barrier: as `threading`'s, wherever they wait."""

from __future__ import annotations

import pickle
import threading
import time
import weakref
from typing import Any

import pytest
from netpoll import sync
from support import (
    LONG,
    Stage,
    check_python,
    needs_fork,
    needs_greenlet,
    needs_sigint,
    never_early,
    waits,
)

LOCKS = [sync.Lock, sync.RLock, threading.Lock, threading.RLock]


def wait_in_line(crew: Stage, condition: sync.Condition, log: list[Any], count: int) -> list[Any]:
    """Actors that wait one behind the other, and log their numbers."""

    def wait(number: int) -> None:
        with condition:
            assert condition.wait(LONG)
            log.append(number)

    tasks = []
    for number in range(count):
        tasks.append(crew.spawn(wait, number))
        crew.until(lambda n=number: waits("condition") == n + 1, "it waits")
    return tasks


def test_notifications_go_to_those_that_came_first(crew: Stage) -> None:
    condition, log = sync.Condition(), []
    tasks = wait_in_line(crew, condition, log, 5)
    for number in range(3):
        with condition:
            condition.notify()
        crew.until(lambda n=number: len(log) == n + 1, "it goes on")
    assert log == [0, 1, 2]
    with condition:
        condition.notify(2)
    for task in tasks:
        task.result()
    assert sorted(log) == [0, 1, 2, 3, 4]


def test_a_standard_condition_restores_the_depth_of_an_rlock() -> None:
    """One that is made of threading's class around a lock of ours."""
    lock = sync.RLock()
    condition: Any = threading.Condition(lock)  # type: ignore[arg-type]
    with lock, condition:
        assert not condition.wait(0.001)
        assert lock._recursion_count() == 2
    assert not lock.locked()


def test_a_notification_that_meets_nothing_is_gone(crew: Stage) -> None:
    condition = sync.Condition(sync.Lock())
    with condition:
        condition.notify()
        condition.notify_all()
        with never_early(0.01):
            assert condition.wait(0.01) is False


@pytest.mark.parametrize("kind", LOCKS, ids=["Lock", "RLock", "standard Lock", "standard RLock"])
def test_the_lock_is_released_meanwhile_and_held_afterwards(threads: Stage, kind: Any) -> None:
    condition = sync.Condition(kind())

    def notify() -> None:
        with condition:
            condition.notify()

    with condition:
        task = threads.spawn(notify)
        assert condition.wait(LONG) is True
        assert condition.wait(0.001) is False
        refused = threads.spawn(condition.acquire, False).result()
        assert refused is False
    task.result()


def test_a_reentrant_lock_is_released_whole(crew: Stage) -> None:
    condition = sync.Condition()

    def notify() -> None:
        with condition:
            condition.notify()

    with condition, condition:
        task = crew.spawn(notify)
        assert condition.wait(LONG)
        task.result()


@pytest.mark.parametrize("method", ["wait", "notify", "notify_all"])
def test_who_has_not_the_lock_is_refused(method: str) -> None:
    for module in (sync, threading):
        with pytest.raises(RuntimeError, match="un-acquired lock"):
            getattr(module.Condition(), method)()


@pytest.mark.rule(17)
def test_a_killed_waiter_passes_its_notification_on(greenlets: Stage) -> None:
    condition, log = sync.Condition(), []
    first, second = wait_in_line(greenlets, condition, log, 2)
    with condition:
        condition.notify()  # for the first
        first.greenlet.kill()
    first.join(LONG)
    second.result()
    assert log == [1]
    with condition:  # it left no notification behind
        assert condition.wait(0) is False


def test_a_kill_leaves_the_lock_to_the_block(greenlets: Stage) -> None:
    """The `with` releases it, so it has to be there."""
    condition, ends = sync.Condition(), []

    def wait() -> None:
        with condition:
            try:
                condition.wait()
            finally:
                ends.append(condition.acquire(False))  # it is reentrant
                condition.release()

    victim: Any = greenlets.spawn(wait)
    greenlets.until(lambda: waits("condition") == 1, "it waits")
    with condition:
        victim.greenlet.kill()
        greenlets.sleep(0.002)  # it waits for the lock now
        victim.greenlet.kill()
        greenlets.sleep(0.002)
        assert not victim.done
    victim.join(LONG)
    assert ends == [True] and not condition._is_owned()
    with condition:
        pass


def test_wait_for_a_predicate(crew: Stage) -> None:
    condition, state = sync.Condition(), [0]

    def count() -> None:
        for _ in range(3):
            with condition:
                state[0] += 1
                condition.notify_all()

    task = crew.spawn(count)
    with condition:
        assert condition.wait_for(lambda: state[0] == 3, LONG) is True
        assert condition.wait_for(lambda: state[0] == 4, 0.01) is False
    task.result()


@pytest.mark.parametrize("timeout", [0, -1])
def test_wait_for_without_time_lets_others_have_the_lock(crew: Stage, timeout: float) -> None:
    """Once in any case, as the standard one: whoever asks in a loop sees the change."""
    condition, ready = sync.Condition(), []

    def change() -> None:
        with condition:
            ready.append(True)

    def ask() -> None:
        with condition:
            while not condition.wait_for(lambda: ready, timeout):
                pass

    asking = crew.spawn(ask)
    crew.spawn(change).result()
    asking.result()
    with pytest.raises(RuntimeError):
        condition.wait_for(lambda: False, timeout)
    assert condition.wait_for(lambda: True, timeout)  # without the lock, as the standard one


@pytest.mark.rule(13)
@pytest.mark.rule(18)
@needs_sigint
def test_a_signal_that_raises_loses_no_notification() -> None:
    check_python(
        """
        import os, signal, threading
        from netpoll import sync
        condition = sync.Condition()
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            with condition:
                condition.wait()
        except KeyboardInterrupt:
            pass
        woken = []
        def wait():
            with condition:
                waits.set()
                woken.append(condition.wait(5))
        waits = threading.Event()
        thread = threading.Thread(target=wait)
        thread.start()
        waits.wait()
        with condition:
            condition.notify()
        thread.join()
        assert woken == [True]
        """
    )


@pytest.mark.rule(14)
@needs_fork
def test_a_forked_child_has_a_condition_without_the_other_threads() -> None:
    check_python(
        """
        import threading, time
        import forking
        from netpoll import sync
        condition = sync.Condition()
        def wait():
            with condition:
                condition.wait()
        thread = threading.Thread(target=wait)
        thread.start()
        while not condition.acquire(False) or not len(threading.enumerate()) == 2:
            time.sleep(0.001)
        condition.release()
        time.sleep(0.05)
        condition.acquire()
        def child():
            condition._at_fork_reinit()
            with condition:
                assert condition.wait(0.01) is False
                condition.notify_all()
        forking.in_child(child)
        condition.notify()
        condition.release()
        thread.join()
        """
    )


# --- Event ----------------------------------------------------------------------------------------


def test_an_event_lets_all_go_on_and_stays_set(crew: Stage) -> None:
    event = sync.Event()
    tasks = [crew.spawn(event.wait, LONG) for _ in range(4)]
    crew.stays_blocked(*tasks)
    event.set()
    assert [task.result() for task in tasks] == [True] * 4
    assert event.wait() and event.is_set()
    event.clear()
    assert not event.is_set() and event.wait(0) is False
    with never_early(0.01):
        assert event.wait(0.01) is False


def test_those_that_wait_go_on_although_it_is_cleared_at_once(crew: Stage) -> None:
    event = sync.Event()
    tasks = [crew.spawn(event.wait, LONG) for _ in range(3)]
    crew.until(lambda: waits("event") == 3, "they wait")
    event.set()
    event.clear()
    assert [task.result() for task in tasks] == [True] * 3


# --- Semaphores -----------------------------------------------------------------------------------


def test_a_semaphore_lets_so_many_in(crew: Stage) -> None:
    semaphore, inside, most = sync.Semaphore(2), [], []

    def work(number: int) -> None:
        for _ in range(10):
            with semaphore:
                inside.append(number)
                most.append(len(inside))
                time.sleep(0)
                inside.remove(number)

    for task in [crew.spawn(work, number) for number in range(5)]:
        task.result()
    assert max(most) <= 2
    assert semaphore.acquire(False) and semaphore.acquire(False) and not semaphore.acquire(False)


@pytest.mark.parametrize("name", ["Semaphore", "BoundedSemaphore"])
def test_semaphores_refuse_what_the_standard_ones_refuse(name: str) -> None:
    for module in (sync, threading):
        kind = getattr(module, name)
        with pytest.raises(ValueError):
            kind(-1)
        with pytest.raises(ValueError):
            kind().acquire(False, 1)
        with pytest.raises(ValueError):
            kind().release(0)


def test_a_bounded_semaphore_is_not_released_too_often(crew: Stage) -> None:
    semaphore = sync.BoundedSemaphore(2)
    with pytest.raises(ValueError, match="released too many times"):
        semaphore.release()
    assert semaphore.acquire() and semaphore.acquire()
    waiting = crew.spawn(semaphore.acquire)
    crew.until(lambda: waits("semaphore") == 1, "it waits")
    with pytest.raises(ValueError):
        semaphore.release(3)
    semaphore.release(2)
    assert waiting.result() is True
    semaphore.release()
    with pytest.raises(ValueError):
        semaphore.release()


# --- Barrier --------------------------------------------------------------------------------------


def test_a_barrier_lets_all_go_on_together_again_and_again(crew: Stage) -> None:
    barrier, passed = sync.Barrier(3), []

    def work() -> list[int]:
        numbers = []
        for turn in range(5):
            numbers.append(barrier.wait(LONG))
            passed.append(turn)
            barrier.wait(LONG)
            assert passed.count(turn) == 3
        return numbers

    found = [task.result() for task in [crew.spawn(work) for _ in range(3)]]
    assert all(sorted(numbers) == [0, 1, 2] for numbers in zip(*found, strict=True))
    assert barrier.n_waiting == 0 and not barrier.broken


def test_a_timeout_breaks_a_barrier_for_all(crew: Stage) -> None:
    barrier = sync.Barrier(3)
    patient = crew.spawn(barrier.wait)
    crew.until(lambda: barrier.n_waiting == 1, "it waits")
    crew.spawn(barrier.wait, 0.01).raises(threading.BrokenBarrierError)
    patient.raises(threading.BrokenBarrierError)
    assert barrier.broken
    crew.spawn(barrier.wait).raises(threading.BrokenBarrierError)
    barrier.reset()
    assert not barrier.broken
    tasks = [crew.spawn(barrier.wait) for _ in range(3)]
    assert sorted(task.result() for task in tasks) == [0, 1, 2]


def test_a_kill_breaks_a_barrier_for_the_others(greenlets: Stage) -> None:
    barrier = sync.Barrier(3)
    tasks: list[Any] = [greenlets.spawn(barrier.wait) for _ in range(2)]
    greenlets.until(lambda: barrier.n_waiting == 2, "they wait")
    tasks[0].greenlet.kill()
    tasks[1].raises(threading.BrokenBarrierError)


def test_a_failing_action_breaks_a_barrier() -> None:
    def fail() -> None:
        raise KeyError

    barrier = sync.Barrier(1, fail)
    with pytest.raises(KeyError):
        barrier.wait()
    assert barrier.broken


# --- all ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (sync.Condition, "netpoll.Condition"),
        (sync.Event, "unset>"),
        (sync.Semaphore, "value=1>"),
        (sync.BoundedSemaphore, "value=1/1>"),
        (lambda: sync.Barrier(2), "waiters=0/2>"),
    ],
    ids=["Condition", "Event", "Semaphore", "BoundedSemaphore", "Barrier"],
)
def test_objects_show_their_state_and_are_not_pickled(make: Any, text: str) -> None:
    thing = make()
    assert text in repr(thing)
    assert weakref.ref(thing)() is thing
    with pytest.raises(TypeError):
        pickle.dumps(thing)


@pytest.mark.rule(11)
@pytest.mark.rule(12)
@needs_greenlet
def test_a_thread_wakes_greenlets_of_two_hubs() -> None:
    from netpoll import green
    from support import ThreadTask

    event = sync.Event()
    hubs = [ThreadTask(f"hub {n}", green.run, (event.wait, LONG)) for n in range(2)]
    time.sleep(0.02)
    event.set()
    assert [hub.result() for hub in hubs] == [True, True]
