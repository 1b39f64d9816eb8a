"""Limits bind on every path: also where the kernel says "ready" for ever, and the call fails."""

from __future__ import annotations

import os
import socket as std
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from compiling import STRICT, compile_c, needs_compiler
from netpoll import ClosedError, DeadlineExceeded, socket
from netpoll._engine import PURE
from support import TESTS, Stage, check_python, needs_greenlet

if sys.platform != "linux":
    pytest.skip("facts about the Linux kernel", allow_module_level=True)

from ready_for_ever import WAYS, Way

SHORT = 0.01  # seconds

pytestmark = pytest.mark.rule(19)

ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)

Check = Callable[[Stage, Any, Callable[[], object]], None]


def each_operation(stage: Stage, way: Way, check: Check) -> None:
    """On a socket of its own."""
    with ExitStack() as stack:
        names = list(way(stack)[1])
    for name in names:
        with ExitStack() as stack:
            sock, operations = way(stack)
            try:
                check(stage, sock, operations[name])
            except BaseException as error:
                error.add_note(name) if hasattr(error, "add_note") else None
                raise


@ways
def test_a_timeout_ends_it(stage: Stage, way: Way) -> None:
    def check(stage: Stage, sock: Any, operation: Callable[[], object]) -> None:
        sock.settimeout(SHORT)
        start = time.monotonic()
        with pytest.raises(TimeoutError, match="timed out"):
            stage.spawn(operation).result()
        assert time.monotonic() - start >= SHORT

    each_operation(stage, way, check)


@ways
def test_a_deadline_that_is_set_meanwhile_ends_it(stage: Stage, way: Way) -> None:
    def check(stage: Stage, sock: Any, operation: Callable[[], object]) -> None:
        task = stage.spawn(operation)
        stage.sleep(SHORT)  # it has a turn meanwhile, and gives one
        assert not task.done
        sock.set_deadline(SHORT)
        with pytest.raises(DeadlineExceeded):
            task.result()

    each_operation(stage, way, check)


@ways
def test_a_close_ends_it(stage: Stage, way: Way) -> None:
    def check(stage: Stage, sock: Any, operation: Callable[[], object]) -> None:
        task = stage.spawn(operation)
        stage.sleep(SHORT)
        assert not task.done
        sock.close()
        with pytest.raises(ClosedError):
            task.result()

    each_operation(stage, way, check)


PRELUDE = f"""
import sys
sys.path.append({os.path.dirname(__file__)!r})
import signal, threading, time
from contextlib import ExitStack, suppress
from ready_for_ever import WAYS, a_full_receiver
"""


def runs(script: str) -> str:
    return check_python(PRELUDE + textwrap.dedent(script), limit=60)


in_threads_and_hubs = pytest.mark.parametrize(
    "hub",
    ["", pytest.param("from netpoll import green", marks=needs_greenlet)],
    ids=["thread", "hub"],
)


@in_threads_and_hubs
def test_a_signal_handler_that_raises_ends_it(hub: str) -> None:
    assert (
        runs(f"""
        {hub}
        run = green.run if {hub!r} else lambda operation: operation()
        def handler(*unused):
            raise KeyError
        signal.signal(signal.SIGALRM, handler)
        for name, way in WAYS.items():
            with ExitStack() as stack:
                sock, operations = way(stack)
                for operation in operations.values():
                    def struck():
                        signal.setitimer(signal.ITIMER_REAL, 0.005)
                        return operation()
                    with suppress(KeyError):
                        print(name, run(struck))
    """)
        == ""
    )


@in_threads_and_hubs
def test_a_storm_of_signals_does_not_prolong_it(hub: str) -> None:
    """Each ends a system call with EINTR, and the handler returns."""
    assert (
        runs(f"""
        {hub}
        run = green.run if {hub!r} else lambda operation: operation()
        signal.signal(signal.SIGALRM, lambda *unused: None)
        signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
        for name, way in WAYS.items():
            with ExitStack() as stack:
                sock, operations = way(stack)
                for operation in operations.values():
                    with suppress(TimeoutError):
                        sock.settimeout(0.01)
                        print(name, run(operation))
                    with suppress(TimeoutError):
                        sock.settimeout(None)
                        sock.set_deadline(0.01)
                        print(name, run(operation))
                    sock.set_deadline(None)
        signal.setitimer(signal.ITIMER_REAL, 0)
    """)
        == ""
    )


