"""The GIL is given back where a call may block, and nowhere else."""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from netpoll import READ, WRITE, DeadlineExceeded, PollDesc, _engine
from netpoll import socket as netpoll_socket
from support import LONG, WINDOWS, WINE, Sockets, Stage

pytestmark = pytest.mark.rule(16)


@pytest.fixture(scope="module")
def crowd() -> Iterator[list[socket.socket]]:
    """Made while nobody computes: on Windows a pair is a connection, which takes several calls."""
    sockets = Sockets()
    yield [sockets.pair()[0] for _ in range(200)]
    sockets.close()


@pytest.fixture
def cpu_bound() -> Iterator[None]:
    """A thread that computes: whoever lets go of the GIL waits 50 ms to get it back."""
    stop = False

    def compute() -> None:
        while not stop:
            sum(range(100))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.05)
    thread = threading.Thread(target=compute)
    thread.start()
    yield
    stop = True
    thread.join(LONG)
    sys.setswitchinterval(interval)


def _wait_expired(desc: PollDesc) -> None:
    desc.set_deadline(-1)
    with pytest.raises(DeadlineExceeded):
        desc.wait(READ)


QUICK: dict[str, Callable[[PollDesc], object]] = {
    "reset": lambda desc: desc.reset(READ),
    "wait when ready": lambda desc: desc.wait(WRITE),
    "wait when expired": _wait_expired,
    "set_deadline": lambda desc: desc.set_deadline(100),
    "deadline": lambda desc: desc.deadline(READ),
    "park and cancel": lambda desc: (desc.park(READ, "token"), desc.cancel(READ)),
    "attributes": lambda desc: (
        desc.fd,
        desc.fileno(),
        desc.closed,
        desc.poller,
        desc.poller.backend,
    ),
    "repr": repr,
    "park and resume": lambda desc: (desc.park(READ, "token"), desc.resume(READ)),
    "unblock": PollDesc.unblock,
    "close": PollDesc.close,
    "open": lambda desc: (desc.close(), desc.poller.open(desc.fd).close()),
    "wake": lambda desc: desc.poller.wake(),
    "poll(0)": lambda desc: desc.poller.poll(0),
    "stats": lambda desc: desc.poller.stats(),
    "next_deadline": lambda desc: desc.poller.next_deadline(),
    "is_poll_descriptor": lambda desc: desc.poller.is_poll_descriptor(0),
}


@pytest.mark.skipif(
    platform.python_implementation() != "CPython", reason="PyPy's cffi always lets go"
)
@pytest.mark.parametrize("call", QUICK)
def test_a_call_that_cannot_block_keeps_it(
    threads: Stage, crowd: list[socket.socket], cpu_bound: None, call: str
) -> None:
    """200 calls that each gave it back would take 10 s beside a thread that computes."""
    if call == "wait when ready" and not threads.edge_triggered:
        pytest.skip("the backend remembers no edges: every wait asks the kernel")
    descs = [threads.open(sock) for sock in crowd]
    for _ in range(10):  # collect the edges of all
        threads.poller.poll(0)
    start = time.monotonic()
    for desc in descs:
        QUICK[call](desc)
    assert time.monotonic() - start < 4


#: Reads of so much let go of it around the system call, and are back before anybody has seen that.
large_read = pytest.mark.skipif(
    WINE, reason="Wine's recv is slow enough for somebody else to take the GIL"
)


