"""Thousands of descriptors under everything at once, for SECONDS; everything accounted for.

    python tests/soak/soak.py --seconds 60

Four crews work at the same time:

    traffic   pairs on TCP (loopback), UNIX sockets and pipes carry numbered messages, some between
              threads, some between greenlets of two hubs; after some use they are closed, and their
              numbers taken again
    crowd     in each hub hundreds of connections that are mostly idle: each answers when it is
              pinged, and has a deadline that is met, moved forward, and moved by strangers
    wakers    pollers that sleep, woken by another thread; each wake-up is waited for
    trouble   deadlines moved and descriptors evicted under their waiters, forks, signals

In the end every message was read once, every ping answered, every deadline met, never early, every
wake-up seen; nobody hangs; memory and descriptors are where they were.  Prints a table; the exit
status is 1 if anything is off.
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
GRACE = 20  # seconds of a processor: who has not come by then waits for ever
PATIENCE = 15 * GRACE  # seconds by the clock, where there is no processor to be had
KINDS = ("tcp", "unix", "pipe")


def in_time(done: Callable[[], bool], wait: Callable[[float], object]) -> bool:
    """Is it done before GRACE is over?

    What others take of the processor does not count, as there may be little left for us: a hang
    lasts, and those who go on use it up.  If nobody does, the end comes by the clock.
    """
    used, end = time.process_time() + GRACE, time.monotonic() + PATIENCE
    while not done():
        if time.process_time() > used or time.monotonic() > end:
            return False
        wait(1.0)
    return True


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


class Member(Pipe):
    """One of the crowd: an end that is pinged, and its deadline, which others may move too."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.lock = threading.Lock()
        self.earliest = float("inf")  # no deadline set since the last one was met is before this
        self.stopping = False
        self.seen = time.monotonic()

    def set_deadline(self, seconds: float, *, anew: bool) -> None:
        with self.lock:
            self.seen = now = time.monotonic()
            self.earliest = now + seconds if anew else min(self.earliest, now + seconds)
            self.descs[0].set_deadline(seconds, READ)


