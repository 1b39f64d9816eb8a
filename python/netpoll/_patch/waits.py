"""Single functions of the standard library that wait: in a hub, the greenlet waits."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from netpoll._blocking.children import open_pidfd
from netpoll._blocking.readiness import wait_readable
from netpoll._blocking.threads import Call, Pool
from netpoll._engine import coop_yield, current_hub, pause
from netpoll._engine import sleep as _park
from netpoll._errors import ClosedError

__all__ = ["join", "sleep", "wait", "waitpid"]

_sleep = time.sleep
_waitpid: Any = getattr(os, "waitpid", None)
_WNOHANG = getattr(os, "WNOHANG", 0)  # Windows has none
_join = threading.Thread.join
_LONGEST = 2**63 / 1e9


def sleep(seconds: float, /) -> None:
    """`time.sleep`: in a hub, the others run meanwhile."""
    real = isinstance(seconds, (int, float))
    if current_hub() is not None and real and 0 <= seconds < _LONGEST:
        _park(seconds)
    else:
        _sleep(seconds)


#: A thread for each thread that is joined.
_joins = Pool("netpoll join", limit=1 << 16)

#: By thread: what waits for it.
_waiting: WeakKeyDictionary[Any, Call[None]] = WeakKeyDictionary()


def join(self: threading.Thread, timeout: float | None = None) -> None:
    """`Thread.join`: in a hub, another thread joins it for the greenlet."""
    if current_hub() is None:
        _join(self, timeout)
        return
    _join(self, 0)  # the standard errors
    coop_yield(timeout is None or timeout > 0)
    if not self.is_alive() or (timeout is not None and timeout <= 0):
        return
    call = _waiting.get(self)
    if call is None or call.ended:
        call = Call(partial(_join, self), name="join")
        _joins.submit(call)
        _waiting[self] = call
    call.wait(timeout)


#: Seconds between two questions for a child, where nothing tells that it has ended.
_INTERVAL = 0.01


def waitpid(pid: int, options: int, /) -> tuple[int, int]:
    """`os.waitpid`."""
    waits = current_hub() is not None and isinstance(pid, int) and _WNOHANG & ~options
    coop_yield(bool(waits))
    ended: tuple[int, int] = _waitpid(pid, options | _WNOHANG if waits else options)
    while waits and not ended[0]:
        _wait_for_child(pid, options)
        ended = _waitpid(pid, options | _WNOHANG)
    return ended


def _wait_for_child(pid: int, options: int) -> None:
    """Until there may be something to learn."""
    try:
        own = open_pidfd(pid) if pid > 0 and not options else None
    except (AttributeError, OSError):
        own = None
    if own is None:
        pause(_INTERVAL)
        return
    try:
        with suppress(ClosedError):  # the poller was: it asks again
            wait_readable(own.fileno(), None)
    finally:
        own.close()


def wait() -> tuple[int, int]:
    """`os.wait`."""
    return waitpid(-1, 0)
