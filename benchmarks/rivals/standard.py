"""What the standard library offers: blocking sockets with settimeout, select.poll, select.epoll."""

from __future__ import annotations

import select
import socket
from functools import partial
from time import perf_counter

from benchmarks.model import Round
from benchmarks.pairs import connected_pairs, let_in, play_in_threads, take_out


def ready(descriptors: int) -> Round:
    """`poll(2)` of a readable descriptor: what a socket with a timeout does before it receives."""
    pairs = connected_pairs(descriptors)
    pollers = []
    for first, _ in pairs:
        poller = select.poll()
        poller.register(first, select.POLLIN)
        pollers.append(poller)

    def one_round() -> float:
        let_in(pairs)
        start = perf_counter()
        for poller in pollers:
            poller.poll(1000)
        elapsed = perf_counter() - start
        take_out(pairs)
        return elapsed / descriptors

    return one_round


def move_timeout(calls: int) -> Round:
    """`settimeout`, which only stores a number."""
    pair = connected_pairs(1)[0]

    def one_round() -> float:
        end = pair[0]
        start = perf_counter()
        for _ in range(calls):
            end.settimeout(7200.0)
        return (perf_counter() - start) / calls

    return one_round


def register_unregister(calls: int) -> Round:
    """One descriptor put into and taken out of a `select.epoll`."""
    pair = connected_pairs(1)[0]
    epoll = select.epoll()
    events = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET

    def one_round() -> float:
        fd = pair[0].fileno()
        start = perf_counter()
        for _ in range(calls):
            epoll.register(fd, events)
            epoll.unregister(fd)
        return (perf_counter() - start) / calls

    return one_round


def bounce(end: socket.socket, trips: int) -> None:
    for _ in range(trips):
        end.recv(1)
        end.send(b"x")


def ping_pong(pairs: int, trips: int, cores: int, kind: str) -> Round:
    """Two threads a pair, on blocking sockets with a timeout."""
    connected = connected_pairs(pairs, kind)
    ends = [end for pair in connected for end in pair]
    for end in ends:
        end.settimeout(60.0)
    players = [partial(bounce, end, trips) for end in ends]
    return lambda: play_in_threads(connected, cores, players) / (pairs * trips)
