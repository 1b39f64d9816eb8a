"""netpoll.ssl: TLS over our sockets, for threads and greenlets; closing, deadlines,
both directions.

CPython's own test_ssl runs on it too: tests/dropin.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import select
import shutil
import socket as standard_socket
import ssl as standard
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from netpoll import ClosedError, DeadlineExceeded, socket
from support import LONG, Stage, never_early, waits

pytest.importorskip("ssl", reason="this Python was built without OpenSSL")
trustme = pytest.importorskip("trustme", reason="trustme, which makes the certificates")

from netpoll import ssl  # noqa: E402
from netpoll._engine import RLock  # noqa: E402

BIG = 4 << 20  # more than any buffers of the kernel's take
#: OpenSSL 3 refuses to renegotiate unless told otherwise; unknown to Python before 3.12.
ALLOW_RENEGOTIATION = 0x100
LINUX_OPENSSL = shutil.which("openssl")


@pytest.fixture(scope="module")
def authority() -> Any:
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(authority: Any) -> Any:
    return authority.issue_cert("localhost")


@pytest.fixture
def server_context(certificate: Any) -> standard.SSLContext:
    context = standard.SSLContext(standard.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture
def client_context(authority: Any) -> standard.SSLContext:
    context = standard.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(params=["tls12", "tls13"])
def version(
    request: pytest.FixtureRequest,
    server_context: standard.SSLContext,
) -> str:
    """Both versions: their handshakes end, and their sessions come, at different times."""
    wanted = (
        standard.TLSVersion.TLSv1_2 if request.param == "tls12" else standard.TLSVersion.TLSv1_3
    )
    server_context.minimum_version = server_context.maximum_version = wanted
    return str(request.param)


@pytest.fixture
def plain() -> Iterator[tuple[Any, Any]]:
    a, b = socket.socketpair()
    for sock in a, b:  # where a pair is TCP, buffers grow to more than BIG
        sock.setsockopt(standard_socket.SOL_SOCKET, standard_socket.SO_SNDBUF, 1 << 18)
        sock.setsockopt(standard_socket.SOL_SOCKET, standard_socket.SO_RCVBUF, 1 << 18)
    yield a, b
    a.close()
    b.close()


Connect = Callable[[Stage], tuple[Any, Any]]


@pytest.fixture
def connect(
    plain: Any, server_context: Any, client_context: Any, version: str
) -> Iterator[Connect]:
    """Make (client, server) of one TLS connection; closed when the test ends."""
    made: list[Any] = []

    def connect(stage: Stage) -> tuple[Any, Any]:
        server = stage.spawn(wrap_server, server_context, plain[1])
        made.append(client_context.wrap_socket(plain[0], server_hostname="localhost"))
        made.append(server.result())
        return made[0], made[1]

    yield connect
    for sock in made:
        sock.close()


def wrap_server(context: Any, sock: Any, **more: Any) -> Any:
    return context.wrap_socket(sock, server_side=True, **more)


def receive_exactly(sock: Any, size: int) -> bytes:
    parts = []
    while size:
        part = sock.recv(min(size, 65536))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def fill(sock: Any) -> None:
    """Send until it would block, by writes that are whole."""
    sock.settimeout(0)
    with contextlib.suppress(ssl.SSLWantWriteError):
        while True:
            sock.send(b"f" * 1000)
    sock.settimeout(None)


# --- which class ----------------------------------------------------------------------------------


def test_a_standard_context_makes_our_class_of_our_sockets(stage: Stage, connect: Connect) -> None:
    client, server = connect(stage)
    assert type(client) is type(server) is ssl.SSLSocket
    assert isinstance(client, standard.SSLSocket) and isinstance(client, socket.socket)


def test_a_standard_context_makes_the_standard_class_of_standard_sockets(
    server_context: Any, client_context: Any
) -> None:
    a, b = standard_socket.socketpair()
    thread = threading.Thread(target=lambda: wrap_server(server_context, b).close())
    thread.start()
    with client_context.wrap_socket(a, server_hostname="localhost") as sock:
        assert type(sock) is standard.SSLSocket
    thread.join(LONG)


def test_our_context_makes_our_class_of_any_socket(
    stage: Stage, server_context: Any, authority: Any
) -> None:
    context = ssl.create_default_context()
    assert type(context) is ssl.SSLContext
    authority.configure_trust(context)
    a, b = standard_socket.socketpair()
    server = stage.thread(wrap_server, server_context, b)
    with context.wrap_socket(a, server_hostname="localhost") as sock:
        assert type(sock) is ssl.SSLSocket
        with server.result() as other:
            other.sendall(b"x")
            assert sock.recv(1) == b"x"


def test_every_public_name_is_there() -> None:
    assert [name for name in vars(standard) if not hasattr(ssl, name)] == []


def test_asyncio_goes_on_as_ever(server_context: Any, client_context: Any) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    async def talk() -> bytes:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context)
        async with server:
            reader, writer = await asyncio.open_connection(
                *server.sockets[0].getsockname(), ssl=client_context, server_hostname="localhost"
            )
            writer.write(b"hello\n")
            answer = await reader.readline()
            writer.close()
            return answer

    assert asyncio.run(asyncio.wait_for(talk(), LONG)) == b"hello\n"


# --- it waits, and goes on ------------------------------------------------------------------------


def test_a_receive_waits_for_data(stage: Stage, connect: Connect) -> None:
    client, server = connect(stage)
    reader = stage.spawn(client.recv, 100)
    stage.stays_blocked(reader, seconds=0.02)
    server.sendall(b"hello")
    assert reader.result() == b"hello"


def test_what_openssl_holds_already_needs_no_news(stage: Stage, connect: Connect) -> None:
    client, server = connect(stage)
    server.sendall(b"hello")
    assert client.recv(1) == b"h"
    assert client.pending() == 4
    assert stage.spawn(client.recv, 100).result() == b"ello"


def test_both_directions_at_once(stage: Stage, connect: Connect) -> None:
    """Megabytes each way: every read and write waits many times, and nothing is torn."""
    client, server = connect(stage)
    data = os.urandom(BIG)
    tasks = [stage.spawn(sock.sendall, data) for sock in (client, server)]
    tasks += [stage.spawn(receive_exactly, sock, BIG) for sock in (client, server)]
    received = [task.result(LONG * 2) for task in tasks][2:]
    assert {hashlib.sha256(part).digest() for part in received} == {hashlib.sha256(data).digest()}


def test_writers_take_turns_and_readers_too(stage: Stage, connect: Connect) -> None:
    """Messages longer than a record come out whole, as each `send` writes all."""
    client, server = connect(stage)
    size = 200_000
    writers = [stage.spawn(client.sendall, bytes([n]) * size) for n in range(5)]
    got = receive_exactly(server, 5 * size)
    for writer in writers:
        writer.result()
    runs = [got[at : at + size] for at in range(0, len(got), size)]
    assert sorted(runs) == [bytes([n]) * size for n in range(5)]
    readers = [stage.spawn(server.recv, 1) for _ in range(5)]
    client.sendall(b"abcde")
    assert sorted(reader.result() for reader in readers) == [b"a", b"b", b"c", b"d", b"e"]


def test_a_listener_that_is_wrapped_accepts_tls(
    stage: Stage, server_context: Any, client_context: Any
) -> None:
    plain = socket.create_server(("127.0.0.1", 0))
    with server_context.wrap_socket(plain, server_side=True) as listener:
        accepted = stage.spawn(listener.accept)
        raw = socket.create_connection(listener.getsockname())
        client = client_context.wrap_socket(raw, server_hostname="localhost")
        server, _ = accepted.result()
    with client, server:
        assert type(server) is ssl.SSLSocket
        server.sendall(b"hi")
        assert client.recv(10) == b"hi"


def test_a_client_that_is_wrapped_first_shakes_hands_when_it_connects(
    stage: Stage, server_context: Any, client_context: Any
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepted = stage.spawn(lambda: wrap_server(server_context, listener.accept()[0]))
        client = client_context.wrap_socket(socket.socket(), server_hostname="localhost")
        client.connect(listener.getsockname())
        with client, accepted.result() as server:
            server.sendall(b"hi")
            assert client.recv(10) == b"hi"


def test_makefile_and_sendfile(stage: Stage, connect: Connect, tmp_path: Path) -> None:
    client, server = connect(stage)
    path = tmp_path / "data"
    path.write_bytes(b"line\n" * 100_000)

    def send() -> int:
        with path.open("rb") as file:
            return int(client.sendfile(file))

    sender = stage.spawn(send)
    with server.makefile("rb") as file:
        assert sum(len(file.readline()) for _ in range(100_000)) == 500_000
    assert sender.result() == 500_000


def test_a_file_is_sent_by_send_where_the_kernel_encrypts(
    stage: Stage, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever OpenSSL's object offers: `sendfile` of Python 3.15 would wait in a selector."""

    def refuse(*unused: object) -> Any:
        raise AssertionError("sent by the kernel")

    monkeypatch.setattr(ssl._Operations, "uses_ktls_for_send", lambda self: True, raising=False)
    monkeypatch.setattr(ssl._Operations, "sendfile", refuse, raising=False)
    client, server = connect(stage)
    path = tmp_path / "file"
    path.write_bytes(bytes(BIG))

    def send() -> int:
        with path.open("rb") as file:
            return int(client.sendfile(file))

    sender = stage.spawn(send)
    assert receive_exactly(server, BIG) == bytes(BIG)
    assert sender.result() == BIG


