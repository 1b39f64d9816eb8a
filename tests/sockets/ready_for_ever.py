"""Ways in which Linux says "ready" for ever while an operation cannot succeed.

Each gives a socket of ours, and the operations on it that fail whenever they are tried, although
poll(2) says that they may be.
"""

from __future__ import annotations

import os
import socket as std
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

from netpoll import socket

Operations = dict[str, Callable[[], object]]
Way = Callable[[ExitStack], tuple[Any, Operations]]

IP_RECVERR = 11
SO_TIMESTAMPING, TIMESTAMP_SOFTWARE = 37, 2 | 16
SO_PEEK_OFF = 42
SO_ZEROCOPY, MSG_ZEROCOPY = 60, 0x4000000

#: By name.
WAYS: dict[str, Way] = {}


def way(make: Way) -> Way:
    WAYS[make.__name__] = make
    return make


def _ours(stack: ExitStack, sock: std.socket) -> Any:
    return stack.enter_context(socket.socket(sock.family, sock.type, sock.proto, sock.detach()))


def _udp(stack: ExitStack) -> std.socket:
    sock = stack.enter_context(std.socket(std.AF_INET, std.SOCK_DGRAM))
    sock.bind(("127.0.0.1", 0))
    return sock


def _tcp_pair(stack: ExitStack) -> tuple[std.socket, std.socket]:
    with std.create_server(("127.0.0.1", 0)) as listener:
        a = stack.enter_context(std.create_connection(listener.getsockname()))
        b, _ = listener.accept()
    return a, stack.enter_context(b)


def _fill(sock: std.socket) -> None:
    sock.setblocking(False)
    with suppress(BlockingIOError):
        while sock.send(bytes(1 << 16)):
            pass


def _address(stack: ExitStack, sock: std.socket) -> str:
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    sock.bind(os.path.join(folder, "socket"))
    return str(sock.getsockname())


def _reads(sock: Any, flags: int = 0) -> Operations:
    return {
        "recv": partial(sock.recv, 10, flags),
        "recv of a lot": partial(sock.recv, 1 << 20, flags),
        "recv_into": partial(sock.recv_into, bytearray(10), 0, flags),
        "recvfrom": partial(sock.recvfrom, 10, flags),
        "recvfrom_into": partial(sock.recvfrom_into, bytearray(10), 0, flags),
        "recvmsg": partial(sock.recvmsg, 10, 0, flags),
        "recvmsg_into": partial(sock.recvmsg_into, [bytearray(10)], 0, flags),
    }


LARGE = 1 << 23


def _large_writes(stack: ExitStack, sock: Any) -> Operations:
    """TCP may find some room yet, but not for so much."""
    file = stack.enter_context(open(os.memfd_create("large"), "rb"))  # noqa: SIM115
    os.truncate(file.fileno(), LARGE)
    return {
        "sendall": partial(sock.sendall, bytes(LARGE)),
        "sendfile": partial(sock.sendfile, file),
    }


def _writes(stack: ExitStack, sock: Any) -> Operations:
    return {
        **_large_writes(stack, sock),
        "send": partial(sock.send, b"x"),
        "sendmsg": partial(sock.sendmsg, [b"x"]),
    }


