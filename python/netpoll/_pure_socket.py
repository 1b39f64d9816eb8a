"""The operations of a socket that may have to wait, in Python: the standard ones, each called again
when the descriptor is ready.  On CPython python/ext/socket_ops.c has them, fused with the wait."""

from __future__ import annotations

import _socket
import select
import socket
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from netpoll import _errors
from netpoll._fd import FD, NEVER_WAITS, READ, WRITE

T = TypeVar("T")

MSG_WAITALL = getattr(_socket, "MSG_WAITALL", 0)
#: With these to go on would give the same bytes again.
MSG_SAME = getattr(_socket, "MSG_PEEK", 0) | getattr(_socket, "MSG_OOB", 0)


#: Do streams accept connections that do not block from the beginning?
ACCEPTS: int = 0


class SocketBase(socket.socket):
    """What may wait.  The socket itself is non-blocking, and so its methods never do."""

    __slots__ = ("_fd",)

    _fd: FD

    def _call(self, mode: int, flags: int, function: Callable[..., T], *args: Any) -> T:
        try:
            return self._fd.call(mode, flags, function, *args)
        except OSError as error:
            if self.fileno() != -1 or isinstance(error, _errors.PollError):
                raise
            # Whoever closes takes the number from the socket first, and then tells the FD.
            raise _errors.closed(self._fd.number) from None

    def _receive(self, nothing: T, flags: int, function: Callable[..., T], *args: Any) -> T:
        """:param nothing: what it gives when the direction has ended."""

        def receive() -> T:
            try:
                return function(*args)
            except BlockingIOError:
                if flags & NEVER_WAITS or self._fd.timeout == 0 or not self._ended():
                    raise
                return nothing

        return self._call(READ, flags, receive)

    def _ended(self) -> bool:
        """Was a socket of datagrams shut for reading?  Linux ends those who wait in the system
        call, and tells others by an event only."""
        if self._fd.stream or not hasattr(select, "POLLRDHUP"):
            return False
        look = select.poll()
        look.register(self._fd.number, select.POLLRDHUP)
        return any(event & select.POLLRDHUP for _, event in look.poll(0))

    def _accept(self) -> tuple[int, Any]:
        return self._call(READ, 0, super()._accept)  # type: ignore[misc, no-any-return]

    def _waits_for_all(self, flags: int) -> bool:
        """MSG_WAITALL is the kernel's business where the socket blocks.  Here it is ours."""
        waits = flags & MSG_WAITALL and not flags & MSG_SAME
        return bool(waits and self._fd.timeout is None and self._fd.stream)

    def _check_open(self) -> None:
        if self._fd.closed:
            raise _errors.closed(self._fd.number)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        if bufsize == 0:
            self._check_open()
            return super().recv(bufsize, flags)
        if self._waits_for_all(flags):
            buffer = bytearray(bufsize)
            return bytes(buffer[: self._receive_all(memoryview(buffer), flags)])
        return self._receive(b"", flags, super().recv, bufsize, flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        receive = super().recv_into
        with memoryview(buffer) as held:  # in its place, while we wait
            size = nbytes or held.nbytes
            if size == 0:
                self._check_open()
                return receive(held, nbytes, flags)
            if self._waits_for_all(flags) and held.c_contiguous and 0 < size <= held.nbytes:
                return self._receive_all(held.cast("B")[:size], flags)
            return self._receive(0, flags, receive, held, nbytes, flags)

    def _receive_all(self, view: memoryview, flags: int) -> int:
        """Out of time: what was received until then is given, as by the kernel."""
        receive = super().recv_into
        done = 0

        def receive_all() -> int:
            nonlocal done
            while done < len(view) and (n := receive(view[done:], 0, flags)):
                done += n
            return done

        try:
            return self._call(READ, flags, receive_all)
        except TimeoutError:
            if done:
                return done
            raise

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
        return self._receive((b"", None), flags, super().recvfrom, bufsize, flags)

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        receive = super().recvfrom_into
        with memoryview(buffer) as held:
            return self._receive((0, None), flags, receive, held, nbytes, flags)

    def send(self, data: Any, flags: int = 0, /) -> int:
        return self._call(WRITE, flags, super().send, data, flags)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        view = _bytes_of(data)
        send = super().send
        done = 0

        def send_all() -> None:
            nonlocal done
            while True:  # even nothing is sent, to meet the errors
                done += send(view[done:], flags)
                if done >= len(view):
                    break

        self._call(WRITE, flags, send_all)

    def sendto(self, data: Any, *rest: Any) -> int:
        flags = rest[0] if len(rest) > 1 and isinstance(rest[0], int) else 0
        return self._call(WRITE, flags, super().sendto, data, *rest)

    if hasattr(_socket.socket, "sendmsg"):

        def sendmsg(
            self, buffers: Any, ancdata: Any = (), flags: int = 0, address: Any = None, /
        ) -> int:
            buffers, ancdata = _again(buffers), _again(ancdata)
            return self._call(WRITE, flags, super().sendmsg, buffers, ancdata, flags, address)

        def recvmsg(
            self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
        ) -> tuple[bytes, list[Any], int, Any]:
            nothing: tuple[bytes, list[Any], int, Any] = (b"", [], 0, None)
            return self._receive(nothing, flags, super().recvmsg, bufsize, ancbufsize, flags)

        def recvmsg_into(
            self, buffers: Any, ancbufsize: int = 0, flags: int = 0, /
        ) -> tuple[int, list[Any], int, Any]:
            receive = super().recvmsg_into
            nothing: tuple[int, list[Any], int, Any] = (0, [], 0, None)
            return self._receive(nothing, flags, receive, _again(buffers), ancbufsize, flags)

    # Deadlines, which may be moved at every operation.

    def set_deadline(self, timeout: float | None, /) -> None:
        """Go's SetDeadline: `set_read_deadline` and `set_write_deadline`."""
        self._fd.set_deadline(timeout, READ | WRITE)

    def set_read_deadline(self, timeout: float | None, /) -> None:
        """The instant after which operations that receive raise DeadlineExceeded.

        It binds one that is going on, and later ones, until it is moved, by any thread.

        :param timeout: seconds from now; None clears it; 0 or less expires at once.
        :raises ClosedError: the socket is closed.
        :raises ValueError: the timeout is NaN.
        """
        self._fd.set_deadline(timeout, READ)

    def set_write_deadline(self, timeout: float | None, /) -> None:
        """The same for operations that send, or connect."""
        self._fd.set_deadline(timeout, WRITE)


def _bytes_of(data: Any) -> memoryview:
    view = memoryview(data)
    if not view.c_contiguous:
        raise BufferError("memoryview: underlying buffer is not C-contiguous")
    return view.cast("B")


def _again(things: Any) -> Any:
    """An iterator serves one attempt only; what is no iterable is for the attempt to refuse."""
    return list(things) if isinstance(things, Iterator) else things
