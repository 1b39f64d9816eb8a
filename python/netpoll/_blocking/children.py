"""Waiting until a child process has ended, without reaping it.

Where the kernel makes a descriptor of that (a pidfd, or a kqueue) the greenlet or thread waits for
it; else a thread of a pool waits for the child.
"""

from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, ParamSpec, TypeVar

from netpoll._blocking.readiness import wait_readable
from netpoll._blocking.threads import Call, Pool
from netpoll._errors import ClosedError

__all__ = ["begin", "in_thread", "open_pidfd", "wait_for_exit"]

P = ParamSpec("P")
T = TypeVar("T")

_std: Any = select

#: A thread for each child, for a wait in a queue would say nothing of the child.
_threads = Pool("netpoll child", limit=1 << 16)


def open_pidfd(pid: int) -> Any:
    """Made and owned in one step: an epoll object closes any descriptor."""
    (own,) = map(_epoll_of, map(os.pidfd_open, (pid,)))
    return own


def _open_kqueue(pid: int) -> Any:
    made = _std.kqueue()
    flags = _std.KQ_EV_ADD | _std.KQ_EV_ONESHOT
    event = _std.kevent(pid, _std.KQ_FILTER_PROC, flags, _std.KQ_NOTE_EXIT)
    made.control([event], 0)
    return made


_epoll_of: Any = getattr(getattr(_std, "epoll", None), "fromfd", None)

_open: Callable[[int], Any] | None = None
if _epoll_of is not None and hasattr(os, "pidfd_open"):
    _open = open_pidfd
elif hasattr(_std, "kqueue"):
    _open = _open_kqueue


def wait_for_exit(
    pid: Callable[[], int | None], lock: AbstractContextManager[Any], timeout: float | None
) -> bool:
    """Until the child has ended, or the time is over.

    :param pid: of the child, or None when it was reaped: asked with the lock held, under which
        it is reaped, so that it is no other process's.
    :returns: False: the time was over first.
    """
    until = None if timeout is None else time.monotonic() + timeout
    with lock:
        number = pid()
        if number is None or _has_ended(number):
            return True
        try:
            own = _open(number) if _open is not None else None
        except ProcessLookupError:
            return True
        except OSError as error:  # an old kernel, a sandbox, no descriptors left
            if error.errno not in {errno.ENOSYS, errno.EPERM, errno.EMFILE, errno.ENFILE}:
                raise
            own = None
    if own is None:
        return _wait_in_thread(number, timeout)
    try:
        while True:
            with suppress(ClosedError):  # the poller was: there is another
                return wait_readable(own.fileno(), until)
    finally:
        own.close()


def _has_ended(pid: int) -> bool:
    """Or is it no child of ours?"""
    if not hasattr(os, "waitid"):
        return False
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
    except ChildProcessError:
        return True


def _wait_in_thread(pid: int, timeout: float | None) -> bool:
    call = in_thread(timeout, os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    if call is None:
        return False
    with suppress(ChildProcessError):  # it was reaped
        call.result()
    return True


def in_thread(
    timeout: float | None, function: Callable[P, T], *args: P.args, **kw: P.kwargs
) -> Call[T] | None:
    """Call what waits for a child in a thread, for so many seconds.

    :returns: None: they are over; the thread goes on.
    """
    return _threads.ended_call("child", timeout, function, *args, **kw)


def begin(function: Callable[[], T]) -> Call[T]:
    """Call what serves a child in a thread; nobody waits for that yet."""
    call = Call(function, name="child")
    _threads.submit(call)
    return call
