"""redis-py: a pool that blocks, subscriptions, a lock."""

from __future__ import annotations

from typing import Any

import redis

SERVER = "redis"
LIMIT = 5
LATE = redis.exceptions.TimeoutError

pools: dict[float, Any] = {}
port = 0


def begin(servers: Any) -> None:
    global port
    port = servers["redis"]["port"]


def client(timeout: float) -> Any:
    if timeout not in pools:
        pools[timeout] = redis.BlockingConnectionPool(
            host="127.0.0.1",
            port=port,
            max_connections=LIMIT,
            socket_timeout=timeout,
            timeout=10,
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
        )
    return redis.Redis(connection_pool=pools[timeout])


def ask(seconds: float, timeout: float) -> None:
    if seconds:
        client(timeout).blpop("nothing", seconds)
    else:
        client(timeout).ping()


def subscriptions() -> None:
    from trial import green

    subscriber = client(10).pubsub()
    subscriber.subscribe("channel")
    messages = subscriber.listen()
    assert next(messages)["type"] == "subscribe"
    task = green.spawn(next, messages)
    green.sleep(0.1)
    client(10).publish("channel", "hello")
    assert task.get()["data"] == b"hello"
    subscriber.close()


def locks() -> None:
    from trial import at_once, green

    inside: list[int] = []

    def use() -> None:
        with client(10).lock("lock", timeout=10, sleep=0.02):
            inside.append(1)
            assert len(inside) == 1
            green.sleep(0.05)
            inside.pop()

    at_once(4, use)
