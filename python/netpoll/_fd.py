"""Go's internal/poll.FD in Python: what python/ext/fd_type.c is on CPython.

An FD stands between a socket object and its number.  It knows who is inside an operation (the lock
of csrc/fdmutex.c), how long an operation may take, and the deadlines; and it has the descriptor
of the poller, from the first time that somebody has to wait.

An operation is: lock the mode, try, wait until the mode is ready, try again, unlock.  Of one mode
they are served one at a time, in the order of their coming.  `close` ends all of them with
ClosedError; the number is given back when the last has left, so it cannot become another file's
under a running operation.

Two kinds of limits bind a wait, and the earlier wins.  The timeout is counted for each operation
anew and raises TimeoutError("timed out"), as sockets do.  A deadline is an instant that anybody
may move meanwhile, and raises DeadlineExceeded.  The descriptor's own deadline is the earlier of
the two while somebody waits; at other times it means nothing.
"""

from __future__ import annotations

import _socket
import errno
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

from netpoll import _api, _errors, _hooks
from netpoll._core import ffi, lib
from netpoll._parking import Queues, pause
from netpoll._pure import BUSY, CLOSED, NEVER, OK, nanoseconds

P = ParamSpec("P")
T = TypeVar("T")

READ, WRITE = lib.NP_READ, lib.NP_WRITE

_IN_PROGRESS = {errno.EINPROGRESS, getattr(errno, "WSAEWOULDBLOCK", errno.EINPROGRESS)}

#: With these flags the standard class does not wait either.
NEVER_WAITS = getattr(_socket, "MSG_DONTWAIT", 0) | getattr(_socket, "MSG_ERRQUEUE", 0)


_forks = 0
_survivor = 0


