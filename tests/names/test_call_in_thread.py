"""`green.call_in_thread`: what blocks runs in a thread, and the greenlet waits for it."""

from __future__ import annotations

import contextvars
import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from netpoll._blocking import threads as pools
from support import LONG, Stage, check_python, needs_fork, needs_greenlet

pytestmark = needs_greenlet

green: Any = pytest.importorskip("netpoll.green")

#: Seconds of a call that blocks.
BLOCK = 0.2


@contextmanager
def ticking(every: float = 0.005) -> Iterator[list[float]]:
    """The intervals of a greenlet that does nothing but sleep."""
    intervals: list[float] = []

    def tick() -> None:
        last = time.monotonic()
        while True:
            green.sleep(every)
            now = time.monotonic()
            intervals.append(now - last)
            last = now

    ticker = green.spawn(tick)
    try:
        yield intervals
    finally:
        ticker.kill()
        ticker.join()


def test_ten_calls_take_as_long_as_one_and_others_run_meanwhile(greenlets: Stage) -> None:
    began = time.monotonic()
    with ticking() as intervals:
        calls = [greenlets.spawn(green.call_in_thread, time.sleep, BLOCK) for _ in range(10)]
        for call in calls:
            call.result()
    assert time.monotonic() - began < 5 * BLOCK
    assert len(intervals) > 5


def test_the_result_comes_back(greenlets: Stage) -> None:
    assert green.call_in_thread(divmod, 7, 2) == (3, 1)
    assert green.call_in_thread(int, "11", base=2) == 3
    assert green.call_in_thread(threading.get_ident) != threading.get_ident()


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
def test_the_exception_comes_back(greenlets: Stage, kind: type[BaseException]) -> None:
    def fail() -> None:
        raise kind("no")

    with pytest.raises(kind, match="no") as caught:
        green.call_in_thread(fail)
    assert "fail" in [entry.name for entry in caught.traceback]


def test_it_runs_in_a_copy_of_the_context(greenlets: Stage) -> None:
    variable = contextvars.ContextVar("variable", default="none")
    variable.set("caller's")

    def change() -> str:
        before = variable.get()
        variable.set("thread's")
        return before

    assert green.call_in_thread(change) == "caller's"
    assert variable.get() == "caller's"


def test_a_kill_ends_the_wait_and_the_call_goes_on(greenlets: Stage) -> None:
    begun, ended = threading.Event(), threading.Event()

    def block() -> None:
        begun.set()
        time.sleep(BLOCK)
        ended.set()

    waiter = greenlets.spawn(green.call_in_thread, block)
    greenlets.until(begun.is_set, "the call has begun")
    waiter.greenlet.kill()  # type: ignore[attr-defined]
    waiter.raises(green.GreenletExit)
    assert not ended.is_set()
    greenlets.until(ended.is_set, "the call has ended")


def test_no_more_than_the_bound_run_at_once_and_none_is_lost(greenlets: Stage) -> None:
    running: set[int] = set()
    most = 0

    def count(me: int) -> int:
        nonlocal most
        running.add(me)
        most = max(most, len(running))
        time.sleep(0.005)
        running.discard(me)
        return me

    calls = [greenlets.spawn(green.call_in_thread, count, i) for i in range(3 * pools.LIMIT)]
    assert [call.result() for call in calls] == list(range(3 * pools.LIMIT))
    assert 1 < most <= pools.LIMIT


def test_a_call_that_was_killed_in_the_queue_never_begins(greenlets: Stage) -> None:
    go = threading.Event()
    called: list[int] = []
    busy = [greenlets.spawn(green.call_in_thread, go.wait, LONG) for _ in range(pools.LIMIT)]
    queued = greenlets.spawn(green.call_in_thread, called.append, 1)
    greenlets.sleep(0.05)
    queued.greenlet.kill()  # type: ignore[attr-defined]
    queued.raises(green.GreenletExit)
    go.set()
    for call in busy:
        call.result()
    assert green.call_in_thread(lambda: 2) == 2
    assert called == []


def test_a_thread_without_a_hub_calls_it_itself(threads: Stage) -> None:
    def call() -> tuple[bool, bool]:
        return green.call_in_thread(threading.get_ident) == threading.get_ident(), green.has_hub()

    assert threads.spawn(call).result() == (True, False)


def test_idle_threads_end() -> None:
    """In a process of its own, where no other thread comes and goes."""
    check_python(
        """
        import threading, time
        from netpoll import green
        from netpoll._blocking import threads as pools

        pools.IDLE = 0.02

        def main():
            for call in [green.spawn(green.call_in_thread, time.sleep, 0.01) for _ in range(5)]:
                call.join()
            assert threading.active_count() > 1
            end = time.monotonic() + 20
            while threading.active_count() > 1:
                assert time.monotonic() < end, threading.enumerate()
                green.sleep(0.01)
            assert green.call_in_thread(lambda: 1) == 1

        green.run(main)
        """
    )


def test_a_call_can_make_calls(greenlets: Stage) -> None:
    def outer() -> Any:
        return green.run(green.call_in_thread, threading.get_ident)

    assert green.call_in_thread(outer) != threading.get_ident()


@pytest.mark.rule(15)
def test_a_call_that_hangs_keeps_no_process_from_exiting() -> None:
    check_python(
        """
        import threading
        from netpoll import green

        begun = threading.Event()

        def hang():
            begun.set()
            threading.Event().wait()

        def main():
            green.spawn(green.call_in_thread, hang)
            while not begun.is_set():
                green.sleep(0.001)

        green.run(main)
        """
    )


@needs_fork
@pytest.mark.rule(14)
def test_a_fork_begins_with_a_new_pool() -> None:
    check_python(
        """
        import os, threading, time
        from netpoll import green

        go = threading.Event()
        outcome = []

        def wait_for_call():
            try:
                outcome.append(green.call_in_thread(go.wait, 10))
            except RuntimeError as error:
                outcome.append(error)

        def main():
            waiter = green.spawn(wait_for_call)
            green.sleep(0.05)
            child = os.fork()
            if child == 0:
                waiter.join(10)
                assert isinstance(outcome[0], RuntimeError), outcome
                assert green.call_in_thread(divmod, 7, 2) == (3, 1)
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            go.set()
            waiter.join(10)
            assert outcome == [True], outcome

        green.run(main)
        """
    )


@needs_fork
@pytest.mark.rule(14)
def test_a_call_may_fork(greenlets: Stage) -> None:
    def fork() -> int:
        child = os.fork()
        if child == 0:
            os._exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert green.call_in_thread(fork) == 7


def test_nothing_is_kept_of_a_call_that_has_ended(greenlets: Stage) -> None:
    class Thing:
        gone = False

        def __del__(self) -> None:
            Thing.gone = True

        def fail(self) -> None:
            raise ValueError

    gc.disable()
    try:
        green.call_in_thread(Thing().fail)
    except ValueError:
        pass
    finally:
        gc.enable()
    greenlets.until(lambda: Thing.gone, "the object is freed")
