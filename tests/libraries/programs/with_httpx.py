"""httpx: a pool of connections of its own."""

from __future__ import annotations

from typing import Any

import httpx

SERVER = "http"
LIMIT = 5
LATE = httpx.TimeoutException

client: Any = None


def begin(servers: Any) -> None:
    global client
    client = httpx.Client(
        base_url=f"http://127.0.0.1:{servers['http']['port']}",
        limits=httpx.Limits(max_connections=LIMIT),
        trust_env=False,
    )


def ask(seconds: float, timeout: float) -> None:
    # As long for a connection of the pool as others take.
    limits = httpx.Timeout(timeout, pool=10)
    assert client.get(f"/{seconds}", timeout=limits).text == "ok"
