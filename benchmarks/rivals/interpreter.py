"""The interpreter's lock around a copy: how long the copy takes, and to give the lock back."""

from __future__ import annotations

import os
import socket
import threading
from time import perf_counter

from benchmarks.bout import Bout


def receive(size: int) -> Bout:
    """The kernel copies so many bytes that are there, into memory that is there."""
    here, there = socket.socketpair()
    there.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * size)
    there.setblocking(False)
    data, buffer = bytes(size), bytearray(size)

    def once() -> float:
        if there.send(data) != size:
            raise RuntimeError(f"the system has no room for {size} bytes (net.core.wmem_max)")
        start = perf_counter()
        got = here.recv_into(buffer)
        elapsed = perf_counter() - start
        if got != size:
            raise RuntimeError(f"{got} bytes came, not {size}")
        return elapsed

    return Bout(lambda times: sum(once() for _ in range(times)), 1)


def hand_over(cores: int, calls: int = 100) -> Bout:
    """A thread gives the lock up, another has it, and gives it back: there and back is one."""
    cpus = sorted(os.sched_getaffinity(0))[:cores]
    os.sched_setaffinity(0, {cpus[0]})
    mine, yours = threading.Lock(), threading.Lock()
    mine.acquire()
    yours.acquire()

    def answer() -> None:
        os.sched_setaffinity(0, {cpus[-1]})  # of this thread
        while True:
            yours.acquire()
            mine.release()

    threading.Thread(target=answer, daemon=True).start()

    def run(times: int) -> float:
        start = perf_counter()
        for _ in range(times * calls):
            yours.release()
            mine.acquire()
        return perf_counter() - start

    return Bout(run, calls)
