"""The scenarios of Go's net/timeout_test.go, on real TCP and UDP sockets of the loopback."""

from __future__ import annotations

import errno
import math
import random
import socket
import time
from collections.abc import Callable

import pytest
from go_conn import Conn, Listener, dial
from netpoll import ClosedError, DeadlineExceeded
from support import LONG, PAUSE, Sockets, Stage, needs_linux, never_early, not_on_libkqueue

pytestmark = pytest.mark.rule(3)

#: Go's SetDeadline(time.Now().Add(-5s)).
PAST = -5.0

#: Go doubles a timeout that this machine could not keep, up to four seconds.
FIRST_TIMEOUT, LAST_TIMEOUT = 0.001, 4.0


def pair(stage: Stage, sockets: Sockets) -> tuple[Conn, Conn]:
    client, server = sockets.tcp()
    return Conn(stage, client), Conn(stage, server)


# --- dial -----------------------------------------------------------------------------------------


@needs_linux
@pytest.mark.parametrize("timeout", [PAST, -math.inf, 0, 0.001, 0.05])
def test_dial_timeout(stage: Stage, sockets: Sockets, timeout: float) -> None:
    """A listener whose queue is full answers no one: the connection stays on its way."""
    listener = sockets.listener(backlog=0)
    address = listener.getsockname()
    for _ in range(4):  # one more than the queue holds
        filler = sockets.keep(socket.socket())
        filler.connect_ex(address)
    with never_early(max(timeout, 0)):
        stage.spawn(dial, stage, address, timeout).raises(DeadlineExceeded)


@pytest.mark.parametrize("timeout", [math.inf, 2.0**63, None])
def test_dial_timeout_max_duration(stage: Stage, sockets: Sockets, timeout: float | None) -> None:
    stage.spawn(dial, stage, sockets.listener().getsockname(), timeout).result().close()


@not_on_libkqueue("takes the socket error for itself")
def test_dial_that_is_refused_says_so(stage: Stage, sockets: Sockets) -> None:
    """Not a time-out: EPOLLERR and EPOLLHUP wake the writer, who asks the socket."""
    listener = sockets.listener()
    address = listener.getsockname()
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        stage.spawn(dial, stage, address, LONG).result()


# --- accept ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [PAST, 0.01])
def test_accept_timeout(stage: Stage, sockets: Sockets, timeout: float) -> None:
    listener = Listener(stage, sockets.listener())
    if timeout < 0:  # then it expires even though somebody has connected
        sockets.keep(socket.create_connection(listener.file.getsockname(), timeout=LONG))
        stage.settle()
    with never_early(max(timeout, 0)):
        listener.set_deadline(timeout)
        stage.spawn(listener.accept).raises(DeadlineExceeded)


def test_accept_timeout_must_return(stage: Stage, sockets: Sockets) -> None:
    listener = Listener(stage, sockets.listener())
    listener.set_deadline(None)
    listener.set_deadline(0.01)
    stage.spawn(listener.accept).raises(DeadlineExceeded)


def test_accept_timeout_must_not_return(stage: Stage, sockets: Sockets) -> None:
    listener = Listener(stage, sockets.listener())
    listener.set_deadline(PAST)
    listener.set_deadline(None)
    accepting = stage.spawn(listener.accept)
    stage.stays_blocked(accepting, seconds=0.1)
    listener.close()
    accepting.raises(ClosedError)


# --- read -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [PAST, 0.05])
def test_read_timeout(stage: Stage, sockets: Sockets, timeout: float) -> None:
    """In the past it wins over the data; else the data is read first, then it expires, twice."""
    client, server = pair(stage, sockets)
    text = b"READ TIMEOUT TEST"
    server.write_all(text)
    stage.sleep(0.005)
    client.set_read_deadline(timeout)
    _read_until_expired(stage, client.read, timeout, len(text))


def _read_until_expired(
    stage: Stage, read: Callable[[], object], timeout: float, available: int
) -> None:
    for _ in range(2):
        done = 0
        while True:
            attempt = stage.spawn(read)
            try:
                attempt.result()
            except DeadlineExceeded:
                break
            done += 1
            assert timeout > 0 and done <= available
            stage.sleep(timeout / 3)


