"""redis-py on netpoll.socket against a real server, in threads and in greenlets."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from servers import Redis
from support import LONG, ThreadTask, not_on_libkqueue

redis = pytest.importorskip("redis")
green = pytest.importorskip("netpoll.green")

from netpoll.adapters.redis import Connection, SSLConnection  # noqa: E402
from netpoll.sync import LifoQueue  # noqa: E402


@pytest.fixture
def client(redis_server: Redis) -> Iterator[object]:
    pool = redis.ConnectionPool(
        connection_class=Connection,
        host="127.0.0.1",
        port=redis_server.port,
        max_connections=2000,
        # A thousand connects at once, on a loaded machine: redis-py would wait for 5 seconds.
        socket_timeout=4 * LONG,
        socket_connect_timeout=4 * LONG,
        retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
    )
    client = redis.Redis(connection_pool=pool)
    yield client
    pool.disconnect()


def in_hub(function: object) -> object:
    return ThreadTask("hub", lambda: green.run(function), ()).result(4 * LONG)


@not_on_libkqueue("loses events when more than half a batch is ready")
def test_a_thousand_commands_at_once(client: object) -> None:
    def body() -> None:
        greenlets = [green.spawn(client.set, f"key {i}", i) for i in range(1000)]
        assert all(greenlet.get() for greenlet in greenlets)
        greenlets = [green.spawn(client.get, f"key {i}") for i in range(1000)]
        assert [greenlet.get() for greenlet in greenlets] == [b"%d" % i for i in range(1000)]

    in_hub(body)


def test_a_thousand_commands_on_a_few_connections_with_tls(redis_server: Redis) -> None:
    def body() -> None:
        pool = redis.BlockingConnectionPool(
            connection_class=SSLConnection,
            queue_class=LifoQueue,
            host="localhost",
            port=redis_server.tls_port,
            ssl_ca_certs=str(redis_server.certificate),
            max_connections=10,
            timeout=4 * LONG,
            socket_timeout=4 * LONG,
            socket_connect_timeout=4 * LONG,
        )
        client = redis.Redis(connection_pool=pool)
        big = b"x" * 1_000_000
        client.set("big", big)
        greenlets = [green.spawn(client.incr, "counter") for _ in range(1000)]
        assert client.get("big") == big
        assert sorted(greenlet.get() for greenlet in greenlets) == list(range(1, 1001))
        connection = pool.get_connection()
        connection.set_deadline(0.1)
        connection.send_command("BLPOP", "nothing", 30)
        with pytest.raises(redis.exceptions.TimeoutError):
            connection.read_response()
        connection.disconnect()
        pool.release(connection)
        assert client.ping()
        pool.disconnect()

    in_hub(body)


@not_on_libkqueue("loses events when more than half a batch is ready")
def test_greenlets_block_for_lists_at_once(client: object) -> None:
    def body() -> None:
        waiting = [green.spawn(client.blpop, f"list {i}", 20) for i in range(100)]
        green.sleep(0.05)
        for i in reversed(range(100)):
            client.rpush(f"list {i}", i)
        assert [greenlet.get()[1] for greenlet in waiting] == [b"%d" % i for i in range(100)]

    in_hub(body)


def test_pipelines_big_values_and_publications(client: object) -> None:
    def body() -> None:
        big = b"x" * 5_000_000
        client.set("big", big)
        assert client.get("big") == big
        with client.pipeline() as pipe:
            for i in range(500):
                pipe.set(f"p{i}", i).get(f"p{i}")
            assert pipe.execute()[1::2] == [b"%d" % i for i in range(500)]
        with client.pubsub() as hearing:
            hearing.subscribe("news")
            assert hearing.get_message(timeout=LONG)["type"] == "subscribe"
            client.publish("news", "hello")
            assert hearing.get_message(timeout=LONG)["data"] == b"hello"
            assert hearing.get_message(timeout=0.01) is None

    in_hub(body)
    ThreadTask("thread", body, ()).result(4 * LONG)


def test_a_deadline_cuts_a_command_off_and_the_pool_goes_on(client: object) -> None:
    def body() -> None:
        connection = client.connection_pool.get_connection()
        connection.set_deadline(0.1)
        connection.send_command("BLPOP", "nothing", 30)
        start = time.monotonic()
        with pytest.raises(redis.exceptions.TimeoutError):
            connection.read_response()
        assert time.monotonic() - start < LONG
        connection.disconnect()
        client.connection_pool.release(connection)
        assert client.ping()

    in_hub(body)
    ThreadTask("thread", body, ()).result(4 * LONG)


def test_a_frozen_server_hangs_nobody_and_the_pool_recovers(
    client: object, redis_server: Redis
) -> None:
    client.connection_pool.connection_kwargs["socket_timeout"] = 0.3

    def body() -> None:
        client.ping()
        redis_server.freeze()
        try:
            waiting = [green.spawn(_outcome, client.ping) for _ in range(50)]
            assert {greenlet.get() for greenlet in waiting} == {redis.exceptions.TimeoutError}
        finally:
            redis_server.thaw()
        client.connection_pool.connection_kwargs["socket_timeout"] = LONG
        client.connection_pool.disconnect()
        assert client.ping()

    in_hub(body)


def test_a_server_that_is_stopped_ends_the_commands(client: object, redis_server: Redis) -> None:
    def body() -> None:
        waiting = [green.spawn(_outcome, client.blpop, f"never {i}", 30) for i in range(20)]
        green.sleep(0.1)
        threading.Thread(target=redis_server.stop).start()
        outcomes = {greenlet.get() for greenlet in waiting}
        assert outcomes == {redis.exceptions.ConnectionError}

    try:
        in_hub(body)
    finally:
        redis_server.stop()
        redis_server.start()
    assert client.ping()


def test_a_pause_between_retries_holds_nobody_up(redis_server: Redis) -> None:
    retry = redis.retry.Retry(redis.backoff.ConstantBackoff(2), 1000)

    def body() -> None:
        pool = redis.ConnectionPool(
            connection_class=Connection,
            host="127.0.0.1",
            port=redis_server.port,
            socket_timeout=0.1,
            retry=retry,
        )
        client = redis.Redis(connection_pool=pool)
        redis_server.freeze()
        try:
            patient = green.spawn(client.ping)
            longest = 0.0
            for _ in range(100):
                start = time.monotonic()
                green.sleep(0.01)
                longest = max(longest, time.monotonic() - start)
            assert not patient.dead, "the server does not answer"
        finally:
            redis_server.thaw()
        assert patient.get()
        assert longest < 1.5, "no pause has blocked the hub"
        pool.disconnect()

    in_hub(body)


def test_greenlets_take_turns_at_a_lock(client: object) -> None:
    def body() -> None:
        inside: list[int] = []

        def work(number: int) -> None:
            lock = client.lock("the lock", timeout=LONG)
            lock.acquire()
            inside.append(number)
            green.sleep(0.02)
            assert inside == [number]
            inside.clear()
            lock.release()

        for worker in [green.spawn(work, i) for i in range(5)]:
            worker.get()

    in_hub(body)


def _outcome(function: object, *args: object) -> type | None:
    try:
        function(*args)
    except Exception as error:
        return type(error)
    return None
