"""The standard module, with TLS on the sockets of netpoll.socket::

    from netpoll import socket, ssl

    context = ssl.create_default_context()
    with socket.create_connection(("example.org", 443)) as plain:
        with context.wrap_socket(plain, server_hostname="example.org") as sock:
            sock.set_deadline(5.0)
            sock.sendall(b"HEAD / HTTP/1.0\\r\\n\\r\\n")
            print(sock.recv(1000))

The same names, signatures and exceptions as in `ssl`.

Importing this module, or `netpoll.socket`, changes one thing for the whole process: how
`ssl.SSLSocket` is made.  From then on the `wrap_socket` of a standard context wraps a socket of
ours into an SSLSocket of ours, and any other as before.  Libraries that make their own contexts
need that: a standard SSLSocket around a socket of ours would block the thread.  If a context has
an `sslsocket_class` of its own, the socket is of a class that inherits from that one and from ours.
A context of this module wraps any socket into one of ours.

The differences are those of netpoll.socket: waits park; deadlines; `close` from any thread.  A
deadline binds the direction in which the bytes go, as in Go: a `recv` that has to send first, as
in a handshake, is bound by the write deadline meanwhile.

A write that was cut off by a deadline or a timeout may have sent a part of its data.  Only the
same data may be written next, which sends the rest; other data are refused with an SSLError.
"""

from __future__ import annotations

import _socket as _c_socket
import errno
import ssl as _std
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from ssl import *  # noqa: F403
from typing import TYPE_CHECKING, Any, cast

from netpoll import _errors
from netpoll import socket as _socket
from netpoll._api import READ, WRITE
from netpoll._engine import PURE, RLock
from netpoll._rebind import rebind
from netpoll._whole import call

if TYPE_CHECKING or PURE:
    from netpoll._cffi.socket_ops import detaching
else:
    from netpoll._socket_c import detaching

# All of it, private names too: see socket.py.
globals().update({name: value for name, value in vars(_std).items() if name not in globals()})
# `ssl` imports these two from `socket`, and its functions use them.
socket, create_connection = _socket.socket, _socket.create_connection
_ours = socket  # a program may put a class of its own in that place


