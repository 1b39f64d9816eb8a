"""psycopg_pool, whose workers are threads."""

from __future__ import annotations

from typing import Any

import psycopg_pool
from netpoll import green

SERVER = "postgres"
LIMIT = 2
LATE = TimeoutError

pool: Any = None


def begin(servers: Any) -> None:
    global pool
    dsn = f"host=127.0.0.1 port={servers['postgres']['port']} user=test dbname=postgres"
    pool = psycopg_pool.ConnectionPool(dsn, min_size=LIMIT, max_size=LIMIT, open=True)
    pool.wait(10)


def ask(seconds: float, timeout: float) -> None:
    # libpq has no timeout for the answer.
    with green.timeout(timeout), pool.connection() as connection:
        connection.execute(f"SELECT pg_sleep({seconds})")


def waiting_for_a_connection() -> None:
    tasks = [green.spawn(ask, 0.5, 10) for _ in range(LIMIT)]
    green.sleep(0.1)
    try:
        with pool.connection(0.1):
            pass
    except psycopg_pool.PoolTimeout:
        pass
    else:
        raise AssertionError("there was a third connection")
    for task in tasks:
        task.get()
