"""netpoll as plain threads use it, and the operations that need no scheduler at all."""

from __future__ import annotations

from functools import partial
from time import perf_counter

import netpoll
from netpoll import READ, Poller

from benchmarks.model import Round
from benchmarks.pairs import connected_pairs, let_in, play_in_threads, take_out
from benchmarks.rivals.netpoll_loop import wait_first


def ready(descriptors: int) -> Round:
    """`reset` and `wait` of descriptors whose notification comes between the two."""
    poller = Poller()
    pairs = connected_pairs(descriptors)
    opened = [poller.open(first) for first, _ in pairs]

    def one_round() -> float:
        let_in(pairs)
        start = perf_counter()
        for desc in opened:
            desc.reset(READ)
        reset = perf_counter()
        for _ in opened:
            poller.poll(0)  # whatever the size of its batches, this collects everything
        collected = perf_counter()
        for desc in opened:
            desc.wait(READ)
        end = perf_counter()
        take_out(pairs)
        return (end - collected + reset - start) / descriptors

    return one_round


def open_close(calls: int) -> Round:
    poller = Poller()
    pair = connected_pairs(1)[0]

    def one_round() -> float:
        fd = pair[0].fileno()
        start = perf_counter()
        for _ in range(calls):
            poller.open(fd).close()
        return (perf_counter() - start) / calls

    return one_round


def ping_pong(pairs: int, trips: int, cores: int, kind: str) -> Round:
    """Two threads a pair."""
    connected = connected_pairs(pairs, kind)
    ends = [(end.fileno(), netpoll.open(end)) for pair in connected for end in pair]
    players = [partial(wait_first, fd, desc, trips) for fd, desc in ends]
    return lambda: play_in_threads(connected, cores, players) / (pairs * trips)
