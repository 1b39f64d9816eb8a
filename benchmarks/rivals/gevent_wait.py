"""gevent's `wait_read`, with the same loops around os.read and os.write as netpoll's."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter

import gevent
from gevent.socket import wait_read

from benchmarks.model import Round
from benchmarks.pairs import Pair, connected_pairs, let_in, take_out


def ready(descriptors: int) -> Round:
    """`wait_read` of descriptors that are readable."""
    pairs = connected_pairs(descriptors)
    fds = [first.fileno() for first, _ in pairs]

    def one_round() -> float:
        let_in(pairs)
        start = perf_counter()
        for fd in fds:
            wait_read(fd)
        elapsed = perf_counter() - start
        take_out(pairs)
        return elapsed / descriptors

    return one_round


def move_timeout(calls: int) -> Round:
    """A fresh `gevent.Timeout` started and closed, which is how gevent moves a deadline."""

    def one_round() -> float:
        start = perf_counter()
        for _ in range(calls):
            timeout = gevent.Timeout(7200.0)
            timeout.start()
            timeout.close()
        return (perf_counter() - start) / calls

    return one_round


def read_first(fd: int, trips: int) -> None:
    for _ in range(trips):
        while True:
            try:
                os.read(fd, 1)
                break
            except BlockingIOError:
                wait_read(fd)
        os.write(fd, b"x")


def wait_first(fd: int, trips: int) -> None:
    for _ in range(trips):
        while True:
            wait_read(fd)
            try:
                os.read(fd, 1)
                break
            except BlockingIOError:
                pass
        os.write(fd, b"x")


LOOPS = {"read first": read_first, "wait first": wait_first}


def ping_pong(pairs: int, trips: int, loop: str) -> Round:
    """Two greenlets a pair."""
    connected = connected_pairs(pairs)
    fds = [end.fileno() for pair in connected for end in pair]
    players = [partial(LOOPS[loop], fd, trips) for fd in fds]
    return lambda: play(connected, players) / (pairs * trips)


def play(pairs: list[Pair], players: Sequence[Callable[[], None]]) -> float:
    playing = [gevent.spawn(player) for player in players]
    gevent.sleep(0.05)  # all are parked now
    start = perf_counter()
    let_in(pairs)
    gevent.joinall(playing)
    elapsed = perf_counter() - start
    take_out(pairs)
    return elapsed
