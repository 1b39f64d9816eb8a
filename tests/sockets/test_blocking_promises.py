"""What the kernel promises for a socket in blocking mode holds with timeout None: the same call on
a standard socket is asked, which leaves it to the kernel.

Each case is a row of the table in docs/reference/blocking.md.
"""

from __future__ import annotations

import os
import signal
import socket as std
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple

import pytest
from netpoll import ClosedError, DeadlineExceeded, socket
from support import WINDOWS, Stage, check_python, needs_linux

pytestmark = pytest.mark.skipif(WINDOWS, reason="the promises of POSIX")

#: Seconds until the other side does something.
SOON = 0.03
BIG = 8_000_000  # more than the kernel's buffers take
WAITALL, PEEK = std.MSG_WAITALL, std.MSG_PEEK
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: what is open is reset


def timeval(seconds: float) -> bytes:
    return struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))


class Pair(NamedTuple):
    """A socket of the module and, at the other end, a standard one, driven by plain threads."""

    module: Any
    sock: Any
    peer: std.socket
    stack: ExitStack
    soon: float  #: seconds until the other side does something
    sleep: Callable[[float], None]

    def start(self, function: Callable[[], object]) -> Callable[[], None]:
        """In a thread, soon; gives what waits for its end."""

        def run() -> None:
            time.sleep(self.soon)
            with suppress(OSError):
                function()

        thread = threading.Thread(target=run)
        thread.start()

        def join() -> None:
            while thread.is_alive():
                self.sleep(0.001)

        self.stack.callback(join)
        return join

    def later(self, *steps: Callable[[], object]) -> None:
        """The other side takes these steps, with pauses."""

        def go() -> None:
            for step in steps:
                step()
                time.sleep(self.soon)

        self.start(go)

    def send(self, data: bytes) -> Callable[[], object]:
        return lambda: self.peer.sendall(data)

    def reset(self) -> None:
        self.peer.setsockopt(std.SOL_SOCKET, std.SO_LINGER, RESET)
        self.peer.close()

    def count(self) -> Callable[[], object]:
        """The other side receives, later; how much came to the end."""
        received = [0]

        def drain() -> None:
            while part := self.peer.recv(1 << 20):
                received[0] += len(part)

        join = self.start(drain)

        def end() -> int:
            self.sock.shutdown(std.SHUT_WR)
            join()
            return received[0]

        return end

    def option(self, name: str, value: Any) -> None:
        self.sock.setsockopt(std.SOL_SOCKET, getattr(std, name), value)

    def attempt(self, function: Callable[..., Any], *args: Any) -> Any:
        """The result, or what was raised; and if it had to wait."""
        start = time.monotonic()
        try:
            result = function(*args)
        except OSError as error:
            result = (type(error), error.errno)
        return result, time.monotonic() - start >= 0.8 * self.soon


def connected(module: Any, kind: str, stack: ExitStack) -> tuple[Any, std.socket]:
    if kind == "unix":
        one, peer = std.socketpair()
        sock = module.socket(std.AF_UNIX, std.SOCK_STREAM, 0, one.detach())
    else:
        with std.create_server(("127.0.0.1", 0)) as listener:
            sock = module.create_connection(listener.getsockname())
            peer, _ = listener.accept()
    return stack.enter_context(sock), stack.enter_context(peer)


# --- the calls ------------------------------------------------------------------------------------


def sends(send: Callable[[Any, bytes], int]) -> Callable[[Pair], Any]:
    def call(p: Pair) -> Any:
        end = p.count()
        return send(p.sock, bytes(BIG)), end()

    return call


def receives(receive: Callable[[Any], Any]) -> Callable[[Pair], Any]:
    def call(p: Pair) -> Any:
        p.later(p.send(b"abc"), p.send(b"def"), p.send(b"ghij"))
        return receive(p.sock)

    return call


def _into(call: Callable[..., Any], sizes: tuple[int, ...] = (10,)) -> Any:
    buffers = [bytearray(size) for size in sizes]
    return call(buffers), buffers


def _write(sock: Any, data: bytes) -> int:
    with sock.makefile("wb", buffering=0) as file:
        return int(file.write(data))


