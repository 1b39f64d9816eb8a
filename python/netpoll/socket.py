"""The standard module, with sockets that wait in netpoll::

    from netpoll import socket

    with socket.create_connection(("127.0.0.1", 8080)) as sock:
        sock.set_read_deadline(5.0)      # an instant, for all reads until it is moved
        sock.sendall(b"hello")
        print(sock.recv(100))

The same names, signatures and exceptions as in `socket`.  What is different:

* An operation that has to wait parks the greenlet in a thread with a hub, and the thread
  elsewhere.
* `settimeout` bounds each operation by itself, as ever.  A deadline is an instant: it binds
  present and later operations, until it is moved; DeadlineExceeded is a TimeoutError too.
  The earlier of the two wins.
* `close`, from any thread or greenlet, ends the operations of others with ClosedError (an OSError
  with EBADF), and the number is not closed before the last of them has left.
* Any number of threads and greenlets may call `recv` at once, or `sendall`: they are served one
  at a time.  One that may not wait raises BlockingIOError if it would have to queue.
* The file is in non-blocking mode, always, whatever `settimeout` says: `os.read` of its number
  does not wait.  `detach` returns it as the standard class would.

* Names are looked up in threads of a pool, while the greenlet waits.  That is a part of `connect`
  and of `create_connection`: what binds them (timeout, deadline, `close`) ends it too.

The import changes nothing in `socket`, and one thing in `ssl`, for the whole process: the contexts
of that module wrap a socket of ours into an SSLSocket that waits in netpoll.  See `netpoll.ssl`.
"""

from __future__ import annotations

import _socket
import errno
import io
import math
import operator
import os
import socket as _std
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial, wraps
from operator import itemgetter, methodcaller
from socket import *  # noqa: F403
from socket import AddressFamily, AddressInfo, MsgFlag, SocketKind  # noqa: F401
from typing import TYPE_CHECKING, Any, cast

from netpoll import _engine, _errors, _hooks
from netpoll._api import READ, WRITE
from netpoll._blocking import names
from netpoll._blocking.names import (
    getaddrinfo,
    gethostbyaddr,
    gethostbyname,
    gethostbyname_ex,
    getnameinfo,
)
from netpoll._blocking.threads import Pool
from netpoll._engine import current_hub
from netpoll._rebind import F, rebind

if TYPE_CHECKING or _engine.PURE:
    from netpoll._cffi.fd import FD
    from netpoll._cffi.socket_ops import (
        ACCEPTS,
        SocketBase,
        accept_by,
        close_with,
        detach_with,
    )
else:
    from netpoll._socket_c import (
        ACCEPTS,
        FD,
        SocketBase,
        accept_by,
        add_methods,
        close_with,
        detach_with,
    )

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
#: Of addresses, of the families that know names.
_LENGTHS = {getattr(_std, "AF_INET6", None): (2, 3, 4), _std.AF_INET: (2,)}
_STREAMS = {_std.AF_INET: 1, getattr(_std, "AF_INET6", _std.AF_INET): 1, _UNIX: 2}
# As plain numbers: the standard class's properties make enumeration members of them.
_family_of: Callable[[Any], int] = _socket.socket.family.__get__
_type_of: Callable[[Any], int] = _socket.socket.type.__get__
_proto_of: Callable[[Any], int] = _socket.socket.proto.__get__
_TIMEOUT_OPTIONS = (_std.SO_RCVTIMEO, _std.SO_SNDTIMEO)
_BLOCKING_OPTIONS = {*_TIMEOUT_OPTIONS, _std.SO_RCVLOWAT}
_TIMEVAL = struct.Struct({"win32": "@L", "darwin": "@li"}.get(sys.platform, "@ll"))
_LINGER = struct.Struct("@HH" if sys.platform == "win32" else "@ii")
#: Closes what lingers.
_lingering = Pool("netpoll close")
#: What `setblocking` takes as a flag.
_ANY_FLAG = sys.version_info >= (3, 12)


class Handover(map):  # type: ignore[type-arg]
    """For `socket(fileno=...)`, inside the package: a number that changes hands.

    ``next`` of it takes the number from where it is, in C.  The new socket does that in the call
    that gives it the number, so no signal handler comes between, and the number has one owner.
    """


