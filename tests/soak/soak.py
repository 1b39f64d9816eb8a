"""Many descriptors of every kind, under everything at once, for SECONDS; everything accounted for.

    python tests/soak/soak.py --seconds 60

Pairs of TCP connections on loopback, UNIX sockets and pipes carry numbered messages: some between
threads, some between greenlets of two hubs.  Meanwhile their deadlines are moved by everyone,
their descriptors closed and opened again, the process forks, and signals arrive.  In the end every
message was read once, no waiter hangs, and memory and descriptors are where they were after the
first seconds.  Prints a table; exit status 1 if anything is off.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import resource
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

import netpoll
from netpoll import READ, WRITE, green

ANY = READ | WRITE
GRACE = 20


class Pipe:
    """One direction of messages of eight bytes, with the number of the next in each end."""

    def __init__(self, kind: str) -> None:
        self.ends: list[int]
        if kind == "pipe":
            self.ends = list(os.pipe())
        elif kind == "unix":
            self.ends = [end.detach() for end in socket.socketpair()]
        else:
            with socket.create_server(("127.0.0.1", 0)) as server:
                client = socket.create_connection(server.getsockname())
                self.ends = [server.accept()[0].detach(), client.detach()]
        for fd in self.ends:
            os.set_blocking(fd, False)
        self.descs = [netpoll.open(fd) for fd in self.ends]
        self.sent = self.received = 0

    def close(self) -> None:
        for desc, fd in zip(self.descs, self.ends, strict=True):
            desc.close()
            os.close(fd)


class Soak:
    def __init__(self, seconds: float, pipes: int) -> None:
        self.until = time.monotonic() + seconds
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.live: list[Pipe] = []
        self.pipes = pipes

    def over(self) -> bool:
        return time.monotonic() >= self.until

    # --- traffic --------------------------------------------------------------------------------

    def wait(self, pipe: Pipe, end: int, mode: int) -> bool:
        """One wait, with whatever may end it; False if the descriptor was closed under it."""
        try:
            pipe.descs[end].wait(mode)
            self.counts["wake-ups"] += 1
        except netpoll.DeadlineExceeded:
            self.counts["deadlines met"] += 1
            with contextlib.suppress(netpoll.ClosedError):
                pipe.descs[end].set_deadline(random.choice((None, 0.05, 1)), ANY)
        except netpoll.ClosedError:
            self.counts["closed under a wait"] += 1
            pipe.descs[end].close()
            pipe.descs[end] = netpoll.open(pipe.ends[end])
        return True

    def send(self, pipe: Pipe, count: int, pause: Callable[[float], None]) -> None:
        while pipe.sent < count:
            try:
                os.write(pipe.ends[1], pipe.sent.to_bytes(8, "big"))
                pipe.sent += 1
                if pipe.sent % 4 == 0:
                    pause(0)  # let the receiver run dry
            except BlockingIOError:
                self.wait(pipe, 1, WRITE)

    def receive(self, pipe: Pipe, count: int) -> None:
        while pipe.received < count:
            with contextlib.suppress(netpoll.PollError):
                pipe.descs[0].reset(READ)
            try:
                data = os.read(pipe.ends[0], 8)
            except BlockingIOError:
                self.wait(pipe, 0, READ)
                continue
            if int.from_bytes(data, "big") != pipe.received:
                self.wrong.append(f"message {data!r} where {pipe.received} was due")
            pipe.received += 1
            self.counts["messages"] += 1

    def traffic(
        self,
        start: Callable[..., object],
        join: Callable[[object], None],
        pause: Callable[[float], None],
    ) -> None:
        """Batches of pipes, each used for a while and closed."""
        while not self.over():
            kinds = ("tcp", "unix", "pipe")
            batch = [Pipe(kinds[i % 3]) for i in range(self.pipes)]
            self.live = [*self.live[-200:], *batch]
            count = random.randint(1, 60)
            actors = [start(self.receive, pipe, count) for pipe in batch]
            actors += [start(self.send, pipe, count, pause) for pipe in batch]
            for actor in actors:
                join(actor)
            for pipe in batch:
                if pipe.received != pipe.sent:
                    self.wrong.append(f"{pipe.sent} sent, {pipe.received} received")
                pipe.close()
            self.counts["descriptors opened"] += 2 * len(batch)

    def by_threads(self) -> None:
        def start(function: Callable[..., None], *args: object) -> threading.Thread:
            thread = threading.Thread(target=function, args=args, daemon=True)
            thread.start()
            return thread

        def join(thread: object) -> None:
            assert isinstance(thread, threading.Thread)
            thread.join(GRACE)
            if thread.is_alive():
                self.wrong.append("a thread waits for ever")
                self.until = 0

        self.pipes = min(self.pipes, 24)
        self.traffic(start, join, time.sleep)

    def by_greenlets(self) -> None:
        def join(greenlet: object) -> None:
            greenlet.join(GRACE)  # type: ignore[attr-defined]
            if not greenlet.dead:  # type: ignore[attr-defined]
                self.wrong.append("a greenlet waits for ever")
                self.until = 0

        green.run(lambda: self.traffic(green.spawn, join, green.sleep))

    # --- disturbance ----------------------------------------------------------------------------

    def disturb(self) -> None:
        """Deadlines moved and descriptors evicted, of whatever is in use."""
        while not self.over():
            time.sleep(0.001)
            if not self.live:
                continue
            desc = random.choice(random.choice(self.live).descs)
            if random.random() < 0.05:
                desc.unblock()
                self.counts["evicted"] += 1
            else:
                with contextlib.suppress(netpoll.ClosedError):
                    desc.set_deadline(random.choice((None, 0, 1e-6, 0.001, 0.1, 5)), ANY)
                self.counts["deadlines moved"] += 1

    def fork(self) -> None:
        """A child uses its copy of the poller and must not disturb ours."""
        pid = os.fork()
        if pid == 0:
            signal.alarm(GRACE)
            pair = socket.socketpair()
            with netpoll.open(pair[0]) as desc:
                pair[1].send(b"x")
                desc.wait(READ)
                desc.set_deadline(0.001, WRITE)
            netpoll.default_poller().wake()
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        self.counts["forks"] += 1
        if status:
            self.wrong.append(f"a child ended with status {status}")

    def run(self) -> int:
        signal.signal(signal.SIGALRM, lambda *_: self.counts.update(("signals",)))
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        actors = [self.by_threads, self.by_greenlets, self.by_greenlets, self.disturb]
        threads = [threading.Thread(target=actor, daemon=True) for actor in actors]
        for thread in threads:
            thread.start()
        time.sleep(min(5, max(0, self.until - time.monotonic()) / 2))
        before = memory(), descriptors()
        while not self.over():
            time.sleep(0.5)
            self.fork()
        for thread in threads:
            thread.join(2 * GRACE)
            if thread.is_alive():
                self.wrong.append("not everybody came back")
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.live.clear()
        return self.report(before)

    def report(self, before: tuple[int, int]) -> int:
        for name, count in sorted(self.counts.items()):
            print(f"  {name:24} {count:12}")
        print(f"  {'memory, KiB':24} {before[0]:12} -> {memory()}")
        print(f"  {'descriptors':24} {before[1]:12} -> {descriptors()}")
        stats = netpoll.default_poller().stats()
        if stats.open or stats.parked_readers or stats.parked_writers:
            self.wrong.append(f"left over: {stats}")
        if memory() > before[0] * 1.5 + 20_000:
            self.wrong.append("memory grows")
        for line in self.wrong[:20]:
            print("  WRONG:", line)
        print("  lost wake-ups, messages, waiters:", len(self.wrong))
        return 1 if self.wrong else 0


def memory() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pipes", type=int, default=150, help="in use at a time, in each hub")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(f"soak: {options.seconds:g} s, {options.pipes} pipes a hub")
    return Soak(options.seconds, options.pipes).run()


if __name__ == "__main__":
    sys.exit(main())
