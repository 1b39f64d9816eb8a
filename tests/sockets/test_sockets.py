"""netpoll.socket: operations that wait, for threads and greenlets; closing, deadlines, turns."""

from __future__ import annotations

import array
import contextlib
import errno
import io
import os
import select
import socket as standard
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from netpoll import READ, ClosedError, DeadlineExceeded, Poller, _engine, socket
from support import (
    HAS_GREENLET,
    LONG,
    WINDOWS,
    Stage,
    needs_fd_list,
    needs_fork,
    needs_linux,
    not_on_libkqueue,
    now_ns,
    open_fds,
    turns,
    until,
)

BIG = 8 << 20  # more than any buffers of the kernel's take


@pytest.fixture(params=["unix", "tcp"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    """Two connected sockets of ours."""
    if request.param == "unix" and not hasattr(standard, "AF_UNIX"):
        pytest.skip("no UNIX sockets on this system")
    a, b = socket.socketpair() if request.param == "unix" else _tcp_pair()
    yield a, b
    a.close()
    b.close()


def _tcp_pair() -> tuple[Any, Any]:
    with standard.create_server(("127.0.0.1", 0)) as listener:
        a = standard.create_connection(listener.getsockname())
        b, _ = listener.accept()
    return _ours(a), _ours(b)


def _ours(sock: standard.socket) -> Any:
    return socket.socket(sock.family, sock.type, sock.proto, sock.detach())


# --- it waits, and goes on ------------------------------------------------------------------------


def test_a_receive_waits_for_data(stage: Stage, pair: Any) -> None:
    a, b = pair
    reader = stage.spawn(a.recv, 100)
    stage.stays_blocked(reader, seconds=0.02)
    b.send(b"hello")
    assert reader.result() == b"hello"


def test_a_receive_of_what_is_there_returns_at_once(stage: Stage, pair: Any) -> None:
    a, b = pair
    b.send(b"hello")
    buffer = bytearray(2)
    assert stage.spawn(a.recv_into, buffer).result() == 2 and buffer == b"he"
    assert stage.spawn(a.recv, 100).result() == b"llo"


def test_a_send_waits_for_room(stage: Stage, pair: Any) -> None:
    a, b = pair
    data = os.urandom(BIG)
    sender = stage.spawn(a.sendall, data)
    stage.stays_blocked(sender, seconds=0.02)
    assert stage.spawn(_all_of_it, b).result() == data
    assert sender.result() is None


def _all_of_it(sock: Any) -> bytes:
    with io.BytesIO() as received:
        while received.tell() < BIG:
            received.write(sock.recv(1 << 20))
        return received.getvalue()


def test_all_sizes_arrive(stage: Stage, pair: Any) -> None:
    """Around the sizes at which reads take another way."""
    a, b = pair
    for size in (1, 65535, 65536, 65537, 262143, 262144, 300_000, 3_000_000):
        data = os.urandom(size)
        sender = stage.spawn(a.sendall, data)

        def whole(size: int = size) -> bytes:
            parts = b""
            while len(parts) < size:
                parts += b.recv(size)
            return parts

        assert stage.spawn(whole).result() == data
        sender.result()


def test_reads_that_filled_their_buffer_are_followed_by_any(stage: Stage, pair: Any) -> None:
    """After one that did, the next goes straight into its result: sizes up and down again."""
    a, b = pair
    for size in (65536, 65536, 10, 4096, 4096, 1, 65536, 100):
        data = os.urandom(size)
        reader = stage.spawn(a.recv, size)
        stage.stays_blocked(reader, seconds=0.005)
        b.sendall(data)
        got = reader.result()
        while len(got) < size:  # TCP may hand it over in parts
            got += a.recv(size - len(got))
        assert got == data


def _holds_block(tracemalloc: Any, size: int) -> bool:
    """Is a block of memory held that has room for so much?  All memory together is no measure: a
    thread has some of its own, and without the GIL more."""
    return any(size <= trace.size < 2 * size for trace in tracemalloc.take_snapshot().traces)


def test_a_receive_holds_no_room_while_it_waits(stage: Stage, pair: Any) -> None:
    """A server has thousands of them: after a read that filled its buffer, too."""
    tracemalloc = pytest.importorskip("tracemalloc", reason="PyPy does not count memory")
    a, b = pair
    b.sendall(bytes(65536))
    a.recv(65536, standard.MSG_WAITALL)
    tracemalloc.start()
    try:
        for size in (65536, BIG):
            assert not _holds_block(tracemalloc, size)
            reader = stage.spawn(a.recv, size)
            stage.stays_blocked(reader, seconds=0.02)
            stage.until(
                lambda size=size: not _holds_block(tracemalloc, size),
                "it has tried, and holds nothing any more",
            )
            b.send(b"x")
            assert reader.result() == b"x"
    finally:
        tracemalloc.stop()


def test_waitall_waits_for_all(stage: Stage, pair: Any) -> None:
    a, b = pair
    reader = stage.spawn(a.recv, 6, standard.MSG_WAITALL)
    for part in (b"ab", b"cd"):
        b.send(part)
        stage.stays_blocked(reader, seconds=0.01)
    b.send(b"efgh")
    assert reader.result() == b"abcdef"
    assert a.recv(10) == b"gh"


not_on_windows = pytest.mark.skipif(WINDOWS, reason="Windows refuses MSG_WAITALL there")


def test_waitall_gives_what_came_before_the_deadline(stage: Stage, pair: Any) -> None:
    a, b = pair
    buffer = bytearray(6)
    for receive in (a.recv, lambda n, flags: bytes(buffer[: a.recv_into(buffer, n, flags)])):
        b.send(b"ab")
        for seconds in (0.02, 0.2, 2):
            a.set_read_deadline(seconds)
            with contextlib.suppress(DeadlineExceeded):  # it passed before the first attempt
                assert stage.spawn(receive, 6, standard.MSG_WAITALL).result() == b"ab"
                break
        else:
            pytest.fail("it never begins in time")
        stage.spawn(receive, 6, standard.MSG_WAITALL).raises(DeadlineExceeded)
        a.set_read_deadline(None)


@not_on_windows
def test_waitall_gives_no_byte_twice(stage: Stage, pair: Any) -> None:
    """Who only peeks would get the same again and again."""
    a, b = pair
    b.send(b"a")
    flags = standard.MSG_PEEK | standard.MSG_WAITALL
    peeking = stage.spawn(a.recv, 2, flags)
    if a.family == standard.AF_INET:  # UNIX sockets give what is there, standard ones too
        stage.stays_blocked(peeking, seconds=0.02)
        b.send(b"b")
    sent = b"ab" if a.family == standard.AF_INET else b"a"
    assert peeking.result() == sent
    assert a.recv_into(bytearray(2), 2, flags) == len(sent)
    assert a.recv(10) == sent


def _datagrams() -> tuple[Any, Any]:
    a, b = (socket.socket(standard.AF_INET, standard.SOCK_DGRAM) for _ in range(2))
    a.bind(("127.0.0.1", 0))
    b.connect(a.getsockname())
    return a, b


@not_on_windows
def test_waitall_waits_for_one_datagram(stage: Stage) -> None:
    a, b = _datagrams()
    with a, b:
        for word in (b"one", b"two"):
            b.send(word)
        assert stage.spawn(a.recv, 10, standard.MSG_WAITALL).result() == b"one"
        assert stage.spawn(a.recv_into, bytearray(10), 10, standard.MSG_WAITALL).result() == 3


def test_to_receive_nothing_takes_nothing_and_does_not_wait(stage: Stage) -> None:
    a, b = _datagrams()
    with a, b:
        reader = stage.spawn(a.recv, 10)
        stage.stays_blocked(reader, seconds=0.01)
        assert stage.spawn(a.recv, 0).result() == b""
        assert stage.spawn(a.recv_into, bytearray()).result() == 0
        b.send(b"hello")
        assert reader.result() == b"hello"
        b.send(b"hello")
        assert (a.recv(0), a.recv_into(bytearray()), a.recv(10)) == (b"", 0, b"hello")
        a.close()
        for receive in (lambda: a.recv(0), lambda: a.recv_into(bytearray())):
            with pytest.raises(ClosedError):
                receive()


@needs_linux
def test_the_length_of_a_message_that_was_cut_is_told_and_nothing_else() -> None:
    """MSG_TRUNC: what the kernel has not written is not what some other read has left there."""
    a, b = socket.socketpair(standard.AF_UNIX, standard.SOCK_DGRAM)
    with a, b:
        b.send(b"secret" * 10)
        a.recv(100)
        b.send(b"0123456789" * 10_000)
        if _engine.PURE and sys.version_info >= (3, 15):
            with pytest.raises(ValueError):  # as from the standard class
                a.recv(3, standard.MSG_TRUNC)
            return
        got = a.recv(3, standard.MSG_TRUNC)
        assert len(got) == 100_000 and got[:3] == b"012"
        assert _engine.PURE or not any(got[3:])  # the standard class is less careful


def test_the_end_of_the_stream_ends_a_receive(stage: Stage, pair: Any) -> None:
    a, b = pair
    reader = stage.spawn(a.recv, 100)
    stage.stays_blocked(reader, seconds=0.01)
    b.shutdown(standard.SHUT_WR)
    assert reader.result() == b""
    assert stage.spawn(a.recv, 100).result() == b""


def test_data_and_the_end_together_are_both_received(stage: Stage, pair: Any) -> None:
    """A short read proves nothing once the peer has closed: no event comes for the rest."""
    a, b = pair
    for _ in range(3):  # a wait before, so that it is registered and has drained
        reader = stage.spawn(a.recv, 100)
        stage.stays_blocked(reader, seconds=0.005)
        b.send(b"x")
        assert reader.result() == b"x"
    reader = stage.spawn(lambda: [a.recv(100), a.recv(100)])
    stage.stays_blocked(reader, seconds=0.005)
    b.send(b"y")
    b.close()
    assert reader.result() == [b"y", b""]


def test_data_behind_urgent_data_is_received(stage: Stage) -> None:
    """A read stops at the mark, short of what is there already."""
    a, b = _tcp_pair()
    with a, b:
        reader = stage.spawn(a.recv, 100)
        stage.stays_blocked(reader, seconds=0.01)
        b.send(b"1")
        assert reader.result() == b"1"
        b.send(b"2")
        b.send(b"!", standard.MSG_OOB)
        b.send(b"3")
        stage.sleep(0.02)
        assert stage.spawn(a.recv, 100).result() == b"2"
        assert stage.spawn(a.recv, 100).result() == b"3"


@needs_linux
def test_data_behind_a_message_with_descriptors_is_received(stage: Stage) -> None:
    """A read of a UNIX socket stops there too, and no event tells of the rest."""
    a, b = socket.socketpair()
    rights = [(standard.SOL_SOCKET, standard.SCM_RIGHTS, array.array("i", [b.fileno()]))]
    with a, b:
        reader = stage.spawn(a.recv, 100)
        stage.stays_blocked(reader, seconds=0.01)
        b.send(b"0")
        assert reader.result() == b"0"
        reader = stage.spawn(lambda: [a.recv(100), a.recv(100)])
        stage.stays_blocked(reader, seconds=0.01)
        b.sendmsg([b"1"], rights)
        b.send(b"2")
        assert reader.result() == [b"1", b"2"]


@needs_linux
def test_data_behind_such_a_message_are_received_in_a_hub_that_is_busy(greenlets: Stage) -> None:
    """It never sleeps, and some of what it does are events of others."""
    a, b = socket.socketpair()
    c, d = socket.socketpair()
    rights = [(standard.SOL_SOCKET, standard.SCM_RIGHTS, array.array("i", [b.fileno()]))]
    busy = [True]

    def run() -> None:
        while busy:
            greenlets.sleep(0)

    def talk(sock: socket.socket) -> None:
        while busy:
            sock.send(b"x")
            sock.recv(1)

    with a, b, c, d:
        reader = greenlets.spawn(lambda: [a.recv(100), a.recv(100), a.recv(100)])
        greenlets.stays_blocked(reader, seconds=0.01)
        b.send(b"0")  # the first read of a socket proves nothing
        greenlets.stays_blocked(reader, seconds=0.01)
        others = [greenlets.spawn(run), greenlets.spawn(talk, c), greenlets.spawn(talk, d)]
        b.sendmsg([b"1"], rights)
        b.send(b"2")
        try:
            assert reader.result() == [b"0", b"1", b"2"]
        finally:
            busy.clear()
        for sock in (c, d):
            sock.shutdown(standard.SHUT_RDWR)
        for other in others:
            other.result()


def test_datagrams_are_received_one_by_one(stage: Stage) -> None:
    with (
        socket.socket(standard.AF_INET, standard.SOCK_DGRAM) as a,
        socket.socket(standard.AF_INET, standard.SOCK_DGRAM) as b,
    ):
        a.bind(("127.0.0.1", 0))
        b.bind(("127.0.0.1", 0))
        reader = stage.spawn(lambda: [a.recvfrom(100) for _ in range(3)])
        stage.stays_blocked(reader, seconds=0.01)
        for word in (b"one", b"two", b"three"):
            b.sendto(word, a.getsockname())
        assert reader.result() == [(w, b.getsockname()) for w in (b"one", b"two", b"three")]
        buffer = bytearray(10)
        reader2 = stage.spawn(a.recvfrom_into, buffer)
        stage.stays_blocked(reader2, seconds=0.01)
        b.sendto(b"four", a.getsockname())
        assert reader2.result() == (4, b.getsockname()) and buffer[:4] == b"four"


@needs_linux
def test_who_is_told_ready_in_vain_does_not_spin(stage: Stage) -> None:
    """A UNIX socket is ready to send, the kernel says, though the other may be full."""
    with (
        standard.socket(standard.AF_UNIX, standard.SOCK_DGRAM) as full,
        socket.socket(standard.AF_UNIX, standard.SOCK_DGRAM) as sock,
    ):
        full.bind(b"\0netpoll" + os.urandom(8))
        with contextlib.suppress(BlockingIOError):
            while True:
                sock.sendto(b"x", standard.MSG_DONTWAIT, full.getsockname())
        sender = stage.spawn(sock.sendto, b"last", full.getsockname())
        stage.sleep(0.01)
        before = time.process_time()
        stage.stays_blocked(sender, seconds=0.2)
        assert time.process_time() - before < 0.1
        full.recv(10)
        assert sender.result() == 4
        sender = stage.spawn(sock.sendto, b"too late", full.getsockname())
        stage.stays_blocked(sender, seconds=0.02)
        sock.close()
        sender.raises(ClosedError)


needs_dontwait = pytest.mark.skipif(
    not hasattr(standard, "MSG_DONTWAIT"), reason="the system has no such flag"
)


@pytest.mark.parametrize("how", ["timeout", pytest.param("flag", marks=needs_dontwait)])
def test_who_may_not_wait_does_not_queue(stage: Stage, pair: Any, how: str) -> None:
    a, b = pair
    flags = getattr(standard, "MSG_DONTWAIT", 0) if how == "flag" else 0
    data = os.urandom(BIG)
    reader = stage.spawn(a.recv, 100)
    writer = stage.spawn(a.sendall, data)
    stage.stays_blocked(reader, seconds=0.02)
    stage.stays_blocked(writer, seconds=0.02)
    if how == "timeout":
        a.settimeout(0)
    stage.spawn(a.recv, 100, flags).raises(BlockingIOError)
    stage.spawn(a.send, b"x", flags).raises(BlockingIOError)
    assert stage.spawn(_all_of_it, b).result() == data
    b.send(b"hello")
    assert reader.result() == b"hello" and writer.result() is None


def test_connections_are_made_and_accepted(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = stage.spawn(listener.accept)
        stage.stays_blocked(accepting, seconds=0.01)
        client = stage.spawn(socket.create_connection, listener.getsockname()).result()
        server, address = accepting.result()
        with client, server:
            assert type(server) is type(client) is type(listener) is socket.socket
            assert address == client.getsockname()
            client.sendall(b"hello")
            assert stage.spawn(server.recv, 100).result() == b"hello"


def _ends(tmp_path: Path) -> dict[str, tuple[int, Any, Any]]:
    """Families that can be had here: family, the listener's address, the client's or None."""
    ends: dict[str, tuple[int, Any, Any]] = {"in": (standard.AF_INET, ("127.0.0.1", 0), None)}
    with contextlib.suppress(OSError), standard.socket(standard.AF_INET6) as probe:
        probe.bind(("::1", 0))
        ends["in6"] = (standard.AF_INET6, ("::1", 0), None)
    if hasattr(standard, "AF_UNIX"):
        name = str(tmp_path / "listener")
        ends["unix, no name"] = (standard.AF_UNIX, name, None)
        ends["unix, a path"] = (standard.AF_UNIX, name, str(tmp_path / "client"))
        longest = "/tmp/" + os.urandom(51).hex()  # 107 bytes: no NUL has room behind it
        ends["unix, a long path"] = (standard.AF_UNIX, name, longest)
    if sys.platform == "linux":
        ends["unix, abstract"] = (standard.AF_UNIX, name, b"\0netpoll" + os.urandom(8))
    return ends


def test_an_accepted_socket_is_as_the_standard_class_makes_it(stage: Stage, tmp_path: Path) -> None:
    def accepted(kind: Any, family: int, address: Any, name: Any) -> tuple[Any, ...]:
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(kind.socket(family))
            client = stack.enter_context(standard.socket(family))
            for sock, at in ((listener, address), (client, name)):
                if at is not None:
                    sock.bind(at)
                if isinstance(at, str):
                    stack.callback(os.unlink, at)
            listener.listen()
            client.connect(listener.getsockname())
            sock, at = stage.spawn(listener.accept).result()
            with sock:
                assert at == client.getsockname()
                facts = sock.family, sock.type, sock.proto, sock.timeout, sock.get_inheritable()
                return type(at), *facts

    for family, address, name in _ends(tmp_path).values():
        assert accepted(socket, family, address, name) == accepted(standard, family, address, name)


def test_a_connection_that_no_object_can_be_made_for_is_closed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: object) -> Any:
        raise MemoryError

    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        standard.create_connection(listener.getsockname(), timeout=LONG) as client,
    ):
        monkeypatch.setattr(socket, "FD", fails)
        with pytest.raises(MemoryError):
            stage.spawn(listener.accept).result()
        assert client.recv(1) == b""


@not_on_libkqueue("takes the socket error for itself")
def test_a_refused_connection_is_an_error(stage: Stage) -> None:
    with standard.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = unused.getsockname()
        with pytest.raises(ConnectionRefusedError):
            stage.spawn(socket.create_connection, address).result()
        with socket.socket() as sock:
            number = stage.spawn(sock.connect_ex, address).result()
            assert number in (errno.ECONNREFUSED, getattr(errno, "WSAECONNREFUSED", 0))


def test_a_shutdown_ends_those_who_wait(stage: Stage, pair: Any) -> None:
    """As in the standard class.  No poll tells of a direction that was shut for sending."""
    a, _ = pair
    reader, writer = stage.spawn(a.recv, 1), stage.spawn(a.sendall, bytes(BIG))
    stage.stays_blocked(reader, writer, seconds=0.01)
    a.shutdown(standard.SHUT_WR)
    with pytest.raises(OSError):  # EPIPE; Windows has another name for it
        writer.result()
    stage.stays_blocked(reader, seconds=0.01)
    a.shutdown(standard.SHUT_RD)
    with pytest.raises(OSError) if WINDOWS else contextlib.nullcontext():
        assert reader.result() == b""


RECEIVES: dict[str, Any] = {
    "recv": lambda sock: sock.recv(10),
    "recv, much": lambda sock: sock.recv(100_000),
    "recv_into": lambda sock: sock.recv_into(bytearray(10)),
    "recvfrom": lambda sock: sock.recvfrom(10),
    "recvfrom_into": lambda sock: sock.recvfrom_into(bytearray(10)),
    "recvmsg": lambda sock: sock.recvmsg(10),
    "recvmsg_into": lambda sock: sock.recvmsg_into([bytearray(10)]),
}


@needs_linux
@pytest.mark.parametrize("receive", RECEIVES.values(), ids=RECEIVES)
def test_a_shutdown_ends_those_who_wait_for_datagrams(stage: Stage, receive: Any) -> None:
    """The way to end a thread that receives them, with the standard class; it is an error too."""

    def ended(kind: Any) -> list[Any]:
        with kind.socket(standard.AF_INET, standard.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            task = stage.thread(receive, sock) if kind is standard else stage.spawn(receive, sock)
            stage.stays_blocked(task, seconds=0.01)
            with pytest.raises(OSError, match="not connected"):
                sock.shutdown(standard.SHUT_RDWR)
            return [task.result(), stage.spawn(receive, sock).result()]

    assert ended(socket) == ended(standard)


@needs_linux
def test_a_killed_connect_leaves_no_socket_behind(greenlets: Stage) -> None:
    from greenlet import GreenletExit

    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(standard.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # no more are taken
            filler = stack.enter_context(standard.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        before = open_fds()
        victim = greenlets.spawn(socket.create_connection, listener.getsockname())
        greenlets.stays_blocked(victim, seconds=0.02)
        (number,) = open_fds() - before
        victim.greenlet.kill()
        victim.raises(GreenletExit)
        assert number not in open_fds()


@pytest.mark.skipif(not hasattr(standard, "AF_UNIX"), reason="no UNIX sockets on this system")
def test_a_full_backlog_is_waited_out(stage: Stage, tmp_path: Any) -> None:
    address = str(tmp_path / "listener")
    clients = [socket.socket(standard.AF_UNIX) for _ in range(4)]
    with socket.socket(standard.AF_UNIX) as listener, contextlib.ExitStack() as stack:
        for client in clients:
            stack.enter_context(client)
        listener.bind(address)
        listener.listen(0)
        connecting = [stage.spawn(client.connect, address) for client in clients]
        stage.sleep(0.02)
        for _ in clients:
            stack.enter_context(stage.spawn(listener.accept).result()[0])
        for task in connecting:
            task.result()


def test_files_are_sent(stage: Stage, pair: Any, tmp_path: Any) -> None:
    a, b = pair
    path = tmp_path / "file"
    data = os.urandom(BIG)
    path.write_bytes(data)

    def receive() -> bytes:
        with b.makefile("rb") as stream:
            return bytes(stream.read(BIG - 100))

    receiver = stage.spawn(receive)
    with path.open("rb") as file:
        assert stage.spawn(a.sendfile, file, 100).result() == BIG - 100
        assert file.tell() == BIG
    assert receiver.result() == data[100:]


def test_lines_are_read_from_a_file_object(stage: Stage, pair: Any) -> None:
    a, b = pair
    with a.makefile("r", encoding="ascii", newline="\n") as lines:
        reader = stage.spawn(lambda: [lines.readline(), lines.readline()])
        b.sendall(b"one\ntw")
        stage.stays_blocked(reader, seconds=0.01)
        b.sendall(b"o\n")
        assert reader.result() == ["one\n", "two\n"]


# --- timeouts and deadlines -----------------------------------------------------------------------


def test_a_timeout_bounds_each_operation(stage: Stage, pair: Any) -> None:
    a, b = pair
    a.settimeout(0.05)
    for _ in range(2):
        begin = now_ns()
        error = stage.spawn(a.recv, 1).raises(TimeoutError)
        assert now_ns() - begin >= 50_000_000
        assert str(error) == "timed out"
    b.send(b"x")
    assert stage.spawn(a.recv, 1).result() == b"x"


def test_without_a_wait_there_is_blocking_io_error(stage: Stage, pair: Any) -> None:
    a, b = pair
    a.setblocking(False)
    assert a.gettimeout() == 0 and not a.getblocking()
    stage.spawn(a.recv, 1).raises(BlockingIOError)
    a.setblocking(True)
    assert a.gettimeout() is None and a.timeout is None
    if hasattr(standard, "MSG_DONTWAIT"):
        stage.spawn(a.recv, 1, standard.MSG_DONTWAIT).raises(BlockingIOError)
    b.send(b"x")
    a.setblocking(False)
    assert a.recv(10) == b"x"


@pytest.mark.rule(3)
def test_a_deadline_is_an_instant(stage: Stage, pair: Any) -> None:
    a, b = pair
    begin = now_ns()
    a.set_read_deadline(0.05)
    stage.spawn(a.recv, 1).raises(DeadlineExceeded)
    assert now_ns() - begin >= 50_000_000
    b.send(b"x")
    error = stage.spawn(a.recv, 1).raises(DeadlineExceeded)  # even if there is something to read
    assert isinstance(error, TimeoutError) and str(a.fileno()) in str(error)
    a.send(b"writers are not concerned")
    a.set_deadline(None)
    assert stage.spawn(a.recv, 1).result() == b"x"


@pytest.mark.parametrize("bad", [-1, -0.5, float("nan")])
def test_bad_timeouts_are_refused(pair: Any, bad: float) -> None:
    a, _ = pair
    a.settimeout(5)
    with pytest.raises(ValueError):
        a.settimeout(bad)
    with pytest.raises(TypeError):
        a.settimeout("soon")
    with pytest.raises(ValueError):
        a.set_deadline(float("nan"))
    assert a.gettimeout() == 5


# --- turns ----------------------------------------------------------------------------------------


def test_readers_are_served_one_at_a_time_in_order(stage: Stage, pair: Any) -> None:
    a, b = pair
    got: list[tuple[int, bytes]] = []

    def read(i: int) -> None:
        got.append((i, a.recv(1)))

    readers = []
    for i in range(10):
        readers.append(stage.spawn(read, i))
        stage.sleep(0.005)
    for i in range(10):
        b.send(bytes([i]))
    for reader in readers:
        reader.result()
    assert sorted(got) == [(i, bytes([i])) for i in range(10)]


def test_sends_of_many_do_not_mingle(stage: Stage, pair: Any) -> None:
    a, b = pair
    size = 300_000
    senders = [stage.spawn(a.sendall, bytes([i]) * size) for i in range(5)]

    def receive() -> bytes:
        with b.makefile("rb") as stream:
            return bytes(stream.read(5 * size))

    data = stage.spawn(receive).result()
    for sender in senders:
        sender.result()
    blocks = [data[i * size : (i + 1) * size] for i in range(5)]
    assert sorted(block[0] for block in blocks) == list(range(5))
    assert all(len(set(block)) == 1 for block in blocks)


def test_a_timeout_counts_in_the_queue_too(stage: Stage, pair: Any) -> None:
    a, b = pair
    first = stage.spawn(a.recv, 1)
    stage.sleep(0.01)
    a.settimeout(0.03)
    second = stage.spawn(a.recv, 1)
    assert str(second.raises(TimeoutError)) == "timed out"
    b.send(b"x")
    assert first.result() == b"x"
    b.send(b"y")
    assert stage.spawn(a.recv, 1).result() == b"y"


def test_one_reads_while_another_writes(stage: Stage, pair: Any) -> None:
    a, b = pair
    reader = stage.spawn(a.recv, 1)
    stage.stays_blocked(reader, seconds=0.01)
    a.send(b"question")
    assert stage.spawn(b.recv, 100).result() == b"question"
    b.send(b"!")
    assert reader.result() == b"!"


@pytest.mark.rule(12)
def test_pairs_that_never_rest_starve_nobody(greenlets: Stage, pair: Any) -> None:
    """They hand over to each other in C, without a visit to the hub."""
    a, b = pair
    stop = False

    def bounce(sock: Any) -> None:
        with contextlib.suppress(ClosedError):
            while not stop:
                sock.sendall(sock.recv(10))

    def expire(limit: str) -> None:
        here, there = socket.socketpair()
        with here, there:
            getattr(here, limit)(0.02)
            with pytest.raises(TimeoutError):
                here.recv(1)

    bouncing = [greenlets.spawn(bounce, sock) for sock in pair]
    a.sendall(b"x")
    expiring = [
        greenlets.spawn(expire, limit)
        for limit in ("settimeout", "set_deadline", "set_read_deadline")
    ]
    here, there = socket.socketpair()
    with here, there:
        reader = greenlets.spawn(here.recv, 10)
        there.send(b"hello")
        assert reader.result() == b"hello"
        reader = greenlets.spawn(here.recv, 10)
        greenlets.thread(there.send, b"x").result()
        assert reader.result() == b"x"
    for task in expiring:
        task.result()
    for i in range(50):
        assert greenlets.spawn(lambda i=i: i).result() == i
    assert not any(task.done for task in bouncing)
    stop = True
    a.close()
    b.close()
    for task in bouncing:
        task.result()


# --- closing --------------------------------------------------------------------------------------


@pytest.mark.rule(8)
def test_close_ends_all_operations(stage: Stage, pair: Any) -> None:
    a, _ = pair
    number = a.fileno()
    tasks = [stage.spawn(a.recv, 1) for _ in range(3)]
    tasks += [stage.spawn(a.sendall, bytes(BIG)) for _ in range(2)]
    stage.stays_blocked(*tasks, seconds=0.02)
    a.close()
    for task in tasks:
        error = task.raises(ClosedError)
        assert error.errno == errno.EBADF and str(number) in str(error)
    assert a.fileno() == -1
    with pytest.raises(OSError) as caught:
        a.recv(1)
    assert caught.value.errno == errno.EBADF
    a.close()


@pytest.mark.rule(9)
def test_what_fails_after_a_close_fails_for_that(stage: Stage) -> None:
    a, b = socket.socketpair()

    def fails() -> None:
        a.close()
        raise OSError("as its connection has gone")

    with b, pytest.raises(ClosedError):
        stage.spawn(a._fd.call, READ, 0, fails).result()


@needs_fd_list
def test_the_number_is_not_reused_under_an_operation(stage: Stage) -> None:
    """Whoever is still inside when close is called holds the number."""
    a, b = socket.socketpair()
    number = a.fileno()
    a.settimeout(LONG)
    seen: list[set[int]] = []

    def blocking_call() -> None:
        """An operation, as it were, that does not notice the close."""
        a._fd.call(READ, 0, inside)

    def inside() -> None:
        stage.sleep(0.05)
        seen.append(open_fds())

    operation = stage.spawn(blocking_call)
    stage.sleep(0.02)
    b.send(b"x")
    stage.sleep(0.02)
    a.close()
    operation.join(LONG)
    assert number in seen[0]
    assert number not in open_fds()
    b.close()


@needs_fd_list
def test_close_gives_the_number_back_at_once_when_nobody_is_inside() -> None:
    a, b = socket.socketpair()
    number = a.fileno()
    a.close()
    assert number not in open_fds()
    b.close()


def test_detach_ends_operations_and_gives_the_number(stage: Stage, pair: Any) -> None:
    a, b = pair
    reader = stage.spawn(a.recv, 1)
    stage.stays_blocked(reader, seconds=0.01)
    number = a.detach()
    reader.raises(ClosedError)
    assert a.fileno() == -1
    with standard.socket(fileno=number) as plain:
        b.send(b"x")
        assert plain.recv(1) == b"x"
        if os.name == "posix":  # elsewhere it is about pipes
            assert os.get_blocking(number)


def test_of_close_and_detach_at_once_one_has_the_number() -> None:
    a, b = socket.socketpair()
    number = a.fileno()
    standard.socket.detach(a)  # as a close in another thread begins
    assert a.detach() == number
    a._fd.close()  # and ends
    with standard.socket(fileno=number) as plain:
        assert plain.getsockname() == b.getpeername()
    b._fd.close()  # as one that is nearly done
    assert b.detach() == -1
    with pytest.raises(OSError):
        b.getsockname()


@needs_fd_list
def test_an_uncollected_socket_warns_and_gives_its_number_back() -> None:
    a, b = socket.socketpair()
    number = a.fileno()
    with pytest.warns(ResourceWarning, match="unclosed"):
        del a
    assert number not in open_fds()
    b.close()


def test_close_and_reopen_under_operations(stage: Stage) -> None:
    """Numbers are reused all the time; every operation ends, with data of its own socket."""
    rounds = turns(200)

    def converse(i: int) -> tuple[int, int]:
        answered = closed = 0
        for k in range(rounds):
            a, b = socket.socketpair()
            word = b"%d %d" % (i, k)
            reader = stage.spawn(a.recv, 100)
            if k % 2:
                stage.sleep(0)
            if k % 3:
                b.send(word)
                assert reader.result() == word
                answered += 1
            else:
                a.close()
                reader.raises(ClosedError)
                closed += 1
            a.close()
            b.close()
        return answered, closed

    for task in [stage.spawn(converse, i) for i in range(3)]:
        assert sum(task.result(4 * LONG)) == rounds


# --- for a layer above ----------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["parked", "before"])
def test_a_waiter_is_told_to_try_again(stage: Stage, pair: Any, when: str) -> None:
    """TLS does so when a shutdown has taken what a reader waits for: no event tells of that."""
    a, _ = pair
    tries: list[int] = []
    there: list[bytes] = []

    def attempt() -> bytes:
        tries.append(len(tries))
        if when == "before" and len(tries) == 1:
            there.append(b"x")
            stage.thread(a._fd.retry, READ).result()
            raise BlockingIOError
        if not there:
            raise BlockingIOError
        return there.pop()

    reader = stage.spawn(a._fd.call, READ, 0, attempt)
    if when == "parked":
        stage.stays_blocked(reader, seconds=0.02)
        there.append(b"x")
        a._fd.retry(READ)
    assert reader.result() == b"x"
    assert len(tries) == 2


# --- with the poller ------------------------------------------------------------------------------


def test_a_socket_outlives_the_poller_it_waited_on(greenlets: Stage, pair: Any) -> None:
    a, b = pair
    reader = greenlets.spawn(a.recv, 1)
    greenlets.stays_blocked(reader, seconds=0.01)
    greenlets.poller.close()
    greenlets.sleep(0.01)
    b.send(b"x")
    assert reader.result() == b"x"
    reader = greenlets.spawn(a.recv, 1)
    greenlets.stays_blocked(reader, seconds=0.01)
    b.send(b"y")
    assert reader.result() == b"y"


def test_a_hub_whose_poller_was_closed_takes_another_at_once(greenlets: Stage, pair: Any) -> None:
    """What waits, and what queues behind it, goes on; what begins to wait does not fail."""
    a, b = pair
    readers = [greenlets.spawn(a.recv, 1) for _ in range(2)]
    greenlets.stays_blocked(*readers, seconds=0.01)
    greenlets.poller.close()
    near, far = socket.socketpair()
    with near, far:
        greenlets.spawn(far.send, b"z")
        assert near.recv(1) == b"z"
    b.sendall(b"xy")
    assert [reader.result() for reader in readers] == [b"x", b"y"]


def test_a_socket_that_is_open_on_the_poller_already_waits_all_the_same(
    stage: Stage, pair: Any
) -> None:
    a, b = pair
    with stage.poller.open(a):
        reader = stage.spawn(a.recv, 1)
        stage.stays_blocked(reader, seconds=0.01)
        b.send(b"x")
        assert reader.result() == b"x"


@pytest.mark.rule(11)
def test_threads_and_greenlets_use_one_socket(greenlets: Stage, pair: Any) -> None:
    a, b = pair
    for actor in (greenlets.spawn, greenlets.thread) * 5:
        reader = actor(a.recv, 100)
        greenlets.stays_blocked(reader, seconds=0.005)
        b.send(b"x")
        assert reader.result() == b"x"


@pytest.mark.skipif(not HAS_GREENLET, reason="greenlet is not installed")
def test_a_killed_reader_leaves_the_socket_to_the_next(greenlets: Stage, pair: Any) -> None:
    from netpoll import green

    a, b = pair
    victim = green.spawn(a.recv, 1)
    waiting = green.spawn(a.recv, 1)
    green.sleep(0.01)
    victim.kill()
    victim.join()
    b.send(b"x")
    assert waiting.get() == b"x"


def test_who_comes_after_a_killed_reader_need_not_wait_for_its_token(
    greenlets: Stage, pair: Any
) -> None:
    """The reader is killed while another thread wakes it, and its hub does not come to look."""
    from netpoll import green

    a, b = pair
    victim = green.spawn(a.recv, 1)
    green.sleep(0.01)
    heir = greenlets.thread(green.run, a.recv, 1)
    greenlets.stays_blocked(heir, seconds=0.02)

    def wake_the_victim() -> None:
        waker = threading.Thread(target=a._fd.retry, args=(READ,))
        waker.start()
        waker.join()

    green.spawn(wake_the_victim)  # the hub looks at its poller before that
    victim.kill()
    green.spawn(time.sleep, 0.05)  # and after this
    greenlets.stays_blocked(heir, seconds=0.02)
    assert victim.dead
    b.send(b"x")
    assert heir.result() == b"x"


# --- fork, signals, bad use -----------------------------------------------------------------------


@needs_fork
@pytest.mark.rule(14)
def test_a_forked_child_waits_and_wakes_for_itself(pair: Any) -> None:
    a, b = pair
    a.settimeout(0.01)
    with pytest.raises(TimeoutError):
        a.recv(1)  # the thread has what it needs for waiting now, and the child inherits it
    a.settimeout(LONG)
    reader = threading.Thread(target=b.recv, args=(100,))
    reader.start()
    until(reader.is_alive, "the parent's reader runs")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            c, d = socket.socketpair()
            threading.Timer(0.02, d.send, [b"x"]).start()
            code = 0 if c.recv(1) == b"x" else 2
            timer = threading.Timer(0.02, c.close)
            timer.start()
            try:
                c.recv(1)
                code = 3
            except ClosedError:
                pass
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    a.send(b"done")
    reader.join(LONG)
    assert not reader.is_alive()


@needs_fork
@pytest.mark.rule(14)
@pytest.mark.parametrize("others", [1, 3], ids=["inside", "and queue"])
def test_what_threads_of_the_parent_have_locked_is_free_in_a_child(pair: Any, others: int) -> None:
    a, b = pair
    readers = [threading.Thread(target=a.recv, args=(1,)) for _ in range(others)]
    for reader in readers:
        reader.start()
    time.sleep(0.05)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            a.settimeout(0)
            try:
                a.recv(1)  # it is nobody's turn, so this asks the kernel
            except BlockingIOError:
                a.settimeout(LONG)
                a.set_read_deadline(0.01)
                try:
                    a.recv(1)
                except DeadlineExceeded:  # and this waits for it
                    number = a.fileno()
                    a.close()
                    try:
                        os.fstat(number)
                    except OSError:  # nobody was inside any more
                        code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    b.send(bytes(others))
    for reader in readers:
        reader.join(LONG)
        assert not reader.is_alive()


def test_wrong_arguments_are_refused(pair: Any) -> None:
    a, _ = pair
    for call in (
        lambda: a.recv(-1),
        lambda: a.recv_into(bytearray(2), 3),
        lambda: a.recv_into(bytearray(2), -1),
    ):
        with pytest.raises(ValueError):
            call()
    for call in (
        a.recv,
        lambda: a.recv("1"),
        lambda: a.recv_into(b"constant"),
        lambda: a.send("text"),
        lambda: a.sendall(None),
        lambda: a.send(b"", "flags"),
    ):
        with pytest.raises((TypeError, BufferError)):
            call()
    with pytest.raises(AttributeError if _engine.PURE else RuntimeError):
        socket.socket.__new__(socket.socket).recv(1)


def test_buffers_of_every_kind_are_sent_and_filled(pair: Any) -> None:
    a, b = pair
    kinds: list[Any] = [b"1", bytearray(b"2"), memoryview(b"345")[1:2], array.array("b", [53])]
    for data in kinds:
        assert a.send(data) == 1
        a.sendall(data)
    assert b.recv(100) == b"11224455"
    buffer = array.array("i", [0, 0])
    a.send(b"12345678")
    assert b.recv_into(buffer) == 8 and buffer.tobytes() == b"12345678"
    with pytest.raises(ValueError):
        b.recv_into(memoryview(bytearray(10)), 11)


def test_a_buffer_in_use_cannot_be_resized(stage: Stage, pair: Any) -> None:
    a, b = pair
    buffer = bytearray(10)
    reader = stage.spawn(a.recv_into, buffer)
    stage.stays_blocked(reader, seconds=0.01)
    with pytest.raises(BufferError):
        buffer.clear()
    b.send(b"0123456789")
    assert reader.result() == 10 and buffer == b"0123456789"
    buffer.clear()


def test_an_own_registration_of_a_poller_is_left_alone(poller: Poller) -> None:
    """A poller that has the number too is told of nothing else than the file."""
    a, b = socket.socketpair()
    with a, b, poller.open(a) as desc:
        b.send(b"x")
        desc.wait(READ)
        assert a.recv(1) == b"x"


def test_names_of_the_standard_module_are_here() -> None:
    for name in standard.__all__:
        assert hasattr(socket, name), name
    assert issubclass(socket.socket, standard.socket)
    assert socket.AF_INET is standard.AF_INET


@pytest.mark.skipif(sys.platform != "linux", reason="a fact about the Linux kernel")
def test_flow_information_goes_and_comes_as_with_the_standard_class() -> None:
    """In network order on the wire: what the receiver is told, and what an error brings back."""
    flowinfo, flowinfo_send, recverr = 11, 33, 25
    level = standard.IPPROTO_IPV6
    try:
        receiver = standard.socket(standard.AF_INET6, standard.SOCK_DGRAM)
        receiver.bind(("::1", 0))
    except OSError:
        pytest.skip("there is no IPv6")
    with receiver, socket.socket(standard.AF_INET6, standard.SOCK_DGRAM) as sender:
        port = receiver.getsockname()[1]
        receiver.setsockopt(level, flowinfo, 1)
        sender.setsockopt(level, flowinfo_send, 1)
        sender.setsockopt(level, recverr, 1)
        receiver.settimeout(10)
        assert sender.sendto(b"x", ("::1", port, 0x12345, 0)) == 1
        assert receiver.recvmsg(1, 100)[1] == [(level, flowinfo, b"\0\x01\x23\x45")]
        receiver.close()
        sender.sendto(b"y", ("::1", port, 0x12345, 0))
        queue = select.poll()
        queue.register(sender, 0)
        assert queue.poll(10_000)
        error = sender.recvfrom(100, standard.MSG_ERRQUEUE)
        assert error == (b"y", ("::1", port, 0x12345, 0))
