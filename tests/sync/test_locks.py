"""Lock and RLock: as `threading`'s, for threads, greenlets, and both at once."""

from __future__ import annotations

import copy
import pickle
import random
import sys
import threading
import time
import weakref
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest
from netpoll import sync
from netpoll._engine import PURE
from support import (
    LONG,
    Stage,
    ThreadTask,
    check_python,
    name_of,
    needs_fork,
    needs_greenlet,
    needs_sigint,
    never_early,
    turns,
    until,
    waits,
)

KINDS = [sync.Lock, sync.RLock]
lock_kinds = pytest.mark.parametrize("kind", KINDS, ids=["Lock", "RLock"])


@pytest.mark.rule(11)
@lock_kinds
def test_one_at_a_time_is_inside(crew: Stage, kind: Any) -> None:
    lock, inside, most = kind(), [], []

    def work(seed: int) -> None:
        pick = random.Random(seed)
        for _ in range(turns(40)):
            with lock:
                inside.append(seed)
                most.append(len(inside))
                if pick.random() < 0.2:
                    time.sleep(0)
                inside.pop()

    for task in [crew.spawn(work, seed) for seed in range(6)]:
        task.result()
    assert set(most) == {1} and len(most) == 6 * turns(40)
    assert lock.acquire(False)
    lock.release()


@pytest.mark.rule(11)
@lock_kinds
def test_waiters_are_served_in_the_order_of_coming(crew: Stage, kind: Any) -> None:
    lock, order = kind(), []

    def enter(number: int) -> None:
        with lock:
            order.append(number)

    with lock:
        tasks = []
        for number in range(7):
            tasks.append(crew.spawn(enter, number))
            crew.until(lambda n=number: waits("lock") == n + 1, "in line")
    for task in tasks:
        task.result()
    assert order == list(range(7))


@pytest.mark.rule(5)
@lock_kinds
def test_a_timeout_is_not_early_and_leaves_the_line(crew: Stage, kind: Any) -> None:
    lock = kind()

    def try_it() -> bool:
        with never_early(0.02):
            return bool(lock.acquire(timeout=0.02))

    lock.acquire()
    assert crew.spawn(try_it).result() is False
    assert waits("lock") == 0
    lock.release()
    assert crew.spawn(lock.acquire, True, LONG).result() is True


@lock_kinds
def test_the_lock_comes_while_a_timeout_runs(crew: Stage, kind: Any) -> None:
    lock = kind()
    lock.acquire()
    task = crew.spawn(lock.acquire, True, LONG)
    crew.until(lambda: waits("lock") == 1, "in line")
    crew.stays_blocked(task)
    lock.release()
    assert task.result() is True


class Index(NamedTuple):
    number: int

    def __index__(self) -> int:
        return self.number


CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((False, 1), {}),
    ((False,), {"timeout": 0.5}),
    ((), {"timeout": -2}),
    ((), {"timeout": 1e100}),
    ((), {"timeout": 1e11}),
    ((), {"timeout": "x"}),
    ((), {"timeout": None}),
    ((), {"timeout": float("nan")}),
    ((), {"bad": 1}),
    ((True, 1, 2), {}),
    ((False,), {}),
    ((0,), {}),
    ((), {"blocking": True, "timeout": 0}),
    ((True, -1), {}),
    ((True, Index(1)), {}),
    ((), {"timeout": Index(1)}),
]


@pytest.mark.parametrize("name", ["Lock", "RLock"])
@pytest.mark.parametrize("call", CALLS, ids=name_of)
def test_calls_have_the_standard_outcome(name: str, call: Any) -> None:
    args, kwargs = call

    def outcome(lock: Any) -> Any:
        try:
            return lock.acquire(*args, **kwargs)
        except Exception as error:
            return type(error)

    assert outcome(getattr(sync, name)()) == outcome(getattr(threading, name)())


@pytest.mark.parametrize("name", ["Lock", "RLock"])
def test_what_is_not_locked_is_not_released(name: str) -> None:
    for module in (sync, threading):
        with pytest.raises(RuntimeError):
            getattr(module, name)().release()


@lock_kinds
def test_objects_behave_as_the_standard_ones(kind: Any) -> None:
    lock = kind()
    assert f"<unlocked netpoll.{kind.__name__} object" in repr(lock)
    with lock as entered:
        assert entered is True
        assert f"<locked netpoll.{kind.__name__} object" in repr(lock)
    assert weakref.ref(lock)() is lock
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="pickle"):
            attempt(lock)
    assert kind.__module__ == "netpoll.sync"


def test_only_the_reentrant_lock_has_subclasses() -> None:
    class Mine(sync.RLock):
        pass

    with Mine() as entered:
        assert entered is True
    with pytest.raises(TypeError):
        type("Other", (sync.Lock,), {})


@pytest.mark.filterwarnings("ignore:.*RLock:DeprecationWarning")
@pytest.mark.parametrize("name", ["Lock", "RLock"])
def test_arguments_are_refused_as_the_standard_ones_refuse_them(name: str) -> None:
    def outcome(kind: Any) -> type[Exception] | None:
        try:
            kind(1)
        except TypeError as error:
            return type(error)
        return None

    assert outcome(getattr(sync, name)) == outcome(getattr(threading, name))


