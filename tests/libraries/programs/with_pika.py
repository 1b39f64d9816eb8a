"""pika: a connection that waits in a loop of its own, on `select`, `poll` or `epoll`."""

from __future__ import annotations

from typing import Any

import pika
from netpoll import green

SERVER = "amqp"
LATE = TimeoutError

port = 0
free: list[Any] = []


def begin(servers: Any) -> None:
    global port
    port = servers["amqp"]["port"]


def ask(seconds: float, timeout: float) -> None:
    # It has no timeout for an answer.
    with green.timeout(timeout):
        channel = free.pop() if free else connect()
        assert channel.basic_get(str(seconds)) == (None, None, None)
        free.append(channel)


def connect() -> Any:
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port)).channel()
