"""bottle, in a server of wsgiref with GreenMixIn: each request has its own `request`."""

from __future__ import annotations

import wsgiref.simple_server
from typing import Any

import bottle
from greenlet import getcurrent
from netpoll import green, socket
from netpoll.adapters.socketserver import GreenMixIn

SERVER = "none"
LATE = TimeoutError

address: Any = None
application = bottle.Bottle()


class Server(GreenMixIn, wsgiref.simple_server.WSGIServer):
    request_queue_size = 128


class Handler(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *unused: Any) -> None:
        pass


@application.get("/<seconds:float>/<number>")  # type: ignore[misc]
def answer(seconds: float, number: str) -> str:
    green.sleep(seconds)
    return bottle.request.path.rpartition("/")[2]  # type: ignore[no-any-return]


def begin(servers: Any) -> None:
    global address
    server = Server(("127.0.0.1", 0), Handler)
    server.set_app(application)
    address = server.server_address
    green.spawn(server.serve_forever)


def ask(seconds: float, timeout: float) -> None:
    mine = str(id(getcurrent()))
    with socket.create_connection(address, timeout) as sock:
        sock.sendall(f"GET /{float(seconds)}/{mine} HTTP/1.0\r\n\r\n".encode())
        with sock.makefile("rb") as file:
            assert file.read().endswith(mine.encode())
