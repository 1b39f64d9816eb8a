"""The standard module, with sockets that wait as netpoll does::

    from netpoll import socket

    with socket.create_connection(("127.0.0.1", 8080)) as sock:
        sock.set_read_deadline(5.0)      # an instant, for all reads until it is moved
        sock.sendall(b"hello")
        print(sock.recv(100))

The same names, signatures and exceptions as in `socket`.  What is different:

* In a thread with a greenlet hub an operation that has to wait parks the greenlet, elsewhere the
  thread.
* `settimeout` bounds each operation for itself, as ever.  A deadline is an instant: it binds
  present and later operations, until somebody moves it; DeadlineExceeded is a TimeoutError too.
  The earlier of the two wins.
* `close`, from any thread or greenlet, ends the operations of others with ClosedError (an OSError
  with EBADF), and the number is not given back before the last of them has left.
* Any number may call `recv` at once, or `sendall`: they are served one at a time.  One that may not
  wait raises BlockingIOError if it is not its turn.
* The file is in non-blocking mode, always, whatever `settimeout` says: `os.read` of its number
  does not wait.  `detach` gives it back as the standard class would.

Looking up names (`getaddrinfo`) blocks the thread, as everywhere.
"""

from __future__ import annotations

import _socket
import errno
import io
import math
import operator
import os
import socket as _std
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps
from socket import *  # noqa: F403
from socket import AddressFamily, AddressInfo, MsgFlag, SocketKind  # noqa: F401
from typing import TYPE_CHECKING, Any

from netpoll import _engine, _errors, _hooks
from netpoll._api import READ, WRITE
from netpoll._borrowed import borrowed
from netpoll._parking import pause

if TYPE_CHECKING or _engine.PURE_SOCKETS:
    from netpoll._fd import FD
    from netpoll._pure_socket import ACCEPTS, SocketBase
else:
    from netpoll._fused import ACCEPTS, FD, SocketBase

if _std.socket.__module__ != "socket":
    raise ImportError(
        f"socket.socket is that of {_std.socket.__module__}, which waits by itself: import "
        "netpoll.socket before the standard module is patched"
    )

__all__ = list(_std.__all__)

# Private names too: other modules of the standard library use them, and so do its own functions,
# some of which run with our globals, below.
globals().update({name: value for name, value in vars(_std).items() if name not in globals()})

_NONBLOCK = getattr(_std, "SOCK_NONBLOCK", 0)
_UNIX = getattr(_std, "AF_UNIX", None)
_STREAMS = {_std.AF_INET: 1, getattr(_std, "AF_INET6", _std.AF_INET): 1, _UNIX: 2}
# As plain numbers: the standard class's properties make enumeration members of them.
_family_of: Callable[[Any], int] = _socket.socket.family.__get__
_type_of: Callable[[Any], int] = _socket.socket.type.__get__
_proto_of: Callable[[Any], int] = _socket.socket.proto.__get__
#: What `setblocking` takes as a flag.
_ANY_FLAG = sys.version_info >= (3, 12)
#: Seconds between two attempts to connect to a UNIX socket whose backlog is full: no event tells.
_RETRY = 0.002