class SSLSocket(_std.SSLSocket, _socket.socket):  # type: ignore[no-redef]
    """A TLS socket whose operations wait in netpoll.  Made by `SSLContext.wrap_socket`.

    Of its two base classes the standard one handles TLS, and calls ours as if it were the standard
    socket.  _Operations takes the place of its OpenSSL object.
    """

    @classmethod
    def _create(
        cls, sock: Any, *args: Any, do_handshake_on_connect: bool = True, **kwargs: Any
    ) -> SSLSocket:
        made: Any = _standard_create(
            cls, _Wrapped(sock), *args, do_handshake_on_connect=False, **kwargs
        )
        made.do_handshake_on_connect = do_handshake_on_connect
        try:
            if isinstance(sock, _ours):
                made._fd.take_deadlines(cast(Any, sock)._fd)
            if do_handshake_on_connect and made._connected:
                made._shake_hands()
        except BaseException:
            made.close()
            raise
        return cast(SSLSocket, made)

    def accept(self) -> tuple[SSLSocket, Any]:
        """Wait for a connection, and for its handshake: a new socket, and the address of the peer.

        The limits of an `accept`, and `close`, bind the handshake too: a client that is silent does
        not hold it up any longer.
        """
        listener: Any = self
        timeout = self.gettimeout()
        until = time.monotonic() + timeout if timeout else None
        sock, address = _ours.accept(self)
        made: Any = self.context.wrap_socket(
            sock,
            server_side=True,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=listener.suppress_ragged_eofs,
        )
        made.do_handshake_on_connect = listener.do_handshake_on_connect
        if made.do_handshake_on_connect:
            try:
                self._admit(made, until)
            except BaseException:
                made.close()
                raise
        return made, address

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """By `send`, always.

        From Python 3.15 on the standard class lets the kernel send where that encrypts; it waits in
        a selector, which blocks every greenlet, and takes OpenSSL's "try again" for an error.
        """
        if self._sslobj is None:
            return super().sendfile(file, offset, count)
        return int(self._sendfile_use_send(file, offset, count))  # type: ignore[attr-defined]

    def _admit(self, made: Any, until: float | None) -> None:
        """The handshake of a connection, within the limits of an `accept`."""
        deadline = self._fd.time_left(READ)
        timeout = None if until is None else until - time.monotonic()
        limits = [left for left in (deadline, timeout) if left is not None]
        if limits:
            made.set_deadline(min(limits))
        self._entering.add(made)
        try:
            if self._fd.closed:
                raise _errors.closed(self._fd.number)
            made._shake_hands()
        except _errors.PollError as error:
            if self._fd.closed:
                raise _errors.closed(self._fd.number) from error
            if timeout is not None and timeout == min(limits):
                raise TimeoutError("timed out") from error
            raise _errors.deadline_exceeded(self._fd.number, READ) from error
        finally:
            self._entering.discard(made)
        made.set_deadline(None)

    @property
    def _entering(self) -> set[SSLSocket]:
        """Connections of a listener in their handshake."""
        entering: set[SSLSocket] = self.__dict__.setdefault("_in_handshake", set())
        return entering

    def _real_close(self) -> None:
        super()._real_close()  # type: ignore[misc]
        for made in self._entering.copy():
            made.close()

    def _shake_hands(self) -> None:
        if self.gettimeout() == 0.0:
            raise ValueError(
                "do_handshake_on_connect should not be specified for non-blocking sockets"
            )
        self.do_handshake()

    _fd: Any

    @property
    def _sslobj(self) -> Any:
        return self.__dict__.get("_operations")

    @_sslobj.setter
    def _sslobj(self, new: Any) -> None:
        self.__dict__["_operations"] = None if new is None else _Operations(new, self._fd)


class _Wrapped:
    """The socket that is being wrapped: its number goes over without being made to block."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def fileno(self) -> _socket.Handover:
        """It goes over to the new socket as that takes it, without being made to block."""
        detach = partial(_c_socket.socket.detach, self._sock)
        if not isinstance(self._sock, _ours):
            return _socket.Handover(call, (detach,))
        steps: Any = (detaching(cast(Any, self._sock)._fd), detach)
        return _socket.Handover(int, islice(map(call, steps), 1, None))

    def detach(self) -> None:
        """That has happened."""


def _bytes_of(data: Any) -> memoryview | None:
    """None: it cannot be written."""
    try:
        view = memoryview(data)
    except TypeError:
        return None
    return view.cast("B") if view.c_contiguous else None


def _raise_cause(error: BlockingIOError) -> None:
    """And leave no cycle of the two, nor of it and this frame."""
    cause, error.__cause__ = error.__cause__, None
    try:
        raise cause from None  # type: ignore[misc]
    finally:
        del cause


def _is_of_c(error: Exception) -> bool:
    """Was it raised by what the frame called, in C, and not by a signal handler?"""
    return error.__traceback__ is not None and error.__traceback__.tb_next is None


class _Operation:
    """A call that may need several of OpenSSL's."""

    __slots__ = ("args", "function", "guest")

    def __init__(self, guest: bool, function: Callable[..., Any], *args: Any) -> None:
        self.guest = guest  # where it reads; see _Operations
        self.function = function
        self.args = args


