"""Chooses the engine: the classes that carry a poller, a descriptor and a hub's queue.

The public `Poller` and `PollDesc` (_api.py) inherit everything that may be hot from an engine, and
add what need not be fast.  There are two engines with the same names and meanings:

* the types of the extension module, written in C (python/ext), on CPython;
* the classes of the same names in _pure.py and _turns.py, on plain cffi calls: on PyPy, with
  NETPOLL_PURE=1 in the environment, and where the extension was built without the types.

Each is told once, by `connect_desc`, what `Poller.open` makes of what.  What `PollerBase` and
`DescBase` must offer is written down here as two protocols; their meaning,
for users, stands in the docstrings of _pure.py, which the types in C get at build time.  `Turns`
and `WaiterBase` are described in _turns.py.  Rules that hold for both engines:

* A method that cannot block keeps the GIL.  `wait`, `wait_canceled` and `poll` give it back in the
  core.
* Timeouts are seconds, as real numbers; what is not a number is a TypeError, NaN a ValueError.
* A mode is READ or WRITE (or both for `set_deadline`); anything else is a ValueError.
* The errors are those of _errors.py, made there, with the fd in every message.
* On NP_INTERRUPTED the pending signal handlers run; if none raises, the wait goes on for the time
  left.
* A token is any object.  The engine owns a reference to it from `park` until it is given out or
  withdrawn, and gives it out exactly once.
* The objects may be used from any thread at any time.  Memory of the core is given back when the
  object dies, never before, so a handle kept after close is safe.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from netpoll import _core
from netpoll._core import ffi, lib

__all__ = [
    "DescBase",
    "HubToken",
    "PollerBase",
    "Turns",
    "WaiterBase",
    "backends",
    "connect_desc",
    "desc_size",
    "features",
    "is_poll_descriptor",
    "rest",
]


class Queue(Protocol):
    """Where ready tokens go: a list or a deque."""

    def extend(self, tokens: Iterable[Any], /) -> None: ...


class PollerEngine(Protocol):
    """What `Poller` inherits."""

    def __init__(self, backend: str | None) -> None: ...
    def open(self, fd: Any) -> Any: ...
    def poll(self, timeout: float | None = 0) -> list[Any]: ...
    def wake(self) -> None: ...
    def fileno(self) -> int: ...
    def next_deadline(self) -> float | None: ...
    def is_poll_descriptor(self, fd: int) -> bool: ...
    def close(self) -> None: ...
    @property
    def backend(self) -> str: ...
    @property
    def closed(self) -> bool: ...

    def _poll_into(self, queue: Queue, timeout: float | None) -> None:
        """`poll`, with the tokens added to queue in one step that no signal handler can come
        between.

        On a closed poller the tokens that are left are added before ClosedError is raised.
        """

    def _counters(self) -> tuple[int, ...]:
        """The fields of np_stats, in their order."""

    def _adopt(self, address: int) -> None:
        """Instead of __init__: an np_poller that was made in C.  Takes a reference of its own."""

    def _address(self) -> int:
        """Of the np_poller; before __init__ 0, or AttributeError."""


class DescEngine(Protocol):
    """What `PollDesc` inherits."""

    def __init__(self, poller: Any, fd: int) -> None:
        """np_open."""

    def reset(self, mode: int) -> None: ...
    def wait(self, mode: int) -> None: ...
    def wait_canceled(self, mode: int) -> None: ...
    def set_deadline(self, timeout: float | None, mode: int = 3) -> None: ...
    def deadline(self, mode: int) -> float | None: ...
    def unblock(self) -> None: ...
    def close(self) -> None: ...
    def park(self, mode: int, token: Any) -> bool: ...
    def resume(self, mode: int) -> bool: ...
    def cancel(self, mode: int) -> bool: ...
    @property
    def fd(self) -> int: ...
    @property
    def poller(self) -> Any: ...
    @property
    def closed(self) -> bool: ...

    def _wait(self, mode: int, flags: int) -> None:
        """Block the calling thread.  flags: 0, or NP_IO_ONLY for wait_canceled."""

    def _set_deadline_at(self, when: int, modes: int) -> None:
        """`set_deadline` with an instant of np_now; NP_NEVER clears."""

    def _set_ready(self, modes: int) -> None:
        """np_set_ready."""

    def _short_is_drained(self) -> bool:
        """np_short_is_drained."""

    def _for_io(self) -> None:
        """The owner closes it, and nobody need be warned; errors are met in the I/O."""

    def _state(self, mode: int) -> str:
        """One word for the repr: "parked", "ready" or ""."""

    def _adopt(self, poller: Any, address: int) -> None:
        """Instead of __init__: an np_desc that was opened in C on what poller is made of."""

    def _address(self) -> int:
        """Of the np_desc; before __init__ 0, or AttributeError."""

    def _token(self, mode: int, key: int) -> Any:
        """The token that the core knows as key, if it can still be told; else None."""

    def _unclosed(self) -> bool:
        """Would it be worth a ResourceWarning if it went now?"""


# The attributes exist only where the extension was built with the types.
HAS_TYPES = hasattr(_core, "PollerBase") and hasattr(_core, "DescBase")
PURE = (
    not HAS_TYPES or sys.implementation.name != "cpython" or os.environ.get("NETPOLL_PURE") == "1"
)

lib.np_look_for_signals()

# The FD in C relies on the GIL; that in Python has a lock.
PURE_SOCKETS = PURE or bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

if TYPE_CHECKING or PURE:
    from netpoll._hooks import HubToken
    from netpoll._pure import DescBase, PollerBase, connect_desc
    from netpoll._turns import Turns, WaiterBase, rest
else:
    PollerBase = _core.PollerBase
    DescBase = _core.DescBase
    connect_desc = _core.connect_desc
    Turns = _core.Turns
    rest = _core.rest
    HubToken = WaiterBase = _core.WaiterBase


def _text(chars: Any) -> str:
    raw = ffi.string(chars)
    assert isinstance(raw, bytes)
    return raw.decode("ascii")


def backends() -> tuple[str, ...]:
    """The names of the backends that this build can use on this machine, best first."""
    names: list[str] = []
    while name := lib.np_backend_name(len(names)):
        names.append(_text(name))
    return tuple(names)


def features() -> str:
    """The kernel features in use, as a short text: "epoll_pwait2, eventfd, futex"."""
    return _text(lib.np_features())


def desc_size() -> int:
    """Bytes of one descriptor in the poll cache."""
    return lib.np_desc_size()


def is_poll_descriptor(fd: int) -> bool:
    """Is fd part of any open poller of the process?"""
    return bool(lib.np_is_poll_descriptor(ffi.NULL, fd))