def descriptors_once(p: Pair) -> Any:
    """They go with the first part, and not again with the rest."""
    got: list[Any] = []

    def receive() -> None:
        while (message := std.recv_fds(p.peer, 1 << 20, 9))[0]:
            for number in message[1]:
                os.close(number)
            got.append(len(message[1]))

    join = p.start(receive)
    sent = p.module.send_fds(p.sock, [bytes(BIG)], [0])
    p.sock.shutdown(std.SHUT_WR)
    join()
    return sent, sum(got)


def stops_at_descriptors(p: Pair) -> Any:
    def send_file() -> None:
        std.send_fds(p.peer, [b"def"], [0])

    p.later(p.send(b"abc"), send_file, p.send(b"ghij"))
    data, ancillary, *_ = p.sock.recvmsg(10, 100, WAITALL)
    for _, _, raw in ancillary:
        os.close(struct.unpack("i", raw)[0])
    return data, len(ancillary), p.sock.recv(10)


def stops_at_dropped_descriptors(p: Pair) -> Any:
    p.later(lambda: std.send_fds(p.peer, [b"abc"], [0]), p.send(b"ghij"))
    buffer = bytearray(10)
    return p.sock.recvmsg_into([buffer], 0, WAITALL), p.sock.recvmsg(10), buffer


def reset_under_a_send(p: Pair) -> Any:
    p.later(p.reset)
    sent = p.sock.send(bytes(BIG))
    return 0 < sent < BIG, p.attempt(p.sock.send, b"x"), p.attempt(p.sock.send, b"x")


def reset_under_a_receive(p: Pair) -> Any:
    p.sock.send(b"unread")
    p.later(p.send(b"abc"), p.reset)
    return p.sock.recv(10, WAITALL), p.attempt(p.sock.recv, 10)


def end_under_a_receive(receive: Callable[[Any], Any]) -> Callable[[Pair], Any]:
    def call(p: Pair) -> Any:
        p.later(p.send(b"abc"), lambda: p.peer.shutdown(std.SHUT_WR))
        return receive(p.sock)

    return call


def limited(option: str, call: Callable[[Pair], Any]) -> Callable[[Pair], Any]:
    def limit(p: Pair) -> Any:
        p.option(option, timeval(2 * p.soon))
        return p.attempt(call, p), p.attempt(call, p)

    return limit


def _fill_up(p: Pair) -> bool:
    return 0 < p.sock.send(bytes(BIG)) < BIG


def _listener(p: Pair) -> Any:
    return p.stack.enter_context(p.module.create_server(("127.0.0.1", 0)))


def accepts_in_time(p: Pair) -> Any:
    listener = _listener(p)
    listener.setsockopt(std.SOL_SOCKET, std.SO_RCVTIMEO, timeval(p.soon))
    alone = p.attempt(listener.accept)
    p.stack.enter_context(std.create_connection(listener.getsockname()))
    accepted = p.stack.enter_context(listener.accept()[0])
    return alone, p.attempt(accepted.recv, 1)  # it inherits the option


def adopts_options(p: Pair) -> Any:
    p.option("SO_RCVTIMEO", timeval(p.soon))
    with p.sock.dup() as other:
        return p.attempt(other.recv, 1)


def clears_options(p: Pair) -> Any:
    p.option("SO_RCVTIMEO", timeval(p.soon))
    p.option("SO_RCVTIMEO", timeval(0))
    p.later(lambda: None, lambda: None, p.send(b"x"))
    return p.sock.recv(1)


def options_are_for_blocking(p: Pair) -> Any:
    """Whoever sets a timeout has that one."""
    p.option("SO_RCVTIMEO", timeval(p.soon / 10))
    p.option("SO_RCVLOWAT", 1)
    p.sock.settimeout(2 * p.soon)
    return p.attempt(p.sock.recv, 1)


def low_water(receive: Callable[[Any], Any]) -> Callable[[Pair], Any]:
    def call(p: Pair) -> Any:
        p.option("SO_RCVLOWAT", 5)
        p.later(p.send(b"abc"), p.send(b"def"))
        return receive(p.sock)

    return call


def at_urgent_data(
    receive: Callable[[Any], Any], *options: tuple[str, int]
) -> Callable[[Pair], Any]:
    """The byte before the urgent one is the last that a read gives."""

    def call(p: Pair) -> Any:
        for name, value in options:
            p.option(name, value)
        p.later(lambda: p.peer.send(b"xyZ", std.MSG_OOB), p.send(b"ab"))
        return receive(p.sock)

    return call


