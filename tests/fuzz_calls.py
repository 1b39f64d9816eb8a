"""A fuzzer: random calls from several threads on a shared pool of pollers, descriptors and tokens.

It knows no right order of calls and makes every wrong one.  What it proves: the process does not
crash, only documented exceptions come out, no token comes out twice, and everything can be closed
in the end.  `python tests/fuzz_calls.py --seconds 600` runs for long.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import itertools
import math
import random
import socket
import threading
import time
from collections.abc import Sequence

from netpoll import READ, WRITE, BusyError, PollDesc, Poller, PollError

ALLOWED = (PollError, BusyError, ValueError, FileExistsError, NotImplementedError, BlockingIOError)
TIMEOUTS = (None, -1, 0, 1e-9, 1e-6, 1e-4, 0.001, 5, 1e12, math.inf, math.nan)
MODES = (READ, WRITE, READ, WRITE, READ | WRITE, 0, 4, -1)


class Fuzz:
    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds
        self.pollers = [Poller() for _ in range(2)]
        self.pairs = [socket.socketpair() for _ in range(6)]
        for pair in self.pairs:
            for sock in pair:
                sock.setblocking(False)
        self.descs: list[PollDesc] = []
        self.serial = itertools.count()
        self.parked: set[int] = set()
        self.out: list[int] = []
        self.calls = 0
        self.failures: list[BaseException] = []

    def run(self, chance: random.Random) -> None:
        while time.monotonic() < self.end:
            self.calls += 1
            try:
                self.one_call(chance)
            except ALLOWED:
                pass
            except BaseException as error:
                self.failures.append(error)
                raise

    def one_call(self, chance: random.Random) -> None:
        kind = chance.random()
        poller, mode = chance.choice(self.pollers), chance.choice(MODES)
        if kind < 0.08 or not self.descs:
            self.descs.append(poller.open(chance.choice(chance.choice(self.pairs))))
        elif kind < 0.12:
            with contextlib.suppress(IndexError):
                gone = self.descs.pop(chance.randrange(len(self.descs)))
                gone.close()
        elif kind < 0.2:
            chance.choice(chance.choice(self.pairs)).send(b"x" * chance.choice([1, 100, 60000]))
        elif kind < 0.28:
            chance.choice(chance.choice(self.pairs)).recv(100000)
        elif kind < 0.38:
            self.out += poller.poll(chance.choice([0, 0, 0, 0.0005]))
        elif kind < 0.4:
            poller.wake()
        elif kind < 0.4002:
            self.replace(chance)
        else:
            with contextlib.suppress(IndexError):
                self.on_desc(chance, chance.choice(self.descs), mode)

    def replace(self, chance: random.Random) -> None:
        fresh = Poller()
        i = chance.randrange(len(self.pollers))
        old, self.pollers[i] = self.pollers[i], fresh
        old.close()

    def on_desc(self, chance: random.Random, desc: PollDesc, mode: int) -> None:
        match chance.randrange(10):
            case 0 | 1:
                desc.set_deadline(chance.choice(TIMEOUTS), mode)
            case 2:
                desc.reset(mode)
            case 3 | 4:
                token = next(self.serial)
                if desc.park(mode, token):
                    self.parked.add(token)
            case 5:
                desc.resume(mode)
            case 6:
                desc.cancel(mode)
            case 7:
                if chance.random() < 0.3:
                    desc.unblock()
            case 8:
                desc.set_deadline(0.0005, READ | WRITE)
                (desc.wait if chance.random() < 0.8 else desc.reset)(mode)
            case 9:
                repr(desc), desc.deadline(mode), desc.closed, desc.poller.stats()
                desc.poller.next_deadline(), desc.poller.is_poll_descriptor(desc.fd)

    def end_waits(self) -> None:
        """A deadline that one thread set another has cleared: such a wait ends only so."""
        for desc in list(self.descs):
            desc.unblock()

    def finish(self) -> None:
        """Close everything, then see that no token came out twice."""
        for desc in self.descs:
            desc.close()
        for poller in self.pollers:
            while tokens := poller.poll(0):
                self.out += tokens
            stats = poller.stats()
            assert (stats.open, stats.parked_readers, stats.parked_writers) == (0, 0, 0), stats
            poller.close()
        for sock in itertools.chain(*self.pairs):
            sock.close()
        assert len(self.out) == len(set(self.out)), "a token came out twice"
        assert set(self.out) <= set(range(next(self.serial)))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--threads", type=int, default=4)
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    faulthandler.enable()
    fuzz = Fuzz(options.seconds)
    threads = [
        threading.Thread(target=fuzz.run, args=(random.Random(options.seed + i),), daemon=True)
        for i in range(options.threads)
    ]
    for thread in threads:
        thread.start()
    time.sleep(options.seconds)
    limit = time.monotonic() + 15
    while any(thread.is_alive() for thread in threads):
        fuzz.end_waits()
        time.sleep(0.01)
        if time.monotonic() > limit:
            faulthandler.dump_traceback()
            raise SystemExit("a call did not come back")
    if fuzz.failures:
        raise SystemExit(f"an exception that is not documented: {fuzz.failures[0]!r}")
    fuzz.finish()
    gc.collect()
    print(f"{fuzz.calls} calls, {len(fuzz.out)} tokens")


if __name__ == "__main__":
    main()
