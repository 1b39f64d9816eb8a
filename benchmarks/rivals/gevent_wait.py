"""gevent's `wait_read`, with the same loops around os.read and os.write as netpoll's."""

from __future__ import annotations

import os
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


def bounce(fd: int, trips: int) -> None:
    for _ in range(trips):
        while True:
            try:
                os.read(fd, 1)
                break
            except BlockingIOError:
                wait_read(fd)
        os.write(fd, b"x")


def ping_pong(pairs: int, trips: int) -> Round:
    """Two greenlets a pair."""
    connected = connected_pairs(pairs)
    fds = [end.fileno() for pair in connected for end in pair]
    return lambda: play(connected, fds, trips) / (pairs * trips)


def play(pairs: list[Pair], fds: list[int], trips: int) -> float:
    players = [gevent.spawn(bounce, fd, trips) for fd in fds]
    gevent.sleep(0.05)  # all are parked now
    start = perf_counter()
    let_in(pairs)
    gevent.joinall(players)
    elapsed = perf_counter() - start
    take_out(pairs)
    return elapsed
