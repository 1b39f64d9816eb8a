"""Files that can be waited for: pipes, FIFOs, ttys, eventfd, timerfd, and standard input.

A File leaves the mode of its open file description alone, since others may have the same one: the
parent process its terminal, a child the end of a pipe.  So an operation first polls, and then reads
what is there, or writes no more than there is room for.
"""

from __future__ import annotations

import errno
import io
import operator
import os
import select
import stat
import sys
import warnings
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from netpoll import _engine
from netpoll._api import READ, WRITE
from netpoll._deadlines import Deadlines
from netpoll._errors import refuse_copies

if sys.platform == "win32":
    from netpoll._blocking.files import ThreadedFD
elif TYPE_CHECKING or _engine.PURE:
    from netpoll._cffi.fd import FD
else:
    from netpoll._core import FD

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["File", "fdopen"]

#: Bytes for which there is room in a pipe that can be written to; in a tty it is less.
_PIPE_ROOM = getattr(select, "PIPE_BUF", 512)
_TTY_ROOM = 256

#: Bytes that are read or written in one operation, if there are so many.
_CHUNK = 1 << 16

_MODES = {"r": "rb", "w": "wb", "a": "ab", "r+": "rb+", "w+": "rb+", "a+": "ab+"}

# As they are now: later the modules may have others.
_poll: Any = getattr(select, "poll", None)
_POLLIN, _POLLOUT = getattr(select, "POLLIN", 1), getattr(select, "POLLOUT", 4)


class File(Deadlines, io.RawIOBase):
    """An open file, as `io.FileIO` of a number, whose operations wait in netpoll::

        with netpoll.File(number) as pipe:
            pipe.set_read_deadline(5.0)
            data = pipe.read(100)

    In a hub the greenlet waits, elsewhere the thread.  Several may use it at once: those that read
    are served one at a time, and those that write.  `close`, from anywhere, ends the operations
    of others with ClosedError; the number is closed when the last of them has left.

    It is raw: a read gives what is there.  A write goes on until all is written.  `fdopen` puts a
    buffer, or a decoder of text, around one.  Plain files work too, without waiting.

    :param fd: the number of an open file.
    :param mode: "r", "w", "a", with "+" for both directions, and "b" or not, as it is binary.
    :param closefd: does `close` close the number?
    :raises OSError: it is not open, or a directory.
    """

    def __init__(self, fd: int, mode: str = "r", closefd: bool = True) -> None:
        if not isinstance(mode, str):
            raise TypeError(f"mode must be str, not {type(mode).__name__}")
        kind = mode.replace("b", "", 1)
        if kind not in _MODES:
            raise ValueError(f"invalid mode: {mode!r}")
        made = os.fstat(fd).st_mode
        if stat.S_ISDIR(made):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), fd)
        self.name: int = fd
        self.mode = _MODES[kind]
        self._reads = kind[0] == "r" or "+" in kind
        self._writes = kind != "r"
        self._closefd = closefd
        self._seekable: bool | None = None
        if sys.platform == "win32":
            self._fd = ThreadedFD(fd, self.mode, closefd)
            self._seekable = self._fd.plain
        else:
            self._room = None if stat.S_ISREG(made) or stat.S_ISBLK(made) else _PIPE_ROOM
            if os.isatty(fd):
                self._room = _TTY_ROOM
            self._fd = FD(fd, 0)
        if kind[0] == "a":
            with suppress(OSError):
                os.lseek(fd, 0, os.SEEK_END)

    # Reading and writing.

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read into the buffer what is there; the number of bytes, 0 at the end."""
        self._check_reads()
        with memoryview(buffer) as view:
            if view.readonly:
                raise TypeError("readinto() takes a buffer that can be written to")
            return self._readinto(view)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read what is there, up to size bytes; without size, everything up to the end."""
        size = -1 if size is None else operator.index(size)
        if size < 0:
            return self.readall()
        self._check_reads()
        return self._read(size)

    def readall(self) -> bytes:
        """Read everything up to the end."""
        return b"".join(iter(lambda: self.read(_CHUNK), b""))

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all of it; the number of bytes.

        If a limit, or an exception, ends it before, a part of unknown size is written.
        """
        self._check_open()
        if not self._writes:
            raise io.UnsupportedOperation("File not open for writing")
        done = 0
        with memoryview(data) as view, view.cast("B") as left:
            while done < view.nbytes:
                done += self._write(left[done:])
        return done

    if sys.platform == "win32":
        _fd: ThreadedFD

        def _readinto(self, view: memoryview) -> int:
            data = self._read(view.nbytes)
            with view.cast("B") as room:
                room[: len(data)] = data
            return len(data)

        def _read(self, size: int) -> bytes:
            return self._fd.read(size)

        def _write(self, data: memoryview) -> int:
            return self._fd.write(data)

    else:
        _fd: FD

        def _readinto(self, view: memoryview) -> int:
            count: int = self._fd.call(READ, 0, _readinto, self._fd.number, view)
            return count

        def _read(self, size: int) -> bytes:
            data: bytes = self._fd.call(READ, 0, _read, self._fd.number, size)
            return data

        def _write(self, data: memoryview) -> int:
            done: int = self._fd.call(WRITE, 0, _write, self._fd.number, data, self._room)
            return done

    def _check_reads(self) -> None:
        self._check_open()
        if not self._reads:
            raise io.UnsupportedOperation("File not open for reading")

    def _check_open(self) -> None:
        if self._fd.closed:
            raise ValueError("I/O operation on closed file")

    # What it is.

    def fileno(self) -> int:
        """Its number."""
        self._check_open()
        return int(self._fd.number)

    # In C, as buffers take an error here, such as a signal handler's, for a yes.
    closed = property(operator.attrgetter("_fd.closed"), doc="Is it closed?")

    @property
    def closefd(self) -> bool:
        """Does `close` close the number?"""
        return self._closefd

    def readable(self) -> bool:
        """Was it opened for reading?"""
        self._check_open()
        return self._reads

    def writable(self) -> bool:
        """Was it opened for writing?"""
        self._check_open()
        return self._writes

    def isatty(self) -> bool:
        """Is it a terminal?"""
        return os.isatty(self.fileno())

    def seekable(self) -> bool:
        """Has it a position, as plain files have?"""
        self._check_open()
        if self._seekable is None:
            try:
                self._seekable = self.tell() >= 0
            except OSError:
                self._seekable = False
        return self._seekable

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to a position; the new one."""
        number = self.fileno()
        if self._seekable is False:
            raise OSError(errno.ESPIPE, os.strerror(errno.ESPIPE))
        return os.lseek(number, offset, whence)

    def tell(self) -> int:
        """The position."""
        return self.seek(0, os.SEEK_CUR)

    def truncate(self, size: int | None = None, /) -> int:
        """Cut it off there, or at the position; the new size."""
        self._check_open()
        if not self._writes:
            raise io.UnsupportedOperation("File not open for writing")
        size = self.tell() if size is None else size
        os.ftruncate(self.fileno(), size)
        return size

    def __repr__(self) -> str:
        name = f"netpoll.{type(self).__name__}"
        if self.closed:
            return f"<{name} [closed]>"
        return f"<{name} fd={self._fd.number} mode={self.mode!r} closefd={self._closefd}>"

    __reduce_ex__ = refuse_copies

    # The end.

    def close(self) -> None:
        """Close it, and end the operations of others with ClosedError; idempotent."""
        if self._finalizing:
            self._dealloc_warn(self)
        if self._closefd or sys.platform == "win32":
            self._fd.close()
        else:
            self._fd.detach()
        super().close()

    #: Set by the base class when it is collected unclosed, before it calls `close`.
    _finalizing = False

    def _dealloc_warn(self, source: object) -> None:
        """What buffers around it call when they are collected unclosed."""
        if self._closefd and not self.closed:
            warnings.warn(f"unclosed file {source!r}", ResourceWarning, stacklevel=2, source=source)