def test_read_timeout_must_not_return(stage: Stage, sockets: Sockets) -> None:
    client, _ = pair(stage, sockets)
    client.set_deadline(PAST)
    client.set_write_deadline(PAST)
    client.set_read_deadline(None)
    reading = stage.spawn(client.read)
    stage.stays_blocked(reading, seconds=0.1)
    client.close()
    reading.raises(ClosedError)


@pytest.mark.parametrize("timeout", [PAST, 0.05])
def test_read_from_timeout(stage: Stage, sockets: Sockets, timeout: float) -> None:
    receiver, sender = Conn(stage, sockets.udp()), Conn(stage, sockets.udp())
    sender.send_to(b"READFROM TIMEOUT TEST", receiver.file.getsockname())
    stage.sleep(0.005)
    receiver.set_read_deadline(timeout)
    _read_until_expired(stage, receiver.recv_from, timeout, 1)


# --- write ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [PAST, 0.01])
def test_write_timeout(stage: Stage, sockets: Sockets, timeout: float) -> None:
    """Expires although there is room in the buffer."""
    client, _ = pair(stage, sockets)
    client.set_write_deadline(timeout)
    _read_until_expired(stage, lambda: client.write(b"WRITE TIMEOUT TEST"), timeout, 100)


def test_write_timeout_must_not_return(stage: Stage, sockets: Sockets) -> None:
    client, _ = pair(stage, sockets)
    client.set_deadline(PAST)
    client.set_read_deadline(PAST)
    client.set_write_deadline(None)

    def write_for_ever() -> None:
        while True:
            client.write(b"w" * 1024)

    writing = stage.spawn(write_for_ever)
    stage.until_parked(writers=1)
    stage.stays_blocked(writing, seconds=0.1)
    client.close()
    writing.raises(ClosedError)


@pytest.mark.parametrize("timeout", [PAST, 0.01])
def test_write_to_timeout(stage: Stage, sockets: Sockets, timeout: float) -> None:
    sender, address = Conn(stage, sockets.udp()), sockets.udp().getsockname()
    sender.set_write_deadline(timeout)
    expired = 0
    limit = time.monotonic() + LONG
    while expired < 2:
        assert time.monotonic() < limit
        try:
            sender.send_to(b"WRITETO TIMEOUT TEST", address)
        except DeadlineExceeded:
            expired += 1
        except OSError as error:
            assert error.errno == errno.ENOBUFS
            stage.sleep(0.001)
        else:
            assert timeout > 0 and not expired
            stage.sleep(timeout / 3)


# --- how well they are kept -----------------------------------------------------------------------


def _fluctuation(set_deadline: Callable[[float], None], operate: Callable[[], object]) -> None:
    """Never early, and late by less than a tenth for some timeout of at most four seconds."""
    timeout = FIRST_TIMEOUT
    while True:
        start = time.monotonic()
        with never_early(timeout):
            set_deadline(timeout)
            with pytest.raises(DeadlineExceeded):
                while True:
                    operate()
        took = time.monotonic() - start
        if took <= timeout * 1.1:
            return
        assert took < LAST_TIMEOUT, f"{took} s for {timeout} s"
        timeout = min(took * 1.25, LAST_TIMEOUT)


def test_read_timeout_fluctuation(stage: Stage, sockets: Sockets) -> None:
    client, _ = pair(stage, sockets)
    stage.spawn(_fluctuation, client.set_read_deadline, client.read).result(30)


def test_read_from_timeout_fluctuation(stage: Stage, sockets: Sockets) -> None:
    receiver = Conn(stage, sockets.udp())
    stage.spawn(_fluctuation, receiver.set_read_deadline, receiver.recv_from).result(30)


def test_write_timeout_fluctuation(stage: Stage, sockets: Sockets) -> None:
    client, _ = pair(stage, sockets)
    operate = lambda: client.write(b"TIMEOUT TRANSMITTER" * 1000)  # noqa: E731
    stage.spawn(_fluctuation, client.set_write_deadline, operate).result(30)


@pytest.mark.rule(5)
@pytest.mark.parametrize(
    "timeout",
    [
        1e-9,
        2e-9,
        5e-9,
        5e-8,
        1e-7,
        2e-7,
        5e-7,
        7.5e-7,
        1e-6,
        5e-6,
        2.5e-5,
        2.5e-4,
        5e-4,
        1e-3,
        5e-3,
        0.1,
    ],
)
def test_various_deadlines(stage: Stage, sockets: Sockets, timeout: float) -> None:
    """A client that reads until it expires, while the server waits for it to leave."""
    client, server = pair(stage, sockets)
    serving = stage.spawn(server.read)
    for _ in range(3):
        with never_early(timeout):
            client.set_deadline(timeout)
            stage.spawn(client.read).raises(DeadlineExceeded)
    client.close()
    assert serving.result() == b""


