"""Files on Windows, which does not tell if a pipe or a console is ready.

So an operation is a call that blocks, in a thread of a pool, and the caller waits for its end.  The
call of an operation that is given up is cancelled; what it has read all the same is the next one's.
"""

from __future__ import annotations

import _socket
import errno
import io
import operator
import os
import stat
import threading
from _thread import RLock
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from netpoll import _engine, _errors
from netpoll._api import READ, WRITE
from netpoll._blocking.threads import Call, Pool
from netpoll._core import lib

if TYPE_CHECKING or _engine.PURE:
    from netpoll._cffi.fd import FD
else:
    from netpoll._core import FD

__all__ = ["ThreadedFD"]

#: A thread for each operation: one in a queue may be what those that have a thread wait for.
_threads = Pool("netpoll file", limit=1 << 16)

#: Bytes that are written in one call.
_CHUNK = 1 << 16


class ThreadedFD:
    """In a `File`, what FD is where files can be polled.

    The FD inside is of a socket that is never ready.  It has the queues and the limits, and knows
    of `close`; a thread that is done has the operation that waits there try again.
    """

    def __init__(self, number: int, mode: str, closefd: bool) -> None:
        self.number = number
        self.plain = stat.S_ISREG(os.fstat(number).st_mode)
        begin = Call.run if self.plain else _threads.submit  # plain files do not wait
        # Of the standard class, as a console's text is not in what the system calls give.
        sock = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        try:
            self._raw: Any = open(number, mode, 0, closefd=closefd)  # noqa: SIM115
        except BaseException:
            sock.close()
            raise
        self.is_console = not isinstance(self._raw, io.FileIO)
        self._fd = FD(sock.detach(), 0)
        self._reads, self._writes = (
            _Side(begin, partial(self._fd.retry, m)) for m in (READ, WRITE)
        )
        self._unread = b""  # of reads that were given up

    closed = property(operator.attrgetter("_fd.closed"), doc="Has `close` been called?")

    def read(self, size: int) -> bytes:
        """What is there, up to so many bytes."""
        read = partial(self._perform, self._raw.read, size)
        try:
            data: bytes = self._named(READ, self._fd.call, READ, 0, self._take, size, read)
        except BaseException:
            if not self.is_console:  # which would forget a line that is half typed
                self._reads.cancel(read)
            raise
        return data

    def _take(self, size: int, read: Callable[[], bytes]) -> bytes:
        if size and not self._unread:
            self._unread = self._reads.result(read, others=True)
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def write(self, data: memoryview) -> int:
        """Some of it; the number of bytes."""
        write = partial(self._perform, self._raw.write, bytes(data[:_CHUNK]))
        try:
            done: int = self._named(WRITE, self._fd.call, WRITE, 0, self._writes.result, write)
        except BaseException:
            self._writes.cancel(write)
            raise
        return done

    def _perform(self, transfer: Callable[[Any], Any], what: Any) -> Any:
        """In the thread."""
        try:
            result = transfer(what)
        except OSError as error:
            if error.errno != errno.EINVAL or transfer != self._raw.write:
                raise
            # So the C library calls ERROR_NO_DATA.
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None
        if result is None:
            why = "cannot wait for a pipe in non-blocking mode"
            raise _errors.NotPollableError(errno.EPERM, f"fd {self.number}: {why}")
        return result

    def set_deadline(self, timeout: float | None, modes: int, /) -> None:
        """As of FD."""
        self._named(modes, self._fd.set_deadline, timeout, modes)

    def _named(self, mode: int, function: Callable[..., Any], *args: Any) -> Any:
        """Its errors are to name the file, not the socket."""
        try:
            return function(*args)
        except _errors.ClosedError:
            raise _errors.closed(self.number) from None
        except _errors.DeadlineExceeded:
            raise _errors.deadline_exceeded(self.number, mode) from None

    def close(self) -> None:
        """End all operations with ClosedError.  The number, if it is the file's to close, is closed
        when no thread uses it any more."""
        sides = self._reads, self._writes
        for side in sides:
            side.closed = True
        self._fd.close()
        for side in sides:  # at once, as nobody is to lose what comes from now on
            side.cancel()
        if not any(side.is_busy() for side in sides):
            self._raw.close()
            return
        with suppress(RuntimeError):  # the interpreter exits
            _threads.submit(Call(partial(_end, sides, self._raw)))


class _Side:
    """What threads do for one mode of a file, one call at a time.

    :param begin: gives a call to a thread.
    :param ended: called in the thread when there is a result.
    """

    def __init__(self, begin: Callable[[Call[Any]], object], ended: Callable[[], object]) -> None:
        self._begin = begin
        self._ended = ended
        self._function: Callable[[], Any]
        self._call: Call[Any] | None = None
        self.closed = False  # no call begins; set before anything asks if one has
        self._cancelled = False
        self._thread = 0  # inside the function
        self._lock = RLock()  # of its number; a finalizer may come in between

    def result(self, function: Callable[[], Any], *, others: bool = False) -> Any:
        """To be called again, with the same object, until it raises no BlockingIOError.

        :param others: the result of a call that was given up will do; it is the function's now.
        """
        while True:
            call = self._call or self._start(function)
            if others:
                self._function = function
            if not call.ended:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            try:
                result = call.result()
            finally:
                self._call = None
            if result is not None and (others or self._function is function):
                return result

    def _start(self, function: Callable[[], Any]) -> Call[Any]:
        call: Call[Any] = Call(partial(self._perform, function), self._ended, "file")
        self._function, self._call, self._cancelled = function, call, False
        try:
            if self.closed:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            self._begin(call)
        except BaseException as error:
            self._call = None
            _threads.withdraw(call)
            call.fail(error)
            raise
        return call

    def _perform(self, function: Callable[[], Any]) -> Any:
        """In the thread.  None: it was cancelled."""
        with self._lock:
            self._thread = threading.get_native_id()
        try:
            return function()
        except OSError:
            if not self._cancelled:
                raise
            return None
        finally:
            with self._lock:
                self._thread = 0

    def is_busy(self) -> bool:
        """Has a call not ended?"""
        call = self._call
        return call is not None and not call.ended

    def cancel(self, function: Callable[[], Any] | None = None) -> None:
        """End the call, if its thread is in the system.

        :param function: only if the call is this one's.
        """
        with self._lock:
            if self._thread and function in {None, self._function}:
                self._cancelled = True
                lib.cancel_thread_io(self._thread)

    def end(self) -> None:
        """End the call."""
        pause = 0.001
        while (call := self._call) is not None and not call.wait(pause):
            self.cancel()  # once more: the thread was not there yet
            pause = min(2 * pause, 1.0)


def _end(sides: Iterable[_Side], raw: Any) -> None:
    for side in sides:
        side.end()
    raw.close()
