"""A selector of the standard library's or netpoll's, with few that are ready among many."""

from __future__ import annotations

import os
import selectors
from time import perf_counter

from benchmarks.bout import Bout
from benchmarks.pairs import connected_pairs


def new_selector(kind: str) -> selectors.BaseSelector:
    if kind == "netpoll":
        from netpoll.adapters.selectors import PollerSelector

        return PollerSelector()
    return selectors.EpollSelector()


def select(kind: str, idle: int, ready: int, drained: bool) -> Bout:
    """A turn: those that are ready are reported, and drained or left as they are."""
    selector = new_selector(kind)
    pairs = connected_pairs(idle + ready)
    for first, _ in pairs:
        selector.register(first, selectors.EVENT_READ)
    active = [(first.fileno(), second.fileno()) for first, second in pairs[:ready]]
    for _, second in active:
        os.write(second, b"x")

    def turn() -> float:
        start = perf_counter()
        found = selector.select(10)
        elapsed = perf_counter() - start
        if sorted(key.fd for key, _ in found) != sorted(first for first, _ in active):
            raise RuntimeError(f"{len(found)} reported of {ready}, {len(pairs)} open")
        if drained:
            for first, second in active:
                os.read(first, 1)
                os.write(second, b"x")
        return elapsed

    return Bout(lambda times: sum(turn() for _ in range(times)), 1)


def register_unregister(kind: str, calls: int = 1000) -> Bout:
    selector = new_selector(kind)
    pair = connected_pairs(1)[0]

    def do(times: int) -> float:
        first = pair[0]
        start = perf_counter()
        for _ in range(times * calls):
            selector.register(first, selectors.EVENT_READ)
            selector.unregister(first)
        return perf_counter() - start

    return Bout(do, calls)
