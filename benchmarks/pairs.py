"""Connected pairs, and how every rival plays ping-pong on them.

Both ends of a pair run the same loop: read a byte, write a byte. They all start parked in their
reads, so starting them is not measured; then one byte a pair is let in and bounces until each end
has read `trips` times. That makes `trips` round trips a pair, and leaves the byte where it was let
in.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Sequence
from time import perf_counter

Pair = tuple[socket.socket, socket.socket]


def tcp_pair() -> Pair:
    """Two ends of a connection over loopback that send each byte at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        first = socket.create_connection(server.getsockname())
        second, _ = server.accept()
    for end in (first, second):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return first, second


def connected_pairs(count: int, kind: str = "unix") -> list[Pair]:
    """So many pairs of sockets, both ends non-blocking."""
    connect = {"unix": socket.socketpair, "tcp": tcp_pair}[kind]
    pairs = [connect() for _ in range(count)]
    for pair in pairs:
        for end in pair:
            end.setblocking(False)
    return pairs


def let_in(pairs: Sequence[Pair]) -> None:
    """Give each pair its byte: the first end becomes readable."""
    for _, second in pairs:
        os.write(second.fileno(), b"x")


def take_out(pairs: Sequence[Pair]) -> None:
    """Take the bytes out again, for the next round."""
    for first, _ in pairs:
        os.read(first.fileno(), 1)


def play_in_threads(
    pairs: Sequence[Pair], cores: int, players: Sequence[Callable[[], None]]
) -> float:
    """Run each player in a thread; the seconds from letting the bytes in to the end.

    The threads are tied to so many cores in turn. Left to the kernel, two threads that wake each
    other share a core in one run and not in the next, and that decides more than anything they do.
    """
    cpus = sorted(os.sched_getaffinity(0))[:cores]

    def tied(player: Callable[[], None], cpu: int) -> None:
        os.sched_setaffinity(0, {cpu})  # of this thread
        started.wait()
        player()

    started = threading.Barrier(len(players) + 1)
    threads = [
        threading.Thread(target=tied, args=(player, cpus[number % len(cpus)]))
        for number, player in enumerate(players)
    ]
    for thread in threads:
        thread.start()
    started.wait()
    start = perf_counter()
    let_in(pairs)
    for thread in threads:
        thread.join()
    elapsed = perf_counter() - start
    take_out(pairs)
    return elapsed
