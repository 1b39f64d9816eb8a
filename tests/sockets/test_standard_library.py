"""Clients and servers of the standard library, unchanged, with the sockets that netpoll.patch gives
them: in threads, and as greenlets of one hub, where whatever blocked the thread would hang.

CPython's own tests of these run too: tests/dropin.
"""

from __future__ import annotations

import http.client
import http.server
import logging
import logging.handlers
import pickle
import selectors
import smtplib
import socket as standard_socket
import socketserver
import struct
import urllib.request
import xmlrpc.client
import xmlrpc.server
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import netpoll
import pytest
from netpoll import ClosedError, patch, socket
from support import LONG, Stage, never_early

trustme = pytest.importorskip("trustme", reason="trustme, which makes the certificates")

CLIENTS = 20


@pytest.fixture(autouse=True)
def _patched() -> Iterator[None]:
    with patch.modules(*patch.STANDARD):
        yield


class Greenlets(socketserver.BaseServer):
    """What socketserver.ThreadingMixIn is for threads, for the actors of a stage."""

    stage: Stage

    def process_request(self, request: Any, client_address: Any) -> None:
        self.stage.spawn(self._serve, request, client_address)

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        finally:
            self.shutdown_request(request)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"you asked for {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *unused: object) -> None:
        pass


class HTTPServer(Greenlets, http.server.HTTPServer):
    request_queue_size = 128


class XMLRPCServer(Greenlets, xmlrpc.server.SimpleXMLRPCServer):
    request_queue_size = 128


class TCPServer(Greenlets, socketserver.TCPServer):
    request_queue_size = 128


class Mail(socketserver.StreamRequestHandler):
    """As much of SMTP as it takes to receive a message."""

    messages: ClassVar[list[bytes]] = []

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline().strip().upper():
            if line == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = iter(self.rfile.readline, b".\r\n")
                self.messages.append(b"".join(lines))
            self.wfile.write(b"221 bye\r\n" if line == b"QUIT" else b"250 fine\r\n")
            if line == b"QUIT":
                break


Serve = Callable[..., Any]


@pytest.fixture
def serve(stage: Stage) -> Iterator[Serve]:
    """Start a server of a class as an actor; closed at the end of the test, which ends it."""
    servers: list[Any] = []

    def serve(kind: type[Any], *args: Any, tls: Any = None, **kwargs: Any) -> Any:
        server = kind(("127.0.0.1", 0), *args, **kwargs)
        server.stage = stage
        assert type(server.socket) is socket.socket
        if tls is not None:
            server.socket = tls.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        servers.append((server, stage.spawn(server.serve_forever, 0.01)))
        return server

    yield serve


def end(stage: Stage, server: Any) -> None:
    """`shutdown` waits for the loop on an event of threading, so it has a thread of its own."""
    stage.thread(server.shutdown).result()
    server.server_close()


