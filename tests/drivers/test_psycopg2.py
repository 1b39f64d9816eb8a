"""psycopg2 on netpoll against a real PostgreSQL, in threads and in greenlets."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from netpoll import ClosedError, DeadlineExceeded
from servers import Postgres
from support import LONG, ThreadTask

psycopg2 = pytest.importorskip("psycopg2")
green = pytest.importorskip("netpoll.green")

from netpoll.adapters import psycopg2 as on_netpoll  # noqa: E402
from netpoll.sync import LifoQueue  # noqa: E402


@pytest.fixture(autouse=True)
def _installed() -> Iterator[None]:
    on_netpoll.install()
    yield
    on_netpoll.uninstall()


def in_thread(function: object) -> object:
    return ThreadTask("thread", function, ()).result(60)


def in_hub(function: object) -> object:
    return ThreadTask("hub", lambda: green.run(function), ()).result(60)


@pytest.fixture(params=[in_thread, in_hub])
def run(request: pytest.FixtureRequest) -> object:
    return request.param


def ask(conn: object, query: str, *args: object) -> object:
    with conn.cursor() as cursor:
        cursor.execute(query, args)
        return cursor.fetchall()


@pytest.mark.parametrize("sslmode", ["disable", "require"])
def test_queries_and_big_results(run: object, postgres: Postgres, sslmode: str) -> None:
    def body() -> None:
        conn = psycopg2.connect(postgres.dsn, sslmode=sslmode)
        assert ask(conn, "SELECT 1 + 1") == [(2,)]
        rows = ask(conn, "SELECT i, repeat('x', 100) FROM generate_series(1, 30000) i")
        assert len(rows) == 30000
        assert ask(conn, "SELECT length(%s)", "y" * 5_000_000) == [(5_000_000,)]
        with pytest.raises(psycopg2.errors.DivisionByZero):
            ask(conn, "SELECT 1 / 0")
        conn.rollback()
        assert ask(conn, "SELECT 3") == [(3,)]
        conn.close()

    run(body)


def test_a_deadline_cuts_a_query_off(run: object, postgres: Postgres) -> None:
    def body() -> None:
        conn = psycopg2.connect(postgres.dsn)
        on_netpoll.set_deadline(conn, 0.2)
        start = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            ask(conn, "SELECT pg_sleep(60)")
        assert 0.2 <= time.monotonic() - start < LONG
        assert conn.closed

    run(body)


def test_a_deadline_is_moved_and_a_query_interrupted_from_another_thread(
    run: object, postgres: Postgres
) -> None:
    def body() -> None:
        conn = psycopg2.connect(postgres.dsn)
        on_netpoll.set_deadline(conn, LONG)
        threading.Timer(0.1, on_netpoll.set_deadline, [conn, 0]).start()
        with pytest.raises(DeadlineExceeded):
            ask(conn, "SELECT pg_sleep(60)")
        conn = psycopg2.connect(postgres.dsn)
        threading.Timer(0.1, on_netpoll.interrupt, [conn]).start()
        with pytest.raises(ClosedError):
            ask(conn, "SELECT pg_sleep(60)")
        assert conn.closed

    run(body)


def test_a_thousand_queries_on_twenty_connections(postgres: Postgres) -> None:
    def body() -> None:
        everybody = [psycopg2.connect(postgres.dsn) for _ in range(20)]
        free = LifoQueue()
        for conn in everybody:
            free.put(conn)

        def one(number: int) -> int:
            conn = free.get()
            try:
                return ask(conn, "SELECT %s * 2", number)[0][0]
            finally:
                free.put(conn)

        greenlets = [green.spawn(one, i) for i in range(1000)]
        assert [greenlet.get() for greenlet in greenlets] == [2 * i for i in range(1000)]
        start = time.monotonic()
        sleepers = [green.spawn(ask, conn, "SELECT pg_sleep(0.5)") for conn in everybody]
        for sleeper in sleepers:
            sleeper.get()
        assert time.monotonic() - start < 20 * 0.5 / 2
        for conn in everybody:
            conn.close()

    in_hub(body)


def test_a_frozen_or_stopped_server_hangs_nobody(run: object, postgres: Postgres) -> None:
    def body() -> None:
        conn = psycopg2.connect(postgres.dsn)
        backend = conn.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        try:
            on_netpoll.set_deadline(conn, 0.2)
            with pytest.raises(DeadlineExceeded):
                ask(conn, "SELECT 1")
        finally:
            os.kill(backend, signal.SIGCONT)
        conn = psycopg2.connect(postgres.dsn)
        threading.Timer(0.1, postgres.stop).start()
        with pytest.raises(psycopg2.OperationalError):
            ask(conn, "SELECT pg_sleep(60)")

    try:
        run(body)
    finally:
        postgres.stop()
        postgres.start()

    def again() -> None:
        conn = psycopg2.connect(postgres.dsn)
        assert ask(conn, "SELECT 1") == [(1,)]
        conn.close()

    run(again)
