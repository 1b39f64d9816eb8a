"""The loop around a descriptor that netpoll asks for, the same in threads and in greenlets."""

from __future__ import annotations

import os

from netpoll import READ, PollDesc


def bounce(fd: int, desc: PollDesc, trips: int) -> None:
    """Read a byte, write a byte."""
    for _ in range(trips):
        desc.reset(READ)
        while True:
            try:
                os.read(fd, 1)
                break
            except BlockingIOError:
                desc.wait(READ)
        os.write(fd, b"x")
