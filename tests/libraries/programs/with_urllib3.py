"""urllib3: a pool that blocks."""

from __future__ import annotations

from typing import Any

import urllib3

SERVER = "http"
LIMIT = 5
LATE = urllib3.exceptions.ReadTimeoutError

pool: Any = None


def begin(servers: Any) -> None:
    global pool
    pool = urllib3.HTTPConnectionPool(
        "127.0.0.1", servers["http"]["port"], maxsize=LIMIT, block=True, retries=False
    )


def ask(seconds: float, timeout: float) -> None:
    assert pool.request("GET", f"/{seconds}", timeout=timeout).data == b"ok"