# --- moved at the same time -----------------------------------------------------------------------


@pytest.mark.rule(4)
def test_read_write_prolonged_timeout(stage: Stage, sockets: Sockets) -> None:
    """Reader and writer each push their own deadline an hour away before each operation."""
    client, server = pair(stage, sockets)

    def read_on() -> None:
        while True:
            server.set_read_deadline(3600)
            if not server.read():
                return

    def write_on() -> None:
        while True:
            server.set_write_deadline(3600)
            server.write(b"w")
            stage.sleep(0)  # greenlets are not preempted

    def talk() -> None:
        for _ in range(1000):
            client.write(b"c")
            assert client.read() == b"w"

    reading, writing, talking = (stage.spawn(actor) for actor in (read_on, write_on, talk))
    talking.result(30)
    client.close()
    with pytest.raises((ConnectionError, ClosedError)):
        writing.result()
    server.desc.unblock()
    reading.join(LONG)
    assert reading.done


@pytest.mark.rule(4, 17)
def test_read_write_deadline_race(stage: Stage, sockets: Sockets) -> None:
    """Deadlines of two microseconds, set all the time, while others read and write."""
    client, server = pair(stage, sockets)
    end = time.monotonic() + 0.5

    def set_deadlines() -> None:
        while time.monotonic() < end:
            client.set_read_deadline(2e-6)
            client.set_write_deadline(2e-6)
            stage.sleep(2e-6)

    def attempt(operate: Callable[[], object]) -> int:
        count = 0
        while time.monotonic() < end:
            try:
                operate()
            except DeadlineExceeded:
                stage.sleep(0)
            count += 1
        return count

    setting = stage.spawn(set_deadlines)
    attempts = [stage.spawn(attempt, client.read), stage.spawn(attempt, lambda: client.write(b"w"))]
    setting.result()
    assert all(task.result() > 0 for task in attempts)
    client.set_deadline(None)
    server.write(b"x")
    assert stage.spawn(client.read).result() == b"x"


@pytest.mark.rule(4, 17)
def test_concurrent_set_deadline(stage: Stage, sockets: Sockets) -> None:
    """Eight movers on ten connections, each deadline earlier than the one before."""
    conns = [pair(stage, sockets)[0] for _ in range(10)]

    def move(i: int) -> None:
        for j in range(30, 0, -1):
            for k, conn in enumerate(conns):
                conn.set_read_deadline(7200 + i * j * k)
                conn.set_write_deadline(3600 + i * j * k)

    for mover in [stage.thread(move, i) for i in range(8)]:
        mover.result(30)
    left = stage.poller.next_deadline()
    assert left is not None and 3600 - LONG < left <= 3600
    for conn in conns:
        conn.set_deadline(None)
    assert stage.poller.next_deadline() is None


@pytest.mark.rule(4)
def test_read_timeout_unblocks_read(stage: Stage, sockets: Sockets) -> None:
    """(net_test.go)  A deadline in the past set from elsewhere ends a read that is blocked."""
    client, _ = pair(stage, sockets)
    reading = stage.spawn(client.read)
    stage.stays_blocked(reading, seconds=PAUSE)
    stage.thread(client.set_read_deadline, -123).result()
    reading.raises(DeadlineExceeded)


@pytest.mark.rule(5, 17)
def test_deadlines_of_many_connections_at_random(stage: Stage, sockets: Sockets) -> None:
    """Not in Go: what the tests above do one after another, on thirty connections at once."""
    chance = random.Random(30)

    def expire_often(conn: Conn, seed: int) -> None:
        mine = random.Random(seed)
        for _ in range(10):
            timeout = mine.uniform(0, 0.01)
            start = time.monotonic_ns()
            conn.set_read_deadline(timeout)
            with pytest.raises(DeadlineExceeded):
                conn.read()
            assert time.monotonic_ns() - start >= timeout * 1e9 - 2

    tasks = [stage.spawn(expire_often, pair(stage, sockets)[0], chance.random()) for _ in range(30)]
    for task in tasks:
        task.result(30)
