"""PyMySQL: connections that are kept, as many as there are users at once."""

from __future__ import annotations

from typing import Any

import pymysql

SERVER = "mariadb"
LATE = pymysql.err.OperationalError

port = 0
free: dict[float, list[Any]] = {}


def begin(servers: Any) -> None:
    global port
    port = servers["mariadb"]["port"]


def connect(timeout: float) -> Any:
    return pymysql.connect(
        host="127.0.0.1",
        port=port,
        user="test",
        connect_timeout=timeout,
        read_timeout=timeout,
        ssl_disabled=True,  # or each would compute for a while to read the system's certificates
    )


def ask(seconds: float, timeout: float) -> None:
    kept = free.setdefault(timeout, [])
    connection = kept.pop() if kept else connect(timeout)
    try:
        connection.cursor().execute(f"SELECT SLEEP({seconds})")
    except BaseException:
        connection.close()
        raise
    kept.append(connection)