@pytest.mark.skipif(_engine.PURE, reason="the standard class's methods let go")
@pytest.mark.parametrize(
    "operation",
    [
        pytest.param(lambda a, b: (b.send(b"x"), a.recv(10)), id="recv"),
        pytest.param(
            lambda a, b: (b.send(b"x"), a.recv(1 << 20)),
            id="recv, with room for much",
            marks=large_read,
        ),
        pytest.param(
            lambda a, b: (b.send(b"x"), a.recv_into(bytearray(1 << 20))),
            id="recv_into, with room for much",
            marks=large_read,
        ),
        pytest.param(lambda a, b: (b.sendall(b"xyz"), a.recv(10)), id="sendall"),
        pytest.param(lambda a, b: a.set_deadline(100), id="set_deadline"),
    ],
)
def test_an_operation_of_a_socket_that_need_not_wait_keeps_it(
    cpu_bound: None, operation: Callable[[Any, Any], object]
) -> None:
    """Beside a thread that computes, that is: it is found out at the price of a few turns."""
    a, b = netpoll_socket.socketpair()
    with a, b:
        b.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        b.settimeout(LONG)
        start = time.monotonic()
        for _ in range(200):
            operation(a, b)
        assert time.monotonic() - start < 4


PEEK = socket.MSG_PEEK
LARGE = 256 * 1024  # as in python/ext/socket_ops.h
keeps_it = pytest.mark.skipif(
    _engine.PURE, reason="the standard class's methods let go, whatever the size"
)


@pytest.fixture
def patience() -> Iterator[None]:
    """Who wants the GIL asks nobody for it: it has to be given back."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    yield
    sys.setswitchinterval(interval)


def somebody_ran(call: Callable[[], object], limit: float) -> bool:
    """Did a thread that wants the GIL get it while this one made nothing but the call?"""
    gate = threading.Lock()
    gate.acquire()
    ran: list[None] = []

    def want() -> None:
        with gate:
            ran.append(None)

    thread = threading.Thread(target=want)
    thread.start()
    end = time.monotonic() + limit
    gate.release()  # from here on it wants the GIL, and this thread has it
    while not ran and time.monotonic() < end:
        call()
    result = bool(ran)
    thread.join(LONG)
    return result


PEEKS: dict[str, Callable[[Any, int], object]] = {  # which leave the data for the next one
    "recv": lambda sock, size: sock.recv(size, PEEK),
    "recv_into": lambda sock, size: sock.recv_into(bytearray(size), 0, PEEK),
    "recvfrom": lambda sock, size: sock.recvfrom(size, PEEK),
    "recvfrom_into": lambda sock, size: sock.recvfrom_into(bytearray(size), 0, PEEK),
}

has_one = [
    pytest.mark.skipif(
        platform.python_implementation() != "CPython", reason="PyPy counts bytecodes"
    ),
    pytest.mark.skipif(
        bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="there may be no GIL to give back"
    ),
]


@pytest.mark.parametrize("call", [pytest.param(name, marks=has_one) for name in PEEKS])
@pytest.mark.parametrize(
    ("size", "gives_back"),
    [
        pytest.param(16, False, marks=keeps_it),
        pytest.param(LARGE - 1, False, marks=keeps_it),
        (LARGE, True),
        (1 << 20, True),
    ],
)
def test_a_receive_gives_it_back_for_a_large_copy_only(
    patience: None, stage: Stage, size: int, gives_back: bool, call: str
) -> None:
    if WINDOWS and "from" in call:
        pytest.skip("on Windows the standard class's method does it, and lets go")
    a, b = netpoll_socket.socketpair()
    with a, b:
        b.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        b.setblocking(False)
        assert b.send(bytes(1 << 20)) > 16
        look = partial(PEEKS[call], a, size)
        assert somebody_ran(look, LONG if gives_back else 0.3) == gives_back


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the standard class may accept")
@pytest.mark.skipif(_engine.PURE, reason="the standard class accepts")
def test_an_accepted_socket_does_not_block_and_need_not_be_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To tell it gives the GIL back, and for so little nobody would see that."""
    told: list[object] = []
    monkeypatch.setattr(socket.socket, "setblocking", lambda *args: told.append(args))
    with netpoll_socket.create_server(("127.0.0.1", 0)) as listener:
        told.clear()
        with socket.create_connection(listener.getsockname(), timeout=LONG):
            accepted, _ = listener.accept()
            with accepted:
                assert not os.get_blocking(accepted.fileno())
                assert socket.socket.gettimeout(accepted) == 0
    assert told == []


