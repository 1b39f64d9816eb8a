"""The scenarios of Go's net/net_test.go about closing, for the kinds of sockets that it tests."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import pytest
from go_conn import Conn, Listener
from netpoll import READ, ClosedError
from support import (
    LONG,
    PAUSE,
    WINDOWS,
    WINE,
    Sockets,
    Stage,
    needs_fifo,
    needs_linux,
    needs_unix_sockets,
    not_on_libkqueue,
)

pytestmark = pytest.mark.rule(8)

STREAMS = [
    "tcp",
    pytest.param("unix", marks=needs_unix_sockets),
    pytest.param("unixpacket", marks=needs_unix_sockets),
]


@pytest.fixture(params=STREAMS)
def network(request: pytest.FixtureRequest) -> str:
    if request.param == "unixpacket" and not hasattr(socket, "SOCK_SEQPACKET"):
        pytest.skip("the system has no sequenced packets")
    return str(request.param)


def _listen(sockets: Sockets, network: str, folder: Path) -> socket.socket:
    if network == "tcp":
        return sockets.listener()
    kind = socket.SOCK_STREAM if network == "unix" else socket.SOCK_SEQPACKET
    listener = sockets.keep(socket.socket(socket.AF_UNIX, kind))
    listener.bind(str(folder / "socket"))
    listener.listen()
    return listener


def connect(stage: Stage, sockets: Sockets, network: str, folder: Path) -> tuple[Conn, Conn]:
    """(client, server)"""
    listener = Listener(stage, _listen(sockets, network, folder))
    client = sockets.keep(socket.socket(listener.file.family, listener.file.type))
    client.setblocking(True)
    client.settimeout(LONG)
    client.connect(listener.file.getsockname())
    client.setblocking(False)
    server = stage.spawn(listener.accept).result()
    sockets.keep(server.file)
    listener.close()
    return Conn(stage, client), server


@pytest.mark.skipif(WINDOWS, reason="one's own shutdown wakes nobody on Windows")
def test_close_read(stage: Stage, sockets: Sockets, network: str, tmp_path: Path) -> None:
    """The end that shut its reading down reads the end of the stream, parked or not."""
    client, _ = connect(stage, sockets, network, tmp_path)
    reading = stage.spawn(client.read)
    stage.stays_blocked(reading, seconds=0.01)
    client.file.shutdown(socket.SHUT_RD)
    assert reading.result() == b""
    assert stage.spawn(client.read).result() == b""


def test_close_write(stage: Stage, sockets: Sockets, network: str, tmp_path: Path) -> None:
    client, server = connect(stage, sockets, network, tmp_path)

    def serve() -> None:
        assert server.read() == b""
        server.file.shutdown(socket.SHUT_WR)
        with pytest.raises(BrokenPipeError):
            server.write(b"x")

    serving = stage.spawn(serve)
    client.file.shutdown(socket.SHUT_WR)
    assert stage.spawn(client.read).result() == b""
    with pytest.raises(BrokenPipeError):
        client.write(b"x")
    serving.result()


def test_conn_close(stage: Stage, sockets: Sockets, network: str, tmp_path: Path) -> None:
    client, _ = connect(stage, sockets, network, tmp_path)
    client.close()
    stage.spawn(client.read).raises(ClosedError)
    stage.spawn(client.write, b"x").raises(ClosedError)
    client.close()


def test_listener_close(stage: Stage, sockets: Sockets, network: str, tmp_path: Path) -> None:
    listener = Listener(stage, _listen(sockets, network, tmp_path))
    accepting = stage.spawn(listener.accept)
    stage.stays_blocked(accepting, seconds=0.01)
    listener.close()
    accepting.raises(ClosedError)
    stage.spawn(listener.accept).raises(ClosedError)


@pytest.mark.parametrize("family", ["udp", pytest.param("unixgram", marks=needs_unix_sockets)])
def test_packet_conn_close(stage: Stage, sockets: Sockets, family: str, tmp_path: Path) -> None:
    if family == "udp":
        sock = sockets.udp()
    else:
        sock = sockets.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        sock.bind(str(tmp_path / "socket"))
    conn = Conn(stage, sock)
    conn.close()
    stage.spawn(conn.recv_from).raises(ClosedError)


@needs_linux
def test_accept_ignores_a_connection_that_was_aborted(stage: Stage, sockets: Sockets) -> None:
    """Its peer is gone before the accept: the listener serves the next one all the same."""
    listener = Listener(stage, sockets.listener())
    for _ in range(3):
        _reset(sockets.keep(socket.create_connection(listener.file.getsockname(), timeout=LONG)))
    good = sockets.keep(socket.create_connection(listener.file.getsockname(), timeout=LONG))
    while True:
        conn = stage.spawn(listener.accept).result()
        sockets.keep(conn.file)
        try:
            if conn.file.getpeername() == good.getsockname():
                break
        except OSError:  # one of the aborted, which Linux still hands out
            pass
        conn.close()


def _reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_zero_byte_read(stage: Stage, sockets: Sockets, network: str, tmp_path: Path) -> None:
    """A read of nothing on a stream asks the kernel and does not wait."""
    if network == "unixpacket":
        pytest.skip("a read of nothing waits for a packet there")
    client, server = connect(stage, sockets, network, tmp_path)
    if network == "unix":
        server.write(b"x")  # Linux blocks even such a read while there is nothing
    assert stage.spawn(client.read, 0).result() == b""


def test_close_unblocks_read(stage: Stage, sockets: Sockets, network: str, tmp_path: Path) -> None:
    client, server = connect(stage, sockets, network, tmp_path)
    reading = stage.spawn(client.read)
    stage.stays_blocked(reading, seconds=0.02)
    server.close()
    assert reading.result() == b""


def test_close_of_ones_own_end_unblocks_read(
    stage: Stage, sockets: Sockets, network: str, tmp_path: Path
) -> None:
    client, _ = connect(stage, sockets, network, tmp_path)
    reading = stage.spawn(client.read)
    stage.stays_blocked(reading, seconds=0.02)
    client.close()
    reading.raises(ClosedError)


def test_close_unblocks_read_udp(stage: Stage, sockets: Sockets) -> None:
    conn = Conn(stage, sockets.udp())
    reading = stage.spawn(conn.recv_from)
    stage.stays_blocked(reading, seconds=PAUSE)
    conn.close()
    reading.raises(ClosedError)


@not_on_libkqueue("takes the socket error for itself")
@pytest.mark.skipif(WINE, reason="Wine's polls use the error up")
def test_a_reset_connection_is_not_a_temporary_error(
    stage: Stage, sockets: Sockets, tmp_path: Path
) -> None:
    """(NotTemporaryRead)  The reader is woken and meets ECONNRESET in its read, each time once."""
    client, server = connect(stage, sockets, "tcp", tmp_path)
    reading = stage.spawn(client.read)
    stage.stays_blocked(reading, seconds=0.01)
    server.desc.close()
    _reset(server.file)
    with pytest.raises(ConnectionResetError):
        reading.result()


@needs_fifo
def test_close_of_the_writers_ends_a_fifo(stage: Stage, tmp_path: Path) -> None:
    """(os/fifo_test.go)  The reader reads the end of the file when the last writer left."""
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    r = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    w = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    try:
        conn = stage.open(r)
        waiting = stage.spawn(conn.wait, READ)
        stage.stays_blocked(waiting, seconds=0.01)
        os.write(w, b"x")
        waiting.result()
        assert os.read(r, 10) == b"x"
        conn.reset(READ)
        waiting = stage.spawn(conn.wait, READ)
        stage.stays_blocked(waiting, seconds=0.01)
        os.close(w)
        w = -1
        waiting.result()
        assert os.read(r, 10) == b""
        conn.close()
    finally:
        os.close(r)
        if w >= 0:
            os.close(w)
