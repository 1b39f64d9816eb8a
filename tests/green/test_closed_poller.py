"""A hub whose poller was closed: whatever its greenlets do next works, on another one."""

from __future__ import annotations

import socket as standard
import threading
from collections.abc import Callable, Iterator
from typing import Any

import netpoll
import pytest
from netpoll import READ, DeadlineExceeded, socket
from support import LONG, Stage

pytest.importorskip("greenlet")

from netpoll import green

pytestmark = pytest.mark.rule(8)


@pytest.fixture
def pair() -> Iterator[tuple[Any, Any]]:
    a, b = socket.socketpair()
    with a, b:
        yield a, b


def _open_and_wait(pair: Any) -> None:
    with netpoll.open(pair[0]) as desc:
        desc.set_deadline(0.001)
        with pytest.raises(DeadlineExceeded):
            desc.wait(READ)


def _wait_elsewhere(pair: Any) -> None:
    with netpoll.default_poller().open(pair[0]) as desc:
        desc.set_deadline(0.001)
        with pytest.raises(DeadlineExceeded):
            desc.wait(READ)


def _receive(pair: Any) -> None:
    green.spawn(pair[1].send, b"x")
    assert pair[0].recv(1) == b"x"


def _time_out(pair: Any) -> None:
    pair[0].settimeout(0.001)
    with pytest.raises(TimeoutError):
        pair[0].recv(1)


def _send_much(pair: Any) -> None:
    size = 3_000_000
    reader = green.spawn(_read_all, pair[1], size)
    pair[0].sendall(bytes(size))
    assert reader.get() == size


def _read_all(sock: Any, size: int) -> int:
    got = 0
    while got < size:
        got += len(sock.recv(1 << 20))
    return got


def _connect_and_accept(pair: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = green.spawn(listener.accept)
        with socket.create_connection(listener.getsockname()), accepting.get()[0]:
            pass


def _acquire(pair: Any) -> None:
    assert not netpoll.Sema(0).acquire(0.001)


def _sleep_and_join(pair: Any) -> None:
    green.sleep(0.001)
    green.spawn(green.sleep, 0.001).join()


def _kill(pair: Any) -> None:
    victim = green.spawn(pair[0].recv, 1)
    green.sleep(0)
    victim.kill()
    victim.join(LONG)
    assert victim.dead


@pytest.mark.parametrize("by", ["itself", "another thread"])
@pytest.mark.parametrize(
    "use",
    [
        _open_and_wait,
        _wait_elsewhere,
        _receive,
        _time_out,
        _send_much,
        _connect_and_accept,
        _acquire,
        _sleep_and_join,
        _kill,
    ],
)
def test_what_comes_next_works(
    greenlets: Stage, pair: Any, use: Callable[[Any], None], by: str
) -> None:
    for _ in range(2):
        poller = green.get_hub().poller
        if by == "itself":
            poller.close()
        else:
            thread = threading.Thread(target=poller.close)
            thread.start()
            thread.join()
        use(pair)
        for sock in pair:
            sock.settimeout(None)


def test_operations_that_wait_as_it_is_closed_go_on(greenlets: Stage, pair: Any) -> None:
    reader = greenlets.spawn(pair[0].recv, 1)
    greenlets.stays_blocked(reader)
    green.get_hub().poller.close()
    greenlets.stays_blocked(reader)
    with standard.socket(fileno=pair[1].detach()) as plain:
        plain.send(b"x")
        assert reader.result() == b"x"