@in_threads_and_hubs
def test_another_thread_gets_the_gil(hub: str) -> None:
    """Often enough to end it, after a while, by a deadline."""
    assert (
        runs(f"""
        {hub}
        from netpoll import DeadlineExceeded
        run = green.run if {hub!r} else lambda operation: operation()
        def end(sock):
            for _ in range(5):
                time.sleep(0.001)
            sock.set_deadline(0)
        for name, way in WAYS.items():
            with ExitStack() as stack:
                sock, operations = way(stack)
                sock.settimeout(20)
                for operation in operations.values():
                    sock.set_deadline(None)
                    another = threading.Thread(target=end, args=(sock,))
                    another.start()
                    with suppress(DeadlineExceeded):
                        print(name, run(operation))
                    another.join()
    """)
        == ""
    )


@needs_greenlet
@pytest.mark.parametrize("end", ["signal.alarm(1)", "another.start()"])
def test_many_greenlets_that_are_tried_in_vain_leave_signals_and_the_gil_to_others(
    end: str,
) -> None:
    """So many that one of them can always run, and none of them runs Python code."""
    assert (
        runs(f"""
        from netpoll import DeadlineExceeded, green, socket

        def handler(*unused):
            for sock in socks:
                sock.set_deadline(0)
        signal.signal(signal.SIGALRM, handler)

        def in_vain(sock):
            with suppress(DeadlineExceeded):
                print("sent", sock.sendto(b"x", address))

        def in_hub():
            for one in [green.spawn(in_vain, sock) for sock in socks]:
                one.join()

        def work():
            for _ in range(20):
                time.sleep(0.001)
            signal.raise_signal(signal.SIGALRM)

        another = threading.Thread(target=work)
        with ExitStack() as stack:
            _, operations = a_full_receiver(stack)
            address = operations["sendto"].args[1]
            socks = [
                stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
                for _ in range(300)
            ]
            for sock in socks:
                sock.settimeout(20)
            {end}
            green.run(in_hub)
        if another.ident:
            another.join()
    """)
        == ""
    )


# --- progress for ever ----------------------------------------------------------------------------


def drip(peer: std.socket, first: bytes, then: bytes) -> None:
    """As long as the other end is open."""
    with peer, suppress(OSError):
        peer.sendall(first)
        while True:
            peer.sendall(then)
            time.sleep(0.001)


def drain(peer: std.socket) -> None:
    with peer, suppress(OSError):
        while peer.recv(1 << 20):
            pass


Limit = Callable[[Any], None]

limits = pytest.mark.parametrize(
    "limit",
    [lambda sock: sock.settimeout(0.03), lambda sock: sock.set_deadline(0.03)],
    ids=["timeout", "deadline"],
)


@limits
def test_a_peer_that_takes_all_at_once_does_not_prolong_a_sendall(
    stage: Stage, limit: Limit
) -> None:
    """It never has to wait, or not for long."""
    a, b = socket.socketpair()
    with a:
        stage.thread(drain, std.socket(fileno=b.detach()))
        limit(a)
        with pytest.raises(TimeoutError):
            stage.spawn(a.sendall, bytes(1 << 31)).result()


@limits
def test_a_record_that_drips_does_not_prolong_a_handshake(stage: Stage, limit: Limit) -> None:
    """Each byte is an event, and all that OpenSSL has to say is that it wants more."""
    ssl = pytest.importorskip("netpoll.ssl")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    a, b = socket.socketpair()
    with context.wrap_socket(a, server_hostname="x", do_handshake_on_connect=False) as sock:
        header = b"\x16\x03\x03\x40\x00"
        stage.thread(drip, std.socket(fileno=b.detach()), header, b"\x02")
        limit(sock)
        with pytest.raises(TimeoutError):
            stage.spawn(sock.do_handshake).result()


# --- calls that always fail -----------------------------------------------------------------------

ALWAYS = """
import ctypes, errno
from netpoll import socket
library = ctypes.CDLL(None)
library.always_failed.restype = ctypes.c_long
def always_fail(name, number):
    library.always_fail(name and ctypes.c_char_p(name), number)
a, b = socket.socketpair()
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
OPERATIONS = {
    b"recv": (a, lambda: a.recv(1)),
    b"send": (a, lambda: a.sendall(b"x")),
    b"accept4": (listener, listener.accept),
    b"ppoll": (a, lambda: a.recv(1)),
    b"epoll_wait": (a, lambda: a.recv(1)),
}
"""


