"""`python -m benchmarks.copies`: from which size on a receive should give the GIL back.

To give it back is worth while if the copying takes longer than what a thread that waits for the GIL
needs to get it, and to give it up again.
"""

from __future__ import annotations

import socket
import statistics
import threading
import time

KIB = 1024
SIZES = [16 * KIB, 64 * KIB, 128 * KIB, 256 * KIB, 512 * KIB, 1024 * KIB]
ROUNDS = 200


def copying(size: int) -> float:
    """Microseconds that the kernel takes to give so many bytes, of those that are there."""
    times = []
    buffer = bytearray(size)
    data = bytes(size)
    here, there = socket.socketpair()
    with here, there:
        there.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * size)
        for _ in range(ROUNDS):
            sender = threading.Thread(target=there.sendall, args=(data,))
            sender.start()
            sender.join(1)  # all of it is there, unless the system allows no such buffer
            start = time.perf_counter_ns()
            got = here.recv_into(buffer)
            times.append((time.perf_counter_ns() - start) * size / got / 1000)
            while got < size:
                got += here.recv_into(buffer)
            sender.join()
    return statistics.median(times)


def handing_over() -> float:
    """Microseconds from a thread's giving the GIL up until another has it."""
    mine, yours = threading.Lock(), threading.Lock()
    mine.acquire()
    yours.acquire()

    def answer() -> None:
        for _ in range(ROUNDS * 10):
            yours.acquire()
            mine.release()

    thread = threading.Thread(target=answer)
    thread.start()
    start = time.perf_counter_ns()
    for _ in range(ROUNDS * 10):
        yours.release()
        mine.acquire()
    total = time.perf_counter_ns() - start
    thread.join()
    return total / (ROUNDS * 10) / 2 / 1000


def main() -> None:
    each = handing_over()
    print(f"handing the GIL over: {each:.1f} us, there and back {2 * each:.1f} us")
    for size in SIZES:
        took = copying(size)
        print(f"receiving {size // KIB:5d} KiB: {took:6.1f} us, {took / each / 2:5.1f} of that")


if __name__ == "__main__":
    main()