def before_urgent_data(receive: Callable[[Any], Any]) -> Callable[[Pair], Any]:
    """A read has begun when it comes."""

    def call(p: Pair) -> Any:
        p.later(p.send(b"x"), lambda: p.peer.send(b"Z", std.MSG_OOB), p.send(b"ab"))
        return receive(p.sock)

    return call


def datagram_with_a_flag_for_streams(p: Pair) -> Any:
    """There is nothing urgent among datagrams, and so the flag says nothing."""
    with (
        p.module.socket(std.AF_INET, std.SOCK_DGRAM) as sock,
        std.socket(std.AF_INET, std.SOCK_DGRAM) as other,
    ):
        sock.bind(("127.0.0.1", 0))
        p.later(lambda: other.sendto(b"x", sock.getsockname()))
        return p.attempt(sock.recv, 1, std.MSG_OOB)


def refused(call: Callable[[Any], Any], *options: tuple[str, int]) -> Callable[[Pair], Any]:
    """By a socket that is not connected, and by one that listens."""

    def call_both(p: Pair) -> Any:
        socks = [p.module.socket(), p.module.create_server(("127.0.0.1", 0))]
        for sock in socks:
            p.stack.enter_context(sock)
            for name, value in options:
                sock.setsockopt(std.SOL_SOCKET, getattr(std, name), value)
        return [p.attempt(call, sock) for sock in socks]

    return call_both


def accepts_where_nothing_listens(p: Pair) -> Any:
    outcomes = []
    for kind in (std.SOCK_STREAM, std.SOCK_DGRAM, getattr(std, "SOCK_SEQPACKET", std.SOCK_DGRAM)):
        one, other = p.module.socketpair(std.AF_UNIX, kind)
        with one, other, p.module.socket(std.AF_UNIX, kind) as single:
            outcomes += [p.attempt(_accept, one), p.attempt(_accept, single)]
    return outcomes


def _accept(sock: Any) -> Any:
    return sock.accept()


def wrong(call: Callable[[Any], Any]) -> Callable[[Pair], Any]:
    """Nothing has come, and nothing is waited for."""

    def refuse(p: Pair) -> Any:
        try:
            return p.attempt(call, p.sock)
        except (TypeError, ValueError, OverflowError) as error:
            return type(error)

    return refuse


def _full_listener(p: Pair) -> Any:
    """The kernel takes no more connections to its address for now."""
    listener = p.stack.enter_context(std.create_server(("127.0.0.1", 0), backlog=0))
    for _ in range(3):
        filler = p.stack.enter_context(std.socket())
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    return listener.getsockname()


def connects_in_time(method: str) -> Callable[[Pair], Any]:
    def call(p: Pair) -> Any:
        sock = p.stack.enter_context(p.module.socket())
        sock.setsockopt(std.SOL_SOCKET, std.SO_SNDTIMEO, timeval(p.soon))
        return p.attempt(getattr(sock, method), _full_listener(p))

    return call


def connects_to_a_full_unix_listener(p: Pair) -> Any:
    listener = p.stack.enter_context(std.socket(std.AF_UNIX))
    listener.bind(b"\0netpoll" + os.urandom(8))
    listener.listen(0)
    p.stack.enter_context(std.socket(std.AF_UNIX)).connect(listener.getsockname())
    sock = p.stack.enter_context(p.module.socket(std.AF_UNIX))
    sock.setsockopt(std.SOL_SOCKET, std.SO_SNDTIMEO, timeval(p.soon))
    return p.attempt(sock.connect, listener.getsockname())


def connects_twice(p: Pair) -> Any:
    address = _listener(p).getsockname()
    sock = p.stack.enter_context(p.module.socket())
    return p.attempt(sock.connect, address), p.attempt(sock.connect, address)


def waits_for_a_connect_that_was_begun(p: Pair) -> Any:
    address = _listener(p).getsockname()
    sock = p.stack.enter_context(p.module.socket())
    sock.setblocking(False)
    begun = sock.connect_ex(address)
    sock.setblocking(True)
    return begun, p.attempt(sock.connect, address), p.attempt(sock.connect, address)