# --- the end --------------------------------------------------------------------------------------


def test_unwrap_gives_the_plain_connection_back(stage: Stage, connect: Connect) -> None:
    """And what was sent right after the last record is not lost in a buffer."""
    client, server = connect(stage)

    def other() -> bytes:
        assert server.recv(100) == b"last"
        assert server.recv(100) == b""
        raw = server.unwrap()
        raw.sendall(b"plain")
        return bytes(raw.recv(100))

    task = stage.spawn(other)
    client.sendall(b"last")
    raw = client.unwrap()
    assert raw.recv(100) == b"plain"
    reader = stage.spawn(raw.recv, 100)
    stage.stays_blocked(reader, seconds=0.01)
    raw.sendall(b"plain too")
    assert task.result() == b"plain too"
    raw.close()
    reader.raises(ClosedError)


def test_unwrap_beside_a_reader(stage: Stage, connect: Connect) -> None:
    """The reader meets the end; nobody waits for the other."""
    client, server = connect(stage)
    reader = stage.spawn(client.recv, 1)
    stage.stays_blocked(reader, seconds=0.02)
    unwrapping = stage.spawn(client.unwrap)
    assert server.recv(1) == b""
    server.unwrap()
    reader.raises(ssl.SSLZeroReturnError)  # as from the standard class: the end was ours too
    unwrapping.result()


