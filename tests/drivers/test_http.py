"""urllib3 and requests on netpoll.socket against a real nginx, in greenlets."""

from __future__ import annotations

import os
import signal
import time

import pytest
from netpoll import socket
from servers import Nginx
from support import LONG, ThreadTask, not_on_libkqueue

urllib3 = pytest.importorskip("urllib3")
requests = pytest.importorskip("requests")
green = pytest.importorskip("netpoll.green")

from netpoll.adapters.urllib3 import PoolManager, ProxyManager, mount  # noqa: E402


def in_hub(function: object) -> object:
    return ThreadTask("hub", lambda: green.run(function), ()).result(90)


def url(nginx: Nginx, path: str, scheme: str = "http") -> str:
    port = nginx.port if scheme == "http" else nginx.tls_port
    return f"{scheme}://127.0.0.1:{port}/{path}"


@not_on_libkqueue("loses events when more than half a batch is ready")
@pytest.mark.parametrize(
    ("scheme", "pool"),
    [
        ("http", {"maxsize": 1000}),
        ("http", {"maxsize": 20, "block": True}),
        ("https", {"maxsize": 100, "block": True}),
    ],
)
def test_a_thousand_requests_at_once(nginx: Nginx, scheme: str, pool: dict[str, object]) -> None:
    def body() -> None:
        with PoolManager(**pool, ca_certs=str(nginx.certificate)) as http:
            options = {"timeout": 4 * LONG, "retries": False}

            def fetch() -> bytes:
                return http.request("GET", url(nginx, "hello", scheme), **options).data

            greenlets = [green.spawn(fetch) for _ in range(1000)]
            assert [greenlet.get() for greenlet in greenlets] == [b"hello\n"] * 1000

    in_hub(body)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_requests_fetches_in_greenlets_and_in_threads(nginx: Nginx, scheme: str) -> None:
    hello, big, nothing = (url(nginx, path, scheme) for path in ("hello", "big", "nothing"))

    def body() -> None:
        with requests.Session() as session:
            mount(session, pool_maxsize=20, pool_block=True)
            session.trust_env = False  # whose REQUESTS_CA_BUNDLE would win
            session.verify = str(nginx.certificate)
            assert session.get(hello, timeout=LONG).text == "hello\n"
            assert session.get(big, timeout=LONG).content == nginx.big
            assert session.get(nothing, timeout=LONG).status_code == 404
            assert session.post(hello, data=b"x" * 10, timeout=LONG).status_code == 405
            pieces = session.get(big, timeout=LONG, stream=True)
            assert b"".join(pieces.iter_content(10_000)) == nginx.big

    in_hub(body)
    ThreadTask("thread", body, ()).result(60)


def test_a_certificate_that_nobody_vouches_for_is_refused(nginx: Nginx) -> None:
    def body() -> None:
        with PoolManager() as http, pytest.raises(urllib3.exceptions.SSLError):
            http.request("GET", url(nginx, "hello", "https"), retries=False, timeout=LONG)
        with requests.Session() as session:
            mount(session)
            with pytest.raises(requests.exceptions.SSLError):
                session.get(url(nginx, "hello", "https"), timeout=LONG)

    in_hub(body)


def test_the_connections_are_ours_through_a_proxy_too(nginx: Nginx) -> None:
    """nginx serves whatever path is asked for, and so passes for a proxy."""
    proxy = f"http://127.0.0.1:{nginx.port}"

    def body() -> None:
        with ProxyManager(proxy) as http:
            kept = http.connection_from_url("http://example.invalid/")
            answer = http.request("GET", "http://example.invalid/hello", retries=False)
            assert answer.data == b"hello\n"
            used = kept.pool.get()
            assert isinstance(used.sock, socket.socket)
            used.close()
        with requests.Session() as session:
            mount(session)
            session.trust_env = False
            session.proxies = {"http": proxy, "https": proxy}
            assert session.get("http://example.invalid/hello", timeout=LONG).text == "hello\n"

    in_hub(body)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_one_that_is_slow_holds_nobody_up(nginx: Nginx, scheme: str) -> None:
    hello, endless = (url(nginx, path, scheme) for path in ("hello", "slow"))

    def body() -> None:
        with PoolManager(maxsize=4, ca_certs=str(nginx.certificate)) as http:
            slow = green.spawn(http.request, "GET", endless, retries=False)
            green.sleep(0.05)
            for _ in range(20):
                assert http.request("GET", hello, timeout=LONG).data == b"hello\n"
            assert not slow.dead
            slow.kill()
            slow.join()

    in_hub(body)