def _fastopen(send: Callable[[Any, bytes, Any], Any]) -> Callable[[Pair], Any]:
    def call(p: Pair) -> Any:
        with std.create_server(("127.0.0.1", 0)) as listener:
            sock = p.stack.enter_context(p.module.socket())
            sent = send(sock, bytes(BIG), listener.getsockname())
            peer, _ = listener.accept()
            with peer:
                q = p._replace(sock=sock, peer=peer)
                end = q.count()
                return sent, sock.send(bytes(BIG)), end()

    return call


def fastopen_with_a_timeout(p: Pair) -> Any:
    """There the standard class does not wait for the connection."""
    sock = p.stack.enter_context(p.module.socket())
    sock.settimeout(10)
    address = _listener(p).getsockname()
    return p.attempt(sock.sendto, b"x", std.MSG_FASTOPEN, address)


def fastopen_refused(p: Pair) -> Any:
    with std.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    sock = p.stack.enter_context(p.module.socket())
    return p.attempt(sock.sendto, b"x", std.MSG_FASTOPEN, address)


def fastopen_connect(send: str) -> Callable[[Pair], Any]:
    def call(p: Pair) -> Any:
        sock = p.stack.enter_context(p.module.socket())
        sock.setsockopt(std.IPPROTO_TCP, 30, 1)  # TCP_FASTOPEN_CONNECT
        sock.connect(_listener(p).getsockname())
        return p.attempt(getattr(sock, send), b"x")

    return call


def urgent_data_that_are_not_there(p: Pair) -> Any:
    return p.attempt(p.sock.recv, 1, std.MSG_OOB)


