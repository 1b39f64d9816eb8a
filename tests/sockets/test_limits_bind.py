"""Limits bind on every path: also where the kernel says "ready" and the call keeps failing.

An unconnected UNIX socket of datagrams is writable whatever its receiver's queue holds, so a
`sendto` to one that is full fails, and poll(2) says at once that it may be tried again.
"""

from __future__ import annotations

import socket as std
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from netpoll import ClosedError, DeadlineExceeded, socket
from support import Stage, check_python

SHORT = 0.1  # seconds

pytestmark = [
    pytest.mark.rule(19),
    pytest.mark.skipif(not hasattr(std, "AF_UNIX"), reason="there are no UNIX sockets"),
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full receiver is ENOBUFS"),
]


@pytest.fixture
def full(tmp_path: Path) -> Iterator[str]:
    """The address of a receiver that does not read and whose queue is full."""
    address = str(tmp_path / "receiver")
    with std.socket(std.AF_UNIX, std.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        with std.socket(std.AF_UNIX, std.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    sender.sendto(b"x", address)
        yield address


def test_a_timeout_ends_it(stage: Stage, full: str) -> None:
    with socket.socket(std.AF_UNIX, std.SOCK_DGRAM) as sock:
        sock.settimeout(SHORT)
        with pytest.raises(TimeoutError, match="timed out"):
            stage.spawn(sock.sendto, b"x", full).result()


def test_a_deadline_ends_it_also_one_that_is_set_meanwhile(stage: Stage, full: str) -> None:
    with socket.socket(std.AF_UNIX, std.SOCK_DGRAM) as sock:
        task = stage.spawn(sock.sendto, b"x", full)
        stage.sleep(SHORT)
        sock.set_write_deadline(SHORT)
        with pytest.raises(DeadlineExceeded):
            task.result()


def test_a_close_ends_it(stage: Stage, full: str) -> None:
    with socket.socket(std.AF_UNIX, std.SOCK_DGRAM) as sock:
        task = stage.spawn(sock.sendto, b"x", full)
        stage.sleep(SHORT)
        sock.close()
        with pytest.raises(ClosedError):
            task.result()


def test_the_others_run_meanwhile(stage: Stage, full: str) -> None:
    with socket.socket(std.AF_UNIX, std.SOCK_DGRAM) as sock:
        sock.settimeout(10 * SHORT)
        task = stage.spawn(sock.sendto, b"x", full)
        for _ in range(5):
            stage.sleep(SHORT / 10)
        assert not task.done
        with pytest.raises(TimeoutError):
            task.result()


@pytest.mark.parametrize("call", ["sock.sendto(b'x', full)", "green.run(sock.sendto, b'x', full)"])
def test_a_signal_handler_that_raises_ends_it(full: str, call: str) -> None:
    if "green" in call:
        pytest.importorskip("greenlet")
    out = check_python(f"""
        import signal
        from netpoll import socket
        if "green" in {call!r}:
            from netpoll import green
        def handler(*unused):
            raise KeyError("handled")
        full = {full!r}
        signal.signal(signal.SIGALRM, handler)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            for _ in range(20):  # at whatever point of its round the loop is
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.03)
                    {call}
                except KeyError as error:
                    print(error)
    """)
    assert out == 20 * "'handled'\n"
