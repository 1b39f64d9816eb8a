"""netpoll.socket and netpoll.ssl: every operation that may wait, against everything that may happen
to it meanwhile.

A row of the table is an operation that has to wait; an event is what is done to it.  Each pair is
a test, for threads and for greenlets.
"""

from __future__ import annotations

import contextlib
import os
import socket as standard
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import netpoll
import pytest
from netpoll import ClosedError, DeadlineExceeded, socket
from support import (
    LONG,
    Stage,
    Task,
    drain,
    fill,
    never_early,
    open_fds,
)

try:
    import trustme
    from netpoll import ssl
except ImportError:
    trustme = None  # type: ignore[assignment]

#: A deadline that is to pass.
SOON = 0.01
#: How long to look at an operation that is to stay blocked.
LOOK = 0.005
FAR = 1000.0


class Scene(NamedTuple):
    """An operation that has to wait."""

    sock: Any
    #: Sets the deadline of the other direction; None: it is bound by both.
    other: Callable[[float], None] | None
    operate: Callable[[], Any]
    #: What lets it go on; None: that would take too long.
    allow: Callable[[], object] | None
    expected: object = None


Build = Callable[[Stage, contextlib.ExitStack], Scene]


# --- the operations -------------------------------------------------------------------------------


def _pair(stack: contextlib.ExitStack, kind: int = socket.SOCK_STREAM) -> tuple[Any, Any]:
    a, b = socket.socketpair(type=kind)
    for sock in stack.enter_context(a), stack.enter_context(b):
        for option in standard.SO_SNDBUF, standard.SO_RCVBUF:
            if a.family == standard.AF_INET:  # TCP's are large, and grow
                sock.setsockopt(standard.SOL_SOCKET, option, 1 << 16)
    return a, b


def _reads(receive: Callable[[Any], Any], expected: object) -> Build:
    def build(stage: Stage, stack: contextlib.ExitStack) -> Scene:
        a, b = _pair(stack)
        return Scene(a, a.set_write_deadline, lambda: receive(a), lambda: b.send(b"x\n"), expected)

    return build


def _into(receive: Callable[[bytearray], Any]) -> Any:
    """The result and the buffer."""
    buffer = bytearray(2)
    return receive(buffer), bytes(buffer)


def _writes(send: Callable[[Any], Any], expected: object) -> Build:
    def build(stage: Stage, stack: contextlib.ExitStack) -> Scene:
        a, b = _pair(stack)
        fill(a.fileno())
        return Scene(a, a.set_read_deadline, lambda: send(a), lambda: drain(b.fileno()), expected)

    return build


def _sendto(stage: Stage, stack: contextlib.ExitStack) -> Scene:
    a, b = _pair(stack, standard.SOCK_DGRAM)
    address = b"\0netpoll" + os.urandom(8)
    b.bind(address)
    fill(a.fileno())
    return Scene(
        a, a.set_read_deadline, lambda: a.sendto(b"x", address), lambda: drain(b.fileno()), 1
    )


def _sendfile(stage: Stage, stack: contextlib.ExitStack) -> Scene:
    scene = _writes(lambda a: None, 3)(stage, stack)
    file = tempfile.TemporaryFile()  # noqa: SIM115
    stack.callback(file.close)
    file.write(b"abc")
    file.flush()

    def operate() -> Any:
        file.seek(0)  # where there is no os.sendfile it is read from where it stands
        return scene.sock.sendfile(file)

    return scene._replace(operate=operate)


def _accept(stage: Stage, stack: contextlib.ExitStack) -> Scene:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    address = listener.getsockname()

    def operate() -> type:
        sock, _ = listener.accept()
        sock.close()
        return type(sock)

    return Scene(
        listener,
        listener.set_write_deadline,
        operate,
        lambda: stack.enter_context(standard.create_connection(address, timeout=LONG)),
        socket.socket,
    )


def _connect(stage: Stage, stack: contextlib.ExitStack) -> Scene:
    """Nobody answers: the kernel takes no more connections to the address for now."""
    listener = stack.enter_context(standard.create_server(("127.0.0.1", 0), backlog=0))
    address = listener.getsockname()
    for _ in range(2):
        filler = stack.enter_context(standard.socket())
        filler.setblocking(False)
        filler.connect_ex(address)
    sock = stack.enter_context(socket.socket())
    return Scene(sock, sock.set_read_deadline, lambda: sock.connect(address), None)