def read_outcome(sock: Any) -> Any:
    try:
        return sock.recv(1)
    except OSError as error:
        return type(error), error.args


@pytest.mark.parametrize("suppress", [True, False])
def test_a_ragged_end(
    stage: Stage, plain: Any, server_context: Any, client_context: Any, suppress: bool
) -> None:
    """As the standard class has it, which depends on OpenSSL and on the kind of socket."""

    def connect_and_close(pair: Any) -> Any:
        server = stage.thread(wrap_server, server_context, pair[1])
        client = client_context.wrap_socket(
            pair[0], server_hostname="localhost", suppress_ragged_eofs=suppress
        )
        server.result().close()  # without a word
        return client

    with connect_and_close(standard_socket.socketpair()) as client:
        expected = read_outcome(client)
    with connect_and_close(plain) as client:
        assert isinstance(client, ssl.SSLSocket)
        assert stage.spawn(read_outcome, client).result() == expected


def test_a_handshake_that_fails_is_an_error_on_both_sides(
    stage: Stage, plain: Any, server_context: Any
) -> None:
    server = stage.spawn(wrap_server, server_context, plain[1])
    with pytest.raises(ssl.SSLCertVerificationError):
        standard.create_default_context().wrap_socket(plain[0], server_hostname="localhost")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        server.result()


# --- time -----------------------------------------------------------------------------------------


def test_a_read_deadline_and_then_it_works_again(stage: Stage, connect: Connect) -> None:
    client, server = connect(stage)
    with never_early(0.05):
        client.set_read_deadline(0.05)
        stage.spawn(client.recv, 1).raises(DeadlineExceeded)
    stage.spawn(client.recv, 1).raises(DeadlineExceeded)
    client.sendall(b"x")  # the other direction is not bound
    client.set_read_deadline(None)
    server.sendall(b"y")
    assert client.recv(1) == b"y"