def url(server: Any, path: str = "/", scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{server.server_address[1]}{path}"


def test_http_client_and_server(stage: Stage, serve: Serve) -> None:
    server = serve(HTTPServer, Handler)

    def talk(number: int) -> list[bytes]:
        connection = http.client.HTTPConnection(*server.server_address, timeout=LONG)
        answers = []
        for turn in range(3):
            connection.request("GET", f"/{number}/{turn}")
            assert type(connection.sock) is socket.socket
            answers.append(connection.getresponse().read())
        connection.close()
        return answers

    talks = [stage.spawn(talk, number) for number in range(CLIENTS)]
    for number, task in enumerate(talks):
        assert task.result() == [b"you asked for /%d/%d" % (number, turn) for turn in range(3)]
    end(stage, server)


def test_urllib_sends_and_receives_megabytes(stage: Stage, serve: Serve) -> None:
    server = serve(HTTPServer, Handler)
    data = bytes(range(256)) * 8192

    def post() -> bytes:
        with urllib.request.urlopen(url(server), data, timeout=LONG) as answer:
            return bytes(answer.read())

    tasks = [stage.spawn(post) for _ in range(4)]
    assert all(task.result() == data for task in tasks)
    end(stage, server)


def test_https(stage: Stage, serve: Serve) -> None:
    import ssl

    authority = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    server = serve(HTTPServer, Handler, tls=server_context)

    def get(number: int) -> bytes:
        where = url(server, f"/{number}", "https")
        with urllib.request.urlopen(where, context=client_context, timeout=LONG) as answer:
            return bytes(answer.read())

    tasks = [stage.spawn(get, number) for number in range(5)]
    for number, task in enumerate(tasks):
        assert task.result() == b"you asked for /%d" % number
    end(stage, server)


def test_xmlrpc(stage: Stage, serve: Serve) -> None:
    server = serve(XMLRPCServer, logRequests=False, allow_none=True)

    def slow_sum(*numbers: int) -> int:
        stage.sleep(0.02)
        return sum(numbers)

    server.register_function(slow_sum)

    def call(number: int) -> Any:
        with xmlrpc.client.ServerProxy(url(server)) as proxy:
            return proxy.slow_sum(number, 1)

    tasks = [stage.spawn(call, number) for number in range(CLIENTS)]
    assert [task.result() for task in tasks] == list(range(1, CLIENTS + 1))
    end(stage, server)


def test_smtp(stage: Stage, serve: Serve) -> None:
    server = serve(TCPServer, Mail)
    Mail.messages.clear()

    def send(number: int) -> None:
        host, port = server.server_address
        with smtplib.SMTP(host, port, local_hostname="localhost", timeout=LONG) as client:
            client.sendmail("a@localhost", ["b@localhost"], f"message {number}\r\n")

    for task in [stage.spawn(send, number) for number in range(5)]:
        task.result()
    assert sorted(Mail.messages) == [b"message %d\r\n" % number for number in range(5)]
    end(stage, server)


def test_logging_to_a_socket(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def receive() -> Any:
            sock, _ = listener.accept()
            with sock, sock.makefile("rb") as file:
                (size,) = struct.unpack(">L", file.read(4))
                return pickle.loads(file.read(size))["msg"]

        task = stage.spawn(receive)
        handler = logging.handlers.SocketHandler(*listener.getsockname())
        handler.emit(logging.LogRecord("name", logging.INFO, "path", 1, "hello", None, None))
        assert task.result() == "hello"
        handler.close()


def test_a_client_is_cut_off_by_its_timeout(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def get() -> None:
            connection = http.client.HTTPConnection(*listener.getsockname(), timeout=0.05)
            try:
                connection.request("GET", "/")
                connection.getresponse()
            finally:
                connection.close()

        with never_early(0.05):
            stage.spawn(get).raises(TimeoutError)


def test_a_client_is_ended_by_a_close_from_elsewhere(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = http.client.HTTPConnection(*listener.getsockname())
        connection.request("GET", "/")
        sock = connection.sock
        task = stage.spawn(connection.getresponse)
        stage.stays_blocked(task)
        sock._real_close()  # `close` would wait for the response's file, as in the standard module
        task.raises(ClosedError)
        connection.close()


# --- the selector ---------------------------------------------------------------------------------


class Nameless(patch.Selector):
    """Without a descriptor, as on Windows."""

    @property
    def fileno(self) -> Any:
        raise AttributeError


SELECTORS = pytest.mark.parametrize("make", [patch.Selector, Nameless])


@SELECTORS
def test_a_selector_parks_the_greenlet_only(stage: Stage, make: Any) -> None:
    a, b = socket.socketpair()
    with a, b, make() as selector:
        selector.register(a, selectors.EVENT_READ, "data")
        task = stage.spawn(selector.select)
        stage.stays_blocked(task)
        b.send(b"x")
        [(key, events)] = task.result()
        assert (key.data, events) == ("data", selectors.EVENT_READ)
        assert len(stage.spawn(selector.select).result()) == 1  # level-triggered


@SELECTORS
def test_a_selector_has_a_timeout(stage: Stage, make: Any) -> None:
    a, b = socket.socketpair()
    with a, b, make() as selector:
        selector.register(a, selectors.EVENT_READ)
        with never_early(0.03):
            assert stage.spawn(selector.select, 0.03).result() == []
        assert selector.select(0) == selector.select(-1) == []


# --- the patch itself -----------------------------------------------------------------------------


def test_names_are_put_back() -> None:
    import ssl
    import types

    module = types.ModuleType("some_library")
    module.__dict__.update(
        socket=standard_socket,
        connect=standard_socket.create_connection,
        Base=standard_socket.socket,
        choose=selectors.DefaultSelector,
        ssl=ssl,
        timeout=standard_socket.timeout,
    )
    before = dict(vars(module))
    with patch.modules(module) as patched:
        assert module.socket.socket is socket.socket
        assert module.connect is socket.create_connection
        assert module.Base is socket.socket
        assert module.choose is patch.Selector
        assert module.ssl.SSLSocket is netpoll.ssl.SSLSocket
        assert module.timeout is standard_socket.timeout
    assert vars(module) == before
    patched.undo()
    assert vars(module) == before


def test_a_module_that_is_not_there_changes_nothing() -> None:
    with pytest.raises(ModuleNotFoundError):
        patch.modules(socketserver, "no_such_module_at_all")


def test_the_standard_modules_themselves_stay() -> None:
    assert standard_socket.socket is not socket.socket
    assert selectors.DefaultSelector is not patch.Selector
