"""The pool for greenlets that docs/drivers.md shows, against a real PostgreSQL."""

from __future__ import annotations

import queue
import runpy
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from netpoll import DeadlineExceeded
from servers import Postgres
from support import LONG, ThreadTask

psycopg = pytest.importorskip("psycopg")
green = pytest.importorskip("netpoll.green")

Pool: Any = runpy.run_path(str(Path(__file__).parent.parent.parent / "examples" / "with_pool.py"))[
    "Pool"
]


def in_hub(postgres: Postgres, size: int, body: Callable[[Any], None]) -> None:
    """With a pool, which has all its places afterwards."""

    def main() -> None:
        pool = Pool(postgres.dsn, size)
        body(pool)
        assert pool._free.qsize() == size
        pool.close()

    ThreadTask("hub", green.run, (main,)).result(60)


def ask(pool: Any, number: int, timeout: float = LONG) -> object:
    try:
        with pool.connection(timeout) as conn:
            return conn.execute("SELECT %s::int", (number,)).fetchone()[0]
    except (DeadlineExceeded, psycopg.errors.ConnectionTimeout, queue.Empty) as error:
        return type(error)


def ask_all(pool: Any, count: int) -> None:
    greenlets = [green.spawn(ask, pool, i, 4 * LONG) for i in range(count)]
    assert [greenlet.get() for greenlet in greenlets] == list(range(count))


def test_a_thousand_share_ten_connections(postgres: Postgres) -> None:
    in_hub(postgres, 10, lambda pool: ask_all(pool, 1000))


@pytest.mark.parametrize("connected", [True, False])
def test_it_recovers_from_a_server_that_was_frozen(postgres: Postgres, connected: bool) -> None:
    def body(pool: Any) -> None:
        if connected:
            ask_all(pool, 100)
        start = time.monotonic()
        postgres.signal_all(signal.SIGSTOP)
        try:
            waiting = [green.spawn(ask, pool, i, 0.3) for i in range(50)]
            outcomes = {greenlet.get() for greenlet in waiting}
        finally:
            postgres.signal_all(signal.SIGCONT)
        cut_off = DeadlineExceeded if connected else psycopg.errors.ConnectionTimeout
        assert cut_off in outcomes and not any(isinstance(one, int) for one in outcomes)
        assert 0.3 <= time.monotonic() - start < LONG
        ask_all(pool, 100)

    in_hub(postgres, 10, body)


def test_a_server_that_was_restarted_costs_no_query(postgres: Postgres) -> None:
    def body(pool: Any) -> None:
        ask_all(pool, 100)
        restarting = ThreadTask("restart", lambda: (postgres.stop(), postgres.start()), ())
        while not restarting.done:
            green.sleep(0.01)
        ask_all(pool, 100)

    in_hub(postgres, 10, body)


def test_who_is_killed_or_fails_leaves_the_place_and_no_trace_in_the_database(
    postgres: Postgres,
) -> None:
    def body(pool: Any) -> None:
        with pool.connection(LONG) as conn:
            conn.execute("CREATE TABLE kept (i int)")

        def insert(then: Callable[[Any], object]) -> None:
            with pool.connection(LONG) as conn:
                conn.execute("INSERT INTO kept VALUES (1)")
                then(conn)

        with pytest.raises(ZeroDivisionError):
            insert(lambda conn: 1 / 0)
        for then in (
            lambda conn: conn.execute("SELECT pg_sleep(60)"),
            lambda conn: green.sleep(60),
        ):
            victims = [green.spawn(insert, then) for _ in range(4)]  # two of them find none free
            green.sleep(0.1)
            for victim in victims:
                victim.kill()
                victim.join()
        with pool.connection(LONG) as conn:
            assert conn.execute("SELECT count(*) FROM kept").fetchone() == (0,)
            conn.execute("DROP TABLE kept")

    in_hub(postgres, 2, body)