def test_the_deadlines_of_the_plain_socket_bind_the_handshake(
    stage: Stage, plain: Any, client_context: Any
) -> None:
    plain[0].set_deadline(0.03)
    stage.spawn(lambda: client_context.wrap_socket(plain[0], server_hostname="localhost")).raises(
        DeadlineExceeded
    )


def test_without_waiting_it_asks_for_a_direction(stage: Stage, connect: Connect) -> None:
    client, server = connect(stage)
    client.settimeout(0)
    with pytest.raises(ssl.SSLWantReadError):
        client.recv(1)
    with pytest.raises(ssl.SSLWantWriteError):
        while True:
            client.send(bytes(65536))
    reader = stage.spawn(server.recv, 65536)
    assert reader.result()


def test_without_waiting_it_does_not_queue(stage: Stage, connect: Connect) -> None:
    client, server = connect(stage)
    reader = stage.spawn(client.recv, 100)
    writer = stage.spawn(client.sendall, bytes(BIG))
    stage.stays_blocked(reader, seconds=0.02)
    stage.stays_blocked(writer, seconds=0.02)
    client.settimeout(0)
    stage.spawn(client.recv, 1).raises(ssl.SSLWantReadError)
    stage.spawn(client.send, b"x").raises(ssl.SSLWantWriteError)
    stage.spawn(receive_exactly, server, BIG).result(LONG * 2)
    writer.result()
    server.sendall(b"hello")
    assert reader.result() == b"hello"


def test_a_write_that_was_cut_off_is_gone_on_with_or_refused(
    stage: Stage, connect: Connect
) -> None:
    """OpenSSL itself would take other data for the rest of the first."""
    client, server = connect(stage)
    data = os.urandom(BIG)
    writer = stage.spawn(client.sendall, data)
    stage.until(lambda: select.select([server], [], [], 0)[0], "some of it has been written")
    client.set_write_deadline(0.05)
    writer.raises(DeadlineExceeded)
    client.set_write_deadline(None)
    with pytest.raises(ssl.SSLError, match="bad write retry"):
        client.sendall(os.urandom(BIG))
    reader = stage.spawn(receive_exactly, server, BIG + 4)
    client.sendall(data)
    client.sendall(b"more")
    assert reader.result(LONG * 2) == data + b"more"


def test_a_killed_greenlet_leaves_the_socket_usable(greenlets: Stage, connect: Connect) -> None:
    client, server = connect(greenlets)
    victim: Any = greenlets.spawn(client.recv, 1)
    greenlets.stays_blocked(victim, seconds=0.02)
    victim.greenlet.kill()
    victim.join(LONG)
    server.sendall(b"y")
    assert client.recv(1) == b"y"


# --- one direction needs the other ----------------------------------------------------------------


class Scripted:
    """An OpenSSL object that asks for a direction until it may go on."""

    def __init__(self) -> None:
        self.wants: dict[str, type[BaseException] | None] = {"read": None, "write": None}
        self.inside = 0

    def _do(self, what: str) -> str:
        self.inside += 1
        assert self.inside == 1, "two at once"
        try:
            kind = self.wants[what]
            if kind is not None:
                raise kind(0, "scripted")
            return what
        finally:
            self.inside -= 1

    def read(self, *args: Any) -> str:
        return self._do("read")

    def write(self, data: Any) -> int:
        self._do("write")
        return len(data)

    def shutdown(self) -> None:
        """It takes the end that the other has sent, under whoever waits for it."""
        self.wants["read"] = None

    def pending(self) -> int:
        return 0

    def version(self) -> str:
        return "of a connection"


@pytest.fixture
def scripted(plain: Any) -> tuple[Scripted, Any]:
    script = Scripted()
    return script, ssl._Operations(script, plain[0]._fd)


def test_a_shutdown_that_takes_the_end_lets_the_reader_look_again(
    stage: Stage, scripted: tuple[Scripted, Any]
) -> None:
    """No event tells of what was received already."""
    script, operations = scripted
    script.wants["read"] = ssl.SSLWantReadError
    reader = stage.spawn(operations.read, 1)
    stage.stays_blocked(reader, seconds=0.01)
    stage.spawn(operations.shutdown).result()
    assert reader.result() == "read"


