"""The exceptions of netpoll.  Every message names the descriptor."""

from __future__ import annotations

import errno
import os
import stat
from typing import NoReturn


class PollError(OSError):
    """The base of what a wait raises."""


class ClosedError(PollError):
    """The descriptor, or its poller, was closed or evicted (errno EBADF).  Go's pollErrClosing.

    Reported before `DeadlineExceeded`, which is reported before `NotPollableError`.
    """

    #: From `Poller.poll` on a closed poller: the tokens that were still parked there, in no other
    #: way to come out.  Each is given out once.
    tokens: list[object]

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.tokens = []


class DeadlineExceeded(PollError, TimeoutError):
    """The deadline of the mode has passed (errno ETIMEDOUT).  Go's os.ErrDeadlineExceeded.

    Raised by every `reset` and `wait` of the mode until its deadline is moved or cleared; then the
    descriptor works again.
    """


class NotPollableError(PollError):
    """The kernel cannot poll this kind of file (errno EPERM), or reported an error and nothing
    else.

    Go's ErrNotPollable.
    """


class BusyError(RuntimeError):
    """The mode of the descriptor has a waiter already, which is unharmed."""


#: Where the system's own words would mislead.
_MEANINGS = {errno.ELOOP: "a poller cannot watch itself, directly or through others"}

MODE_NAMES = {1: "read", 2: "write", 3: "read and write"}


def closed(fd: int) -> ClosedError:
    return ClosedError(errno.EBADF, f"fd {fd}: closed")


def poller_closed(fd: int | None = None) -> ClosedError:
    """fd: the one that was to be opened on it."""
    return ClosedError(errno.EBADF, f"{'' if fd is None else f'fd {fd}: '}the poller is closed")


def deadline_exceeded(fd: int, mode: int) -> DeadlineExceeded:
    return DeadlineExceeded(errno.ETIMEDOUT, f"fd {fd}: {MODE_NAMES[mode]} deadline exceeded")


def not_pollable(fd: int) -> NotPollableError:
    return NotPollableError(errno.EPERM, f"fd {fd}: not pollable{_why_not(fd)}")


def _why_not(fd: int) -> str:
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return ""
    if stat.S_ISREG(mode):
        return ": a regular file is always ready"
    return ": a directory" if stat.S_ISDIR(mode) else ""


def busy(fd: int, mode: int) -> BusyError:
    return BusyError(f"fd {fd}: another waiter for {MODE_NAMES[mode]}")


def system(number: int, what: str) -> OSError:
    """The OSError, of the subclass that belongs to it, for an errno of the core."""
    meaning = _MEANINGS.get(number) or os.strerror(number)
    return OSError(number, f"{what}: {meaning}")


def refuse_copies(self: object, protocol: object) -> NoReturn:
    """In the place of __reduce_ex__, as of the types in C: what is in the core is there once."""
    raise TypeError(f"cannot pickle {type(self).__name__!r} object")
