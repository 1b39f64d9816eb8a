"""websocket-client."""

from __future__ import annotations

from typing import Any

import websocket

SERVER = "websocket"
LATE = websocket.WebSocketTimeoutException

url = ""


def begin(servers: Any) -> None:
    global url
    url = f"ws://127.0.0.1:{servers['websocket']['port']}/"


def ask(seconds: float, timeout: float) -> None:
    connection = websocket.create_connection(url, timeout=timeout)
    try:
        connection.send(str(seconds))
        assert connection.recv() == str(seconds)
    finally:
        connection.shutdown()
