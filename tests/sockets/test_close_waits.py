"""`close` returns when the number is free: when the last operation that it has ended has left."""

from __future__ import annotations

import os
import socket as standard
import struct
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from netpoll import ClosedError, socket
from support import (
    Stage,
    ThreadTask,
    needs_fork,
    needs_greenlet,
    needs_sigint,
    needs_unix_sockets,
    python,
)

pytestmark = pytest.mark.rule(8)

TURNS = 20


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


@pytest.fixture
def pair() -> Iterator[Any]:
    a, b = socket.socketpair()
    with a, b:
        yield a, b


def test_the_address_of_a_listener_in_which_something_waits_is_free(stage: Stage) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    for _ in range(TURNS):
        waiters = [stage.spawn(listener.accept) for _ in range(2)]
        stage.settle()
        listener.close()
        listener = socket.socket()
        listener.bind(address)  # without SO_REUSEADDR
        listener.listen()
        for waiter in waiters:
            waiter.raises(ClosedError)
    listener.close()


@needs_unix_sockets
def test_the_peer_of_a_socket_in_which_something_waits_sees_its_end(stage: Stage) -> None:
    for _ in range(TURNS):
        a, b = socket.socketpair()
        reader = stage.spawn(a.recv, 1)
        stage.settle()
        a.close()
        assert b.recv(1) == b""
        b.close()
        reader.raises(ClosedError)


@pytest.mark.parametrize("there", ["here", "in another thread"])
def test_the_number_is_closed_under_readers_and_writers(
    stage: Stage, pair: Any, there: str
) -> None:
    a, _ = pair
    spawn = stage.spawn if there == "here" else stage.thread
    a.setblocking(True)
    waiters = [spawn(a.recv, 1), spawn(a.sendall, b"x" * 10_000_000), spawn(a.recv, 1)]
    stage.sleep(0.02)
    number = a.fileno()
    a.close()
    assert not _is_open(number)
    for waiter in waiters:
        waiter.raises(ClosedError)


def test_detach_gives_a_number_that_no_operation_has(stage: Stage, pair: Any) -> None:
    a, b = pair
    reader = stage.spawn(a.recv, 1)
    stage.settle()
    number = a.detach()
    with standard.socket(fileno=number) as plain:
        b.send(b"x")
        assert plain.recv(1) == b"x"  # the reader has not taken it
    reader.raises(ClosedError)


def test_closes_at_once_by_many(stage: Stage) -> None:
    for _ in range(TURNS):
        a, b = socket.socketpair()
        reader = stage.spawn(a.recv, 1)
        stage.settle()
        closers = [stage.spawn(a.close) for _ in range(3)]
        for closer in closers:
            closer.result()
        reader.raises(ClosedError)
        b.close()


class _Closes:
    """A buffer that closes the socket as it is sent."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock

    def __iter__(self) -> Iterator[bytes]:
        self.sock.close()
        yield b"x"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no sendmsg")
def test_an_operation_that_closes_its_own_socket_does_not_wait_for_itself(
    stage: Stage, pair: Any
) -> None:
    a, _ = pair
    number = a.fileno()
    stage.spawn(a.sendmsg, _Closes(a)).raises(ClosedError)
    assert not _is_open(number)


@pytest.mark.skipif(not hasattr(standard.socket, "sendmsg"), reason="the system has no sendmsg")
def test_a_greenlet_that_closes_is_killed(greenlets: Stage, pair: Any) -> None:
    """The operation is in a thread that is slow to leave: the close goes on without the closer."""
    from netpoll import green

    a, _ = pair
    may_go = threading.Event()

    class Slow:
        def __iter__(self) -> Iterator[bytes]:
            may_go.wait(10)
            yield b"x"

    writer = greenlets.thread(a.sendmsg, Slow())
    greenlets.sleep(0.05)
    number = a.fileno()
    closer = green.spawn(a.close)
    green.sleep(0.01)
    assert not closer.dead and _is_open(number)
    closer.kill()
    closer.join()
    assert _is_open(number)
    may_go.set()
    with pytest.raises(OSError):
        writer.result()
    deadline = time.monotonic() + 10
    while _is_open(number) and time.monotonic() < deadline:
        green.sleep(0.01)
    assert not _is_open(number)


SIGNALLED = """
import os, signal, sys, threading
from netpoll import ClosedError, green, socket

a, b = socket.socketpair()

def handler(*unused):
    a.close()
    print("closed", flush=True)

signal.signal(signal.SIGUSR1, handler)