BOTH: dict[str, Callable[[Pair], Any]] = {
    "send": sends(lambda s, data: s.send(data)),
    "send with flags": sends(lambda s, data: s.send(data, getattr(std, "MSG_NOSIGNAL", 0))),
    "sendmsg": sends(lambda s, data: s.sendmsg([data[:9], b"", memoryview(data)[9:]])),
    "sendmsg of an iterator": sends(lambda s, data: s.sendmsg(iter([data]))),
    "write of an unbuffered file": sends(_write),
    "recv WAITALL": receives(lambda s: s.recv(10, WAITALL)),
    "recv_into WAITALL": receives(
        lambda s: _into(lambda b: s.recv_into(b[0], 10, WAITALL)),
    ),
    "recvfrom WAITALL": receives(lambda s: s.recvfrom(10, WAITALL)),
    "recvfrom_into WAITALL": receives(
        lambda s: _into(lambda b: s.recvfrom_into(b[0], 10, WAITALL)),
    ),
    "recvmsg WAITALL": receives(lambda s: s.recvmsg(10, 0, WAITALL)),
    "recvmsg_into WAITALL": receives(
        lambda s: _into(lambda b: s.recvmsg_into(b, 0, WAITALL), (2, 4, 4)),
    ),
    "recvmsg_into WAITALL of an iterator": receives(
        lambda s: _into(lambda b: s.recvmsg_into(iter(b), 0, WAITALL), (2, 4, 4)),
    ),
    "recv WAITALL PEEK": receives(lambda s: (s.recv(9, WAITALL | PEEK), s.recv(10, WAITALL))),
    "recv WAITALL to the end": end_under_a_receive(lambda s: s.recv(10, WAITALL)),
    "recv WAITALL PEEK to the end": end_under_a_receive(
        lambda s: (s.recv(10, WAITALL | PEEK)[:3], s.recv(10, WAITALL)),
    ),
    "recvmsg WAITALL to the end": end_under_a_receive(lambda s: s.recvmsg(10, 0, WAITALL)),
    "SO_RCVTIMEO recv": limited("SO_RCVTIMEO", lambda p: p.sock.recv(1)),
    "SO_RCVTIMEO recvmsg": limited("SO_RCVTIMEO", lambda p: p.sock.recvmsg(1)),
    "SO_RCVTIMEO WAITALL": limited(
        "SO_RCVTIMEO", lambda p: (p.peer.send(b"abc"), p.sock.recv(10, WAITALL))
    ),
    "SO_SNDTIMEO": limited("SO_SNDTIMEO", _fill_up),
    "SO_RCVTIMEO of a duplicate": adopts_options,
    "SO_RCVTIMEO set to none": clears_options,
    "SO_RCVTIMEO and a timeout": options_are_for_blocking,
    "SO_RCVLOWAT recv": low_water(lambda s: s.recv(10)),
    "SO_RCVLOWAT recv_into": low_water(lambda s: _into(lambda b: s.recv_into(b[0]))),
    "SO_RCVLOWAT recvfrom": low_water(lambda s: s.recvfrom(10)),
    "SO_RCVLOWAT recvmsg": low_water(lambda s: s.recvmsg(10)),
    "SO_RCVLOWAT with little room": low_water(lambda s: (s.recv(2, WAITALL), s.recv(1))),
    "recv WAITALL at urgent data": at_urgent_data(lambda s: (s.recv(6, WAITALL), s.recv(6))),
    "recv WAITALL PEEK at urgent data": at_urgent_data(lambda s: s.recv(6, WAITALL | PEEK)),
    "recv_into WAITALL at urgent data": at_urgent_data(
        lambda s: _into(lambda b: s.recv_into(b[0], 6, WAITALL)),
    ),
    "recvfrom WAITALL at urgent data": at_urgent_data(lambda s: s.recvfrom(6, WAITALL)),
    "recvfrom_into WAITALL at urgent data": at_urgent_data(
        lambda s: _into(lambda b: s.recvfrom_into(b[0], 6, WAITALL)),
    ),
    "recvmsg WAITALL at urgent data": at_urgent_data(lambda s: s.recvmsg(6, 0, WAITALL)[:2]),
    "recvmsg_into WAITALL at urgent data": at_urgent_data(
        lambda s: _into(lambda b: s.recvmsg_into(b, 0, WAITALL)[:2], (2, 4)),
    ),
    "recv WAITALL at urgent data among others": at_urgent_data(
        lambda s: s.recv(6, WAITALL), ("SO_OOBINLINE", 1)
    ),
    "recv WAITALL before urgent data": before_urgent_data(lambda s: s.recv(6, WAITALL)),
    "recvmsg WAITALL before urgent data": before_urgent_data(
        lambda s: s.recvmsg(6, 0, WAITALL)[:2]
    ),
    "SO_RCVLOWAT recv at urgent data": at_urgent_data(lambda s: s.recv(9), ("SO_RCVLOWAT", 5)),
    "SO_RCVLOWAT recvmsg at urgent data": at_urgent_data(
        lambda s: s.recvmsg(9)[:2], ("SO_RCVLOWAT", 5)
    ),
    "recvmsg of no size": wrong(lambda s: s.recvmsg(None)),
    "recvmsg of a negative size": wrong(lambda s: s.recvmsg(-1)),
    "recvmsg of a negative size of control data": wrong(lambda s: s.recvmsg(1, -1)),
    "recvmsg without arguments": wrong(lambda s: s.recvmsg()),
    "recvmsg_into nothing": wrong(lambda s: s.recvmsg_into(None)),
    "recvmsg_into what is read only": wrong(lambda s: s.recvmsg_into([b"abc"])),
    "recvfrom of a negative size": wrong(lambda s: s.recvfrom(-1)),
    "recvfrom_into what is read only": wrong(lambda s: s.recvfrom_into(b"abc")),
    "accept of a connection": wrong(_accept),
}
TCP: dict[str, Callable[[Pair], Any]] = {
    "a reset under a send": reset_under_a_send,
    "a reset under a receive": reset_under_a_receive,
    "SO_RCVTIMEO accept": accepts_in_time,
    "connect twice": connects_twice,
    "connect after a connect that did not wait": waits_for_a_connect_that_was_begun,
    "MSG_OOB": urgent_data_that_are_not_there,
    "MSG_OOB of datagrams": datagram_with_a_flag_for_streams,
    "recv where nothing can come": refused(lambda s: s.recv(9)),
    "recvmsg where nothing can come": refused(lambda s: s.recvmsg(9)),
    "recvmsg_into where nothing can come": refused(lambda s: s.recvmsg_into([bytearray(9)])),
    "recvfrom where nothing can come": refused(lambda s: s.recvfrom(9)),
    "SO_RCVLOWAT recv where nothing can come": refused(lambda s: s.recv(9), ("SO_RCVLOWAT", 5)),
    "SO_RCVLOWAT recvmsg where nothing can come": refused(
        lambda s: s.recvmsg(9), ("SO_RCVLOWAT", 5)
    ),
    "accept where nothing listens": accepts_where_nothing_listens,
}
LINUX: dict[str, Callable[[Pair], Any]] = {
    "SO_SNDTIMEO connect": connects_in_time("connect"),
    "SO_SNDTIMEO connect_ex": connects_in_time("connect_ex"),
    "SO_SNDTIMEO connect to a UNIX listener": connects_to_a_full_unix_listener,
    "MSG_FASTOPEN sendto": _fastopen(
        lambda s, data, address: s.sendto(data[:999], std.MSG_FASTOPEN, address)
    ),
    "MSG_FASTOPEN sendto a name": _fastopen(
        lambda s, data, address: s.sendto(data[:999], std.MSG_FASTOPEN, ("localhost", address[1]))
    ),
    "MSG_FASTOPEN sendmsg": _fastopen(
        lambda s, data, address: s.sendmsg([data[:999]], [], std.MSG_FASTOPEN, address)
    ),
    "MSG_FASTOPEN and a timeout": fastopen_with_a_timeout,
    "MSG_FASTOPEN refused": fastopen_refused,
    "TCP_FASTOPEN_CONNECT send": fastopen_connect("send"),
    "TCP_FASTOPEN_CONNECT sendall": fastopen_connect("sendall"),
}
UNIX: dict[str, Callable[[Pair], Any]] = {
    "descriptors go with the first part": descriptors_once,
    "WAITALL stops at descriptors": stops_at_descriptors,
    "WAITALL stops at descriptors without room": stops_at_dropped_descriptors,
}


