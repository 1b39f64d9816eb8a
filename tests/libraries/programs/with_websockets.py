"""The client of websockets for threads, each connection with a thread that receives."""

from __future__ import annotations

from typing import Any

from websockets.sync.client import connect

SERVER = "websocket"
LATE = TimeoutError

url = ""


def begin(servers: Any) -> None:
    global url
    url = f"ws://127.0.0.1:{servers['websocket']['port']}/"


def ask(seconds: float, timeout: float) -> None:
    with connect(
        url, open_timeout=timeout, close_timeout=0.1, compression=None, proxy=None
    ) as connection:
        connection.send(str(seconds))
        assert connection.recv(timeout) == str(seconds)
