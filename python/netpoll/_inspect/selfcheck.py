"""What `python -m netpoll` shows: the facts about this build, and a check of each backend."""

from __future__ import annotations

import importlib.util
import platform
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from netpoll import (
    READ,
    WRITE,
    ClosedError,
    DeadlineExceeded,
    PollDesc,
    Poller,
    __version__,
    backends,
)
from netpoll._engine import PURE, features

PATIENCE = 2.0  # seconds until a check counts as hung
DEADLINE = 0.05  # seconds; what the check of deadlines waits for

Check = Callable[[PollDesc, socket.socket], None]


class Failed(Exception):
    """A check found something else than it should have."""


def report() -> int:
    """Print the facts, run the checks; the exit status."""
    greenlets = "yes" if importlib.util.find_spec("greenlet") else "no (pip install greenlet)"
    print(f"netpoll {__version__}")
    print(f"  python     {platform.python_implementation()} {platform.python_version()}")
    print(f"  system     {platform.system()} {platform.release()} {platform.machine()}")
    print(f"  kernel     {features()}")
    print(f"  greenlets  {greenlets}")
    print(f"  engine     {'plain cffi' if PURE else 'types in C'}")
    print(f"  backends   {', '.join(backends())}")
    good = True
    for backend in backends():
        print(f"self-check of {backend}")
        for what, check in CHECKS.items():
            complaint = complaint_of(check, backend)
            print(f"  {what:<36} {complaint or 'ok'}", flush=True)
            good = good and complaint is None
    return 0 if good else 1


def complaint_of(check: Check, backend: str) -> str | None:
    """Run the check on a fresh poller and a fresh pair of sockets; None if all is well."""
    try:
        with ExitStack() as stack:
            here, there = (stack.enter_context(end) for end in socket.socketpair())
            here.setblocking(False)
            poller = stack.enter_context(Poller(backend))
            check(stack.enter_context(poller.open(here)), there)
    except Failed as failure:
        return f"FAILED: {failure}"
    except Exception as error:  # whatever it is, it is the answer
        return f"FAILED: {type(error).__name__}: {error}"
    return None


def expect(truth: bool, otherwise: str) -> None:
    if not truth:
        raise Failed(otherwise)


class InThread(threading.Thread):
    """A call in a thread of its own."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._call()
        except Exception as error:
            self._error = error

    def finish(self) -> Exception | None:
        """What it raised, if anything; in time, or the check has failed."""
        self.join(PATIENCE)
        expect(not self.is_alive(), f"no wake-up within {PATIENCE:g} s")
        return self._error


def waiting_reader(desc: PollDesc) -> InThread:
    """A thread that is parked in `wait`."""
    reader = InThread(lambda: desc.wait(READ))
    give_up = time.monotonic() + PATIENCE
    while desc.poller.stats().parked_readers == 0:
        expect(time.monotonic() < give_up and reader.is_alive(), "the reader did not park")
        time.sleep(0.001)
    return reader


def check_readiness(desc: PollDesc, there: socket.socket) -> None:
    desc.wait(WRITE)
    reader = waiting_reader(desc)
    there.send(b"x")
    error = reader.finish()
    expect(error is None, f"the reader got {error!r}")


def check_deadline(desc: PollDesc, there: socket.socket) -> None:
    start = time.monotonic()
    desc.set_deadline(DEADLINE, READ)
    error = InThread(lambda: desc.wait(READ)).finish()
    elapsed = time.monotonic() - start
    expect(isinstance(error, DeadlineExceeded), f"the reader got {error!r}")
    expect(elapsed >= DEADLINE, f"fired {DEADLINE - elapsed:.6f} s early")
    desc.set_deadline(None)
    there.send(b"x")
    error = InThread(lambda: desc.wait(READ)).finish()
    expect(error is None, f"after the deadline was cleared the reader got {error!r}")


def check_close(desc: PollDesc, there: socket.socket) -> None:
    reader = waiting_reader(desc)
    desc.close()
    error = reader.finish()
    expect(isinstance(error, ClosedError), f"the reader got {error!r}")


def check_wake(desc: PollDesc, there: socket.socket) -> None:
    sleeper = InThread(lambda: desc.poller.poll(None))
    desc.poller.wake()
    error = sleeper.finish()
    expect(error is None, f"poll got {error!r}")


CHECKS: dict[str, Check] = {
    "readiness wakes a parked thread": check_readiness,
    "a deadline fires, and not early": check_deadline,
    "close ends a wait": check_close,
    "wake ends a poll": check_wake,
}
