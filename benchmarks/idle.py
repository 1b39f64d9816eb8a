"""Descriptors on which nothing happens."""

from __future__ import annotations

import os
import socket
from pathlib import Path

IMAGINARY = 1 << 24
"""From here on there are as many descriptors as one likes, with `c/imaginary.c` preloaded."""


def imaginary_numbers(count: int) -> range:
    """So many descriptors that the kernel does not know."""
    return range(IMAGINARY, IMAGINARY + count)


def idle_ends(count: int) -> list[socket.socket]:
    """So many real sockets, non-blocking, on which nothing ever comes."""
    ends = [end for _ in range(count // 2) for end in socket.socketpair()]
    for end in ends:
        end.setblocking(False)
    return ends


def idle_numbers(count: int) -> list[int]:
    """The same as bare descriptors, made so that they leave no room behind for what is measured."""
    numbers: list[int] = []
    for _ in range(count // 2):
        for end in socket.socketpair():
            end.setblocking(False)
            numbers.append(end.detach())
    return numbers


def resident_bytes() -> int:
    """What this process holds of the memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