@pytest.mark.skipif(WINDOWS, reason="the standard class's methods do it, and let go")
@pytest.mark.parametrize(
    "family",
    [pytest.param(name, marks=[*has_one, keeps_it]) for name in ("AF_INET", "AF_INET6", "AF_UNIX")],
)
def test_a_receive_with_an_address_keeps_it(patience: None, family: str, tmp_path: Path) -> None:
    names = {"AF_INET": ("127.0.0.1", 0), "AF_INET6": ("::1", 0), "AF_UNIX": str(tmp_path / "x")}
    with netpoll_socket.socket(getattr(socket, family), socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(names[family])
        except OSError as error:
            pytest.skip(f"no {family} here: {error}")
        address, buffer = sock.getsockname(), bytearray(10)
        sock.sendto(b"x", address)

        def look() -> None:
            assert sock.recvfrom(10, PEEK) == (b"x", address)
            assert sock.recvfrom_into(buffer, 0, PEEK) == (1, address)

        assert not somebody_ran(look, 0.3)


@pytest.mark.skipif(WINDOWS, reason="the standard class's sendto lets go")
@pytest.mark.parametrize(
    ("size", "gives_back"),
    [pytest.param(16, False, marks=[*has_one, keeps_it]), pytest.param(LARGE, True, marks=has_one)],
)
def test_a_greenlets_sendto_gives_it_back_for_a_large_copy_only(
    patience: None, greenlets: Stage, size: int, gives_back: bool
) -> None:
    """What has no room in the receiver's buffer is dropped, and what is too long is refused."""
    with netpoll_socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        address, data = sock.getsockname(), bytes(size)

        def send() -> None:
            with contextlib.suppress(OSError):
                sock.sendto(data, address)

        assert somebody_ran(send, LONG if gives_back else 0.3) == gives_back


@pytest.mark.parametrize("call", ["wait", "wait_canceled", "poll(None)", "poll(seconds)"])
def test_a_call_that_blocks_gives_it_back(threads: Stage, sockets: Sockets, call: str) -> None:
    poller, desc = threads.poller, threads.open(sockets.pair()[0])
    blocking: dict[str, Callable[[], object]] = {
        "wait": lambda: desc.wait(READ),
        "wait_canceled": lambda: desc.wait_canceled(READ),
        "poll(None)": lambda: poller.poll(None),
        "poll(seconds)": lambda: poller.poll(LONG),
    }
    task = threads.spawn(blocking[call])
    threads.sleep(0.05)
    start, count = time.monotonic(), 0
    while time.monotonic() - start < 0.1:  # this thread computes while that one blocks
        count += 1
    assert count > 100 and not task.done
    poller.wake()
    desc.close()
    task.join(LONG)
    assert task.done


def test_a_waiting_thread_takes_no_processor_time(threads: Stage, sockets: Sockets) -> None:
    desc = threads.open(sockets.pair()[0])
    desc.set_deadline(0.5)
    waiters = [threads.spawn(desc.wait, mode) for mode in (READ,)]
    polling = threads.spawn(threads.poller.poll, 0.5)
    start = time.process_time()
    time.sleep(0.3)
    used = time.process_time() - start
    assert used < 0.2, f"{used} s of processor time in 0.3 s of waiting"
    waiters[0].raises(DeadlineExceeded)
    polling.result()


def test_a_hub_that_waits_takes_no_processor_time(greenlets: Stage, sockets: Sockets) -> None:
    for _ in range(5):
        greenlets.spawn(greenlets.open(sockets.pair()[0]).wait, READ)
        greenlets.spawn(greenlets.open(sockets.pair()[0], greenlets.new_poller()).wait, READ)
    greenlets.sleep(0.01)
    start = time.process_time()
    greenlets.sleep(0.3)
    used = time.process_time() - start
    assert used < 0.2, f"{used} s of processor time in 0.3 s of waiting"
