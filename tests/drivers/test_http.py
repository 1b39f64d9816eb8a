"""urllib3 and requests on netpoll.socket against a real nginx, in greenlets."""

from __future__ import annotations

import os
import signal

import pytest
from servers import Nginx
from support import LONG, ThreadTask

urllib3 = pytest.importorskip("urllib3")
requests = pytest.importorskip("requests")
green = pytest.importorskip("netpoll.green")

from netpoll.adapters.urllib3 import PoolManager, mount  # noqa: E402


def in_hub(function: object) -> object:
    return ThreadTask("hub", lambda: green.run(function), ()).result(90)


def url(nginx: Nginx, path: str) -> str:
    return f"http://127.0.0.1:{nginx.port}/{path}"


def test_a_thousand_requests_at_once(nginx: Nginx) -> None:
    def body() -> None:
        with PoolManager(maxsize=1000) as http:
            options = {"timeout": 4 * LONG, "retries": False}

            def fetch() -> bytes:
                return http.request("GET", url(nginx, "hello"), **options).data

            greenlets = [green.spawn(fetch) for _ in range(400)]
            greenlets += [green.spawn(fetch) for _ in range(600)]
            assert [greenlet.get() for greenlet in greenlets] == [b"hello\n"] * 1000

    in_hub(body)


def test_requests_fetches_in_greenlets_and_in_threads(nginx: Nginx) -> None:
    def body() -> None:
        with requests.Session() as session:
            mount(session, pool_maxsize=20)
            assert session.get(url(nginx, "hello"), timeout=LONG).text == "hello\n"
            assert session.get(url(nginx, "big"), timeout=LONG).content == nginx.big
            assert session.get(url(nginx, "nothing"), timeout=LONG).status_code == 404
            assert (
                session.post(url(nginx, "hello"), data=b"x" * 10, timeout=LONG).status_code == 405
            )
            pieces = session.get(url(nginx, "big"), timeout=LONG, stream=True)
            assert b"".join(pieces.iter_content(10_000)) == nginx.big

    in_hub(body)
    ThreadTask("thread", body, ()).result(60)


def test_one_that_is_slow_holds_nobody_up(nginx: Nginx) -> None:
    def body() -> None:
        with PoolManager(maxsize=4) as http:
            slow = green.spawn(http.request, "GET", url(nginx, "slow"), retries=False)
            green.sleep(0.05)
            for _ in range(20):
                assert http.request("GET", url(nginx, "hello"), timeout=LONG).data == b"hello\n"
            assert not slow.dead
            slow.kill()
            slow.join()

    in_hub(body)


def test_a_frozen_server_hangs_nobody_and_the_pool_recovers(nginx: Nginx) -> None:
    def body() -> None:
        with PoolManager(maxsize=60) as http:

            def outcome() -> type | None:
                try:
                    http.request("GET", url(nginx, "hello"), timeout=0.3, retries=False)
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
            answer = http.request("GET", url(nginx, "hello"), timeout=LONG, retries=False)
            assert answer.data == b"hello\n"

    in_hub(body)


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
