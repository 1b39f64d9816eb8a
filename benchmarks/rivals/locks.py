"""Locks and queues, of netpoll, of the standard library and of gevent."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from time import perf_counter
from typing import Any

from benchmarks.bout import Bout

PASSES = 1000


def make(library: str, kind: str) -> Any:
    """A lock or a queue."""
    if library == "netpoll":
        from netpoll import sync

        return getattr(sync, kind)()
    if library == "gevent":
        from gevent.lock import RLock, Semaphore

        return RLock() if kind == "RLock" else Semaphore()
    return getattr(queue if "Queue" in kind else threading, kind)()


def in_a_hub(function: Callable[[int], float]) -> Callable[[int], float]:
    from netpoll import green

    return lambda times: green.run(function, times)


def uncontended(library: str, kind: str, hub: bool = False) -> Bout:
    """Acquired and released, and nothing else wants it."""
    lock = make(library, kind)

    def run(times: int) -> float:
        start = perf_counter()
        for _ in range(times * PASSES):
            with lock:
                pass
        return perf_counter() - start

    return Bout(in_a_hub(run) if hub else run, PASSES)


def hand_over(library: str) -> Bout:
    """Two wait for each other: whoever gets its lock releases the other's."""
    first, second = make(library, "Lock"), make(library, "Lock")
    first.acquire()
    second.acquire()

    def play(mine: Any, other: Any, times: int) -> None:
        for _ in range(times):
            mine.acquire()
            other.release()

    def run(times: int) -> float:
        partner = begin(library, play, second, first, times * PASSES // 2)
        start = perf_counter()
        first.release()
        play(first, second, times * PASSES // 2)
        partner.join()
        took = perf_counter() - start
        assert second.acquire(False) is False and first.acquire(False) is True
        return took

    return Bout(in_a_hub(run) if library == "netpoll" else run, PASSES)


def begin(library: str, function: Callable[..., None], *args: Any) -> Any:
    """A greenlet, or a thread, with a method join()."""
    if library == "netpoll":
        from netpoll import green

        return green.spawn(function, *args)
    if library == "gevent":
        import gevent

        return gevent.spawn(function, *args)
    thread = threading.Thread(target=function, args=args)
    thread.start()
    return thread


def between(library: str, hub: bool) -> Bout:
    """A thread puts items into a queue; they are taken out in a hub, or in another thread, and come
    back through a second queue."""
    there, back = make(library, "SimpleQueue"), make(library, "SimpleQueue")

    def answer(times: int) -> None:
        for _ in range(times):
            back.put(there.get())

    def run(times: int) -> float:
        thread = begin("standard", answer, times * PASSES)
        start = perf_counter()
        for number in range(times * PASSES):
            there.put(number)
            assert back.get() == number
        took = perf_counter() - start
        thread.join()
        return took

    return Bout(in_a_hub(run) if hub else run, PASSES)