def test_a_lock_is_released_from_anywhere(crew: Stage) -> None:
    lock = sync.Lock()
    crew.spawn(lock.acquire).result()
    assert lock.locked()
    crew.spawn(lock.release).result()
    assert not lock.locked()


def test_an_rlock_is_its_owners(crew: Stage) -> None:
    lock = sync.RLock()

    def other() -> bool:
        with pytest.raises(RuntimeError, match="un-acquired"):
            lock.release()
        return lock.acquire(False)

    with lock, lock:
        assert crew.spawn(other).result() is False
    assert crew.spawn(lock.acquire, False).result() is True


@needs_greenlet
def test_the_main_greenlet_is_the_thread() -> None:
    """An RLock that the thread has acquired stays its own when it gets a hub."""
    from netpoll import green

    def body() -> None:
        lock = sync.RLock()
        lock.acquire()
        before = sync.get_ident()
        green.sleep(0)
        assert sync.get_ident() == before == threading.get_ident()
        assert green.run(lock.acquire, False) is False
        assert green.run(sync.get_ident) != before
        lock.release()
        assert green.run(lock.acquire, False) is True

    ThreadTask("body", body, ()).result()


@pytest.mark.rule(17)
@lock_kinds
def test_a_kill_in_line_lets_the_next_in(greenlets: Stage, kind: Any) -> None:
    lock = kind()
    with lock:
        first: Any = greenlets.spawn(lock.acquire)
        second = greenlets.spawn(lock.acquire)
        greenlets.until(lambda: waits("lock") == 2, "in line")
        first.greenlet.kill()
        first.join(LONG)
    assert second.result() is True


@pytest.mark.rule(17)
@lock_kinds
def test_a_kill_of_one_that_was_just_served_passes_the_lock_on(greenlets: Stage, kind: Any) -> None:
    lock = kind()
    lock.acquire()
    first: Any = greenlets.spawn(lock.acquire)
    second = greenlets.spawn(lock.acquire)
    greenlets.until(lambda: waits("lock") == 2, "in line")
    lock.release()  # the unit is on its way to the first
    first.greenlet.kill()
    first.join(LONG)
    assert second.result() is True


@pytest.mark.rule(17)
def test_storms_of_timeouts_and_kills_lose_no_unlock(greenlets: Stage) -> None:
    lock, pick = sync.Lock(), random.Random(5)

    def work() -> None:
        while True:
            if lock.acquire(timeout=pick.choice([0, 0.0001, 0.001])):
                try:
                    greenlets.sleep(pick.choice([0, 0.0002]))
                finally:
                    lock.release()
            else:
                greenlets.sleep(0)

    def use(until_when: float) -> None:
        while time.monotonic() < until_when:
            with lock:
                time.sleep(0.0001)

    end = time.monotonic() + 0.3
    threads = [greenlets.thread(use, end) for _ in range(2)]
    while time.monotonic() < end:
        victims: list[Any] = [greenlets.spawn(work) for _ in range(4)]
        greenlets.sleep(0.004)
        for victim in victims:
            victim.greenlet.kill()
        for victim in victims:
            victim.join(LONG)
            assert victim.done
    for task in threads:
        task.result()
    assert lock.acquire(timeout=LONG)


def test_a_thread_that_ends_leaves_its_lock_locked() -> None:
    """As with `threading`: another may release it."""
    lock = sync.Lock()
    ThreadTask("owner", lock.acquire, ()).result()
    assert lock.locked()
    lock.release()


def test_a_greenlet_that_waits_for_a_lock_holds_nothing_up(greenlets: Stage) -> None:
    lock = sync.Lock()
    lock.acquire()
    task, ticks = greenlets.spawn(lock.acquire), 0
    for _ in range(5):
        greenlets.sleep(0.001)
        ticks += 1
    assert ticks == 5 and not task.done
    lock.release()
    task.result()


handlers_come_before_the_block = pytest.mark.skipif(
    not PURE and sys.version_info < (3, 14), reason="CPython runs no signal handlers there"
)


def struck_kind(kind: Any) -> Any:
    """One whose `with` is left between `__enter__` and the block, as a signal handler may do it."""

    class Struck(kind):  # type: ignore[misc]
        def __enter__(self) -> bool:
            super().__enter__()
            raise KeyboardInterrupt

    return Struck


@pytest.mark.rule(18)
@handlers_come_before_the_block
@pytest.mark.parametrize("kind", [sync.RLock, sync.Condition])
def test_with_leaves_no_lock_if_it_never_gets_to_its_block(kind: Any) -> None:
    struck = struck_kind(kind)()
    lock = struck._lock if kind is sync.Condition else struck
    for depth in 0, 1, 2:
        with pytest.raises(KeyboardInterrupt), struck:
            raise AssertionError("never here")
        assert lock._recursion_count() == depth
        lock.acquire()


