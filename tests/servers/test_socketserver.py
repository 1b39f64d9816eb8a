"""GreenMixIn with the standard servers, which nothing patches, and with that of Werkzeug."""

from __future__ import annotations

import http.server
import socketserver
import wsgiref.simple_server
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from netpoll import green, socket, sync
from netpoll.adapters.socketserver import GreenMixIn
from support import LONG

CLIENTS = 10
PAUSE = 0.1


def in_hub(function: Callable[..., Any], *args: Any) -> Any:
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(green.run, function, *args).result(LONG)


#: Passed when all requests of a test are being served.
together = sync.Barrier(CLIENTS)


def meet(path: str) -> None:
    if path != "/alone":
        together.wait(LONG)
    green.sleep(PAUSE)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        meet(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, *unused: object) -> None:
        pass


class Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *unused: object) -> None:
        pass


def application(environ: Any, start_response: Any) -> list[bytes]:
    meet(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode()]


class HTTPServer(GreenMixIn, http.server.HTTPServer):
    request_queue_size = 128


class WSGIServer(GreenMixIn, wsgiref.simple_server.WSGIServer):
    request_queue_size = 128


def http_server() -> Any:
    return HTTPServer(("127.0.0.1", 0), Handler)


def wsgi_server() -> Any:
    server = WSGIServer(("127.0.0.1", 0), Quiet)
    server.set_app(application)
    return server


def werkzeug_server() -> Any:
    serving = pytest.importorskip("werkzeug.serving", reason="make libraries installs it")

    class Silent(serving.WSGIRequestHandler):  # type: ignore[misc, name-defined]
        def log_request(self, *unused: object) -> None:
            pass

    class Server(GreenMixIn, serving.BaseWSGIServer):  # type: ignore[misc, name-defined]
        pass

    return Server("127.0.0.1", 0, application, handler=Silent)


def get(server: Any, path: bytes) -> bytes:
    """The body of the answer, which is the path."""
    with socket.create_connection(server.server_address, LONG) as sock:
        sock.sendall(b"GET %s HTTP/1.0\r\n\r\n" % path)
        with sock.makefile("rb") as file:
            body: bytes = file.read().partition(b"\r\n\r\n")[2]
            return body.partition(b"\r\n")[2].partition(b"\r\n")[0] if chunked(body) else body


def chunked(body: bytes) -> bool:
    """Werkzeug does that to clients of HTTP/1.0 too."""
    return body.endswith(b"\r\n0\r\n\r\n")


@pytest.mark.parametrize("make", [http_server, wsgi_server, werkzeug_server])
def test_requests_are_served_at_once(make: Callable[[], Any]) -> None:
    def main() -> None:
        with make() as server:
            serving = green.spawn(server.serve_forever)
            tasks = [green.spawn(get, server, b"/%d" % number) for number in range(CLIENTS)]
            assert [task.get() for task in tasks] == [b"/%d" % n for n in range(CLIENTS)]
            server.shutdown()
            serving.get()

    in_hub(main)


def test_shutdown_and_close() -> None:
    def main() -> None:
        server = http_server()
        serving = green.spawn(server.serve_forever, LONG)
        task = green.spawn(get, server, b"/alone")
        green.sleep(PAUSE / 4)
        with ThreadPoolExecutor(1) as threads:
            shutdown = threads.submit(server.shutdown)
            serving.join()  # far sooner than the poll_interval
            shutdown.result(LONG)
        server.server_close()  # waits for what has begun
        assert not server._serving
        assert task.get() == b"/alone"

    in_hub(main)


def test_datagrams() -> None:
    at_once = sync.Barrier(3)

    class Echo(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, sock = self.request
            at_once.wait(LONG)
            sock.sendto(data.upper(), self.client_address)

    class UDPServer(GreenMixIn, socketserver.UDPServer):
        pass

    def main() -> None:
        with UDPServer(("127.0.0.1", 0), Echo) as server:
            serving = green.spawn(server.serve_forever)
            with socket.socket(type=socket.SOCK_DGRAM) as client:
                client.settimeout(LONG)
                client.bind(("127.0.0.1", 0))
                for letter in b"abc":
                    client.sendto(bytes([letter]), server.server_address)
                assert {client.recv(1) for _ in "abc"} == {b"A", b"B", b"C"}
            server.shutdown()
            serving.get()

    in_hub(main)


def test_an_error_of_a_handler_ends_its_request_only(capsys: pytest.CaptureFixture[str]) -> None:
    class Failing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            raise ZeroDivisionError("of this handler")

    def main() -> None:
        with HTTPServer(("127.0.0.1", 0), Failing) as server:
            serving = green.spawn(server.serve_forever)
            assert get(server, b"/") == get(server, b"/") == b""
            server.shutdown()
            serving.get()

    in_hub(main)
    assert capsys.readouterr().err.count("ZeroDivisionError: of this handler") == 2
