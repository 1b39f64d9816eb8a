"""waitress: a server whose loop is in a greenlet, and whose threads are threads."""

from __future__ import annotations

import time
from typing import Any

import waitress
from netpoll import green, socket

SERVER = "none"
LATE = TimeoutError

address: Any = None


def application(environ: Any, start_response: Any) -> list[bytes]:
    time.sleep(min(float(environ["PATH_INFO"][1:]), 1))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


def begin(servers: Any) -> None:
    global address
    server = waitress.create_server(application, host="127.0.0.1", port=0, threads=8)
    address = ("127.0.0.1", server.effective_port)
    green.spawn(server.run)


def ask(seconds: float, timeout: float) -> None:
    with socket.create_connection(address, timeout) as sock:
        sock.sendall(f"GET /{seconds} HTTP/1.0\r\n\r\n".encode())
        with sock.makefile("rb") as file:
            assert file.read().endswith(b"ok")
