"""One library, unchanged, in a program that is patched first:

    python trial.py PROGRAM package|everything CHECK...

PROGRAM is a module of the folder programs.  It has

* `SERVER`: the name of the server that it asks;
* `begin(servers)`: makes the clients, called once, in a hub;
* `ask(seconds, timeout)`: a request whose answer takes so long;
* `LATE`: the error if the timeout is over first;
* `LIMIT`, if there is a pool: how many may ask at once.

CHECK is a function below, or one of the program's own.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from operator import sub
from pathlib import Path
from typing import Any, NamedTuple

from netpoll import green, patch

SLOW = 0.3
TICK = 0.005
#: The servers, the children and other threads share a busy machine, too.  What blocks, or does one
#: request after the other, does so each time.
TRIES = 3
#: Seconds that may pass between two ticks, besides those for which the machine ran others.
HELD_UP = 0.05


class HeldUpError(AssertionError):
    """By what the hub does, or by the machine."""


class Span(NamedTuple):
    """Seconds, and what the calling thread did in them."""

    all: float
    ran: float  #: on a processor
    delayed: float  #: it could have run, and the machine ran others

    def ours(self) -> float:
        """For which the hub is to blame: it computed, or waited for something else than events."""
        return self.all - self.delayed


def now() -> Span:
    """Since some instant."""
    nanoseconds = Path("/proc/thread-self/schedstat").read_text().split()[:2]
    return Span(time.monotonic(), *(int(one) / 1e9 for one in nanoseconds))


def since(start: Span) -> Span:
    return Span(*map(sub, now(), start))


def tick(gaps: list[Span]) -> None:
    """Note what comes between two ticks, again and again."""
    last = now()
    while True:
        green.sleep(TICK)
        gaps.append(since(last))
        last = now()


@contextmanager
def ticking() -> Iterator[None]:
    """Another greenlet is never held up for long meanwhile."""
    gaps: list[Span] = []
    task = green.spawn(tick, gaps)
    green.sleep(2 * TICK)
    gaps.clear()
    try:
        yield
    finally:
        task.kill()
        task.join()
    assert len(gaps) > 5, "no other greenlet ran"
    worst = max(gaps, key=Span.ours)
    if worst.ours() > HELD_UP:
        raise HeldUpError(f"another greenlet was held up: {worst}")


def at_once(count: int, function: Callable[..., Any], *args: Any) -> list[Any]:
    return [task.get() for task in [green.spawn(function, *args) for _ in range(count)]]


def cooperative(program: Any) -> None:
    """Five requests at once, or as many as its pool lets through."""
    count = min(5, getattr(program, "LIMIT", 5))
    at_once(count, program.ask, 0, 10)  # connections
    with ticking():
        start = now()
        at_once(count, program.ask, SLOW, 10)
        took = since(start)
    if took.ours() >= 2 * SLOW:
        raise HeldUpError(f"requests wait for each other: {took}")


def exhausted(program: Any) -> None:
    """More users than connections: they queue."""
    at_once(program.LIMIT, program.ask, 0, 10)
    with ticking():
        start = time.monotonic()
        at_once(2 * program.LIMIT + 1, program.ask, SLOW / 2, 10)
        assert time.monotonic() - start >= 3 * SLOW / 2


def late(program: Any) -> None:
    """The timeout is over before the answer comes."""
    program.ask(0, 10)
    with ticking():
        start = time.monotonic()
        try:
            program.ask(30, SLOW)
        except program.LATE:
            pass
        else:
            raise AssertionError("it was not cut off")
        assert SLOW * 0.99 <= time.monotonic() - start < 10 * SLOW
    program.ask(0, 10)


def frozen(program: Any, pid: int) -> None:
    """The server's process stops in the middle, and goes on."""

    def ask() -> bool:
        try:
            program.ask(0, SLOW)
        except program.LATE:
            return True
        return False

    program.ask(0, 10)
    signal_all(pid, signal.SIGSTOP)
    try:
        with ticking():
            assert all(at_once(2, ask)), "a frozen server has answered"
    finally:
        signal_all(pid, signal.SIGCONT)
    program.ask(0, 10)


def signal_all(pid: int, number: int) -> None:
    """To a server's processes."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for one in (pid, *map(int, children)):
        with suppress(ProcessLookupError):
            os.kill(one, number)


def killed(program: Any) -> None:
    """Greenlets that are killed in the middle leave the pool whole."""
    for _ in range(getattr(program, "LIMIT", 1) + 1):
        task = green.spawn(program.ask, SLOW, 10)
        green.sleep(SLOW / 4)
        task.kill()
        task.join()
    program.ask(0, 10)


#: What `patch.package` is called with.
PACKAGES = {
    "asyncio": ("asyncio", "concurrent.futures"),
    "bottle": ("bottle",),
    "dnspython": ("dns",),
    "filelock": ("filelock",),
    "flask": ("flask", "werkzeug"),
    "ftplib": ("ftplib",),
    "futures": ("concurrent.futures",),
    "httpx": ("httpx", "httpcore"),
    "multiprocessing": ("multiprocessing",),
    "paho": ("paho",),
    "paramiko": ("paramiko",),
    "pexpect": ("pexpect", "ptyprocess"),
    "pg8000": ("pg8000",),
    "pika": ("pika",),
    "psycopg_pool": ("psycopg", "psycopg_pool"),
    "pymemcache": ("pymemcache",),
    "pymysql": ("pymysql",),
    "pysocks": ("socks", "urllib3", "requests"),
    "redis": ("redis",),
    "requests": ("requests", "urllib3"),
    "requests_https": ("requests", "urllib3"),
    "smtplib": ("smtplib",),
    "sqlalchemy_pg8000": ("sqlalchemy", "pg8000"),
    "sqlalchemy_psycopg": ("sqlalchemy", "psycopg"),
    "subprocess": ("subprocess",),
    "urllib3": ("urllib3",),
    "waitress": ("waitress",),
    "websocket": ("websocket",),
    "websockets": ("websockets",),
}


def main(name: str, how: str, *checks: str) -> None:
    if how == "everything":
        patch.everything()
    else:
        patch.package(*PACKAGES[name])
    program: Any = importlib.import_module(f"programs.with_{name}")
    servers = json.loads(os.environ["SERVERS"])

    def run() -> None:
        program.begin(servers)
        for check in checks:
            print(check, flush=True)  # what the error is of
            for left in reversed(range(TRIES)):
                try:
                    play(check)
                    break
                except HeldUpError:
                    if not left:
                        raise

    def play(check: str) -> None:
        if check == "frozen":
            frozen(program, servers[program.SERVER]["pid"])
        elif check in globals():
            globals()[check](program)
        else:
            with ticking():
                getattr(program, check)()

    green.run(run)


if __name__ == "__main__":
    main(*sys.argv[1:])
