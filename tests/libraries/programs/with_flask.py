"""Flask, in Werkzeug's server with GreenMixIn."""

from __future__ import annotations

from typing import Any

import flask
from greenlet import getcurrent
from netpoll import green, socket
from netpoll.adapters.socketserver import GreenMixIn
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler

SERVER = "none"
LATE = TimeoutError

address: Any = None
application = flask.Flask("with_flask")


class Server(GreenMixIn, BaseWSGIServer):
    request_queue_size = 128


class Handler(WSGIRequestHandler):
    def log_request(self, *unused: Any) -> None:
        pass


@application.get("/<float:seconds>/<number>")
def answer(seconds: float, number: str) -> str:
    flask.g.number = number
    green.sleep(seconds)
    assert flask.g.number == number
    return flask.request.path.rpartition("/")[2]


def begin(servers: Any) -> None:
    global address
    server = Server("127.0.0.1", 0, application, handler=Handler)
    address = server.server_address
    green.spawn(server.serve_forever)


def ask(seconds: float, timeout: float) -> None:
    mine = str(id(getcurrent()))
    with socket.create_connection(address, timeout) as sock:
        sock.sendall(f"GET /{float(seconds)}/{mine} HTTP/1.0\r\n\r\n".encode())
        with sock.makefile("rb") as file:
            assert mine.encode() in file.read().partition(b"\r\n\r\n")[2]