def main():
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    try:
        a.recv(1)
    except ClosedError:
        print("ended")

main() if sys.argv[1] == "thread" else green.run(main)
"""


@needs_sigint
@pytest.mark.parametrize("where", ["thread", "hub"])
@pytest.mark.rule(13)
def test_a_signal_handler_closes_what_it_interrupts(where: str) -> None:
    done = python(SIGNALLED, where)
    assert (done.stdout, done.stderr) == ("closed\nended\n", "")


EXITS = """
import threading, time
from netpoll import socket

a, b = socket.socketpair()
for sock in a, b:
    threading.Thread(target=sock.recv, args=(1,), daemon=True).start()

class Late:
    def __del__(self):
        a.close()
        print("closed", flush=True)

late = Late()
late.itself = late  # collected when the modules are
time.sleep(0.1)
"""


@pytest.mark.rule(15)
def test_a_finalizer_at_exit_does_not_wait_for_threads_that_do_not_run_any_more() -> None:
    done = python(EXITS)
    assert done.returncode == 0 and done.stderr == ""


FORKS = """
import os, threading, time
from netpoll import socket

a, b = socket.socketpair()
for function, argument in ((a.recv, 1), (a.sendall, b"x" * 10_000_000)):
    threading.Thread(target=function, args=(argument,), daemon=True).start()
time.sleep(0.1)
number = a.fileno()
child = os.fork()
if child == 0:
    a.close()  # the threads are not there
    try:
        os.fstat(number)
    except OSError:
        os._exit(0)
    os._exit(1)
assert os.waitpid(child, 0)[1] == 0
print("ok", flush=True)
os._exit(0)
"""


@needs_fork
@pytest.mark.rule(14)
def test_a_child_does_not_wait_for_operations_of_its_parents_threads() -> None:
    done = python(FORKS)
    assert (done.stdout, done.stderr) == ("ok\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="a fact about the Linux kernel")
@pytest.mark.parametrize("last", ["the closer", "an operation"])
@pytest.mark.rule(16)
def test_a_socket_that_lingers_as_it_is_closed_leaves_others_the_gil(last: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        a = socket.create_connection(listener.getsockname())
        b, _ = listener.accept()
    with b:
        a.setsockopt(standard.SOL_SOCKET, standard.SO_LINGER, struct.pack("ii", 1, 1))
        a.settimeout(0.02)
        with pytest.raises(TimeoutError):
            a.sendall(b"x" * 20_000_000)  # the peer does not read: there is something to send
        a.settimeout(None)
        reader = threading.Thread(target=lambda: _ends(a.recv))
        if last == "an operation":
            reader.start()
            time.sleep(0.05)
        closer = threading.Thread(target=a.close)
        closer.start()
        turns, longest, before = 0, 0.0, time.monotonic()
        while closer.is_alive():
            time.sleep(0.005)
            turns, now = turns + 1, time.monotonic()
            longest, before = max(longest, now - before), now
        closer.join()
        if reader.ident:
            reader.join()
        assert turns > 5 and longest < 0.9


@needs_greenlet
@pytest.mark.skipif(sys.platform != "linux", reason="a fact about the Linux kernel")
@pytest.mark.parametrize("killed", [False, True], ids=["waits", "killed"])
def test_a_socket_that_lingers_as_it_is_closed_leaves_other_greenlets_their_turns(
    killed: bool,
) -> None:
    from netpoll import green

    def close() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            a = socket.create_connection(listener.getsockname())
            b, _ = listener.accept()
        a.setsockopt(standard.SOL_SOCKET, standard.SO_LINGER, struct.pack("ii", 1, 1))
        a.settimeout(0.02)
        number = a.fileno()
        with pytest.raises(TimeoutError):
            a.sendall(b"x" * 20_000_000)  # the peer does not read: there is something to send
        closer, start = green.spawn(a.close), time.monotonic()
        green.sleep(0.05)
        if killed:
            closer.kill()
        longest, before = 0.0, time.monotonic()
        while not closer.dead or _is_open(number):
            green.sleep(0.005)
            now = time.monotonic()
            longest, before = max(longest, now - before), now
        # The number is free as soon as the kernel begins to linger.
        assert killed or 0.9 < time.monotonic() - start < 5
        assert longest < 0.9
        assert a.fileno() == -1
        b.close()

    ThreadTask("a hub", green.run, (close,)).result()


def _ends(receive: Any) -> None:
    with pytest.raises(ClosedError):
        receive(1)