class socket(SocketBase):  # type: ignore[no-redef]
    """A socket whose operations wait in netpoll.  See the module for what is different."""

    __slots__ = ()

    def __init__(
        self, family: int = -1, type: int = -1, proto: int = -1, fileno: Any = None
    ) -> None:
        if fileno is None:
            family = _std.AF_INET if family == -1 else family
            type = _std.SOCK_STREAM if type == -1 else type
            proto = 0 if proto == -1 else proto
        timeout = 0.0 if type != -1 and type & _NONBLOCK else _std.getdefaulttimeout()
        kind = type if type == -1 else type | _NONBLOCK
        if isinstance(fileno, Handover):
            next(map(self._beginning(family, kind, proto), fileno))
        else:
            super().__init__(family, kind, proto, fileno)
        if fileno is not None or not _NONBLOCK or type == -1:
            super().setblocking(False)
        self._fd = FD(super().fileno(), self._stream())
        self._fd.timeout = timeout
        if fileno is not None:
            self._read_blocking_options()

    def _beginning(self, family: int, kind: int, proto: int) -> Callable[[int], None]:
        """The standard __init__ for a number, as a function in C."""
        self._io_refs = 0
        self._closed = False
        return partial(_socket.socket.__init__, self, family, kind, proto)

    def _adopt(self, listener: SocketBase) -> Any:
        """Instead of __init__: the next connection of a listener; gives the address of its peer."""
        stream = listener._fd.stream
        born = _std.SOCK_NONBLOCK if ACCEPTS and stream else 0  # it does not block already
        kind = _type_of(listener) | born
        begin = self._beginning(_family_of(listener), kind, _proto_of(listener))
        kept: dict[str, tuple[int, Any]] = {}
        accept: Any = cast(Any, listener)._accept
        accepted = map(partial(kept.setdefault, "accepted"), iter(accept, None))
        try:
            # One call into C: when it has succeeded, the number is ours.
            accept_by(listener, partial(next, map(begin, map(itemgetter(0), accepted))))
            number, address = kept["accepted"]
            if not born:
                super().setblocking(False)
            self._fd = FD(number, stream)
            self._fd.timeout = _std.getdefaulttimeout()
            if listener._fd.blocking_options:  # they are inherited
                self._read_blocking_options()
        except BaseException:
            ours = super().fileno()
            _socket.socket.close(self)
            for number, _ in kept.values():
                if number != ours:  # an audit hook has refused it
                    _std.close(number)
            raise
        return address

    def _stream(self) -> int:
        """If a short read means that there is no more to read now: of which kind of stream.

        0 where a stream keeps messages apart (SCTP, TLS in the kernel), or is of a kind that we do
        not know.
        """
        if _type_of(self) != _std.SOCK_STREAM or _proto_of(self) not in (0, _std.IPPROTO_TCP):
            return 0
        return _STREAMS.get(_family_of(self), 0)

    # Options that concern sockets in blocking mode, which ours are not.

    def setsockopt(self, *args: Any) -> None:
        super().setsockopt(*args)
        if args[0] == _std.SOL_SOCKET and args[1] in _BLOCKING_OPTIONS:
            self._read_blocking_options()

    def _read_blocking_options(self) -> None:
        reads, writes = (self._option_timeout(option) for option in _TIMEOUT_OPTIONS)
        self._fd.set_blocking_options(reads, writes, self._low_water_option())

    def _low_water_option(self) -> int:
        """In bytes; 0: a read may end with any.  Windows has the option's name only."""
        if sys.platform == "win32":
            return 0
        low_water = self.getsockopt(_std.SOL_SOCKET, _std.SO_RCVLOWAT)
        return low_water if low_water > 1 else 0

    def _option_timeout(self, option: int) -> float | None:
        """In seconds; None: there is none."""
        raw = self.getsockopt(_std.SOL_SOCKET, option, _TIMEVAL.size)
        if sys.platform == "win32":
            return int.from_bytes(raw, sys.byteorder) / 1e3 or None
        seconds, microseconds = _TIMEVAL.unpack(raw)
        return float(seconds + microseconds / 1e6) or None

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
        accepted: Any = _ours.__new__(_ours)
        if _hooks.adopted is not None:
            _hooks.adopted(accepted)
        address = accepted._adopt(self)
        if _class() is not _ours:
            family, proto = _family_of(accepted), _proto_of(accepted)
            accepted = _take_over(accepted, family, _type_of(accepted), proto)
        return accepted, address

    def connect(self, address: Any, /) -> None:
        """Connect, and wait until that is done."""
        number = self._connect(address, None)
        if number:
            raise OSError(number, os.strerror(number))

    def connect_ex(self, address: Any, /) -> int:
        """`connect`, but errors of the system are returned; EWOULDBLOCK: the timeout is over."""
        return self._connect(address, errno.EWOULDBLOCK)

    def _connect(self, address: Any, late: int | None) -> int:
        """:param late: what to return instead of TimeoutError, as `FD.connect`."""
        if self._fd.closed:  # the standard class says what is wrong
            return super().connect_ex(address)
        busy = errno.EAGAIN if _family_of(self) == _UNIX else 0
        connect: Callable[..., int] = partial(self._fd.connect, super().connect_ex)
        if not self._has_name(address):
            return connect(address, busy, None, late)
        if self._fd.timeout == 0:
            return connect(self._with_number(address), busy, None, late)
        with self._look_up(address) as looked_up:
            return connect(address, busy, looked_up, late)

    def bind(self, address: Any, /) -> None:
        """Bind to a local address."""
        super().bind(self._with_number(address))

    # Names.

    def _has_name(self, address: Any) -> bool:
        """Does it take a server to tell the number?"""
        family = _family_of(self)
        if not (isinstance(address, tuple) and len(address) in _LENGTHS.get(family, ())):
            return False
        wrong = any(not isinstance(number, int) for number in address[1:])
        return not wrong and names.needs_server(address[0], family)

    def _with_number(self, address: Any) -> Any:
        if not self._has_name(address):
            return address
        return (names.number_of(address[0], _family_of(self)), *address[1:])

    @contextmanager
    def _look_up(self, address: Any) -> Iterator[Callable[[], Any]]:
        """For an operation that writes: gives the address, with a number for the name.

        It raises BlockingIOError until the name is known; then the operation is tried again.
        """
        lookup = names.begin(address[0], _family_of(self), partial(self._fd.retry, WRITE))
        try:
            yield lambda: (lookup.result(), *address[1:])
        finally:
            names.forget(lookup)

    def _known(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments of an operation that sends, of which the last is the address."""
        if not args or not self._has_name(args[-1]):
            return args
        if self._fd.timeout == 0:
            return (*args[:-1], self._with_number(args[-1]))
        with self._look_up(args[-1]) as looked_up:
            return (*args[:-1], self._fd.call(WRITE, 0, looked_up))

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
        """End one direction, or both; operations that wait in it notice."""
        try:
            super().shutdown(how)
        finally:  # even unconnected, where it is an error too
            if not self._fd.closed:
                for mode in (READ, WRITE):
                    self._fd.retry(mode)  # the kernel does not tell a writer

    def _real_close(self, _ss: Any = None) -> None:
        # The number is taken from the socket first: soon it may be another file's.
        close = partial(close_with, self._fd, partial(_socket.socket.detach, self))
        if current_hub() is None or not self._lingers():
            close()
            return
        try:
            _lingering.call("close", None, close)
        except RuntimeError:  # a signal handler in the hub cannot wait; or there is no thread
            close()
        except BaseException:
            close()  # if the thread has not begun
            raise

    def _lingers(self) -> bool:
        """Does the kernel's close wait?"""
        try:
            linger = self.getsockopt(_std.SOL_SOCKET, _std.SO_LINGER, _LINGER.size)
        except OSError:
            return False
        return all(_LINGER.unpack(linger))

    def detach(self) -> int:
        """Close the socket object and return its number, in the mode that the timeout implies."""
        # The number is ours, or that of a close in another thread.
        mine = detach_with(self._fd, partial(_socket.socket.detach, self))
        self._closed = True
        if not mine:
            return -1
        number: int = self._fd.number
        if self._fd.timeout is None:  # now that no operation can meet a file that blocks
            with suppress(OSError):  # the number was closed by others
                _make_it_block(number)
        return number

    def dup(self) -> socket:  # type: ignore[override]
        """Another socket of the same file."""
        kind = type(self)
        copy = _duplicator(kind)
        made = kind(self.family, self.type, self.proto, fileno=copy(self.fileno()))
        made.settimeout(self.gettimeout())
        return made


def _make_it_block(number: int) -> None:
    if sys.platform != "win32":
        os.set_blocking(number, True)
    else:
        plain = _socket.socket(fileno=number)
        plain.setblocking(True)
        plain.detach()


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

_ours: Any = socket


def _class() -> Any:
    """What `socket` is by now: all that makes sockets makes those.

    A program may put a class in the place of ours, a proxy's say.  Where it is patched, that place
    is in the standard module.
    """
    if socket is not _ours:
        return socket
    made = getattr(sys.modules.get("socket"), "socket", None)  # a patch leaves us the old _std
    original: Any = SocketBase.__base__
    known = original if "netpoll.patch" in sys.modules else _ours
    replaced = isinstance(made, type) and made is not original and issubclass(made, known)
    return made if replaced else _ours


def _late(function: F) -> F:
    """A function of the standard module that makes sockets."""

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        return rebind(function, {**globals(), "socket": _class()})(*args, **options)

    call.__module__ = __name__
    return cast(F, call)


def _duplicate(number: int) -> Any:
    """Of an open file, for a socket."""
    return Handover(_socket.dup, (number,))


def _duplicator(kind: Any) -> Callable[[int], Any]:
    """What a subclass gets is a number, as from the standard class."""
    return _duplicate if kind.__init__ is _ours.__init__ else _socket.dup


@wraps(_std.fromfd)  # type: ignore[no-redef]
def fromfd(fd: int, family: int, type: int, proto: int = 0) -> socket:
    kind = _class()
    return cast(socket, kind(family, type, proto, _duplicator(kind)(fd)))


def _take_over(sock: Any, family: int, type: int, proto: int) -> socket:
    """One of the class that is made now, in the place of another."""
    kind = _class()
    handed: Any = Handover(methodcaller("detach"), (sock,))
    number = handed if kind.__init__ is _ours.__init__ else next(handed)
    return cast(socket, kind(family, type, proto, number))


if hasattr(_socket, "socketpair"):

    @wraps(_std.socketpair)
    def socketpair(
        family: Any = None, type: int = _std.SOCK_STREAM, proto: int = 0
    ) -> tuple[socket, socket]:
        if family is None:
            family = _UNIX
        a, b = _socket.socketpair(family, type, proto)
        return _take_over(a, family, type, proto), _take_over(b, family, type, proto)

else:
    if hasattr(_std, "_fallback_socketpair"):  # from 3.13 on
        _fallback_socketpair = _late(_std._fallback_socketpair)
    socketpair = _late(_std.socketpair)
create_server = _late(_std.create_server)
getfqdn = rebind(_std.getfqdn, globals())
if hasattr(_std, "fromshare"):
    fromshare = _late(_std.fromshare)


# As they are now: a program may put ours in the place of the one, and its own of the other.
_create_connection = _std.create_connection


class _Interrupted(BaseException):
    """Around an exception that the standard function would take for the address's."""


class _Attempt(socket):
    """A socket of `create_connection`, until it is connected."""

    __slots__ = ()

    def connect(self, address: Any, /) -> None:
        try:
            number = cast(Any, self)._connect(address, -1)
        except OSError as error:  # of a handler, or of a timeout around the call
            raise _Interrupted from error
        if number < 0:
            raise TimeoutError("timed out")
        if number:
            raise OSError(number, os.strerror(number))


@wraps(_create_connection)  # type: ignore[no-redef]
def create_connection(*args: Any, **options: Any) -> Any:
    made: list[Any] = []
    kind = _class()

    def new(*args: Any) -> Any:
        made.append(_Attempt(*args) if kind is _ours else kind(*args))
        return made[-1]

    changed = {**globals(), "socket": new}
    if getaddrinfo is names.getaddrinfo:
        changed["getaddrinfo"] = partial(names.getaddrinfo_within, _time_for_name(*args, **options))
    try:
        connected = rebind(_create_connection, changed)(*args, **options)
        if type(connected) is _Attempt:
            connected.__class__ = _ours
        return connected
    except BaseException as error:  # the standard function leaves it open if a kill ends it
        for sock in made:
            sock.close()
        if isinstance(error, _Interrupted) and error.__cause__ is not None:
            raise error.__cause__ from None
        raise


def _time_for_name(
    address: Any = None,
    timeout: Any = _std._GLOBAL_DEFAULT_TIMEOUT,  # type: ignore[attr-defined]
    *unused: Any,
    **options: Any,
) -> float | None:
    """What bounds the look-up of `create_connection`: as long as each of its other steps."""
    if timeout is _std._GLOBAL_DEFAULT_TIMEOUT:  # type: ignore[attr-defined]
        timeout = _std.getdefaulttimeout()
    return timeout if isinstance(timeout, (int, float)) and timeout > 0 else None


for _made in (
    fromfd,
    socketpair,
    create_connection,
    getaddrinfo,
    gethostbyname,
    gethostbyname_ex,
    gethostbyaddr,
    getnameinfo,
):
    _made.__module__ = __name__


if not TYPE_CHECKING and not _engine.PURE:
    add_methods(socket)
if _hooks.new_socket_class is not None:
    _hooks.new_socket_class(socket)

with suppress(ImportError):  # a build of Python without OpenSSL
    import netpoll.ssl  # noqa: F401
