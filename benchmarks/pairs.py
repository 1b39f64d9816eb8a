"""Connected pairs, and the work that every contestant does on them.

Both ends of a pair run the same loop: read what is there, which is a byte, and write a byte. Reads
ask for 4 KiB, as programs do that cannot know what comes. All ends are parked in their reads
before the clock starts; then one byte a pair is let in and bounces until each end has read `trips`
times. That makes `trips` round trips a pair, and leaves the byte with the end where it was let in,
from where it is taken: a byte too many or too few is an error, so all have done the same work.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
import termios
import threading
from collections.abc import Callable, Sequence
from time import perf_counter, process_time, sleep
from typing import ClassVar, Protocol

from .bout import Took, say, values_of
from .spinner import Spinner

Pair = tuple[socket.socket, socket.socket]


class Numbered(Protocol):
    """Whatever has the number of a descriptor."""

    def fileno(self) -> int: ...


ROOM = 4096
TURNS = 1000  # all tasks together take so many at a time, where they only take turns
LONGEST_TRIP = 15.0  # seconds that a trip of all pairs may take beside a thread that computes
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


_libc = ctypes.PyDLL(None, use_errno=True)  # keeps the interpreter's lock
_libc.write.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
_libc.write.restype = ctypes.c_ssize_t
_libc.ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)


def let_in(seconds: Sequence[int]) -> None:
    """Write a byte to each second end of a pair: the first ends become readable. The clock starts
    afterwards, as this is nobody's speed; the interpreter's lock is kept, so that no thread plays
    before."""
    for fd in seconds:
        if _libc.write(fd, b"x", 1) != 1:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def bytes_in(end: Numbered) -> int:
    """What there is to be read, with the interpreter's lock kept."""
    count = ctypes.c_int()
    if _libc.ioctl(end.fileno(), termios.FIONREAD, ctypes.byref(count)) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return count.value


def take_out(firsts: Sequence[int]) -> None:
    """Take the bytes out again.

    :raises RuntimeError: an end has not exactly the one byte.
    """
    for fd in firsts:
        left = os.read(fd, 16)
        if left != b"x":
            raise RuntimeError(f"{left!r} was left over, not one byte")


class Gate:
    """Counts the players that are about to park, and the trips that they made; for threads too.

    It has the clock as well. If a thread computes beside them, it does so from `start` to `stop`.
    `queued`: an end may be done before its last byte is sent.
    """

    spinner: ClassVar[Spinner | None] = None

    def __init__(self, players: int, trips: int, *, queued: bool = False) -> None:
        self._expected = [trips] * players
        self._trips = trips
        self._queued = queued
        self._pairs: Sequence[tuple[Numbered, Numbered]] = ()
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

    def start(self, pairs: Sequence[tuple[Numbered, Numbered]]) -> None:
        """All are parked: let the bytes in."""
        self._pairs = pairs
        let_in([second.fileno() for _, second in pairs])
        if self.spinner is not None and self._trips == 1:
            self.spinner.compute_for(LONGEST_TRIP, self.break_off)
        elif self.spinner is not None:
            self.spinner.compute()
        self._start_cpu, self._start = process_time(), perf_counter()

    def stop(self) -> Took:
        """All are done.

        :raises RuntimeError: the work done is not the work asked for.
        """
        took = self._so_far()
        if self.spinner is not None:
            self.spinner.rest()
        self.check()
        return took

    def _so_far(self) -> Took:
        return Took(perf_counter() - self._start, process_time() - self._start_cpu)

    def break_off(self) -> None:
        """A trip of all takes too long: end the process, with what those took that were made."""
        took, made = self._so_far(), self.made_so_far()
        if made <= 0:
            print(f"no round trip in {took.elapsed:.1f} s", file=sys.stderr)
            os._exit(1)
        say(values_of(took, made, made))
        os._exit(0)

    def made_so_far(self) -> float:
        """Round trips, where each end makes one, that is two receives and two sends.

        Where its byte is tells how far a pair is: with the first end still, in hand (a quarter),
        with the second (half). Those that came back are told by the ends that are done besides.
        """
        with_second = sum(bytes_in(second) for _, second in self._pairs)
        in_hand = len(self._pairs) - with_second - sum(bytes_in(first) for first, _ in self._pairs)
        done_besides = len(self._made) - with_second - (in_hand if self._queued else 0)
        return in_hand / 4 + with_second / 2 + max(done_besides, 0) / 2

    def check(self) -> None:
        """:raises RuntimeError: the work done is not the work asked for."""
        if self._made != self._expected:
            raise RuntimeError(f"{sum(self._made)} trips were made, not {sum(self._expected)}")


class Timed(Gate):
    """For players who only take turns, or begin and end: a `with` block that takes the time, and
    sees that all was done."""

    elapsed: float

    def __enter__(self) -> Timed:
        self._start = perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, *unused: object) -> None:
        self.elapsed = perf_counter() - self._start
        if kind is None:
            self.check()


def play_in_threads(
    pairs: Sequence[Pair], cores: int | None, players: Sequence[Callable[[], None]], gate: Gate
) -> Took:
    """Run each player in a thread, and take the time.

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
    while not gate.everybody_is_here:
        sleep(0.005)
    gate.start(pairs)
    for thread in threads:
        thread.join()
    took = gate.stop()
    take_out([first.fileno() for first, _ in pairs])
    return took
