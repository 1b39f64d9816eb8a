"""Connected pairs, and how every rival plays ping-pong on them.

Both ends of a pair run the same loop: read a byte, write a byte. They all start parked in their
reads, so starting them is not measured; then one byte a pair is let in and bounces until each end
has read `trips` times. That makes `trips` round trips a pair, and leaves the byte where it was let
in.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

Pair = tuple[socket.socket, socket.socket]


def connected_pairs(count: int) -> list[Pair]:
    """So many socket pairs, both ends non-blocking."""
    pairs = [socket.socketpair() for _ in range(count)]
    for pair in pairs:
        for end in pair:
            end.setblocking(False)
    return pairs


def let_in(pairs: Sequence[Pair]) -> None:
    """Give each pair its byte: the first end becomes readable."""
    for _, second in pairs:
        os.write(second.fileno(), b"x")


def take_out(pairs: Sequence[Pair]) -> None:
    """Take the bytes out again, for the next round."""
    for first, _ in pairs:
        os.read(first.fileno(), 1)
