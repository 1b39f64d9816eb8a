"""Ctrl-C ends a wait promptly and leaves everything usable.  Needs a console: see ctrl_c.sh.

ctrl_c.py CASE
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import threading
import time
from collections.abc import Callable

import netpoll
from netpoll import READ, PollDesc, green

CTRL_C_EVENT = 0
PROMPTLY = 5.0


def press_ctrl_c() -> None:
    time.sleep(0.5)
    ctypes.windll.kernel32.GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0)  # type: ignore[attr-defined]
    time.sleep(PROMPTLY)
    print("the wait did not end", flush=True)
    os._exit(1)


def wait_as_a_follower(desc: PollDesc) -> None:
    """Another thread drives, so this one is parked on a word of its own."""
    other = netpoll.open(socket.socketpair()[0])
    threading.Thread(target=other.wait, args=(READ,), daemon=True).start()
    while desc.poller.stats().parked_readers == 0:
        time.sleep(0.001)
    desc.wait(READ)


CASES: dict[str, Callable[[PollDesc], object]] = {
    "wait": lambda desc: desc.wait(READ),
    "follower": wait_as_a_follower,
    "poll": lambda desc: desc.poller.poll(None),
    "hub": lambda desc: green.run(desc.wait, READ),
    "console": lambda desc: green.run(netpoll.File(0, closefd=False).read, 1),
}


def main(case: str) -> int:
    a, b = socket.socketpair()
    desc = netpoll.open(a)
    threading.Thread(target=press_ctrl_c, daemon=True).start()
    try:
        CASES[case](desc)
    except KeyboardInterrupt:
        b.send(b"x")
        desc.wait(READ)
        print(f"Ctrl-C ends {case}", flush=True)
        os._exit(0)  # a thread still waits
    print("the wait ended without an exception", flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