class Soak:
    def __init__(self, seconds: float, pipes: int, crowd: int) -> None:
        self.until = time.monotonic() + seconds
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.wrong: list[str] = []
        self.live: list[Pipe] = []
        self.members: list[Member] = []
        self.pipes = pipes
        self.crowd = crowd
        self.most = 0

    def over(self) -> bool:
        return time.monotonic() >= self.until

    def count(self, what: str, by: int = 1) -> None:
        with self.lock:
            self.counts[what] += by

    def complain(self, what: str) -> None:
        self.wrong.append(what)

    # --- traffic --------------------------------------------------------------------------------

    def wait(self, pipe: Pipe, end: int, mode: int) -> None:
        """One wait, with whatever may end it."""
        try:
            pipe.descs[end].wait(mode)
            self.count("wake-ups by events")
        except netpoll.DeadlineExceeded:
            self.count("deadlines met in traffic")
            with contextlib.suppress(netpoll.ClosedError):
                pipe.descs[end].set_deadline(random.choice((None, 0.05, 1)), ANY)
        except netpoll.ClosedError:
            self.count("evicted under a wait")
            pipe.descs[end].close()
            pipe.descs[end] = netpoll.open(pipe.ends[end])

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
                self.complain(f"message {data!r} where {pipe.received} was due")
            pipe.received += 1

    def traffic(
        self,
        pipes: int,
        start: Callable[..., object],
        join: Callable[[object], None],
        pause: Callable[[float], None],
    ) -> None:
        """Batches of pipes, each used for a while and closed."""
        while not self.over():
            batch = [Pipe(KINDS[i % 3]) for i in range(pipes)]
            self.live = [*self.live[-200:], *batch]
            count = random.randint(1, 60)
            actors = [start(self.receive, pipe, count) for pipe in batch]
            actors += [start(self.send, pipe, count, pause) for pipe in batch]
            for actor in actors:
                join(actor)
            for pipe in batch:
                self.count("messages sent", pipe.sent)
                self.count("messages received", pipe.received)
                pipe.close()
            self.count("descriptors opened and closed", 2 * len(batch))

    def by_threads(self) -> None:
        def start(function: Callable[..., None], *args: object) -> threading.Thread:
            thread = threading.Thread(target=function, args=args, daemon=True)
            thread.start()
            return thread

        def join(thread: object) -> None:
            assert isinstance(thread, threading.Thread)
            if not in_time(lambda: not thread.is_alive(), thread.join):
                self.complain("a thread waits for ever")
                self.until = 0

        self.traffic(min(self.pipes, 24), start, join, time.sleep)

    def join_greenlet(self, greenlet: object) -> None:
        assert isinstance(greenlet, green.Greenlet)
        if not in_time(lambda: greenlet.dead, greenlet.join):
            self.complain("a greenlet waits for ever")
            self.until = 0

    def by_greenlets(self) -> None:
        def main() -> None:
            mine = [Member(KINDS[i % 3]) for i in range(self.crowd)]
            greenlets = [green.spawn(self.answer, member) for member in mine]
            self.members += mine
            self.traffic(self.pipes, green.spawn, self.join_greenlet, green.sleep)
            self.dismiss(mine, greenlets)

        green.run(main)

    # --- the crowd ------------------------------------------------------------------------------

    def answer(self, member: Member) -> None:
        """Reads every ping, and has a deadline of a second or two, moved on at each."""
        desc = member.descs[0]
        member.set_deadline(random.uniform(1, 2), anew=True)
        while not member.stopping:
            try:
                desc.reset(READ)
                data = os.read(member.ends[0], 4096)
                member.received += len(data)
                member.set_deadline(random.uniform(1, 2), anew=True)
            except BlockingIOError:
                with contextlib.suppress(netpoll.DeadlineExceeded):  # reset will raise it again
                    desc.wait(READ)
            except netpoll.DeadlineExceeded:
                if member.stopping:
                    return
                if time.monotonic() < member.earliest:
                    self.complain(f"early by {member.earliest - time.monotonic()} s")
                self.count("deadlines met in the crowd")
                member.set_deadline(random.uniform(1, 2), anew=True)

    def ping(self) -> None:
        """Somebody else's thread: pings, and moves deadlines."""
        while not self.over():
            time.sleep(0.0005)
            if not self.members:
                continue
            member = random.choice(self.members)
            if random.random() < 0.5:
                member.set_deadline(random.uniform(0.5, 1), anew=False)
                self.count("deadlines moved in the crowd")
            else:
                os.write(member.ends[1], b"p")
                member.sent += 1

    def dismiss(self, members: list[Member], greenlets: list[object]) -> None:
        """Who does not come again, pinged no longer, has a deadline that went by unnoticed."""
        self.pinging.join()
        since = time.monotonic()
        if not in_time(lambda: all(m.seen > since for m in members), lambda _: green.sleep(0.01)):
            self.complain("a deadline was not met")
        in_time(lambda: all(m.received == m.sent for m in members), lambda _: green.sleep(0.01))
        for member in members:
            member.stopping = True
            member.descs[0].set_deadline(0)
        for greenlet in greenlets:
            self.join_greenlet(greenlet)
        for member in members:
            self.count("pings sent", member.sent)
            self.count("pings answered", member.received)
            member.close()

    # --- wake-ups -------------------------------------------------------------------------------

    def wakers(self) -> None:
        """A poller sleeps in another thread; every wake-up brings its poll back."""
        poller = netpoll.Poller()
        back = threading.Semaphore(0)

        def sleep() -> None:
            with contextlib.suppress(netpoll.ClosedError):
                while True:
                    poller.poll(None)
                    back.release()

        sleeper = threading.Thread(target=sleep, daemon=True)
        sleeper.start()
        while not self.over():
            poller.wake()
            self.count("wake-ups asked for")
            if not in_time(lambda: back.acquire(timeout=1.0), lambda _: None):
                self.complain("a wake-up was lost")
                break
            self.count("wake-ups seen")
            time.sleep(random.choice((0, 0, 0.001)))
        poller.close()
        if not in_time(lambda: not sleeper.is_alive(), sleeper.join):
            self.complain("a poll does not end with its poller")

    # --- trouble --------------------------------------------------------------------------------

    def trouble(self) -> None:
        """Deadlines moved and descriptors evicted, of whatever is in use."""
        while not self.over():
            time.sleep(0.001)
            if not self.live:
                continue
            desc = random.choice(random.choice(self.live).descs)
            if random.random() < 0.05:
                desc.unblock()
                self.count("evicted")
            else:
                with contextlib.suppress(netpoll.ClosedError):
                    desc.set_deadline(random.choice((None, 0, 1e-6, 0.001, 0.1, 5)), ANY)
                self.count("deadlines moved in traffic")

    def fork(self) -> None:
        """A child uses its copy of the poller and must not disturb ours."""
        pid = os.fork()
        if pid == 0:
            signal.alarm(PATIENCE)
            pair = socket.socketpair()
            with netpoll.open(pair[0]) as desc:
                pair[1].send(b"x")
                desc.wait(READ)
                desc.set_deadline(0.001, WRITE)
            netpoll.default_poller().wake()
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        self.count("forks")
        if status:
            self.complain(f"a child ended with status {status}")

    # --- the whole ------------------------------------------------------------------------------

    def on_signal(self, *_: object) -> None:
        self.signals += 1  # without the lock: it may be held by whom the handler interrupts

    def run(self) -> int:
        self.signals = 0
        signal.signal(signal.SIGALRM, self.on_signal)
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        self.pinging = threading.Thread(target=self.ping, daemon=True)
        crews = (self.by_threads, self.by_greenlets, self.by_greenlets, self.wakers, self.trouble)
        threads = [self.pinging, *(threading.Thread(target=crew, daemon=True) for crew in crews)]
        descriptors_before = descriptors()
        for thread in threads:
            thread.start()
        time.sleep(min(30, max(0, self.until - time.monotonic()) / 3))
        memory_before = memory()
        while not self.over():
            time.sleep(0.5)
            self.fork()
            self.most = max(self.most, descriptors())
        memory_after = memory()
        for thread in threads:
            thread.join(PATIENCE)
            if thread.is_alive():
                self.complain("not everybody came back")
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.live.clear()
        self.members.clear()
        self.counts["signals"] = self.signals
        self.balance()
        return self.report(memory_before, memory_after, descriptors_before)

    def balance(self) -> None:
        for gone, come in (
            ("messages sent", "messages received"),
            ("pings sent", "pings answered"),
            ("wake-ups asked for", "wake-ups seen"),
        ):
            if self.counts[gone] != self.counts[come]:
                self.complain(f"{gone}: {self.counts[gone]}, {come}: {self.counts[come]}")
            if not self.counts[come]:
                self.complain(f"{come}: none")

    def report(self, memory_before: int, memory_after: int, descriptors_before: int) -> int:
        for name, count in sorted(self.counts.items()):
            print(f"  {name:32} {count:12,}")
        print(f"  {'most descriptors at a time':32} {self.most:12,}")
        print(f"  {'memory, KiB':32} {memory_before:12,} -> {memory_after:,}")
        print(f"  {'descriptors':32} {descriptors_before:12,} -> {descriptors():,}")
        stats = netpoll.default_poller().stats()
        if stats.open or stats.parked_readers or stats.parked_writers:
            self.complain(f"left over: {stats}")
        # The default poller's own, opened meanwhile: an epoll and an eventfd at most.
        if descriptors() > descriptors_before + 2:
            self.complain("descriptors leak")
        if memory_after > memory_before * 1.2 + 10_000:
            self.complain("memory grows")
        for line in self.wrong[:20]:
            print("  WRONG:", line)
        print("  lost, early, left over or hanging:", len(self.wrong))
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
    parser.add_argument("--crowd", type=int, default=800, help="idle connections of each hub")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(f"soak: {options.seconds:g} s, {options.pipes} pipes and {options.crowd} idle a hub")
    return Soak(options.seconds, options.pipes, options.crowd).run()


if __name__ == "__main__":
    sys.exit(main())