Calls = dict[str, Callable[[Pair], Any]]


def outcome(module: Any, kind: str, call: Callable[[Pair], Any], soon: float, sleep: Any) -> Any:
    with ExitStack() as stack:
        pair = Pair(module, *connected(module, kind, stack), stack, soon, sleep)
        return pair.attempt(call, pair)


def differ(stage: Stage, kind: str, calls: Calls, soon: float) -> dict[str, Any]:
    """What the two classes do otherwise, if all calls go on at once."""
    tasks = {
        name: (
            stage.thread(outcome, std, kind, call, soon, time.sleep),
            stage.spawn(outcome, socket, kind, call, soon, stage.sleep),
        )
        for name, call in calls.items()
    }
    both = {name: (one.result(), other.result()) for name, (one, other) in tasks.items()}
    return {name: pair for name, pair in both.items() if pair[0] != pair[1]}


def check(stage: Stage, kind: str, calls: Calls) -> None:
    """What differs is tried again with longer pauses: it may have been the machine."""
    wrong: dict[str, Any] = dict.fromkeys(calls)
    for soon in (SOON, 4 * SOON, 16 * SOON):
        wrong = differ(stage, kind, {name: calls[name] for name in wrong}, soon)
    assert not wrong


def chunks(calls: Calls) -> list[Any]:
    """Some at a time, or they would wait for the processor."""
    names = list(calls)
    return [
        pytest.param({name: calls[name] for name in names[at : at + 6]}, id=names[at])
        for at in range(0, len(names), 6)
    ]


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize("calls", chunks(BOTH))
def test_streams(stage: Stage, kind: str, calls: Calls) -> None:
    check(stage, kind, calls)


@pytest.mark.parametrize("calls", chunks(TCP))
def test_tcp(stage: Stage, calls: Calls) -> None:
    check(stage, "tcp", calls)


@needs_linux
@pytest.mark.parametrize("calls", chunks(LINUX))
def test_linux(stage: Stage, calls: Calls) -> None:
    check(stage, "tcp", calls)


@pytest.mark.parametrize("calls", chunks(UNIX))
def test_unix(stage: Stage, calls: Calls) -> None:
    check(stage, "unix", calls)