def test_a_read_that_has_to_write_waits_for_that(stage: Stage, plain: Any, scripted: Any) -> None:
    script, operations = scripted
    plain[0].settimeout(0)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += plain[0].send(bytes(65536))
    plain[0].settimeout(None)
    script.wants["read"] = ssl.SSLWantWriteError
    reader = stage.spawn(operations.read, 1)
    plain[1].send(b"news to read is not what it waits for")
    stage.stays_blocked(reader, seconds=0.02)
    script.wants["read"] = None
    drainer = stage.spawn(lambda: receive_exactly(plain[1], sent))
    assert reader.result() == "read"
    drainer.result()


def test_a_write_that_has_to_read_waits_for_that(stage: Stage, plain: Any, scripted: Any) -> None:
    script, operations = scripted
    script.wants["write"] = ssl.SSLWantReadError
    writer = stage.spawn(operations.write, b"data")
    stage.stays_blocked(writer, seconds=0.02)
    script.wants["write"] = None
    plain[1].send(b"x")
    assert writer.result() == 4


def test_a_reader_that_got_what_a_writer_waited_for_lets_it_go_on(
    stage: Stage, plain: Any, scripted: Any
) -> None:
    """A handshake ends with a reader, which then waits for data that never come."""
    script, operations = scripted
    script.wants.update(read=ssl.SSLWantReadError, write=ssl.SSLWantReadError)
    reader = stage.spawn(operations.read, 1)
    writer = stage.spawn(operations.write, b"data")
    stage.stays_blocked(reader, writer, seconds=0.02)
    script.wants["write"] = None
    plain[1].send(b"x")
    assert writer.result() == 4
    stage.stays_blocked(reader, seconds=0.02)
    script.wants["read"] = None
    plain[1].send(b"y")
    assert reader.result() == "read"


def test_deadlines_bind_the_direction_of_the_wait(stage: Stage, plain: Any, scripted: Any) -> None:
    script, operations = scripted
    script.wants["write"] = ssl.SSLWantReadError
    plain[0].set_read_deadline(0.02)
    stage.spawn(operations.write, b"data").raises(DeadlineExceeded)
    plain[0].set_read_deadline(None)
    script.wants["write"] = None
    assert operations.write(b"data") == 4