@pytest.fixture(scope="module")
def always(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("always") / "always.so"
    source = TESTS / "faults" / "always.c"
    compile_c(*f"{STRICT} -fPIC -shared".split(), source, "-o", library, "-ldl")
    return library


@needs_compiler
@in_threads_and_hubs
@pytest.mark.parametrize("call", ["recv", "send", "accept4", "ppoll", "epoll_wait"])
def test_a_call_that_is_always_interrupted_is_limited(
    hub: str, call: str, always: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a handler that returns, again and again; no real kernel does so for ever."""
    if not hub and call == "epoll_wait":
        pytest.skip("threads wait in poll(2)")
    if hub and call == "ppoll":
        pytest.skip("hubs wait in epoll_wait(2)")
    if PURE and call in ("recv", "send", "accept4"):
        pytest.skip("the engine in Python calls the standard class, which has a loop of its own")
    monkeypatch.setenv("LD_PRELOAD", f"{os.environ.get('LD_PRELOAD', '')} {always}".strip())
    script = f"""
        {hub}
        run = green.run if {hub!r} else lambda operation: operation()
        sock, operation = OPERATIONS[{call.encode()!r}]
        def handler(*unused):
            raise KeyError
        signal.signal(signal.SIGALRM, handler)
        always_fail({call.encode()!r}, errno.EINTR)
        outcomes = []
        for timeout, deadline, seconds in (0.02, None, 0), (None, 0.02, 0), (None, None, 0.02):
            sock.settimeout(timeout)
            sock.set_deadline(deadline)
            signal.setitimer(signal.ITIMER_REAL, seconds)
            try:
                outcomes.append(run(operation))
            except (OSError, KeyError) as error:
                outcomes.append(type(error).__name__)
        timer = threading.Timer(0.02, sock.close)
        timer.start()
        try:
            outcomes.append(run(operation))
        except OSError as error:
            outcomes.append(type(error).__name__)
        timer.join()
        always_fail(None, 0)
        assert library.always_failed() > 8
        print(*outcomes)
        for one in (a, b, listener, client):
            one.close()
    """
    wanted = "TimeoutError DeadlineExceeded KeyError ClosedError\n"
    assert runs(ALWAYS + textwrap.dedent(script)) == wanted


@needs_compiler
@in_threads_and_hubs
@pytest.mark.parametrize(
    ("call", "number"),
    [("accept4", "EMFILE"), ("accept4", "ECONNABORTED"), ("send", "ENOBUFS"), ("recv", "ENOMEM")],
)
def test_what_is_out_of_resources_is_raised_and_leaves_others_their_turn(
    hub: str, call: str, number: str, always: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it is tried at once again, as servers do."""
    monkeypatch.setenv("LD_PRELOAD", f"{os.environ.get('LD_PRELOAD', '')} {always}".strip())
    script = f"""
        {hub}
        sock, operation = OPERATIONS[{call.encode()!r}]
        def serve():
            while turns < 3:
                try:
                    operation()
                except OSError as error:
                    assert error.errno == errno.{number}
        def others():
            global turns
            while turns < 3:
                turns += 1
                green.sleep(0) if {hub!r} else time.sleep(0)
        turns = 0
        always_fail({call.encode()!r}, errno.{number})
        if {hub!r}:
            tasks = [green.spawn(serve), green.spawn(others)]
        else:
            tasks = [threading.Thread(target=serve), threading.Thread(target=others)]
            for one in tasks:
                one.start()
        for one in tasks:
            one.join()
        always_fail(None, 0)
        for one in (a, b, listener, client):
            one.close()
    """
    assert runs(ALWAYS + textwrap.dedent(script)) == ""


@needs_compiler
@in_threads_and_hubs
@pytest.mark.skipif(PURE, reason="the engine in Python calls the standard class")
def test_each_part_of_a_sendall_has_the_limits(
    hub: str, always: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the first alone: the kernel takes a byte at a time, at once."""
    monkeypatch.setenv("LD_PRELOAD", f"{os.environ.get('LD_PRELOAD', '')} {always}".strip())
    script = f"""
        import signal
        {hub}
        run = green.run if {hub!r} else lambda operation: operation()
        always_fail(b"send", 0)
        outcomes = []
        for timeout, deadline in (0.02, None), (None, 0.02):
            a.settimeout(timeout)
            a.set_deadline(deadline)
            try:
                outcomes.append(run(lambda: a.sendall(bytes(1 << 28))))
            except OSError as error:
                outcomes.append(type(error).__name__)
        a.settimeout(None)
        a.set_deadline(None)
        signal.signal(signal.SIGALRM, lambda *_: 1 / 0)
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        try:
            outcomes.append(run(lambda: a.sendall(bytes(1 << 28))))
        except ZeroDivisionError:
            outcomes.append("signal")
        always_fail(None, 0)
        assert library.always_failed() > 1
        print(*outcomes)
        for one in (a, b, listener, client):
            one.close()
    """
    assert runs(ALWAYS + textwrap.dedent(script)) == "TimeoutError DeadlineExceeded signal\n"
