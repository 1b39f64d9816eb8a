"""Chooses the engine: the classes that carry a poller, a descriptor and a hub's queue.

The public `Poller` and `PollDesc` (_api.py) inherit everything that may be hot from an engine, and
add what need not be fast.  There are two engines with the same names and meanings:

* the types of the extension module, written in C (python/ext), on CPython;
* the classes of the same names in the folder _cffi, on plain cffi calls: on PyPy, with
  NETPOLL_PURE=1 in the environment, and where the extension was built without the types.

What an engine needs of the modules above it they give by `bind`.  What `PollerBase` and `DescBase`
must offer to users is written down here as two protocols; the meaning stands in the docstrings of
_cffi/engine.py, which the types in C get at build time.  So does that of the functions which are
the package's own (`parked_token` and so on).  The rest is described in _cffi, too: `Sema`, `Waiter`
and `Timer` in sema.py, hubs in hub.py, locks in lock.py, `SimpleQueue` and `local` in files of
their names.  Rules that hold for both engines:

* A method that cannot block keeps the GIL.  `wait`, `wait_canceled` and `poll` release it in the
  core.
* Timeouts are seconds, as real numbers; what is not a number is a TypeError, NaN a ValueError.
* A mode is READ or WRITE (or both for `set_deadline`); anything else is a ValueError.
* The errors are those of _errors.py, made there, with the fd in every message.
* On NP_INTERRUPTED the pending signal handlers run; if none raises, the wait goes on for the time
  left.
* A token is any object.  The engine owns a reference to it from `park` until it is given out or
  withdrawn, and gives it out exactly once.
* The objects may be used from any thread at any time.  Memory of the core is released when the
  object dies, never before, so a handle kept after close is safe.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Protocol

try:
    from netpoll import _core
except ImportError as error:
    if error.name != "netpoll":  # it is there, and says why it cannot be loaded
        raise
    raise ModuleNotFoundError(
        "netpoll's extension module is not here: a zip file cannot hold it, and in a clone "
        "`make build` makes it",
        name="netpoll._core",
    ) from None

from netpoll import _errors
from netpoll._core import ffi, lib
from netpoll._interruptions import is_interruption

__all__ = [
    "ConditionBase",
    "DescBase",
    "GroupBase",
    "HubBase",
    "HubToken",
    "Lock",
    "PollerBase",
    "RLock",
    "Sema",
    "SemaphoreBase",
    "SimpleQueue",
    "TimeoutBase",
    "Timer",
    "Waiter",
    "WaiterBase",
    "backends",
    "bind",
    "coop_yield",
    "current_hub",
    "desc_address",
    "desc_adopt",
    "desc_size",
    "desc_state",
    "desc_unclosed",
    "end_hub",
    "features",
    "filed_token",
    "get_hub",
    "get_ident",
    "hub_counts",
    "hub_poller",
    "is_poll_descriptor",
    "local",
    "parked_token",
    "pause",
    "poller_address",
    "poller_adopt",
    "poller_counters",
    "poller_set_internal",
    "poller_unclosed",
    "run",
    "sleep",
    "spawn",
]


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


if hasattr(_core, "in_main_interpreter") and not _core.in_main_interpreter():
    raise ImportError("netpoll works in the main interpreter only")

# The attributes exist only where the extension was built with the types.
HAS_TYPES = hasattr(_core, "PollerBase") and hasattr(_core, "DescBase")
PURE = (
    not HAS_TYPES or sys.implementation.name != "cpython" or os.environ.get("NETPOLL_PURE") == "1"
)

lib.np_enable_signal_checks()

if TYPE_CHECKING or PURE:
    from netpoll._cffi import engine as _engine
    from netpoll._cffi import hub as _hub
    from netpoll._cffi import timeout as _timeout
    from netpoll._cffi import waiter as _waiter
    from netpoll._cffi.engine import (
        DescBase,
        HubToken,
        PollerBase,
        desc_address,
        desc_adopt,
        desc_state,
        desc_unclosed,
        filed_token,
        parked_token,
        poller_address,
        poller_adopt,
        poller_counters,
        poller_set_internal,
        poller_unclosed,
    )
    from netpoll._cffi.group import GroupBase
    from netpoll._cffi.hub import HubBase, current_hub, end_hub, get_hub, hub_counts, hub_poller
    from netpoll._cffi.local import local
    from netpoll._cffi.lock import ConditionBase, Lock, RLock, get_ident
    from netpoll._cffi.queue import SimpleQueue
    from netpoll._cffi.sema import Sema, Timer, Waiter
    from netpoll._cffi.semaphore import SemaphoreBase
    from netpoll._cffi.timeout import TimeoutBase
    from netpoll._cffi.wait import sleep
    from netpoll._cffi.waiter import WaiterBase, run, spawn
else:
    from netpoll._core import (
        ConditionBase,
        DescBase,
        GroupBase,
        HubBase,
        Lock,
        PollerBase,
        RLock,
        Sema,
        SemaphoreBase,
        SimpleQueue,
        TimeoutBase,
        Timer,
        Waiter,
        WaiterBase,
        current_hub,
        desc_address,
        desc_adopt,
        desc_state,
        desc_unclosed,
        end_hub,
        filed_token,
        get_hub,
        get_ident,
        hub_counts,
        hub_poller,
        local,
        parked_token,
        poller_address,
        poller_adopt,
        poller_counters,
        poller_set_internal,
        poller_unclosed,
        run,
        sleep,
        spawn,
    )

    HubToken = WaiterBase


def bind(**objects: Any) -> None:
    """Give the engine what it needs of a module above it, when that is imported.

    python/ext/bind.h lists the names.  The extension's other parts need theirs even where the
    classes are those in Python.
    """
    if PURE and "desc_class" in objects:
        _engine.bind(objects["desc_class"], objects["descriptor_number"])
        _hub.bind_poller(objects["internal_poller"])
    if PURE and "make_hub" in objects:
        _hub.bind_green(objects["make_hub"])
        _waiter.bind_green(objects["report_error"], objects["copy_context"])
        _timeout.bind_green(objects["outer_timeout"])
    if HAS_TYPES:
        _core.bind(**objects)


bind(
    closed=_errors.closed,
    poller_closed=_errors.poller_closed,
    deadline_exceeded=_errors.deadline_exceeded,
    not_pollable=_errors.not_pollable,
    busy=_errors.busy,
    system_error=_errors.system,
)
bind(is_interruption=is_interruption)
if PURE:
    bind(poller_address=poller_address, desc_address=desc_address)


def pause(seconds: float) -> None:
    """Sleep: in a hub the greenlet, elsewhere the thread."""
    Sema(name="pause").acquire(seconds)


_always_open: Any = Sema()
_always_open.open()


def coop_yield(may_wait: bool = True) -> None:
    """Before an operation that may not have to wait: in a hub others get a turn now and then."""
    if may_wait:
        _always_open.acquire()
    else:
        _always_open.try_acquire()


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
