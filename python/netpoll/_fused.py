"""What may wait of a socket, in C (python/ext/socket_ops.c), on CPython.

The methods are put on a class of Python's, which has the standard class's layout and one slot more,
for the FD.  The slot is the last thing in an object, so its place is known to C without a look-up.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from netpoll import _core
from netpoll._api import open_for_io
from netpoll._parking import Queues, pause

__all__ = ["ACCEPTS", "FD", "SocketBase"]

FD: Any = _core.FD  # type: ignore[attr-defined]
ACCEPTS: int = _core.ACCEPTS  # type: ignore[attr-defined]


class SocketBase(socket.socket):
    """What may wait.  The socket itself is non-blocking, and so its methods never do."""

    __slots__ = ("_fd",)


_core.connect_fd(Queues, open_for_io, pause)  # type: ignore[attr-defined]
_core.add_socket_methods(SocketBase, socket.socket)  # type: ignore[attr-defined]
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_core.forked)  # type: ignore[attr-defined]
