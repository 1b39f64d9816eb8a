"""Connected pairs, and the work that every contestant does on them.

Both ends of a pair run the same loop: read what is there, which is a byte, and write a byte. Reads
ask for 4 KiB, as programs do that cannot know what comes. All ends are parked in their reads
before the clock starts; then one byte a pair is let in and bounces until each end has read `trips`
times. That makes `trips` round trips a pair, and leaves the byte with the end where it was let in,
from where it is taken: a byte too many or too few is an error, so all have done the same work.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from time import perf_counter

Pair = tuple[socket.socket, socket.socket]

ROOM = 4096
TURNS = 1000  # all tasks together take so many at a time, where they only take turns
RESET_ON_CLOSE = struct.pack(
    "ii", 1, 0
)  # so that ten thousand connections leave no TIME_WAIT behind


def connected_pairs(count: int, kind: str = "unix") -> list[Pair]:
    """So many pairs of sockets, both ends non-blocking; TCP ones send each byte at once."""
    if kind == "tcp":
        return tcp_pairs(count)
    assert kind == "unix", kind
    pairs = [socket.socketpair() for _ in range(count)]
    for pair in pairs:
        for end in pair:
            end.setblocking(False)
    return pairs


def tcp_pairs(count: int) -> list[Pair]:
    pairs = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        for _ in range(count):
            first = socket.create_connection(server.getsockname())
            second, _ = server.accept()
            for end in (first, second):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                end.setblocking(False)
            pairs.append((first, second))
    return pairs


def let_in(seconds: Sequence[int]) -> None:
    """Write a byte to each second end of a pair: the first ends become readable.

    Where nobody else runs meanwhile, the clock starts afterwards: each write gives up the
    interpreter's lock, which beside a thread that computes costs a switch interval, and is nobody's
    speed.
    """
    for fd in seconds:
        os.write(fd, b"x")


def take_out(firsts: Sequence[int]) -> None:
    """Take the bytes out again.

    :raises RuntimeError: an end has not exactly the one byte.
    """
    for fd in firsts:
        left = os.read(fd, 16)
        if left != b"x":
            raise RuntimeError(f"{left!r} was left over, not one byte")


class Gate:
    """Counts the players that are about to park, and the trips that they made. For threads too."""

    def __init__(self, players: int, trips: int) -> None:
        self._expected = [trips] * players
        self._made: list[int] = []
        self._arrived: list[None] = []

    def arrive(self) -> None:
        self._arrived.append(None)

    def done(self, trips: int) -> None:
        self._made.append(trips)

    @property
    def everybody_is_here(self) -> bool:
        return len(self._arrived) == len(self._expected)

    @property
    def everybody_is_done(self) -> bool:
        return len(self._made) == len(self._expected)

    def check(self) -> None:
        """:raises RuntimeError: the work done is not the work asked for."""
        if self._made != self._expected:
            raise RuntimeError(f"{sum(self._made)} trips were made, not {sum(self._expected)}")


def play_in_threads(
    pairs: Sequence[Pair], cores: int | None, players: Sequence[Callable[[], None]]
) -> float:
    """Run each player in a thread; the seconds from letting the bytes in to the end.

    The threads are tied to so many cores in turn, or left to the kernel. Left to it, two threads
    that wake each other share a core in one run and not in the next, and that decides more than
    all they do.
    """
    cpus = sorted(os.sched_getaffinity(0))

    def tied(player: Callable[[], None], number: int) -> None:
        if cores is not None:
            os.sched_setaffinity(0, {cpus[:cores][number % cores]})  # of this thread
        started.wait()
        player()

    started = threading.Barrier(len(players) + 1)
    threads = [
        threading.Thread(target=tied, args=(player, number))
        for number, player in enumerate(players)
    ]
    for thread in threads:
        thread.start()
    started.wait()
    start = perf_counter()
    let_in([second.fileno() for _, second in pairs])
    for thread in threads:
        thread.join()
    elapsed = perf_counter() - start
    take_out([first.fileno() for first, _ in pairs])
    return elapsed