class socket(SocketBase):  # type: ignore[no-redef]
    """A socket whose operations wait in netpoll.  See the module for what is different."""

    __slots__ = ()

    def __init__(
        self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None
    ) -> None:
        if fileno is None:
            family = _std.AF_INET if family == -1 else family
            type = _std.SOCK_STREAM if type == -1 else type
            proto = 0 if proto == -1 else proto
        timeout = 0.0 if type != -1 and type & _NONBLOCK else _std.getdefaulttimeout()
        super().__init__(family, type if type == -1 else type | _NONBLOCK, proto, fileno)
        if fileno is not None or not _NONBLOCK or type == -1:
            super().setblocking(False)
        self._fd = FD(super().fileno(), self._stream())
        self._fd.timeout = timeout

    def _adopt(self, listener: SocketBase, number: int) -> None:
        """Instead of __init__: a connection that was accepted, which is closed if this fails."""
        try:
            fd = FD(number, listener._fd.stream)
            fd.timeout = _std.getdefaulttimeout()
            born = _std.SOCK_NONBLOCK if ACCEPTS and fd.stream else 0  # it does not block already
            kind = _type_of(listener) | born
            super().__init__(_family_of(listener), kind, _proto_of(listener), number)
            if not born:
                super().setblocking(False)
            self._fd = fd
        except BaseException:
            super().detach()
            _std.close(number)
            raise

    def _stream(self) -> int:
        """If a short read means that there is no more to read now: of which kind of stream.

        0 where a stream keeps messages apart (SCTP, TLS in the kernel), or is of a kind that we do
        not know.
        """
        if _type_of(self) != _std.SOCK_STREAM or _proto_of(self) not in (0, _std.IPPROTO_TCP):
            return 0
        return _STREAMS.get(_family_of(self), 0)

    # Timeouts and deadlines.

    def settimeout(self, value: float | None, /) -> None:
        """Seconds that each operation may take; None: for ever; 0: none waits."""
        self._set_timeout(None if value is None else _timeout(value))

    def gettimeout(self) -> float | None:
        """What `settimeout` set."""
        return self._fd.timeout

    def setblocking(self, flag: bool, /) -> None:
        """`settimeout(None)`, or `settimeout(0)`."""
        waits = bool(flag) if _ANY_FLAG else operator.index(flag) != 0
        super().setblocking(False)  # an error if the number is not open
        self._set_timeout(None if waits else 0.0)

    def _set_timeout(self, value: float | None) -> None:
        if self._fd.closed:
            raise _errors.closed(self._fd.number)
        self._fd.timeout = value

    def getblocking(self) -> bool:
        """Is the timeout another than 0?"""
        return self._fd.timeout != 0

    @property
    def timeout(self) -> float | None:
        """What `settimeout` set."""
        return self._fd.timeout

    # Connections.

    def accept(self) -> tuple[socket, Any]:
        """Wait for a connection: a new socket, and the address of the peer."""
        number, address = self._accept()
        accepted: Any = socket.__new__(socket)
        accepted._adopt(self, number)
        return accepted, address

    def connect(self, address: Any, /) -> None:
        """Connect, and wait until that is done."""
        number = self._connect(address)
        if number:
            raise OSError(number, os.strerror(number))

    def connect_ex(self, address: Any, /) -> int:
        """`connect`, but errors of the system are returned; EWOULDBLOCK: the timeout is over."""
        try:
            return self._connect(address)
        except _errors.PollError:
            raise
        except (TimeoutError, BlockingIOError):
            return errno.EWOULDBLOCK

    def _connect(self, address: Any) -> int:
        if self._fd.closed:  # the standard class says what is wrong
            return super().connect_ex(address)
        begin = super().connect_ex
        number: int = self._fd.connect(begin, address)
        if number == errno.EAGAIN and _family_of(self) == _UNIX and self._fd.timeout != 0:
            return self._retry(partial(self._fd.connect, begin, address))
        return number

    def _retry(self, connect: Callable[[], int]) -> int:
        """The backlog of the peer is full."""
        timeout = self._fd.timeout
        until = None if timeout is None else time.monotonic() + timeout
        while (number := connect()) == errno.EAGAIN:
            if until is not None and time.monotonic() >= until:
                raise TimeoutError("timed out")
            pause(_RETRY)
        return number

    # Files.

    def _sendfile_use_sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        self._check_sendfile_params(file, offset, count)  # type: ignore[attr-defined]
        if not hasattr(os, "sendfile"):
            raise _give_up("os.sendfile() is not available on this platform")
        number, size = _regular_file(file)
        if not size:
            return 0
        if self._fd.timeout == 0:
            raise ValueError("non-blocking sockets are not supported")
        total = 0
        try:
            while count is None or total < count:
                part = min(size if count is None else count - total, 2**30)
                try:
                    sent = self._send_part(number, offset + total, part)
                except OSError as error:
                    if total or isinstance(error, (_errors.PollError, TimeoutError)):
                        raise
                    raise _give_up(error) from None
                if sent == 0:
                    break
                total += sent
        finally:
            if total > 0 and hasattr(file, "seek"):
                file.seek(offset + total)
        return total

    def _send_part(self, file: int, offset: int, count: int) -> int:
        sent: int = self._fd.call(WRITE, 0, os.sendfile, self.fileno(), file, offset, count)
        return sent

    # The end.

    def shutdown(self, how: int, /) -> None:
        """End one direction, or both; whoever waits in it finds that out."""
        try:
            super().shutdown(how)
        finally:  # even unconnected, where it is an error too
            if not self._fd.closed:
                for mode in (READ, WRITE):
                    self._fd.again(mode)  # the kernel does not tell a writer

    def _real_close(self, _ss: Any = None) -> None:
        super().detach()
        self._fd.close()

    def detach(self) -> int:
        """Close the socket object and give its number, in the mode that the timeout asks for."""
        mine = self._fd.detach()  # or that of a close in another thread
        super().detach()
        if not mine:
            return -1
        number: int = self._fd.number
        if self._fd.timeout is None:  # now that nobody's operation can meet a file that blocks
            with suppress(OSError):  # the number was closed by others
                plain = _std.socket(self.family, self.type, self.proto, number)
                plain.setblocking(True)
                plain.detach()
        return number


def _timeout(value: float) -> float:
    if not isinstance(value, (int, float)):
        value = value.__float__() if hasattr(value, "__float__") else operator.index(value)
    if math.isnan(value):
        raise ValueError("Invalid value NaN (not a number)")
    if value < 0:
        raise ValueError("Timeout value out of range")
    if value >= 2**63 / 1e9:
        raise OverflowError("timeout doesn't fit into C timeval")
    return float(value)


def _give_up(why: object) -> Exception:
    """Tells the standard sendfile to use plain send instead."""
    error: Exception = _std._GiveupOnSendfile(why)  # type: ignore[attr-defined]
    return error


def _regular_file(file: Any) -> tuple[int, int]:
    """Its number and size."""
    try:
        number = file.fileno()
        return number, os.fstat(number).st_size
    except (AttributeError, io.UnsupportedOperation, OSError) as error:
        raise _give_up(error) from None


# --- what makes sockets ---------------------------------------------------------------------------


fromfd = borrowed(_std.fromfd, globals())
if hasattr(_std, "_fallback_socketpair"):  # that of Windows, from 3.13 on
    _fallback_socketpair = borrowed(_std._fallback_socketpair, globals())
socketpair = borrowed(_std.socketpair, globals())
create_server = borrowed(_std.create_server, globals())
if hasattr(_std, "fromshare"):
    fromshare = borrowed(_std.fromshare, globals())


@wraps(_std.create_connection)  # type: ignore[no-redef]
def create_connection(*args: Any, **options: Any) -> Any:
    made: list[Any] = []

    def new(*args: Any) -> Any:
        made.append(socket(*args))
        return made[-1]

    try:
        return borrowed(_std.create_connection, {**globals(), "socket": new})(*args, **options)
    except BaseException:  # the standard function leaves it open if a kill, or Ctrl-C, ends it
        for sock in made:
            sock.close()
        raise


create_connection.__module__ = __name__


if _hooks.new_socket_class is not None:
    _hooks.new_socket_class(socket)

with suppress(ImportError):  # a build of Python without OpenSSL
    import netpoll.ssl  # noqa: F401
