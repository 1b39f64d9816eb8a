"""Events of an error and nothing else: who is told, what clears it, what goes on afterwards.

A pipe without readers is at its end.  A socket's error is not: it comes out of a read or write, or
lies in a queue of its own.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from pathlib import Path

import pytest
from netpoll import READ, WRITE, DeadlineExceeded, NotPollableError, PollDesc
from support import Sockets, Stage, fill, needs_linux, no_error_events, read_some, take_tokens

pytestmark = [needs_linux, pytest.mark.rule(7)]

IP_RECVERR = 11
SO_TIMESTAMPING, TX_SOFTWARE = 37, 2 | 16


def _nobodys_port() -> tuple[str, int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        address: tuple[str, int] = sock.getsockname()
        return address


def _connected(sockets: Sockets, address: tuple[str, int]) -> socket.socket:
    sock = sockets.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.connect(address)
    return sock


def _answer(sock: socket.socket) -> None:
    """Something arrives where nothing listened."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(sock.getpeername())
        server.sendto(b"data", sock.getsockname())


def test_an_icmp_error_comes_out_of_the_read_and_the_next_one_works(
    stage: Stage, sockets: Sockets
) -> None:
    sock = _connected(sockets, _nobodys_port())
    desc = stage.open(sock)
    for _ in range(3):
        reader = stage.spawn(read_some, desc)
        stage.until_parked(readers=1)
        sock.send(b"x")
        reader.raises(ConnectionRefusedError)
        desc.reset(READ)
        reader = stage.spawn(read_some, desc)
        stage.until_parked(readers=1)
        _answer(sock)
        assert reader.result() == b"data"


def test_an_error_that_comes_while_nothing_waits(stage: Stage, sockets: Sockets) -> None:
    sock = _connected(sockets, _nobodys_port())
    desc = stage.open(sock)
    sock.send(b"x")
    stage.settle()
    stage.spawn(desc.wait, READ).result()
    desc.reset(READ)
    with pytest.raises(ConnectionRefusedError):
        sock.recv(1)
    desc.set_deadline(0.02)
    stage.spawn(read_some, desc).raises(DeadlineExceeded)


def test_an_error_in_a_queue_that_nobody_reads_does_not_end_reading(
    stage: Stage, sockets: Sockets
) -> None:
    """It stays an error event on `poll`, for ever; limits bind all the same."""
    sock = _connected(sockets, _nobodys_port())
    sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    desc = stage.open(sock)
    sock.send(b"x")
    stage.spawn(read_some, desc).raises(ConnectionRefusedError)
    desc.set_deadline(0.02)
    stage.spawn(read_some, desc).raises(DeadlineExceeded)
    desc.set_deadline(None)
    _answer(sock)
    assert stage.spawn(read_some, desc).result() == b"data"
    assert sock.recvmsg(1, 1000, socket.MSG_ERRQUEUE)[0] == b"x"


def test_a_timestamp_beside_a_full_buffer_is_an_error_alone_and_no_end(
    stage: Stage, sockets: Sockets
) -> None:
    a, b = sockets.tcp()
    a.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, struct.pack("i", TX_SOFTWARE))
    fill(a.fileno())
    queue = select.poll()
    queue.register(a, select.POLLIN | select.POLLOUT)
    assert queue.poll(10_000) == [(a.fileno(), select.POLLERR)]
    desc = stage.open(a)
    stage.settle()
    desc.reset(READ)
    desc.set_deadline(0.02)
    stage.spawn(read_some, desc).raises(DeadlineExceeded)
    desc.set_deadline(None)
    b.send(b"x")
    assert stage.spawn(read_some, desc).result() == b"x"


def _pipe_without_readers(sockets: Sockets, path: Path) -> int:
    os.mkfifo(path)
    r = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    w = sockets.keep_fd(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    fill(w)
    os.close(r)
    return w


def _is_broken(stage: Stage, desc: PollDesc) -> None:
    with pytest.raises(NotPollableError):
        while True:
            stage.spawn(desc.wait, READ).result()


@no_error_events
def test_a_pipe_that_has_readers_again_is_pollable_again(
    stage: Stage, sockets: Sockets, tmp_path: Path
) -> None:
    """Whether an event tells so or not."""
    path = tmp_path / "fifo"
    desc = stage.open(_pipe_without_readers(sockets, path))
    for _ in range(2):
        _is_broken(stage, desc)
        with pytest.raises(NotPollableError):
            desc.reset(READ)
        r = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        desc.reset(READ)
        assert desc.park(READ, "token")  # it is no error, and nothing to read either
        assert desc.cancel(READ)
        os.close(r)
        stage.settle()


@no_error_events
def test_a_token_is_told_of_an_error_too(threads: Stage, sockets: Sockets, tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    r = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    w = sockets.keep_fd(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    fill(w)
    desc = threads.open(w)
    assert desc.park(READ, "reader") and desc.park(WRITE, "writer")
    os.close(r)
    assert set(take_tokens(threads.poller, 2)) == {"reader", "writer"}
    assert desc.resume(WRITE) and desc.resume(READ)
    with pytest.raises(NotPollableError):
        desc.park(READ, "reader")
    desc.reset(WRITE)
