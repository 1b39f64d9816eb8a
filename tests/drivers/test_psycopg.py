"""psycopg 3 on netpoll against a real PostgreSQL, in threads and in greenlets."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time

import pytest
from netpoll import ClosedError, DeadlineExceeded
from servers import Postgres, until
from support import LONG, ThreadTask, python

psycopg = pytest.importorskip("psycopg")
green = pytest.importorskip("netpoll.green")

from netpoll.adapters.psycopg import Connection  # noqa: E402
from netpoll.sync import LifoQueue  # noqa: E402


def in_thread(function: object) -> object:
    return ThreadTask("thread", function, ()).result(60)


def in_hub(function: object) -> object:
    return ThreadTask("hub", lambda: green.run(function), ()).result(60)


@pytest.fixture(params=[in_thread, in_hub])
def run(request: pytest.FixtureRequest) -> object:
    return request.param


def server_waits(postgres: Postgres, query: str) -> bool:
    with psycopg.connect(postgres.dsn) as conn:
        found = conn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = %s", (query,)
        ).fetchone()
    return bool(found[0])


@pytest.mark.parametrize("sslmode", ["disable", "require"])
def test_queries_copies_pipelines_and_big_results(
    run: object, postgres: Postgres, sslmode: str
) -> None:
    def body() -> None:
        with Connection.connect(postgres.dsn, sslmode=sslmode, autocommit=True) as conn:
            assert conn.execute("SELECT 1 + 1").fetchone() == (2,)
            rows = conn.execute("SELECT i, repeat('x', 100) FROM generate_series(1, 30000) i")
            assert len(rows.fetchall()) == 30000
            conn.execute("CREATE TEMP TABLE t (s text)")
            with conn.cursor().copy("COPY t FROM STDIN") as copy:
                for _ in range(200):
                    copy.write(b"y" * 50_000 + b"\n")
            assert conn.execute("SELECT sum(length(s)) FROM t").fetchone() == (10_000_000,)
            with conn.pipeline():
                cursors = [conn.execute("SELECT %s::int", (i,)) for i in range(200)]
            assert [cursor.fetchone() for cursor in cursors] == [(i,) for i in range(200)]
            with pytest.raises(psycopg.errors.DivisionByZero):
                conn.execute("SELECT 1 / 0")
            assert conn.execute("SELECT 3").fetchone() == (3,)

    run(body)


def test_what_both_sides_send_at_once_does_not_lock_up(run: object, postgres: Postgres) -> None:
    """A pipeline whose answers fill the buffers while its questions are not yet out."""

    def body() -> None:
        with Connection.connect(postgres.dsn, autocommit=True) as conn:
            conn.set_deadline(4 * LONG)
            data = "z" * 200_000
            with conn.pipeline():
                cursors = [conn.execute("SELECT %s::text", (data,)) for _ in range(60)]
            assert all(cursor.fetchone() == (data,) for cursor in cursors)

    run(body)


def test_a_deadline_cuts_a_query_off_and_the_server_lets_go(
    run: object, postgres: Postgres
) -> None:
    query = "SELECT pg_sleep(61)"

    def body() -> None:
        conn = Connection.connect(postgres.dsn)
        conn.set_deadline(0.2)
        start = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            conn.execute(query)
        assert 0.2 <= time.monotonic() - start < LONG
        assert conn.closed
        with pytest.raises(psycopg.OperationalError):
            conn.execute("SELECT 1")

    run(body)
    until(lambda: not server_waits(postgres, query), "the server's query ends too")


def test_a_deadline_is_an_instant_for_all_queries_and_can_be_moved(
    run: object, postgres: Postgres
) -> None:
    def body() -> None:
        with Connection.connect(postgres.dsn, autocommit=True) as conn:
            conn.set_deadline(LONG)
            conn.execute("SELECT 1")
            conn.set_deadline(None)
            conn.execute("SELECT pg_sleep(0.05)")
            threading.Timer(0.1, conn.set_deadline, [0]).start()
            with pytest.raises(DeadlineExceeded):
                conn.execute("SELECT pg_sleep(60)")

    run(body)


def test_another_thread_interrupts_a_query(run: object, postgres: Postgres) -> None:
    def body() -> None:
        conn = Connection.connect(postgres.dsn)
        threading.Timer(0.1, conn.interrupt).start()
        with pytest.raises(ClosedError):
            conn.execute("SELECT pg_sleep(60)")
        assert conn.closed

    run(body)


def test_notifications_are_waited_for_within_a_timeout(run: object, postgres: Postgres) -> None:
    def body() -> None:
        with (
            Connection.connect(postgres.dsn, autocommit=True) as listener,
            Connection.connect(postgres.dsn, autocommit=True) as speaker,
        ):
            listener.execute("LISTEN news")
            assert list(listener.notifies(timeout=0.05)) == []
            speaker.execute("NOTIFY news, 'hello'")
            found = list(listener.notifies(timeout=LONG, stop_after=1))
            assert [note.payload for note in found] == ["hello"]
            assert listener.execute("SELECT 1").fetchone() == (1,)

    run(body)


def test_greenlets_wait_for_the_server_at_once(postgres: Postgres) -> None:
    def ask(turn: int) -> int:
        with Connection.connect(postgres.dsn) as conn:
            return conn.execute("SELECT %s::int FROM pg_sleep(0.5)", (turn,)).fetchone()[0]

    def body() -> None:
        start = time.monotonic()
        greenlets = [green.spawn(ask, i) for i in range(30)]
        assert [greenlet.get() for greenlet in greenlets] == list(range(30))
        assert time.monotonic() - start < 30 * 0.5 / 2

    in_hub(body)


def test_a_thousand_queries_on_twenty_connections(postgres: Postgres) -> None:
    def body() -> None:
        everybody = [Connection.connect(postgres.dsn, autocommit=True) for _ in range(20)]
        free = LifoQueue()
        for conn in everybody:
            free.put(conn)

        def ask(number: int) -> int:
            conn = free.get()
            try:
                return conn.execute("SELECT %s::int * 2", (number,)).fetchone()[0]
            finally:
                free.put(conn)

        greenlets = [green.spawn(ask, i) for i in range(1000)]
        assert [greenlet.get() for greenlet in greenlets] == [2 * i for i in range(1000)]
        for conn in everybody:
            conn.close()

    in_hub(body)


def test_greenlets_take_turns_at_one_connection(postgres: Postgres) -> None:
    """psycopg has a lock for that, which would block the whole hub."""

    def body() -> None:
        with Connection.connect(postgres.dsn) as conn:

            def ask(number: int) -> int:
                return conn.execute("SELECT %s::int FROM pg_sleep(0.001)", (number,)).fetchone()[0]

            greenlets = [green.spawn(ask, i) for i in range(100)]
            assert [greenlet.get() for greenlet in greenlets] == list(range(100))

    in_hub(body)


def test_a_deadline_that_is_moved_binds_a_wait_with_a_timeout_too(
    run: object, postgres: Postgres
) -> None:
    def body() -> None:
        with Connection.connect(postgres.dsn, autocommit=True) as conn:
            conn.set_deadline(LONG)
            threading.Timer(0.05, conn.set_deadline, [2 * LONG]).start()
            start = time.monotonic()
            assert list(conn.notifies(timeout=0.2)) == []
            assert 0.2 <= time.monotonic() - start < LONG
            threading.Timer(0.05, conn.set_deadline, [0]).start()
            with pytest.raises(DeadlineExceeded):
                list(conn.notifies(timeout=LONG))

    run(body)


def test_a_killed_greenlet_gives_its_connection_up_and_others_go_on(postgres: Postgres) -> None:
    def body() -> None:
        doomed, other = Connection.connect(postgres.dsn), Connection.connect(postgres.dsn)
        victim = green.spawn(doomed.execute, "SELECT pg_sleep(60)")
        beside = green.spawn(other.execute, "SELECT pg_sleep(0.2)")
        green.sleep(0.05)
        victim.kill()
        victim.join()
        assert doomed.closed
        beside.get()
        assert other.execute("SELECT 1").fetchone() == (1,)
        other.close()

    in_hub(body)


def test_a_frozen_server_hangs_nobody(run: object, postgres: Postgres) -> None:
    def body() -> None:
        conn = Connection.connect(postgres.dsn)
        backend = conn.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        try:
            conn.set_deadline(0.2)
            with pytest.raises(DeadlineExceeded):
                conn.execute("SELECT 1")
        finally:
            os.kill(backend, signal.SIGCONT)
        with Connection.connect(postgres.dsn) as again:
            assert again.execute("SELECT 1").fetchone() == (1,)

    run(body)


def test_a_pool_in_a_hub_recovers_from_a_server_that_was_frozen(postgres: Postgres) -> None:
    def body() -> None:
        free = LifoQueue()
        for _ in range(
            10
        ):  # one may serve all, if the server is quick enough; connecting has no limit
            free.put(Connection.connect(postgres.dsn, autocommit=True))

        def ask(number: int, patience: float) -> object:
            conn = free.get()
            try:
                conn = conn or Connection.connect(postgres.dsn, autocommit=True)
                conn.set_deadline(patience)
                return conn.execute("SELECT %s::int", (number,)).fetchone()[0]
            except DeadlineExceeded as error:
                return type(error)
            finally:
                free.put(None if conn is None or conn.closed else conn)

        def ask_all(patience: float) -> list[object]:
            greenlets = [green.spawn(ask, i, patience) for i in range(100)]
            return [greenlet.get() for greenlet in greenlets]

        assert ask_all(LONG) == list(range(100))
        postgres.signal_all(signal.SIGSTOP)
        try:
            freed = [green.spawn(ask, i, 0.2) for i in range(10)]
            assert {greenlet.get() for greenlet in freed} == {DeadlineExceeded}
        finally:
            postgres.signal_all(signal.SIGCONT)
        assert ask_all(LONG) == list(range(100))
        while not free.empty():
            if (conn := free.get()) is not None:
                conn.close()

    in_hub(body)


def test_a_server_that_does_not_answer_ends_connecting_in_time(
    run: object, postgres: Postgres
) -> None:
    """The kernel takes the connection in its name."""

    def body() -> None:
        postgres.freeze()
        try:
            with pytest.raises(psycopg.errors.ConnectionTimeout):
                Connection.connect(postgres.dsn, connect_timeout=2)
            for seconds in (0.1, 0, -1):
                start = time.monotonic()
                with pytest.raises(psycopg.errors.ConnectionTimeout):
                    Connection.connect(postgres.dsn, timeout=seconds)
                assert seconds <= time.monotonic() - start < 2
        finally:
            postgres.thaw()
        Connection.connect(postgres.dsn).close()

    run(body)


def test_the_next_host_is_tried_if_one_does_not_answer_in_time(
    run: object, postgres: Postgres
) -> None:
    def body() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            ports = f"{silent.getsockname()[1]},{postgres.port}"
            dsn = f"host=127.0.0.1,127.0.0.1 port={ports} user=test dbname=postgres sslmode=disable"
            start = time.monotonic()
            with Connection.connect(dsn, connect_timeout=2) as conn:
                assert conn.execute("SELECT 1").fetchone() == (1,)
            assert time.monotonic() - start >= 2
            with pytest.raises(psycopg.errors.ConnectionTimeout):
                Connection.connect(dsn, timeout=0.1)  # for both

    run(body)


def test_a_pool_recovers_from_deadlines_and_from_a_server_that_was_restarted(
    postgres: Postgres,
) -> None:
    pool_module = pytest.importorskip("psycopg_pool")
    with pool_module.ConnectionPool(
        postgres.dsn, connection_class=Connection, min_size=2, max_size=4, timeout=LONG
    ) as pool:
        pool.wait(LONG)

        def ask() -> tuple[int]:
            with pool.connection() as conn:
                conn.set_deadline(LONG)
                return conn.execute("SELECT 1").fetchone()

        for _ in range(6):
            with pytest.raises(DeadlineExceeded), pool.connection() as conn:
                conn.set_deadline(0.05)
                conn.execute("SELECT pg_sleep(60)")
        assert ask() == (1,)

        sleeper = ThreadTask("sleeper", _sleep_in, (pool,))
        until(lambda: server_waits(postgres, "SELECT pg_sleep(62)"), "somebody is asking")
        postgres.stop()
        with pytest.raises(psycopg.OperationalError):
            sleeper.result()
        postgres.start()

        def works() -> bool:
            try:
                return ask() == (1,)
            except psycopg.OperationalError:
                return False

        until(works, "the pool works again")


def _sleep_in(pool: object) -> None:
    with pool.connection() as conn:
        conn.execute("SELECT pg_sleep(62)")


def test_ctrl_c_interrupts_a_query(postgres: Postgres) -> None:
    done = python(
        f"""
        import _thread, os, signal, threading, time
        from netpoll.adapters.psycopg import Connection
        conn = Connection.connect({postgres.dsn!r})
        threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
        start = time.monotonic()
        try:
            conn.execute("SELECT pg_sleep(60)")
        except KeyboardInterrupt:
            assert time.monotonic() - start < 15
            print("interrupted", conn.closed)
        """
    )
    assert done.stdout == "interrupted True\n", done.stdout + done.stderr