def _connect_unix(stage: Stage, stack: contextlib.ExitStack) -> Scene:
    listener = stack.enter_context(standard.socket(standard.AF_UNIX))
    listener.bind(b"\0netpoll" + os.urandom(8))
    listener.listen(0)
    address = listener.getsockname()
    stack.enter_context(standard.socket(standard.AF_UNIX)).connect(address)
    sock = stack.enter_context(socket.socket(standard.AF_UNIX))
    return Scene(
        sock,
        sock.set_read_deadline,
        lambda: sock.connect(address),
        lambda: stack.enter_context(listener.accept()[0]),
    )


PLAIN: dict[str, Build] = {
    "recv": _reads(lambda a: a.recv(2), b"x\n"),
    "recv_into": _reads(lambda a: _into(a.recv_into), (2, b"x\n")),
    "recvfrom": _reads(lambda a: a.recvfrom(2)[0], b"x\n"),
    "recvfrom_into": _reads(lambda a: _into(lambda b: a.recvfrom_into(b)[0]), (2, b"x\n")),
    "accept": _accept,
    "send": _writes(lambda a: a.send(b"x"), 1),
    "sendall": _writes(lambda a: a.sendall(b"xyz"), None),
    "sendfile": _sendfile,
}
if hasattr(standard.socket, "sendmsg"):
    PLAIN |= {
        "recvmsg": _reads(lambda a: a.recvmsg(2)[0], b"x\n"),
        "recvmsg_into": _reads(lambda a: _into(lambda b: a.recvmsg_into([b])[0]), (2, b"x\n")),
        "sendmsg": _writes(lambda a: a.sendmsg([b"x", b"y"]), 2),
    }
if sys.platform == "linux":  # elsewhere what is full refuses
    PLAIN |= {"sendto": _sendto, "connect": _connect, "connect_unix": _connect_unix}


def _handshake(stage: Stage, stack: contextlib.ExitStack) -> Scene:
    a, b = _pair(stack)
    server, client = _contexts()
    sock = client.wrap_socket(a, server_hostname="localhost", do_handshake_on_connect=False)
    return Scene(
        stack.enter_context(sock),
        None,
        sock.do_handshake,
        lambda: stack.enter_context(stage.spawn(_wrap_server, server, b).result()),
    )


def _tls(stage: Stage, stack: contextlib.ExitStack) -> tuple[Any, Any]:
    """(client, server) of a TLS connection."""
    a, b = _pair(stack)
    server, client = _contexts()
    accepted = stage.spawn(_wrap_server, server, b)
    sock = stack.enter_context(client.wrap_socket(a, server_hostname="localhost"))
    return sock, stack.enter_context(accepted.result())


def _wrap_server(context: Any, sock: Any) -> Any:
    return context.wrap_socket(sock, server_side=True)


_made: list[Any] = []


