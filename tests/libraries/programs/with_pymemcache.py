"""pymemcache: a pool of clients."""

from __future__ import annotations

from typing import Any

from pymemcache.client.base import PooledClient

SERVER = "memcached"
LATE = TimeoutError

clients: dict[float, Any] = {}
port = 0


def begin(servers: Any) -> None:
    global port
    port = servers["memcached"]["port"]


def ask(seconds: float, timeout: float) -> None:
    if timeout not in clients:
        clients[timeout] = PooledClient(
            ("127.0.0.1", port), timeout=timeout, connect_timeout=timeout, max_pool_size=50
        )
    assert clients[timeout].get(f"after:{seconds}") is None
