"""The loops around a descriptor, in threads as in greenlets: read a byte, write a byte."""

from __future__ import annotations

import os

from netpoll import READ, PollDesc


def read_first(fd: int, desc: PollDesc, trips: int) -> None:
    """The loop for all seasons: whatever has come already is read without a wait."""
    for _ in range(trips):
        desc.reset(READ)
        while True:
            try:
                os.read(fd, 1)
                break
            except BlockingIOError:
                desc.wait(READ)
        os.write(fd, b"x")


def wait_first(fd: int, desc: PollDesc, trips: int) -> None:
    """Where an answer is known to come alone, after the question, the read that fails is saved."""
    for _ in range(trips):
        while True:
            desc.wait(READ)
            try:
                os.read(fd, 1)
                break
            except BlockingIOError:
                pass
        os.write(fd, b"x")


LOOPS = {"read first": read_first, "wait first": wait_first}
