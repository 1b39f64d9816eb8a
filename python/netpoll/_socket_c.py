"""What may wait of a socket, in C (python/ext/socket_ops.h), on CPython.

The methods are put on a class of Python's, which has the standard class's layout and one slot more,
for the FD.  The slot is the last thing in an object, so its place is known to C without a look-up.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any

from netpoll import _core, _parts
from netpoll._whole import call, consume

__all__ = [
    "ACCEPTS",
    "FD",
    "SocketBase",
    "accept_by",
    "add_methods",
    "close_with",
    "detach_with",
    "detaching",
]

FD: Any = _core.FD  # type: ignore[attr-defined]
ACCEPTS: int = _core.ACCEPTS  # type: ignore[attr-defined]


class SocketBase(socket.socket):
    """What may wait.  The socket itself is non-blocking, and so its methods never do."""

    __slots__ = ("_fd",)


# What hands a number over or takes it away: no signal handler comes between.


def accept_by(listener: SocketBase, step: Callable[[], object]) -> None:
    """The step calls `_accept`, which waits, and hands the number over, in C."""
    step()


def close_with(fd: Any, take: Callable[[], object]) -> None:
    """take gets the number from the socket, which is done first."""
    consume(map(call, (take, fd.close)))


def detach_with(fd: Any, take: Callable[[], object]) -> bool:
    """True: the number is the caller's.  take is done afterwards."""
    mine, _ = map(call, (fd.detach, take))
    return bool(mine)


def detaching(fd: Any) -> Callable[[], object]:
    """`FD.detach`, in C."""
    return fd.detach  # type: ignore[no-any-return]


def add_methods(cls: type) -> None:
    """Put the methods on a class.

    On a subclass too, although it inherits them: CPython compares the object's class with the
    method's own before each call, and walks the bases if they differ.
    """
    _core.add_socket_methods(cls)  # type: ignore[attr-defined]


_core.bind(
    standard_socket=socket.socket,
    audit=sys.audit,
    **{name: getattr(_parts, name) for name in _parts.__all__},
)
add_methods(SocketBase)
