"""The standard module, with TLS on the sockets of netpoll.socket::

    from netpoll import socket, ssl

    context = ssl.create_default_context()
    with socket.create_connection(("example.org", 443)) as plain:
        with context.wrap_socket(plain, server_hostname="example.org") as sock:
            sock.set_deadline(5.0)
            sock.sendall(b"HEAD / HTTP/1.0\\r\\n\\r\\n")
            print(sock.recv(1000))

The same names, signatures and exceptions as in `ssl`.  A context of the standard module serves as
well: from the import of `netpoll.socket` on, `ssl.SSLContext.wrap_socket` gives a socket of ours an
SSLSocket of ours, and all others what it always gave them.  A context of this module makes ours of
any socket.

What is different is what is different in netpoll.socket: who waits, parks; deadlines; `close` from
anywhere.  A deadline binds the direction in which the bytes go, as in Go: a `recv` that has to send
first, as in a handshake, is bound by the write deadline meanwhile.

A write that a deadline or a timeout cut off has sent a part of its data.  Only the same data may
be written next, which sends the rest; anything else is refused with an SSLError.
"""

from __future__ import annotations

import errno
import ssl as _std
from collections.abc import Callable
from functools import partial
from ssl import *  # noqa: F403
from typing import Any, cast

from netpoll import socket as _socket
from netpoll._api import READ, WRITE
from netpoll._borrowed import borrowed
from netpoll._turn import Turn

# All of it, private names too: see socket.py.
globals().update({name: value for name, value in vars(_std).items() if name not in globals()})


class SSLSocket(_std.SSLSocket, _socket.socket):  # type: ignore[no-redef]
    """A TLS socket whose operations wait in netpoll.  Made by `SSLContext.wrap_socket`.

    Of the two classes that it is made of, the standard one knows TLS and calls what it believes
    to be the standard socket; and it has an OpenSSL object, in whose place stands _Operations.
    """

    @classmethod
    def _create(
        cls, sock: Any, *args: Any, do_handshake_on_connect: bool = True, **kwargs: Any
    ) -> SSLSocket:
        create: Any = super()._create  # type: ignore[misc]
        made: Any = create(_Wrapped(sock), *args, do_handshake_on_connect=False, **kwargs)
        made.do_handshake_on_connect = do_handshake_on_connect
        try:
            if isinstance(sock, _socket.socket):
                made._fd.take_deadlines(cast(Any, sock)._fd)
            if do_handshake_on_connect and made._connected:
                made._shake_hands()
        except BaseException:
            made.close()
            raise
        return cast(SSLSocket, made)

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
    """The socket that is being wrapped: gives its number away without making it block."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def detach(self) -> int:
        timeout = self._sock.gettimeout()
        self._sock.settimeout(0)
        try:
            number: int = self._sock.detach()
        except BaseException:
            self._sock.settimeout(timeout)
            raise
        return number


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
    a handshake, which may come up any time, whoever runs it needs both; so:

    * Who reads, shakes hands or shuts down holds one direction at a time: that of the last attempt.
    * Who writes keeps WRITE to the end, since OpenSSL takes no other data until then, and may take
      READ besides.
    * All but who reads are guests while they want READ.  Whoever reads, was woken and has to wait
      again lets the guests go first: it may have received what they were waiting for.

    So nobody waits for one direction while somebody holds it who waits for the other, and nobody
    waits for what was received already.
    """

    __slots__ = ("_cut", "_fd", "_guests", "_object", "_pending", "_turn")

    def __init__(self, sslobj: Any, fd: Any) -> None:
        self._object = sslobj
        self._fd = fd
        self._turn = Turn()  # OpenSSL's object is for one at a time
        #: Joined in the same turn as the attempt that says so, or a reader's might come between.
        self._guests: set[_Operation] = set()
        self._pending: _Operation | None = None  # a write that OpenSSL has begun; with WRITE locked
        self._cut: bytes | None = None  # what it was to write, if it was cut off

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._object, name)
        return partial(self._at_once, value) if callable(value) else value

    def _at_once(self, function: Callable[..., Any], *args: Any) -> Any:
        with self._turn:
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
        operation = _Operation(True, self._object.write, data)
        try:
            count: int = self._call(WRITE, self._write, operation)
        except (_std.SSLWantReadError, _std.SSLWantWriteError):
            self._pending = None  # non-blocking: the caller is to go on
            raise
        except BaseException:
            if self._pending is operation:
                self._cut = bytes(data)
            raise
        finally:
            self._guests.discard(operation)
        return count

    def _write(self, operation: _Operation) -> int:
        """With WRITE locked."""
        if self._pending not in (None, operation) and self._cut != operation.args[0]:
            raise _std.SSLError(_std.SSL_ERROR_SSL, "bad write retry: an earlier write was cut off")
        self._pending = operation
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
        try:
            return self._fd.call(mode, 0, function, *args)
        except BlockingIOError as error:
            if error.__cause__ is not None:
                raise error.__cause__ from None
            # Another operation has the mode.
            if mode == READ:
                raise _std.SSLWantReadError(_std.SSL_ERROR_WANT_READ, str(error)) from None
            raise _std.SSLWantWriteError(_std.SSL_ERROR_WANT_WRITE, str(error)) from None

    def _attempt(self, mode: int, operation: _Operation) -> tuple[int, Any]:
        """One call of OpenSSL, with the mode locked: 0 and its result, or the mode to try it in.

        :raises BlockingIOError: wait for the mode, and try again.
        """
        with self._turn:
            try:
                return 0, operation.function(*operation.args)
            except _std.SSLWantReadError as error:
                wanted, why = READ, cast(_std.SSLError, error)
                if operation.guest:
                    self._guests.add(operation)
            except _std.SSLWantWriteError as error:
                wanted, why = WRITE, error
                self._guests.discard(operation)
            finally:
                if mode == WRITE and self._may_have_received(operation):
                    self._fd.again(READ)
            gives_way = mode == READ and not operation.guest and self._guests
        if wanted == mode and not gives_way:
            raise BlockingIOError(errno.EAGAIN, str(why)) from why
        return wanted, None

    def _may_have_received(self, operation: _Operation) -> bool:
        """Did an attempt that does not hold READ take what whoever reads waits for?

        A shutdown and a handshake read whatever has come; a write only if there is a handshake.
        """
        return bool(operation.function != self._object.write or self._object.pending() > 0)


class SSLContext(_std.SSLContext):  # type: ignore[no-redef]
    """The standard context; what it wraps becomes an SSLSocket of ours."""

    sslsocket_class = SSLSocket


create_default_context = borrowed(_std.create_default_context, globals())
_create_unverified_context = borrowed(_std._create_unverified_context, globals())
_create_default_https_context = create_default_context
_create_stdlib_context = _create_unverified_context
get_server_certificate = borrowed(_std.get_server_certificate, globals())


class _Dispatcher(_std.SSLSocket):
    """What standard contexts make: of our sockets ours, of others the standard ones."""

    @classmethod
    def _create(cls, sock: Any, *args: Any, **kwargs: Any) -> _std.SSLSocket:
        kind: Any = SSLSocket if isinstance(sock, _socket.socket) else _std.SSLSocket
        made: _std.SSLSocket = kind._create(sock, *args, **kwargs)
        return made


_std.SSLContext.sslsocket_class = _Dispatcher