@pytest.mark.parametrize(
    ("scheme", "pool"),
    [
        ("http", {"maxsize": 60}),
        ("http", {"maxsize": 25, "block": True}),
        ("https", {"maxsize": 60}),
    ],
)
def test_a_frozen_server_hangs_nobody_and_the_pool_recovers(
    nginx: Nginx, scheme: str, pool: dict[str, object]
) -> None:
    hello = url(nginx, "hello", scheme)

    def body() -> None:
        with PoolManager(**pool, ca_certs=str(nginx.certificate)) as http:

            def outcome() -> type | None:
                try:
                    http.request("GET", hello, timeout=0.3, retries=False)
                except urllib3.exceptions.HTTPError as error:
                    return type(error)
                return None

            assert outcome() is None
            worker = nginx.worker()
            os.kill(worker, signal.SIGSTOP)
            try:
                waiting = [green.spawn(outcome) for _ in range(50)]
                found = {greenlet.get() for greenlet in waiting}
                assert found == {urllib3.exceptions.ReadTimeoutError}
            finally:
                os.kill(worker, signal.SIGCONT)
            answers = [
                green.spawn(http.request, "GET", hello, timeout=LONG, retries=False)
                for _ in range(50)
            ]
            assert {answer.get().data for answer in answers} == {b"hello\n"}

    in_hub(body)


def test_who_is_killed_in_the_queue_for_a_connection_leaves_the_pool_as_it_was(
    nginx: Nginx,
) -> None:
    def body() -> None:
        with PoolManager(maxsize=2, block=True) as http:
            options = {"timeout": LONG, "retries": False}
            pool = http.connection_from_url(url(nginx, ""))
            slow = [green.spawn(http.request, "GET", url(nginx, "slow"), **options) for _ in "12"]
            green.sleep(0.05)
            waiting = [green.spawn(http.request, "GET", url(nginx, "hello"), **options)]
            waiting += [green.spawn(http.request, "GET", url(nginx, "hello"), **options)]
            green.sleep(0.01)
            waiting[0].kill()
            waiting[0].join()
            green.sleep(0.02)
            assert not waiting[1].dead, "there is no third connection"
            for greenlet in slow:
                greenlet.kill()
                greenlet.join()
            assert waiting[1].get().data == b"hello\n"
            assert pool.pool.qsize() == 2
            answers = [
                green.spawn(http.request, "GET", url(nginx, "hello"), **options) for _ in range(9)
            ]
            assert {answer.get().data for answer in answers} == {b"hello\n"}

    in_hub(body)


def with_a_number(busy: str) -> int:
    with PoolManager() as http:
        return http.request("GET", busy, retries=1, timeout=LONG).status


def by_default(busy: str) -> int:
    with PoolManager() as http:
        return http.request("GET", busy, timeout=LONG).status  # the last of four


def by_backoff(busy: str) -> int:
    retries = urllib3.Retry(
        2,
        backoff_factor=0.5,
        status_forcelist=[503],
        respect_retry_after_header=False,
        raise_on_status=False,
    )
    with PoolManager(retries=retries) as http:
        return http.request("GET", busy).status


def by_requests(busy: str) -> int:
    with requests.Session() as session:
        mount(session, max_retries=urllib3.Retry(1, raise_on_status=False))
        return session.get(busy, timeout=LONG).status_code


@pytest.mark.parametrize("fetch", [with_a_number, by_default, by_backoff, by_requests])
def test_a_pause_between_retries_holds_nobody_up(nginx: Nginx, fetch: object) -> None:
    busy, hello = url(nginx, "busy"), url(nginx, "hello")

    def body() -> None:
        with PoolManager() as http:
            start = time.monotonic()
            patient = green.spawn(fetch, busy)
            rounds = 0
            while not patient.dead:
                assert http.request("GET", hello, timeout=LONG).data == b"hello\n"
                green.sleep(0.01)
                rounds += 1
            assert patient.get() == 503
            assert time.monotonic() - start >= 1 and rounds > 10

    in_hub(body)


def test_a_pause_between_retries_is_kept_in_a_thread_and_ended_by_a_kill(nginx: Nginx) -> None:
    start = time.monotonic()
    assert ThreadTask("thread", with_a_number, (url(nginx, "busy"),)).result() == 503
    assert time.monotonic() - start >= 1

    def body() -> None:
        start = time.monotonic()
        patient = green.spawn(with_a_number, url(nginx, "closed"))
        green.sleep(0.1)
        patient.kill()
        patient.join()
        assert time.monotonic() - start < 30

    in_hub(body)


def test_a_retry_that_sleeps_in_its_own_way_is_left_to_it(nginx: Nginx) -> None:
    class Own(urllib3.Retry):
        slept = 0

        def sleep(self, response: object = None) -> None:
            Own.slept += 1

    with PoolManager() as http:
        retries = Own(2, raise_on_status=False)
        assert http.request("GET", url(nginx, "busy"), retries=retries).status == 503
    assert Own.slept == 2


def test_a_server_that_is_stopped_ends_the_requests(nginx: Nginx) -> None:
    def body() -> None:
        with PoolManager(maxsize=20) as http:

            def outcome() -> object:
                try:
                    return http.request("GET", url(nginx, "slow"), retries=False).status
                except urllib3.exceptions.HTTPError as error:
                    return type(error)

            waiting = [green.spawn(outcome) for _ in range(10)]
            green.sleep(0.2)
            stopping = ThreadTask("stop", nginx.stop, ())
            found = {greenlet.get() for greenlet in waiting}
            assert found == {urllib3.exceptions.ProtocolError}
            while not stopping.done:
                green.sleep(0.01)
            with pytest.raises(urllib3.exceptions.NewConnectionError):
                http.request("GET", url(nginx, "hello"), retries=False)

    try:
        in_hub(body)
    finally:
        nginx.stop()
        nginx.start()