class _Operations:
    """An OpenSSL object, bound to a number in non-blocking mode, with operations that wait.

    An operation is tried again and again, until OpenSSL does not ask any more to wait for READ or
    WRITE.  Most ask for their own direction only, and hold it from the first attempt on.  But in
    a handshake, which may come up any time, the operation that runs it needs both; so:

    * A read, a handshake or a shutdown holds one direction at a time: that of the last attempt.
    * A write keeps WRITE to the end, since OpenSSL takes no other data until then, and may take
      READ besides.
    * All but reads are guests while they want READ.  A read that was woken and has to wait
      again lets the guests go first: it may have received what they were waiting for.

    So none waits for one direction while its holder waits for the other, and none waits for what
    was received already.
    """

    __slots__ = ("_cut", "_established", "_fd", "_guests", "_lock", "_object", "_pending")

    def __init__(self, sslobj: Any, fd: Any) -> None:
        self._object = sslobj
        self._fd = fd
        self._lock = RLock()  # OpenSSL's object is for one at a time
        #: Joined under the same lock as the attempt that says so, or a reader's might come between.
        self._guests: set[_Operation] = set()
        self._pending: _Operation | None = None  # a write that OpenSSL has begun; with WRITE locked
        self._established = False
        self._cut: bytes | None = None  # what it was to write, if it was cut off

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._object, name)
        return partial(self._at_once, value) if callable(value) else value

    def _at_once(self, function: Callable[..., Any], *args: Any) -> Any:
        with self._lock:
            return function(*args)

    @property
    def context(self) -> Any:
        return self._object.context

    @context.setter
    def context(self, new: Any) -> None:
        self._object.context = new

    @property
    def session(self) -> Any:
        return self._object.session

    @session.setter
    def session(self, new: Any) -> None:
        self._object.session = new

    # Operations that may wait.

    def read(self, *args: Any) -> Any:
        return self._run(READ, _Operation(False, self._object.read, *args))

    def do_handshake(self) -> None:
        self._run(WRITE, _Operation(True, self._object.do_handshake))

    def shutdown(self) -> Any:
        return self._run(WRITE, _Operation(True, self._object.shutdown))

    def _run(self, mode: int, operation: _Operation) -> Any:
        result = None
        try:
            while mode:
                mode, result = self._call(mode, self._attempt, mode, operation)
        finally:
            self._guests.discard(operation)
        return result

    def write(self, data: Any) -> int:
        view = _bytes_of(data)
        if view is None:  # OpenSSL's object says what is wrong with it, and begins nothing
            return int(self._at_once(self._object.write, data))
        with view:
            return self._write_view(view)

    def _write_view(self, view: memoryview) -> int:
        operation = _Operation(True, self._object.write, view)
        try:
            count: int = self._call(WRITE, self._write, operation)
        except (_std.SSLWantReadError, _std.SSLWantWriteError):
            self._pending = None  # non-blocking: the caller is to go on
            raise
        except BaseException:
            if self._pending is operation:
                self._cut = bytes(view)
            raise
        finally:
            self._guests.discard(operation)
        return count

    def _write(self, operation: _Operation) -> int:
        """With WRITE locked."""
        if self._pending not in (None, operation) and self._cut != operation.args[0]:
            raise _std.SSLError(_std.SSL_ERROR_SSL, "bad write retry: an earlier write was cut off")
        mode, count = WRITE, 0
        while mode:
            if mode == WRITE:
                mode, count = self._attempt(WRITE, operation)
            else:
                mode, count = self._call(READ, self._attempt, READ, operation)
        self._pending = self._cut = None
        return count

    def _call(self, mode: int, function: Callable[..., Any], *args: Any) -> Any:
        """As FD.call, with the errors of TLS where it may not wait."""
        while True:
            try:
                return self._fd.call(mode, 0, function, *args)
            except BlockingIOError as error:
                if error.__cause__ is not None:
                    _raise_cause(error)
                # Another operation has the mode; or without a timeout, it is over by SO_RCVTIMEO
                # or SO_SNDTIMEO, after which the standard class tries again.
                if self._fd.timeout is None:
                    continue
                if mode == READ:
                    raise _std.SSLWantReadError(_std.SSL_ERROR_WANT_READ, str(error)) from None
                raise _std.SSLWantWriteError(_std.SSL_ERROR_WANT_WRITE, str(error)) from None

    def _attempt(self, mode: int, operation: _Operation) -> tuple[int, Any]:
        """One call of OpenSSL, with the mode locked: 0 and its result, or the mode to try it in.

        :raises BlockingIOError: wait for the mode, and try again.
        """
        writes = operation.function == self._object.write
        with self._lock:
            if writes:
                self._pending = operation  # until it is known that OpenSSL has not begun it
            try:
                result = operation.function(*operation.args)
                self._established = True
                return 0, result
            except _std.SSLWantReadError as error:
                wanted, why = READ, cast(_std.SSLError, error)
                if operation.guest:
                    self._guests.add(operation)
            except _std.SSLWantWriteError as error:
                wanted, why = WRITE, error
                self._guests.discard(operation)
            except Exception as error:
                if writes and _is_of_c(error):
                    self._pending = self._cut = None  # refused, or the connection has failed
                raise
            finally:
                if mode == WRITE and self._may_have_received(operation):
                    self._fd.retry(READ)
            if writes and not self._has_shaken_hands():
                self._pending = None
            gives_way = mode == READ and not operation.guest and self._guests
        try:
            if wanted == mode and not gives_way:
                raise BlockingIOError(errno.EAGAIN, str(why)) from why
        finally:
            del why  # its traceback refers to the frame
        return wanted, None

    def _has_shaken_hands(self) -> bool:
        """Before that OpenSSL writes nothing of a user's data."""
        self._established = self._established or self._object.version() is not None
        return self._established

    def _may_have_received(self, operation: _Operation) -> bool:
        """Did an attempt that does not hold READ take what a read waits for?

        A shutdown and a handshake read whatever has come; a write only if there is a handshake.
        """
        return bool(operation.function != self._object.write or self._object.pending() > 0)