@way
def an_error_in_the_error_queue(stack: ExitStack) -> tuple[Any, Operations]:
    """IP_RECVERR: what ICMP says stays there until it is read with MSG_ERRQUEUE."""
    with std.socket(std.AF_INET, std.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        address = gone.getsockname()
    sock = stack.enter_context(std.socket(std.AF_INET, std.SOCK_DGRAM))
    sock.setsockopt(std.SOL_IP, IP_RECVERR, 1)
    sock.connect(address)
    sock.send(b"x")
    with suppress(ConnectionRefusedError):
        sock.recv(1)
    ours = _ours(stack, sock)
    return ours, _reads(ours)


@way
def a_timestamp_in_the_error_queue(stack: ExitStack) -> tuple[Any, Operations]:
    sock, receiver = _udp(stack), _udp(stack)
    sock.setsockopt(std.SOL_SOCKET, SO_TIMESTAMPING, TIMESTAMP_SOFTWARE)
    sock.connect(receiver.getsockname())
    sock.send(b"x")
    ours = _ours(stack, sock)
    return ours, _reads(ours)


@way
def completions_of_zero_copy(stack: ExitStack) -> tuple[Any, Operations]:
    """They stand in the error queue, and there is neither data nor room."""
    sock, peer = _tcp_pair(stack)
    sock.setsockopt(std.SOL_SOCKET, SO_ZEROCOPY, 1)
    sock.send(bytes(1000), MSG_ZEROCOPY)
    peer.recv(1000)
    _fill(sock)
    ours = _ours(stack, sock)
    return ours, {**_reads(ours), **_large_writes(stack, ours)}


@way
def a_peek_behind_the_data(stack: ExitStack) -> tuple[Any, Operations]:
    """SO_PEEK_OFF: there are data, and all of them have been peeked at."""
    a, b = std.socketpair(std.AF_UNIX, std.SOCK_STREAM)
    a.setsockopt(std.SOL_SOCKET, SO_PEEK_OFF, 3)
    stack.enter_context(b).send(b"abc")
    ours = _ours(stack, a)
    return ours, _reads(ours, std.MSG_PEEK)


@way
def a_full_receiver(stack: ExitStack) -> tuple[Any, Operations]:
    """A UNIX socket of datagrams that is not connected is writable whatever its receiver is."""
    receiver = stack.enter_context(std.socket(std.AF_UNIX, std.SOCK_DGRAM))
    address = _address(stack, receiver)
    with std.socket(std.AF_UNIX, std.SOCK_DGRAM) as sender:
        sender.connect(address)
        sender.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                sender.send(b"x")
    ours = stack.enter_context(socket.socket(std.AF_UNIX, std.SOCK_DGRAM))
    return ours, {
        "sendto": partial(ours.sendto, b"x", address),
        "sendmsg": partial(ours.sendmsg, [b"x"], [], 0, address),
    }


@way
def a_full_backlog(stack: ExitStack) -> tuple[Any, Operations]:
    """A listener that does not accept, of UNIX streams: no event says that there is room."""
    listener = stack.enter_context(std.socket(std.AF_UNIX, std.SOCK_STREAM))
    address = _address(stack, listener)
    listener.listen(0)
    with suppress(BlockingIOError):
        while True:
            client = stack.enter_context(std.socket(std.AF_UNIX, std.SOCK_STREAM))
            client.setblocking(False)
            client.connect(address)
    ours = stack.enter_context(socket.socket(std.AF_UNIX, std.SOCK_STREAM))
    return ours, {"connect": partial(ours.connect, address)}


@way
def half_a_tcp_connection(stack: ExitStack) -> tuple[Any, Operations]:
    """The peer has ended its direction and does not read: RDHUP, and no room."""
    sock, peer = _tcp_pair(stack)
    peer.shutdown(std.SHUT_WR)
    _fill(sock)
    ours = _ours(stack, sock)
    return ours, _large_writes(stack, ours)


@way
def half_a_unix_connection(stack: ExitStack) -> tuple[Any, Operations]:
    a, b = std.socketpair(std.AF_UNIX, std.SOCK_STREAM)
    stack.enter_context(b).shutdown(std.SHUT_WR)
    _fill(a)
    ours = _ours(stack, a)
    return ours, _writes(stack, ours)


@way
def a_connection_that_cannot_write(stack: ExitStack) -> tuple[Any, Operations]:
    """This end has ended its own direction; the peer says nothing."""
    sock, _ = _tcp_pair(stack)
    sock.shutdown(std.SHUT_WR)
    ours = _ours(stack, sock)
    return ours, _reads(ours)


@way
def a_raced_listener(stack: ExitStack) -> tuple[Any, Operations]:
    """Another always takes the connection first: here a call that says so."""
    ours = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    stack.enter_context(std.create_connection(ours.getsockname()))

    def too_late(*unused: object) -> None:
        raise BlockingIOError

    return ours, {"accept": partial(ours._fd.call, 1, 0, too_late)}