# --- attempts -------------------------------------------------------------------------------------


def _is(events: int, number: int) -> bool:
    poll = _poll()
    poll.register(number, events)
    return bool(poll.poll(0))


def _must_be(events: int, number: int) -> None:
    """:raises BlockingIOError: it would have to wait."""
    if not _is(events, number):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def _must_have_data(number: int) -> None:
    """:raises BlockingIOError: a read would have to wait.

    The read itself says so where it does not block, and more: a FIFO that has never had a writer
    is at its end, of which poll knows nothing.
    """
    if os.get_blocking(number):
        _must_be(_POLLIN, number)


def _read(number: int, size: int) -> bytes:
    _must_have_data(number)
    return os.read(number, size)


def _readinto(number: int, buffer: memoryview) -> int:
    _must_have_data(number)
    return os.readv(number, [buffer])


def _write(number: int, data: memoryview, room: int | None) -> int:
    """:param room: what fits if it can be written to, as a file that blocks would wait for more."""
    _must_be(_POLLOUT, number)
    if room is None or not os.get_blocking(number):
        return os.write(number, data)
    done = os.write(number, data[:room])
    while done < min(len(data), _CHUNK) and _is(_POLLOUT, number):
        done += os.write(number, data[done : done + room])
    return done


# --- with a buffer --------------------------------------------------------------------------------


def fdopen(  # noqa: PLR0917 - as os.fdopen
    fd: int,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
) -> Any:
    """What `os.fdopen` gives for a number, on a `File`: with a buffer, and for text a decoder.

    The File is its attribute `raw`, or `buffer.raw` of text: there are the deadlines, and what
    others close is that: a buffer is locked while one reads.

    :raises ValueError: as of `open`.
    """
    binary, kind = "b" in mode, mode.replace("t", "", 1)
    if binary and kind != mode:
        raise ValueError("can't have text and binary mode at once")
    if binary and not encoding == errors == newline is None:
        raise ValueError("binary mode takes no encoding, errors or newline argument")
    if binary and buffering == 1:
        warnings.warn(
            "line buffering (buffering=1) isn't supported in binary mode, "
            "the default buffer size will be used",
            RuntimeWarning,
            stacklevel=2,
        )
    if not binary and buffering == 0:
        raise ValueError("can't have unbuffered text I/O")
    raw = File(fd, kind, closefd)
    result: Any = raw
    try:
        if buffering == 0:
            return raw
        result = _buffered(raw, buffering)
        if not binary:
            if sys.platform == "win32" and raw._fd.is_console:
                encoding = "utf-8"  # as of `open`
            lines = buffering == 1 or (buffering < 0 and raw.isatty())
            result = io.TextIOWrapper(result, encoding, errors, newline, lines)
            result.mode = mode
        return result
    except BaseException:
        result.close()
        raise


def _buffered(raw: File, size: int) -> Any:
    size = io.DEFAULT_BUFFER_SIZE if size <= 1 else size
    if raw._seekable is False:
        return _buffer(raw, size)
    # A buffer asks for the position, and takes an exception, such as a signal handler's, for none.
    vars(raw)["tell"] = partial(os.lseek, raw.fileno(), 0, os.SEEK_CUR)
    try:
        return _buffer(raw, size)
    finally:
        del vars(raw)["tell"]


def _buffer(raw: File, size: int) -> Any:
    if raw.readable() and raw.writable():
        return io.BufferedRandom(raw, size)
    return io.BufferedReader(raw, size) if raw.readable() else io.BufferedWriter(raw, size)
