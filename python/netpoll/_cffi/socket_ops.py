"""The operations of a socket that may have to wait, in Python: the standard ones, each called again
when the descriptor is ready.  On CPython python/ext/socket_ops.h has them, fused with the wait."""

from __future__ import annotations

import _socket
import operator
import select
import socket
import sys
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, TypeVar, cast

from netpoll import _errors, _parts
from netpoll._cffi.fd import FD, NEVER_WAITS, READ, UNIX, WRITE, Parts
from netpoll._cffi.wait import coop_yield
from netpoll._deadlines import Deadlines
from netpoll._whole import call

T = TypeVar("T")

MSG_WAITALL = getattr(_socket, "MSG_WAITALL", 0)
MSG_OOB, MSG_PEEK = _socket.MSG_OOB, _socket.MSG_PEEK

#: Do streams accept connections that do not block from the beginning?
ACCEPTS: int = 0


class SocketBase(Deadlines, socket.socket):
    """What may wait.  The socket itself is non-blocking, and so its methods never do."""

    __slots__ = ("_fd",)

    _fd: FD
    _known: Callable[[tuple[Any, ...]], tuple[Any, ...]]

    def _call(self, mode: int, flags: int, function: Callable[..., T], *args: Any) -> T:
        result: T = self._run(self._fd.call, mode, flags, function, *args)
        return result

    def _run(self, operation: Callable[..., T], *args: Any) -> T:
        try:
            return operation(*args)
        except OSError as error:
            if self.fileno() != -1 or isinstance(error, _errors.PollError):
                raise
            # Whoever closes takes the number from the socket first, and then tells the FD.
            raise _errors.closed(self._fd.number) from None

    def _receive(self, nothing: T, flags: int, function: Callable[..., T], *args: Any) -> T:
        """:param nothing: what it gives when the direction has ended."""
        return self._call(READ, flags, self._or_nothing(nothing, flags, function), *args)

    def _or_nothing(self, nothing: T, flags: int, function: Callable[..., T]) -> Callable[..., T]:
        def receive(*args: Any) -> T:
            try:
                return function(*args)
            except BlockingIOError:
                if flags & NEVER_WAITS or self._fd.timeout == 0 or not self._ended():
                    raise
                return nothing

        return receive

    def _ended(self) -> bool:
        """Was a socket of datagrams shut for reading?  Linux ends the waits in the system
        call, and tells others by an event only."""
        if self._fd.stream or not hasattr(select, "POLLRDHUP"):
            return False
        poll = select.poll()
        poll.register(self._fd.number, select.POLLRDHUP)
        return any(event & select.POLLRDHUP for _, event in poll.poll(0))

    def _low_water(self, flags: int) -> int:
        """How many bytes a read waits for, if it has room for more."""
        stream, low_water = self._fd.stream, self._fd.low_water
        if not stream or flags & MSG_OOB or (stream == UNIX and flags & MSG_PEEK):
            return 1
        if flags & MSG_WAITALL:
            return sys.maxsize
        return low_water if stream == UNIX and low_water else 1

    def _is_usual(self, flags: int) -> bool:
        """May any bytes that come end a read?"""
        return not flags & MSG_WAITALL and not self._fd.low_water

    def _begin_nothing(self, flags: int) -> None:
        """A read of no bytes, which is no operation, but gives way as one."""
        coop_yield(self._fd.timeout != 0 and not flags & NEVER_WAITS)
        if self._fd.closed:
            raise _errors.closed(self._fd.number)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        bufsize, flags = _index(bufsize), _index(flags)
        if bufsize == 0:
            self._begin_nothing(flags)
            return super().recv(bufsize, flags)
        if not self._is_usual(flags) and bufsize > 0:
            buffer = bytearray(bufsize)
            return bytes(buffer[: self._fill(memoryview(buffer), flags)])
        return self._receive(b"", flags, super().recv, bufsize, flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        nbytes, flags = _index(nbytes), _index(flags)
        receive = super().recv_into
        with memoryview(buffer) as held:  # in its place, while we wait
            size = nbytes or held.nbytes
            if size == 0:
                self._begin_nothing(flags)
                return receive(held, nbytes, flags)
            if not self._is_usual(flags) and held.c_contiguous and 0 < size <= held.nbytes:
                return self._fill(held.cast("B")[:size], flags)
            return self._receive(0, flags, receive, held, nbytes, flags)

    def _fill(self, view: memoryview, flags: int) -> int:
        receive = super().recv_into
        wanted = min(len(view), self._low_water(flags))
        if flags & MSG_PEEK:
            peek = partial(receive, view, 0, flags)
            return int(self._run(self._fd.call_peeking, flags, len(view), wanted, peek))

        def parts(args: Any, first: int) -> Generator[Any, int | None, int]:
            done, got = first, first
            while got and done < wanted:
                got = (yield view[done:], 0, flags) or 0
                done += got
            return done

        return self._receive_whole(0, flags, len(view), parts, receive, view, 0, flags)

    def _receive_whole(
        self,
        nothing: T,
        flags: int,
        room: int,
        parts: Parts[T],
        function: Callable[..., T],
        *args: Any,
    ) -> T:
        receive = self._or_nothing(nothing, flags, function)
        result: T = self._run(self._fd.call_whole, READ, flags, room, parts, receive, *args)
        return result

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
        bufsize, flags = _index(bufsize), _index(flags)
        return self._receive_whole(
            (b"", None),
            flags,
            bufsize,
            self._from(bufsize, flags),
            super().recvfrom,
            bufsize,
            flags,
        )

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        nbytes, flags = _index(nbytes), _index(flags)
        receive = super().recvfrom_into
        with memoryview(buffer) as held:
            size = nbytes or held.nbytes

            def parts(args: Any, first: Any) -> Generator[Any, Any, Any]:
                view, done, got = held.cast("B"), first[0], first[0]
                while got and not flags & MSG_PEEK and done < min(size, self._low_water(flags)):
                    more = yield view[done:], size - done, flags
                    got = more[0] if more else 0
                    done += got
                return done, first[1]

            return self._receive_whole((0, None), flags, size, parts, receive, held, nbytes, flags)

    def _from(self, room: int, flags: int) -> Parts[tuple[bytes, Any]]:
        def parts(args: Any, first: Any) -> Generator[Any, Any, Any]:
            data, got = first[0], first[0]
            while got and not flags & MSG_PEEK and len(data) < min(room, self._low_water(flags)):
                more = yield room - len(data), flags
                got = more[0] if more else b""
                data += got
            return data, first[1]

        return parts

    def send(self, data: Any, flags: int = 0, /) -> int:
        flags = _index(flags)

        def parts(args: Any, sent: int) -> Generator[Any, int | None, int]:
            view = _bytes_of(data)
            while sent < len(view):
                more = yield view[sent:], flags
                if more is None:
                    break
                sent += more
            return sent

        if self._fd.closed:  # unless it is the arguments that are wrong
            return int(self._run(super().send, data, flags))
        return self._send_whole(flags, parts, super().send, data, flags)

    def _send_whole(
        self, flags: int, parts: Parts[int], function: Callable[..., int], *args: Any
    ) -> int:
        return int(self._run(self._fd.call_whole, WRITE, flags, 0, parts, function, *args))

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        flags = _index(flags)
        view = _bytes_of(data)
        send = super().send
        done = 0

        def send_part() -> bool:  # even nothing is sent, to meet the errors
            nonlocal done
            done += send(view[done:], flags)
            return done < len(view)

        self._run(self._fd.call_parts, WRITE, flags, send_part)

    def sendto(self, data: Any, *rest: Any) -> int:
        flags = _index(rest[0]) if len(rest) > 1 else 0
        rest = self._known(rest)
        return self._send_whole(flags, _parts.sent_to, super().sendto, data, *rest)

    if hasattr(_socket.socket, "sendmsg"):

        def sendmsg(
            self, buffers: Any, ancdata: Any = (), flags: int = 0, address: Any = None, /
        ) -> int:
            flags = _index(flags)
            (address,) = self._known((address,))
            args = _parts.repeatable((buffers, ancdata, flags, address))
            return self._send_whole(flags, _parts.sent_message, super().sendmsg, *args)

        def recvmsg(
            self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
        ) -> tuple[bytes, list[Any], int, Any]:
            bufsize, flags = _index(bufsize), _index(flags)
            nothing: tuple[bytes, list[Any], int, Any] = (b"", [], 0, None)
            parts = partial(_parts.received, low_water=self._low_water(flags))
            return self._receive_whole(
                nothing, flags, bufsize, parts, super().recvmsg, bufsize, ancbufsize, flags
            )

        def recvmsg_into(
            self, buffers: Any, ancbufsize: int = 0, flags: int = 0, /
        ) -> tuple[int, list[Any], int, Any]:
            flags = _index(flags)
            nothing: tuple[int, list[Any], int, Any] = (0, [], 0, None)
            parts: Any = partial(_parts.received_into, low_water=self._low_water(flags))
            args = _parts.repeatable((buffers, ancbufsize, flags))
            return self._receive_whole(
                nothing, flags, sys.maxsize, parts, super().recvmsg_into, *args
            )


# What hands a number over or takes it away: no signal handler comes between.


def accept_by(listener: SocketBase, step: Callable[[], object]) -> None:
    """The step calls `_accept`, which does not wait, and hands the number over, in C."""
    listener._call(READ, 0, step)


def close_with(fd: FD, take: Callable[[], object]) -> None:
    """take gets the number from the socket, which is done first."""
    _, rc = map(call, (take, fd.closing(detach=False)))
    fd.finish_closing(cast(int, rc))


def detach_with(fd: FD, take: Callable[[], object]) -> bool:
    """True: the number is the caller's.  take is done afterwards."""
    rc, _ = map(call, (fd.closing(detach=True), take))
    return fd.finish_closing(cast(int, rc))


def detaching(fd: FD) -> Callable[[], object]:
    """`FD.detach`, in C."""
    return fd.closing(detach=True)


#: Of what may be a number: as in the standard methods, in C, anything with `__index__`.
_index = operator.index


def _bytes_of(data: Any) -> memoryview:
    view = memoryview(data)
    if not view.c_contiguous:
        raise BufferError("memoryview: underlying buffer is not C-contiguous")
    return view.cast("B")
