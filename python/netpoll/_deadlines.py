"""The deadlines of a socket and of a File: those of the FD that they have."""

from __future__ import annotations

from typing import Protocol

READ, WRITE = 1, 2


class HasDeadlines(Protocol):
    """An FD, of either engine."""

    def set_deadline(self, timeout: float | None, modes: int, /) -> None: ...


class Deadlines:
    """They may be moved at every operation, by any thread."""

    __slots__ = ()

    _fd: HasDeadlines

    def set_deadline(self, timeout: float | None, /) -> None:
        """Go's SetDeadline: `set_read_deadline` and `set_write_deadline`."""
        self._fd.set_deadline(timeout, READ | WRITE)

    def set_read_deadline(self, timeout: float | None, /) -> None:
        """The instant after which operations that read or receive raise DeadlineExceeded.

        It binds one that is going on, and later ones, until it is moved, by any thread.

        :param timeout: seconds from now; None clears it; 0 or less expires at once.
        :raises ClosedError: it is closed.
        :raises ValueError: the timeout is NaN.
        """
        self._fd.set_deadline(timeout, READ)

    def set_write_deadline(self, timeout: float | None, /) -> None:
        """The same for operations that write, send or connect."""
        self._fd.set_deadline(timeout, WRITE)