def _forked() -> None:
    global _forks, _survivor
    _forks += 1
    _survivor = threading.get_ident()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class FD:
    """A number in use by a socket object, which closes it.

    :param number: non-blocking.
    :param stream: if a read or write that is short means that the next one would have to wait: 1
        for TCP, 2 for UNIX streams; else 0.  (In C that saves a system call.)
    """

    def __init__(self, number: int, stream: int) -> None:
        self.number = number
        self.stream = stream
        #: Seconds that an operation may take; 0: it never waits; None: for ever.
        self.timeout: float | None = None
        self._mutex = ffi.new("np_fdmutex *")
        self._lock = threading.RLock()  # guards the rest; a handler may come in
        self._queues = Queues()
        self._desc: _api.PollDesc | None = None
        self._deadlines = [NEVER, NEVER, NEVER]  # by mode: instants
        self._limits = [0, 0, 0]  # by mode: the timeout of who waits, an instant; 0: nobody does
        self._again = [False, False, False]  # by mode: who waits is to try once more
        self._kept = False  # by detach: the number is not ours to close
        self._owners = [0, 0, 0]  # by mode: the thread that has locked it, if any has
        self._forks = _forks  # when it was seen last

    @property
    def closed(self) -> bool:
        """Has `close` or `detach` been called?"""
        return bool(lib.np_fdmutex_closed(self._mutex))

    # Operations.

    def call(
        self, mode: int, flags: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """An operation: the function, called again whenever the mode is ready, as long as it
        raises BlockingIOError.

        :param flags: those of the system call, MSG_*: some mean that it never waits.
        :raises BlockingIOError: it may not wait, as the timeout is 0 or the flags say so, and would
            have to: for the kernel, or for another operation of the mode.
        :raises TimeoutError: the timeout is over.
        :raises DeadlineExceeded: the deadline of the mode has passed, even if the function would
            not have had to wait.
        :raises ClosedError: the socket is closed, or is while it waits.
        """
        with _Operation(self, mode, flags) as operation:
            while True:
                self.check(mode)
                if self._desc is not None:
                    with suppress(_errors.PollError):
                        self._desc.reset(mode)
                try:
                    return function(*args, **kwargs)
                except BlockingIOError:
                    if not operation.waits:
                        raise
                except OSError:
                    if self.closed:  # since we looked
                        raise _errors.closed(self.number) from None
                    raise
                operation.wait()

    def connect(self, begin: Callable[[Any], int], address: Any) -> int:
        """Connect, and wait until that is done: 0, or the errno of what went wrong.

        :param begin: the standard `connect_ex` of the socket.
        :raises TimeoutError, DeadlineExceeded, ClosedError: as `call`.
        """
        with _Operation(self, WRITE, 0) as operation:
            self.check(WRITE)
            if self._desc is not None:
                with suppress(_errors.PollError):
                    self._desc.reset(WRITE)
            number = begin(address)
            while number in _IN_PROGRESS and operation.waits:
                operation.wait()
                self.check(WRITE)
                number = self._connected()
            return number

    def _connected(self) -> int:
        """The errno; EINPROGRESS: we were woken for another reason."""
        sock = socket.socket(fileno=self.number)
        try:
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number == 0:
                sock.getpeername()
        except OSError as error:
            number = error.errno or 0
        finally:
            sock.detach()
        desc = self._desc
        if number == errno.ENOTCONN and desc is not None and desc._short_is_drained():
            return errno.EINPROGRESS
        return number

    def check(self, mode: int) -> None:
        """May an operation of the mode go on?

        :raises ClosedError, DeadlineExceeded: no.
        """
        if self.closed:
            raise _errors.closed(self.number)
        if self._deadlines[mode] != NEVER and lib.np_now() >= self._deadlines[mode]:
            raise _errors.deadline_exceeded(self.number, mode)

    def _enter(self, mode: int, waits: bool, limit: int) -> None:
        self._see_forks()
        rc = lib.np_fdmutex_lock(self._mutex, mode)
        if rc == BUSY:
            if not waits:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            rc = OK if self._queues.enter(self, mode, limit) else CLOSED
        if rc == CLOSED:
            raise _errors.closed(self.number)
        self._owned_by(mode, threading.get_ident())

    def _owned_by(self, mode: int, thread: int, /) -> None:
        self._owners[mode] = thread

    def _see_forks(self) -> None:
        """In a forked child the other threads are gone, and nobody else will unlock what they had
        locked."""
        if self._forks == _forks:
            return
        self._forks, self._lock, survivor = _forks, threading.RLock(), _survivor
        self._queues.forget_the_gone(survivor)
        for mode in (READ, WRITE):
            rc = lib.np_fdmutex_lock(self._mutex, mode)
            if rc == BUSY and self._owners[mode] != survivor:
                self._limits[mode] = 0
                rc = OK
            if rc == OK:
                self._leave(mode)

    def _lock_or_queue(self, mode: int) -> int:
        return lib.np_fdmutex_lock_or_queue(self._mutex, mode)

    def _dequeued(self, mode: int) -> None:
        lib.np_fdmutex_dequeued(self._mutex, mode)

    def _leave(self, mode: int) -> None:
        self._owners[mode] = 0
        while (rc := lib.np_fdmutex_unlock(self._mutex, mode)) == BUSY:
            if self._queues.pass_on(self, mode):
                return
        if rc == CLOSED and not self._kept:
            close_number(self.number)

    # Waiting.

    def _wait(self, mode: int, limit: int) -> None:
        """Until the mode is ready, or perhaps is."""
        try:
            with self._lock:
                desc = self._registered()
                self._limits[mode] = limit
                self._bound(desc, mode)
                if self.closed:  # before it could see the descriptor
                    desc.close()
                if self._again[mode]:
                    self._again[mode] = False
                    return
            desc.wait(mode)
        except _errors.DeadlineExceeded:
            if lib.np_now() >= limit:
                raise _timed_out() from None
        except _errors.ClosedError:
            if self.closed:
                raise
            self._desc = None  # its poller was closed; the next wait is on another
        except _errors.BusyError:
            pause(0.001)  # the token of one who was killed has not come out yet, of another hub's
        finally:
            self._limits[mode] = 0

    def again(self, mode: int) -> None:
        """What the waiter of the mode has seen is out of date: he is to try once more.

        For a layer above that takes data on behalf of somebody else.
        """
        self._see_forks()
        with self._lock:
            self._again[mode] = True
            if self._desc is not None:
                self._desc._set_ready(mode)

    def _registered(self) -> _api.PollDesc:
        desc = self._desc
        if desc is None or desc.poller.closed:
            self._desc = desc = _api.open_for_io(self.number)
        return desc

    def _bound(self, desc: _api.PollDesc, mode: int) -> None:
        """The descriptor's deadline for the one who waits."""
        limit = min(self._limits[mode], self._deadlines[mode])
        with suppress(_errors.ClosedError):
            desc._set_deadline_at(limit, mode)

    def set_deadline(self, timeout: float | None, modes: int) -> None:
        """An instant, `timeout` seconds from now, for present and later operations of the modes.

        :param timeout: None clears; 0 or less expires at once.
        :raises ClosedError: the socket is closed.
        :raises ValueError: the timeout is NaN.
        """
        after = NEVER if timeout is None else nanoseconds(timeout)
        self._see_forks()
        if self.closed:
            raise _errors.closed(self.number)
        now = lib.np_now()
        when = now + after if after < NEVER - now else NEVER
        with self._lock:
            for mode in (READ, WRITE):
                if modes & mode:
                    self._deadlines[mode] = when
                    if self._limits[mode] and self._desc is not None:
                        self._bound(self._desc, mode)

    def take_deadlines(self, other: FD) -> None:
        """Those of an FD that is done with its number; nobody has an operation on ours yet."""
        self._deadlines[:] = other._deadlines

    # The end.

    def close(self) -> bool:
        """End all operations with ClosedError; the last one to leave closes the number.

        :returns: is it by this call that it is closed?
        """
        return self._close(kept=False)

    def detach(self) -> bool:
        """`close`, but the number stays open and is the caller's, if it is by this call."""
        return self._close(kept=True)

    def _close(self, kept: bool) -> bool:
        self._see_forks()
        if lib.np_fdmutex_close(self._mutex) == CLOSED:
            return False
        self._kept = kept  # before we leave, and so before anybody can be the last to leave
        with self._lock:
            if self._desc is not None:
                self._desc.close()
        self._queues.dismiss(self)
        self._leave(0)
        return True


class _Operation:
    """A `with` block in which the mode is locked."""

    __slots__ = ("_since", "_waited", "fd", "limit", "mode", "waits")

    def __init__(self, fd: FD, mode: int, flags: int) -> None:
        timeout = fd.timeout
        self.fd = fd
        self.mode = mode
        self.waits = timeout != 0 and not flags & NEVER_WAITS
        #: When the timeout is over.
        self.limit = NEVER if not timeout else min(lib.np_now() + nanoseconds(timeout), NEVER)
        self._waited = 0
        self._since = 0  # when it was counted last

    def __enter__(self) -> _Operation:
        if self.waits:
            _hooks.give_way()
        self.fd._enter(self.mode, self.waits, self.limit)
        return self

    def __exit__(self, *unused: object) -> None:
        self.fd._leave(self.mode)

    def wait(self) -> None:
        self._calm_down()
        self.fd._wait(self.mode, self.limit)

    def _calm_down(self) -> None:
        """Where the kernel says ready and the try fails all the same, again and again, as for a
        datagram to a UNIX socket that is full: a pause now and then, or it would take the whole
        processor.  Not for streams: there a wait in vain is an accident, and many waits are a long
        way that is being gone."""
        self._waited += 1
        if not self.fd.stream and self._waited % 16 == 0:
            since, self._since = self._since, lib.np_now()
            if since and self._since - since < 16 * 100_000:
                pause(0.002)
                self._since = lib.np_now()


def _timed_out() -> TimeoutError:
    return TimeoutError("timed out")


def close_number(number: int) -> None:
    """What the standard class does: a reset by the peer is no error of ours."""
    try:
        _socket.close(number)
    except OSError as error:
        if error.errno != errno.ECONNRESET:
            raise