@pytest.mark.rule(18)
@handlers_come_before_the_block
def test_with_leaves_no_lock_of_a_condition_either() -> None:
    lock = sync.Lock()
    with pytest.raises(KeyboardInterrupt), struck_kind(sync.Condition)(lock):
        raise AssertionError("never here")
    assert not lock.locked()


SEMAPHORES = [sync.Semaphore, sync.BoundedSemaphore]


@pytest.mark.rule(18)
@handlers_come_before_the_block
@pytest.mark.parametrize("kind", SEMAPHORES)
def test_with_leaves_every_unit_of_a_semaphore(kind: Any) -> None:
    struck = struck_kind(kind)(2)
    for value in 2, 1:
        with pytest.raises(KeyboardInterrupt), struck:
            raise AssertionError("never here")
        assert struck._value == value
        struck.acquire()


@pytest.mark.rule(18)
@lock_kinds
def test_what_is_looked_up_and_dropped_releases_nothing(kind: Any) -> None:
    """Not even inside a block."""
    lock = kind()
    with lock:
        assert hasattr(lock, "__exit__") and lock.locked()
    assert not lock.locked()
    lock.acquire()
    assert hasattr(lock, "__exit__") and lock.locked()
    lock.__exit__(None, None, None)
    assert not lock.locked()


@pytest.mark.rule(18)
@pytest.mark.parametrize("kind", [threading.RLock, sync.RLock, sync.Condition])
def test_what_is_acquired_in_a_block_stays(kind: Any) -> None:
    lock = kind()
    with lock:
        lock.acquire()
    assert lock._is_owned()
    lock.release()
    assert not lock._is_owned()


def test_a_standard_condition_enters_and_leaves_our_lock() -> None:
    for kind in KINDS:
        lock = kind()
        condition = threading.Condition(lock)
        with condition:
            assert lock.locked()
        assert not lock.locked()


@pytest.mark.rule(18)
@lock_kinds
def test_a_wrong_release_in_a_block_is_an_error_at_its_end(kind: Any) -> None:
    lock = kind()
    with pytest.raises(RuntimeError), lock:
        lock.release()
    for semaphore in (one(1) for one in (threading.BoundedSemaphore, sync.BoundedSemaphore)):
        with pytest.raises(ValueError, match="too many times"), semaphore:
            semaphore.release()


@pytest.mark.rule(18)
def test_blocks_that_wait_release_their_own(greenlets: Stage) -> None:
    semaphore, order = sync.Semaphore(1), []

    def enter(number: int) -> None:
        with semaphore:
            order.append(number)
            greenlets.sleep(0)

    with semaphore:
        tasks = [greenlets.spawn(enter, number) for number in range(5)]
        greenlets.until(lambda: waits("semaphore") == 5, "in line")
    for task in tasks:
        task.result()
    assert order == list(range(5)) and semaphore._value == 1


@pytest.mark.rule(18)
@lock_kinds
def test_what_leaves_a_block_is_found_on_objects_and_classes(kind: Any) -> None:
    lock = kind()
    with ExitStack() as stack:
        stack.enter_context(lock)
        assert lock.locked()
    assert not lock.locked()
    lock.acquire()
    assert hasattr(lock, "__exit__") and lock.locked()
    kind.__exit__(lock, None, None, None)
    assert not lock.locked()


@pytest.mark.rule(13)
@pytest.mark.rule(18)
@needs_sigint
@lock_kinds
def test_a_signal_that_raises_leaves_the_line(kind: Any) -> None:
    check_python(
        f"""
        import os, signal, threading, time
        from netpoll import sync
        lock = sync.{kind.__name__}()
        def hold():
            with lock:
                held.set()
                done.wait()
        held, done = threading.Event(), threading.Event()
        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        killer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        killer.start()
        try:
            lock.acquire()
        except KeyboardInterrupt:
            pass
        else:
            raise AssertionError("not interrupted")
        done.set()
        thread.join()
        assert lock.acquire(timeout=5)
        """
    )


@pytest.mark.rule(14)
@needs_fork
@needs_greenlet
def test_a_forked_child_makes_its_locks_new() -> None:
    """Those that other threads had, and those that greenlets of its own wait for."""
    check_python(
        """
        import threading
        import forking
        from netpoll import green, sync

        def child(locks, waiting):
            for lock in locks:
                lock._at_fork_reinit()
            assert waiting.get(5) is True
            assert locks[1].acquire(timeout=5)

        def main():
            locks = [sync.Lock(), sync.RLock()]
            held = threading.Event()
            def hold():
                for lock in locks:
                    lock.acquire()
                held.set()
                done.wait()
            done = threading.Event()
            thread = threading.Thread(target=hold)
            thread.start()
            held.wait()
            waiting = green.spawn(locks[0].acquire)
            green.sleep(0)
            forking.in_child(lambda: child(locks, waiting))
            waiting.kill()
            done.set()
            thread.join()

        green.run(main)
        """
    )


def test_a_lock_goes_with_its_last_reference() -> None:
    for kind in KINDS:
        lock = kind()
        gone = weakref.ref(lock)
        del lock
        until(lambda gone=gone: gone() is None, "it is gone")