class OpenSSL:
    """`openssl s_client`, connected to a listener of ours."""

    def __init__(self, address: Any, *options: str) -> None:
        assert LINUX_OPENSSL is not None
        self._process = subprocess.Popen(
            [LINUX_OPENSSL, "s_client", "-connect", "{}:{}".format(*address), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def has_heard(self) -> bool:
        """A command is one only if nothing else is read with it."""
        import fcntl
        import termios

        assert self._process.stdin is not None
        unread = fcntl.ioctl(self._process.stdin, termios.FIONREAD, bytes(4))
        return not any(unread)

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.kill()
        self._process.stdin.close()
        self._process.wait(LONG)


@pytest.mark.skipif(LINUX_OPENSSL is None, reason="the openssl program is not installed")
@pytest.mark.parametrize(
    ("option", "command"), [("-tls1_2", "R"), ("-tls1_3", "K")], ids=["renegotiation", "key update"]
)
def test_new_keys_under_a_reader_and_a_writer(
    stage: Stage, server_context: Any, option: str, command: str
) -> None:
    """The other side asks for new keys while one waits to read and, in TLS 1.3, one writes."""
    server_context.options |= ALLOW_RENEGOTIATION
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepted = stage.spawn(lambda: wrap_server(server_context, listener.accept()[0]))
        client = OpenSSL(listener.getsockname(), option)
        try:
            with accepted.result() as server:
                _exchange_while_keys_change(stage, server, client, command)
        finally:
            client.end()


def _exchange_while_keys_change(stage: Stage, server: Any, client: OpenSSL, command: str) -> None:
    lines: list[bytes] = []

    def read() -> None:
        with server.makefile("rb") as file:
            while not lines or lines[-1] != b"end\n":
                lines.append(file.readline())

    def write() -> None:
        while not reader.done:
            server.sendall(b"w" * 1000)
            stage.sleep(0.005)

    reader = stage.spawn(read)
    # Not in a renegotiation: the client takes data that was under way when it asked for one, unless
    # it happens to be reading, for an unexpected message, and ends the connection.
    writers = [stage.spawn(write)] if command == "K" else []
    for number in range(5):
        client.say(f"line {number}")
        stage.until(lambda n=number: reader.done or len(lines) == n + 1, f"line {number}")
        if reader.done:
            break
        client.say(command)
        stage.until(client.has_heard, command)
        stage.sleep(0.05)
    client.say("end")
    reader.result()
    for writer in writers:
        writer.result()
    assert lines == [*(b"line %d\n" % number for number in range(5)), b"end\n"]


# --- one at a time --------------------------------------------------------------------------------


def test_a_callback_of_openssl_may_park(
    stage: Stage, plain: Any, server_context: Any, client_context: Any
) -> None:
    """Nobody comes into the OpenSSL object meanwhile, though its greenlet has gone."""

    def chosen(sock: Any, name: str | None, context: Any) -> None:
        stage.sleep(0.05)

    server_context.sni_callback = chosen
    server = wrap_server(server_context, plain[1], do_handshake_on_connect=False)
    with server:
        shaking = [stage.spawn(server.do_handshake) for _ in range(3)]
        client = client_context.wrap_socket(plain[0], server_hostname="localhost")
        for task in shaking:
            task.result()
        with client:
            client.sendall(b"x")
            assert server.recv(1) == b"x"


def test_a_turn_is_one_at_a_time_in_order_and_open_to_its_holder(stage: Stage) -> None:
    turn, order = RLock(), []

    def enter(number: int) -> None:
        with turn, turn:
            order.append(number)
            stage.sleep(0.001)
            order.append(number)

    with turn:
        tasks = []
        for number in range(5):
            tasks.append(stage.spawn(enter, number))
            stage.until(lambda n=number: waits("lock") == n + 1, "queued")
    for task in tasks:
        task.result()
    assert order == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_who_gives_up_its_place_lets_the_others_in(greenlets: Stage) -> None:
    turn, done = RLock(), []

    def enter(number: int) -> None:
        with turn:
            done.append(number)

    with turn:
        first: Any = greenlets.spawn(enter, 1)
        second = greenlets.spawn(enter, 2)
        greenlets.until(lambda: waits("lock") == 2, "queued")
        first.greenlet.kill()
        first.join(LONG)
    second.result()
    assert done == [2]
    with turn:
        pass


# --- a listener and its silent clients ------------------------------------------------------------


@pytest.fixture
def tls_listener(server_context: standard.SSLContext) -> Iterator[Any]:
    listener = socket.create_server(("127.0.0.1", 0))
    with server_context.wrap_socket(listener, server_side=True) as wrapped:
        yield wrapped


@pytest.mark.parametrize("limit", ["timeout", "deadline"])
def test_a_silent_client_does_not_hold_accept_beyond_its_limit(
    stage: Stage, tls_listener: Any, client_context: standard.SSLContext, limit: str
) -> None:
    with standard_socket.create_connection(tls_listener.getsockname()) as silent:
        if limit == "timeout":
            tls_listener.settimeout(0.05)
        else:
            tls_listener.set_read_deadline(0.05)
        with never_early(0.05):
            error = stage.spawn(tls_listener.accept).raises(
                TimeoutError if limit == "timeout" else DeadlineExceeded
            )
        assert limit == "timeout" or str(tls_listener.fileno()) in str(error)
        silent.settimeout(LONG)
        assert silent.recv(1) == b""  # its connection is closed
    tls_listener.settimeout(LONG)
    tls_listener.set_deadline(None)

    def speak() -> bytes:
        with socket.create_connection(tls_listener.getsockname()) as plain:
            plain.settimeout(LONG)
            with client_context.wrap_socket(plain, server_hostname="localhost") as client:
                return bytes(client.recv(1))

    client = stage.spawn(speak)
    accepted, _ = stage.spawn(tls_listener.accept).result()
    with accepted:
        assert accepted.gettimeout() is None
        accepted.sendall(b"x")
        assert client.result() == b"x"


def test_closing_a_listener_ends_an_accept_that_waits_for_a_handshake(
    stage: Stage, tls_listener: Any
) -> None:
    with standard_socket.create_connection(tls_listener.getsockname()):
        acceptor = stage.spawn(tls_listener.accept)
        stage.stays_blocked(acceptor)
        number = tls_listener.fileno()
        tls_listener.close()
        assert str(number) in str(acceptor.raises(ClosedError))
