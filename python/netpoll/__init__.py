"""Go's runtime network poller as a library.

A descriptor is registered once; then threads and greenlets wait on it.  Any thread can move its
deadlines, or close it::

    desc = netpoll.open(sock)  # sock is non-blocking
    desc.set_deadline(5, netpoll.READ)
    while True:
        desc.reset(netpoll.READ)
        try:
            data = sock.recv(4096)
            break
        except BlockingIOError:
            desc.wait(netpoll.READ)  # DeadlineExceeded after 5 s

`netpoll.green` runs greenlets on it; `Poller.poll` and `PollDesc.park` are for schedulers of your
own.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from netpoll._api import (
    READ,
    WRITE,
    PollDesc,
    Poller,
    PollerStats,
    backends,
    default_poller,
    is_poll_descriptor,
    open,
)
from netpoll._engine import Sema, Timer, Waiter
from netpoll._errors import (
    BusyError,
    ClosedError,
    DeadlineExceeded,
    NotPollableError,
    PollError,
)
from netpoll._file import File, fdopen
from netpoll._include import get_include
from netpoll._inspect.dump import cancel_dump_on_signal, dump, dump_on_signal

if TYPE_CHECKING:
    from netpoll import green as green

try:
    #: For other extensions, on CPython: see netpoll_api.h.
    from netpoll._core import _C_API as _C_API
except ImportError:  # PyPy
    pass

__version__ = "0.1.0"

__all__ = [
    "READ",
    "WRITE",
    "BusyError",
    "ClosedError",
    "DeadlineExceeded",
    "File",
    "NotPollableError",
    "PollDesc",
    "PollError",
    "Poller",
    "PollerStats",
    "Sema",
    "Timer",
    "Waiter",
    "__version__",
    "backends",
    "cancel_dump_on_signal",
    "default_poller",
    "dump",
    "dump_on_signal",
    "fdopen",
    "get_include",
    "is_poll_descriptor",
    "open",
]


def __getattr__(name: str) -> Any:
    """`netpoll.green` without an import of its own; it needs greenlet, which the rest does not."""
    if name == "green":
        from importlib import import_module

        return import_module("netpoll.green")
    raise AttributeError(f"module 'netpoll' has no attribute {name!r}")


if os.environ.get("NETPOLL_DEBUG", "0") not in {"", "0"}:
    from netpoll._inspect.debug import switch_on

    switch_on()