#: For functions that find the standard classes by name: ours may have been put in their place.
_STANDARD = dict(vars(_std))


class SSLContext(_std.SSLContext):  # type: ignore[no-redef]
    """The standard context; what it wraps becomes an SSLSocket of ours."""

    sslsocket_class = SSLSocket


for _name, _property in vars(_std.SSLContext).items():
    if isinstance(_property, property) and _property.fset is not None:
        setattr(SSLContext, _name, _property.setter(rebind(_property.fset, _STANDARD)))


create_default_context = rebind(_std.create_default_context, globals())
_create_unverified_context = rebind(_std._create_unverified_context, globals())
_create_default_https_context = create_default_context
_create_stdlib_context = _create_unverified_context
get_server_certificate = rebind(_std.get_server_certificate, globals())


# --- what contexts make: set for the whole process, as the module says ----------------------------


def _waiting_class(kind: type[_std.SSLSocket]) -> Any:
    """Of a user's class one that waits in netpoll, and is kept there."""
    if issubclass(SSLSocket, kind):
        return SSLSocket
    made = vars(kind).get("_netpoll_class")
    if made is None:
        names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
        try:
            made = type(kind.__name__, (kind, SSLSocket), names)
        except TypeError as error:
            raise TypeError(
                f"{kind.__qualname__}, the context's sslsocket_class, cannot wrap a socket of "
                f"netpoll: {error}"
            ) from None
        kind._netpoll_class = made  # type: ignore[attr-defined]
    return made


_standard_create: Any = rebind(vars(_std.SSLSocket)["_create"].__func__, _STANDARD)
_create_ours: Any = vars(SSLSocket)["_create"].__func__


def _create(cls: Any, sock: Any, *args: Any, **kwargs: Any) -> Any:
    """SSLSocket._create: of our sockets, and for our contexts, sockets of ours."""
    if isinstance(sock, _ours) or isinstance(kwargs.get("context"), SSLContext):
        return _create_ours(_waiting_class(cls), sock, *args, **kwargs)
    return _standard_create(cls, sock, *args, **kwargs)


_std.SSLSocket._create = classmethod(_create)  # type: ignore[attr-defined]