def _contexts() -> tuple[Any, Any]:
    """For a server and for a client; made once, as keys take their time."""
    if not _made:
        authority = trustme.CA()
        _made.append(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        authority.issue_cert("localhost").configure_cert(_made[0])
        _made.append(ssl.create_default_context())
        authority.configure_trust(_made[1])
    return _made[0], _made[1]


def _tls_reads(receive: Callable[[Any], Any], expected: object) -> Build:
    def build(stage: Stage, stack: contextlib.ExitStack) -> Scene:
        a, b = _tls(stage, stack)
        return Scene(
            a, a.set_write_deadline, lambda: receive(a), lambda: b.sendall(b"x\n"), expected
        )

    return build


RECORD = b"r" * 16384  # as large as one may be: no little room lets it through


def _tls_writes(send: Callable[[Any], Any], expected: object) -> Build:
    def build(stage: Stage, stack: contextlib.ExitStack) -> Scene:
        a, b = _tls(stage, stack)
        a.settimeout(0)
        with contextlib.suppress(ssl.SSLWantWriteError):
            while True:
                a.send(RECORD)  # the one that is cut off has to be gone on with
        a.settimeout(None)
        return Scene(a, a.set_read_deadline, lambda: send(a), lambda: drain(b.fileno()), expected)

    return build


def _unwrap(stage: Stage, stack: contextlib.ExitStack) -> Scene:
    a, b = _tls(stage, stack)

    def operate() -> None:
        stack.enter_context(a.unwrap())

    return Scene(a, None, operate, lambda: stack.enter_context(b.unwrap()))


TLS_ONE_WAY: dict[str, Build] = {
    "TLS_recv": _tls_reads(lambda a: a.recv(2), b"x\n"),
    "TLS_recv_into": _tls_reads(lambda a: _into(a.recv_into), (2, b"x\n")),
    "TLS_send": _tls_writes(lambda a: a.send(RECORD), len(RECORD)),
    "TLS_sendall": _tls_writes(lambda a: a.sendall(RECORD), None),
}
TLS_BOTH_WAYS: dict[str, Build] = {"TLS_handshake": _handshake, "TLS_unwrap": _unwrap}


def _with_file(mode: str, buffering: int, use: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """One of its own for each operation, since after a timeout it refuses all."""

    def operate(sock: Any) -> Any:
        with sock.makefile(mode, buffering) as file:
            return use(file)

    return operate


#: Files keep the socket open, as those of the standard class do.
FILES: dict[str, Build] = {
    "makefile_read": _reads(_with_file("rb", 0, lambda file: file.read(2)), b"x\n"),
    "makefile_readline": _reads(_with_file("rb", -1, lambda file: file.readline()), b"x\n"),
    "makefile_write": _writes(_with_file("wb", 0, lambda file: file.write(b"x")), 1),
    "makefile_flush": _writes(_with_file("wb", -1, lambda file: file.write(b"xy")), 2),
}


# --- the events -----------------------------------------------------------------------------------


def closes_elsewhere(stage: Stage, scene: Scene) -> None:
    _closes(stage, scene, lambda: stage.thread(scene.sock.close).result())


def closes_here(stage: Stage, scene: Scene) -> None:
    _closes(stage, scene, scene.sock.close)


def _closes(stage: Stage, scene: Scene, close: Callable[[], object]) -> None:
    """All that wait are ended, and the number is free before the close returns."""
    number = scene.sock.fileno()
    waiting = [_begin(stage, scene) for _ in range(3)]
    stage.stays_blocked(*waiting, seconds=LOOK)
    close()
    for task in waiting:
        assert str(number) in str(task.raises(ClosedError))
    assert number not in open_fds()


def deadline_passes(stage: Stage, scene: Scene) -> None:
    with never_early(SOON):
        scene.sock.set_deadline(SOON)
        stage.spawn(scene.operate).raises(DeadlineExceeded)
    stage.spawn(scene.operate).raises(DeadlineExceeded)
    scene.sock.set_deadline(None)
    _works_on(stage, scene)


def deadline_passes_for_all_that_queue(stage: Stage, scene: Scene) -> None:
    scene.sock.set_deadline(SOON)
    for task in [stage.spawn(scene.operate) for _ in range(3)]:
        task.raises(DeadlineExceeded)


def deadline_is_moved_to_earlier(stage: Stage, scene: Scene) -> None:
    scene.sock.set_deadline(FAR)
    task = _begin(stage, scene)
    with never_early(SOON):
        scene.sock.set_deadline(SOON)
        task.raises(DeadlineExceeded)


def deadline_is_moved_into_the_past(stage: Stage, scene: Scene) -> None:
    task = _begin(stage, scene)
    scene.sock.set_deadline(-1)
    task.raises(DeadlineExceeded)


def deadline_is_moved_to_later(stage: Stage, scene: Scene) -> None:
    _outlives_its_deadline(stage, scene, lambda: scene.sock.set_deadline(FAR))


def deadline_is_removed(stage: Stage, scene: Scene) -> None:
    _outlives_its_deadline(stage, scene, lambda: scene.sock.set_deadline(None))


def _outlives_its_deadline(stage: Stage, scene: Scene, move: Callable[[], object]) -> None:
    """With more time, if the machine is so slow that it has passed before it is moved."""
    begins_again = scene.allow is not None  # a connection cannot: it has one try
    for seconds in (0.02, 0.2, 2) if begins_again else (2,):
        scene.sock.set_deadline(seconds)
        end = time.monotonic() + seconds
        task = _begin(stage, scene)
        move()
        if time.monotonic() < end:
            stage.stays_blocked(task, seconds=end + LOOK - time.monotonic())
            _goes_on(stage, scene, task)
            return
        scene.sock.set_deadline(-1)
        task.raises(DeadlineExceeded)
        scene.sock.set_deadline(None)
    pytest.fail("it is never moved in time")


def timeout_is_earlier_than_deadline(stage: Stage, scene: Scene) -> None:
    scene.sock.set_deadline(FAR)
    scene.sock.settimeout(SOON)
    with never_early(SOON):
        error = stage.spawn(scene.operate).raises(TimeoutError)
    assert str(error) == "timed out"
    scene.sock.settimeout(None)
    _works_on(stage, scene)


def deadline_is_earlier_than_timeout(stage: Stage, scene: Scene) -> None:
    scene.sock.settimeout(FAR)
    scene.sock.set_deadline(SOON)
    stage.spawn(scene.operate).raises(DeadlineExceeded)


def timeout_is_shortened(stage: Stage, scene: Scene) -> None:
    """It is for those that begin after that."""
    task = _begin(stage, scene)
    scene.sock.settimeout(SOON)
    stage.stays_blocked(task, seconds=SOON)
    scene.sock.settimeout(None)
    _goes_on(stage, scene, task)


def deadline_of_the_other_direction_passes(stage: Stage, scene: Scene) -> None:
    task = _begin(stage, scene)
    assert scene.other is not None
    scene.other(-1)
    _goes_on(stage, scene, task)


def _begin(stage: Stage, scene: Scene) -> Task[Any]:
    """An actor that is inside the operation."""
    begun: list[None] = []

    def operate() -> Any:
        begun.append(None)
        return scene.operate()

    task = stage.spawn(operate)
    stage.until(lambda: begun, "it has begun")
    stage.sleep(0.002)
    return task


def _goes_on(stage: Stage, scene: Scene, task: Task[Any]) -> None:
    """It still waits, and ends well."""
    stage.stays_blocked(task, seconds=LOOK)
    if scene.allow is None:
        scene.sock.close()
        task.raises(ClosedError)
    else:
        scene.allow()
        assert task.result() == scene.expected


def _works_on(stage: Stage, scene: Scene) -> None:
    """An operation that was cut off may be begun again; a connection cannot, with any class."""
    if scene.allow is not None:
        _goes_on(stage, scene, _begin(stage, scene))


CLOSING = [closes_elsewhere, closes_here]
PASSING = [
    deadline_passes,
    deadline_passes_for_all_that_queue,
    deadline_is_moved_to_earlier,
    deadline_is_moved_into_the_past,
    deadline_is_moved_to_later,
    deadline_is_removed,
    timeout_is_earlier_than_deadline,
    deadline_is_earlier_than_timeout,
    timeout_is_shortened,
]
ONE_WAY = [deadline_of_the_other_direction_passes]
TABLE = {
    f"{name}-{event.__name__}": (build, event)
    for operations, events in (
        (PLAIN | TLS_ONE_WAY, CLOSING + PASSING + ONE_WAY),
        (TLS_BOTH_WAYS, CLOSING + PASSING),
        (FILES, PASSING + ONE_WAY),
    )
    for name, build in operations.items()
    for event in events
}


@pytest.fixture
def backend() -> str:
    """One only: that the events of each wake whom they should is for others to test."""
    return os.environ.get("NETPOLL_BACKEND", netpoll.backends()[0])


@pytest.mark.rule(3, 4, 8)
@pytest.mark.parametrize("case", TABLE)
def test_an_operation_that_waits_when(stage: Stage, case: str) -> None:
    build, event = TABLE[case]
    if case.startswith("TLS") and trustme is None:
        pytest.skip("trustme, which makes the certificates, is not installed")
    with contextlib.ExitStack() as stack:
        event(stage, build(stage, stack))


@pytest.mark.rule(8)
@pytest.mark.parametrize("name", FILES)
def test_a_file_keeps_the_socket_open_and_detach_ends_its_operations(
    stage: Stage, name: str
) -> None:
    with contextlib.ExitStack() as stack:
        scene = FILES[name](stage, stack)
        task = _begin(stage, scene)
        scene.sock.close()
        stage.stays_blocked(task, seconds=LOOK)
        standard.close(scene.sock.detach())
        task.raises(ClosedError)
