"""After each kind of failure a TLS connection is in the state that the standard class leaves it in:
the same calls, one after the other, on both.
"""

from __future__ import annotations

import array
import socket as std
import ssl as std_ssl
import struct
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import cache
from typing import Any

import pytest
from netpoll import ClosedError, socket
from support import Stage, needs_linux

pytest.importorskip("ssl", reason="this Python was built without OpenSSL")
trustme = pytest.importorskip("trustme", reason="trustme, which makes the certificates")

SOON = 0.03
BIG = bytes(8_000_000)

authority = trustme.CA()
certificate = authority.issue_cert("localhost")


@cache
def server_context(version: str) -> std_ssl.SSLContext:
    context = std_ssl.SSLContext(std_ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    context.minimum_version = context.maximum_version = getattr(std_ssl.TLSVersion, version)
    return context


@cache
def client_context() -> std_ssl.SSLContext:
    context = std_ssl.SSLContext(std_ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


class Side:
    """A client of the module's class, and a server of the standard one in a plain thread."""

    def __init__(self, module: Any, version: str, stack: ExitStack) -> None:
        self.module = module
        self.stack = stack
        self.server_context = server_context(version)
        with std.create_server(("127.0.0.1", 0)) as listener:
            self.plain = stack.enter_context(module.create_connection(listener.getsockname()))
            self.other = stack.enter_context(listener.accept()[0])
        self.context = client_context()
        self.served: Any = None
        stack.callback(self._end_served)

    def start(self, function: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            with suppress(OSError):
                function()

        thread = threading.Thread(target=run)
        thread.start()
        self.stack.callback(thread.join)
        return thread

    def wrap(self, **options: Any) -> Any:
        sock = self.context.wrap_socket(self.plain, server_hostname="localhost", **options)
        return self.stack.enter_context(sock)

    def serve(self) -> None:
        self.served = self.server_context.wrap_socket(
            self.other, server_side=True, do_handshake_on_connect=False
        )
        self.served.do_handshake()

    def _end_served(self) -> None:
        """Once the thread has ended: it would use a number that is another socket's by then."""
        if self.served is not None:
            self.served.close()

    def connect(self, **options: Any) -> tuple[Any, Any]:
        thread = self.start(self.serve)
        sock = self.wrap(**options)
        thread.join()
        return sock, self.served


def attempt(function: Callable[..., Any], *args: Any) -> Any:
    try:
        result = function(*args)
    except Exception as error:
        name = "OSError" if isinstance(error, ClosedError) else type(error).__name__
        return name, getattr(error, "reason", None)
    return "a socket" if isinstance(result, std.socket) else result


def goes_on(sock: Any, peer: Any) -> Any:
    """Both directions, in full."""
    peer.settimeout(5)
    sent = attempt(sock.send, b"fine")
    got = attempt(peer.recv, 10) if sent == 4 else None
    return sent, got, attempt(peer.send, b"too"), attempt(sock.recv, 10)


# --- calls that never began -----------------------------------------------------------------------

WRONG: tuple[Any, ...] = ("text", None, 5, memoryview(b"abcd")[::2], [b"x"])


def never_begins(method: str) -> Callable[[Side], Any]:
    def call(side: Side) -> Any:
        sock, peer = side.connect()
        return [(attempt(getattr(sock, method), data), goes_on(sock, peer)) for data in WRONG]

    return call


def strange_reads(side: Side) -> Any:
    sock, peer = side.connect()
    peer.send(b"abc")
    wrong = [
        attempt(sock.recv_into, b"read-only"),
        attempt(sock.recv, -1),
        attempt(sock.recv, "x"),
        attempt(sock.recv, 2**80),
        attempt(sock.read, 10, 5),
        attempt(sock.recv, 1, 5),
        attempt(sock.sendmsg, [b"x"]),
        attempt(sock.recvfrom, 1),
        attempt(sock.sendto, b"x", "nowhere"),
    ]
    return wrong, sock.recv(10), goes_on(sock, peer)


def integers(side: Side) -> Any:
    sock, peer = side.connect()
    return sock.send(array.array("i", [1, 2])), peer.recv(100), goes_on(sock, peer)


def nothing(side: Side) -> Any:
    sock, peer = side.connect()
    return attempt(sock.send, b""), attempt(sock.recv, 0), goes_on(sock, peer)


# --- the other side -------------------------------------------------------------------------------


def all_calls(sock: Any) -> Any:
    return [
        attempt(sock.send, b"1"),
        attempt(sock.send, b"22"),
        attempt(sock.recv, 10),
        attempt(sock.recv, 10),
        attempt(sock.sendall, b"333"),
        attempt(sock.pending),
    ]


def is_gone(side: Side) -> Any:
    """Without a word; what the kernel says first depends on what it has heard by then."""
    sock, peer = side.connect()
    std.socket(fileno=peer.detach()).close()
    time.sleep(SOON)
    ends = {"BrokenPipeError", "ConnectionResetError", "SSLEOFError"}
    sent = [attempt(sock.send, word) for word in (b"1", b"22", b"333")]
    return [result[0] in ends if isinstance(result, tuple) else result for result in sent]


def is_reset(side: Side) -> Any:
    sock, peer = side.connect()
    peer.setsockopt(std.SOL_SOCKET, std.SO_LINGER, struct.pack("ii", 1, 0))
    std.socket(fileno=peer.detach()).close()
    time.sleep(SOON)
    return all_calls(sock), attempt(sock.unwrap)


def is_reset_in_a_write(side: Side) -> Any:
    sock, peer = side.connect()
    peer.setsockopt(std.SOL_SOCKET, std.SO_LINGER, struct.pack("ii", 1, 0))
    side.start(lambda: (time.sleep(SOON), std.socket(fileno=peer.detach()).close()))
    return attempt(sock.sendall, BIG), all_calls(sock)


def ends(side: Side) -> Any:
    """By the protocol: it may be read no more."""
    sock, peer = side.connect()
    side.start(peer.unwrap)
    return attempt(sock.recv, 10), attempt(sock.recv, 10), attempt(sock.unwrap)


def ends_raggedly(suppress_ragged_eofs: bool) -> Callable[[Side], Any]:
    def call(side: Side) -> Any:
        sock, peer = side.connect(suppress_ragged_eofs=suppress_ragged_eofs)
        std.socket(fileno=peer.detach()).close()
        return attempt(sock.recv, 10), attempt(sock.recv, 10)

    return call


def talks_nonsense(side: Side) -> Any:
    sock, peer = side.connect()
    raw = side.stack.enter_context(std.socket(fileno=peer.detach()))
    raw.sendall(b"this is no record of TLS" * 9)
    return attempt(sock.recv, 10), attempt(sock.recv, 10), attempt(sock.send, b"x")


def talks_nonsense_in_the_handshake(side: Side) -> Any:
    side.start(lambda: side.other.sendall(b"this is no record of TLS" * 9))
    sock = side.wrap(do_handshake_on_connect=False)
    return attempt(sock.do_handshake), attempt(sock.do_handshake), attempt(sock.send, b"x")


def is_not_trusted(side: Side) -> Any:
    side.context = std_ssl.SSLContext(std_ssl.PROTOCOL_TLS_CLIENT)
    side.start(side.serve)
    sock = side.wrap(do_handshake_on_connect=False)
    return attempt(sock.do_handshake), attempt(sock.do_handshake), attempt(sock.send, b"x")


def is_not_trusted_at_once(side: Side) -> Any:
    side.context = std_ssl.SSLContext(std_ssl.PROTOCOL_TLS_CLIENT)
    side.start(side.serve)
    return attempt(side.wrap), side.plain.fileno()


# --- time -----------------------------------------------------------------------------------------


def receive(sock: Any, size: int) -> None:
    while size > 0:
        size -= len(sock.recv(1 << 16))


def read_out_of_time(side: Side) -> Any:
    sock, peer = side.connect()
    sock.settimeout(SOON)
    first = attempt(sock.recv, 10), attempt(sock.recv_into, bytearray(9))
    sock.settimeout(None)
    return first, goes_on(sock, peer)


def handshake_out_of_time(side: Side) -> Any:
    sock = side.wrap(do_handshake_on_connect=False)
    sock.settimeout(SOON)
    first = attempt(sock.do_handshake)
    sock.settimeout(5)
    thread = side.start(side.serve)
    again = attempt(sock.do_handshake)
    thread.join()
    sock.settimeout(None)
    return first, again, goes_on(sock, side.served)


def write_in_the_handshake_out_of_time(side: Side) -> Any:
    """None of its data was written, so other data may be written next."""
    sock = side.wrap(do_handshake_on_connect=False)
    sock.settimeout(SOON)
    first = attempt(sock.send, b"the first"), attempt(sock.send, b"more")
    sock.settimeout(5)
    thread = side.start(side.serve)
    sent = attempt(sock.send, b"other data, and more of them")
    thread.join()
    return first, sent, side.served.recv(100), goes_on(sock, side.served)


def unwrap_out_of_time(side: Side) -> Any:
    sock, _ = side.connect()
    sock.settimeout(SOON)
    return attempt(sock.unwrap), attempt(sock.recv, 10), attempt(sock.send, b"x")


def write_out_of_time_and_again(side: Side) -> Any:
    sock, peer = side.connect()
    sock.settimeout(SOON)
    first = attempt(sock.send, BIG)
    sock.settimeout(5)
    thread = side.start(lambda: receive(peer, len(BIG)))
    sent = attempt(sock.send, BIG)
    thread.join()
    return first, sent, goes_on(sock, peer)


def without_waiting(side: Side) -> Any:
    """OpenSSL wants the same data again, and says so itself."""
    sock, _ = side.connect()
    sock.settimeout(0)
    return [
        attempt(sock.recv, 10),
        attempt(sock.send, BIG),
        attempt(sock.send, b"less"),
        attempt(sock.send, BIG),
    ]


def options_of_the_kernel_do_not_count(side: Side) -> Any:
    """OpenSSL tries again."""
    sock, peer = side.connect()
    timeval = struct.pack("@ll", 0, int(SOON * 1e6))
    sock.setsockopt(std.SOL_SOCKET, std.SO_RCVTIMEO, timeval)
    side.start(lambda: (time.sleep(3 * SOON), peer.send(b"late")))
    return attempt(sock.recv, 10)


# --- its own end ----------------------------------------------------------------------------------


def after(end: Callable[[Any], object]) -> Callable[[Side], Any]:
    def call(side: Side) -> Any:
        sock, peer = side.connect()
        end(sock)
        methods: dict[str, tuple[Any, ...]] = {
            "recv": (10,),
            "send": (b"x",),
            "send text": ("x",),
            "sendall": (b"x",),
            "unwrap": (),
            "do_handshake": (),
            "pending": (),
            "version": (),
            "cipher": (),
            "getpeercert": (),
            "verify_client_post_handshake": (),
        }
        peer.close()
        found = {
            name: attempt(getattr(sock, name.split()[0]), *args) for name, args in methods.items()
        }
        if isinstance(found["recv"], bytes):
            found["recv"] = len(found["recv"])  # of a record that nobody decrypts
        return found

    return call


def unwrapped(side: Side) -> Any:
    sock, peer = side.connect()
    plain: list[Any] = []
    thread = side.start(lambda: plain.append(peer.unwrap()))
    raw = sock.unwrap()
    thread.join()
    plain[0].sendall(b"plain")
    raw.sendall(b"plain too")
    again = attempt(sock.unwrap), attempt(sock.do_handshake), attempt(sock.version)
    return again, raw.recv(100), plain[0].recv(100), type(raw) is type(sock)


def not_connected(side: Side) -> Any:
    sock = side.context.wrap_socket(side.module.socket(), server_hostname="localhost")
    with sock:
        return [
            attempt(sock.recv, 10),
            attempt(sock.send, b"x"),
            attempt(sock.do_handshake),
            attempt(sock.unwrap),
            attempt(sock.connect, ("127.0.0.1", 1)),
            attempt(sock.connect_ex, ("127.0.0.1", 1)),
        ]


def authentication_that_was_not_agreed_on(side: Side) -> Any:
    sock, peer = side.connect()
    return (
        attempt(sock.verify_client_post_handshake),
        attempt(peer.verify_client_post_handshake),
        goes_on(sock, peer),
    )


CALLS: dict[str, Callable[[Side], Any]] = {
    f"{method} what cannot be sent": never_begins(method) for method in ("send", "sendall", "write")
}
CALLS |= {
    function.__name__: function
    for function in (
        strange_reads,
        integers,
        nothing,
        is_gone,
        is_reset,
        is_reset_in_a_write,
        ends,
        talks_nonsense,
        talks_nonsense_in_the_handshake,
        is_not_trusted,
        is_not_trusted_at_once,
        read_out_of_time,
        handshake_out_of_time,
        write_in_the_handshake_out_of_time,
        unwrap_out_of_time,
        write_out_of_time_and_again,
        without_waiting,
        unwrapped,
        not_connected,
        authentication_that_was_not_agreed_on,
    )
}
CALLS |= {
    "ends raggedly": ends_raggedly(True),
    "ends raggedly, and says so": ends_raggedly(False),
    "after close": after(lambda sock: sock.close()),
    "after shutdown": after(lambda sock: sock.shutdown(std.SHUT_RDWR)),
    "after half a shutdown": after(lambda sock: sock.shutdown(std.SHUT_WR)),
}


def outcome(module: Any, version: str, call: Callable[[Side], Any]) -> Any:
    with ExitStack() as stack:
        return call(Side(module, version, stack))


def check(stage: Stage, version: str, call: Callable[[Side], Any]) -> None:
    expected = stage.thread(outcome, std, version, call)
    ours = stage.spawn(outcome, socket, version, call)
    assert ours.result() == expected.result()


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("name", CALLS)
def test_same_outcome(stage: Stage, version: str, name: str) -> None:
    check(stage, version, CALLS[name])


@needs_linux
def test_options_of_the_kernel_do_not_count(stage: Stage) -> None:
    check(stage, "TLSv1_3", options_of_the_kernel_do_not_count)
