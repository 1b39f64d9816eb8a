"""pg8000: connections that are kept, as many as there are users at once."""

from __future__ import annotations

import ssl
from typing import Any

import pg8000.dbapi

SERVER = "postgres"
LATE = (TimeoutError, pg8000.exceptions.InterfaceError)

#: One for all connections: each would compute for a while to read the system's certificates.
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE

port = 0
free: dict[float, list[Any]] = {}


def begin(servers: Any) -> None:
    global port
    port = servers["postgres"]["port"]


def connect(timeout: float) -> Any:
    return pg8000.dbapi.connect(
        "test", "127.0.0.1", "postgres", port, timeout=timeout, ssl_context=context
    )


def ask(seconds: float, timeout: float) -> None:
    kept = free.setdefault(timeout, [])
    connection = kept.pop() if kept else connect(timeout)
    try:
        connection.cursor().execute(f"SELECT pg_sleep({seconds})")
    except BaseException:
        connection.close()
        raise
    kept.append(connection)