@needs_linux
def test_a_close_lingers_and_other_threads_run() -> None:
    """It waits, since the other side reads nothing."""

    def close(module: Any) -> float:
        with ExitStack() as stack:
            sock, _ = connected(module, "tcp", stack)
            sock.setsockopt(std.SOL_SOCKET, std.SO_LINGER, struct.pack("ii", 1, 1))
            sock.settimeout(0)
            with suppress(BlockingIOError):
                while True:
                    sock.send(bytes(BIG))
            start = time.monotonic()
            sock.close()
            return time.monotonic() - start

    took: list[float] = []
    threads = [threading.Thread(target=lambda m=m: took.append(close(m))) for m in (std, socket)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert all(0.9 < seconds < 1.9 for seconds in took) and len(took) == 2


# --- what is netpoll's own meets them -------------------------------------------------------------


@pytest.fixture
def pair() -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(socket, *connected(socket, "tcp", stack), stack, SOON, time.sleep)


SENDS: dict[str, Callable[[Any], int]] = {
    "send": lambda sock: sock.send(bytes(BIG)),
    "sendmsg": lambda sock: sock.sendmsg([bytes(BIG)]),
}


@pytest.mark.parametrize("send", SENDS.values(), ids=SENDS)
def test_what_was_sent_until_the_deadline_is_told(stage: Stage, pair: Pair, send: Any) -> None:
    pair.sock.set_write_deadline(10 * SOON)  # the first send begins by then
    assert 0 < stage.spawn(send, pair.sock).result() < BIG
    stage.spawn(send, pair.sock).raises(DeadlineExceeded)


@pytest.mark.parametrize("send", SENDS.values(), ids=SENDS)
def test_what_was_sent_until_the_close_is_told(stage: Stage, pair: Pair, send: Any) -> None:
    sender = stage.spawn(send, pair.sock)
    stage.stays_blocked(sender, seconds=SOON)
    pair.sock.close()
    assert 0 < sender.result() < BIG
    stage.spawn(send, pair.sock).raises(ClosedError)


@pytest.mark.parametrize("send", SENDS.values(), ids=SENDS)
def test_with_a_timeout_what_fits_is_sent(stage: Stage, pair: Pair, send: Any) -> None:
    pair.sock.settimeout(10)
    assert 0 < stage.spawn(send, pair.sock).result() < BIG


@pytest.mark.parametrize("send", SENDS.values(), ids=SENDS)
def test_the_parts_of_two_sends_do_not_mingle(stage: Stage, pair: Pair, send: Any) -> None:
    received = bytearray()

    def drain() -> None:
        while part := pair.peer.recv(1 << 20):
            received.extend(part)

    senders = [stage.spawn(pair.sock.send, bytes([n]) * BIG) for n in (1, 2)]
    drained = stage.thread(drain)
    assert [sender.result() for sender in senders] == [BIG, BIG]
    pair.sock.shutdown(std.SHUT_WR)
    drained.result()
    assert received.count(b"\1\2") + received.count(b"\2\1") == 1


@pytest.mark.parametrize("call", ["sock.send(data)", "sock.sendmsg([data])", "sock.recv(9, 256)"])
def test_an_error_of_a_signal_handler_is_not_taken_for_the_end(call: str) -> None:
    """Even if it is a TimeoutError, and a part has moved."""
    assert std.MSG_WAITALL == 256 or not call.startswith("sock.recv")
    out = check_python(f"""
        import signal, socket as std
        from netpoll import socket
        def handler(*unused):
            raise TimeoutError("the handler's")
        signal.signal(signal.SIGALRM, handler)
        data = bytes({BIG})
        sock, peer = socket.socketpair()
        peer.send(b"abc")
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        try:
            print({call})
        except TimeoutError as error:
            print(error)
    """)
    assert out == "the handler's\n"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no interval timers")
def test_signals_that_do_not_raise_do_not_end_it() -> None:
    """The kernel's own promise ends there: what a blocking send has sent by then is all."""
    out = check_python(f"""
        import signal, threading, time
        from netpoll import socket
        signal.signal(signal.SIGALRM, lambda *unused: None)
        sock, peer = socket.socketpair()
        def drain():
            time.sleep(0.1)
            while peer.recv(1 << 20):
                pass
        threading.Thread(target=drain, daemon=True).start()
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        print(sock.send(bytes({BIG})))
        signal.setitimer(signal.ITIMER_REAL, 0)
    """)
    assert out == f"{BIG}\n"


def test_a_peek_that_waits_takes_little_of_the_processor(stage: Stage, pair: Pair) -> None:
    """What it has peeked at keeps the socket readable."""
    pair.peer.send(b"abc")
    reader = stage.spawn(pair.sock.recv, 10, WAITALL | PEEK)
    before = time.process_time()
    stage.stays_blocked(reader, seconds=4 * SOON)
    assert time.process_time() - before < 3 * SOON
    pair.peer.send(b"defghij")
    assert reader.result() == b"abcdefghij"
