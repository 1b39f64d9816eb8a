"""gunicorn, real, with our worker."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import LONG, until

pytest.importorskip("gunicorn", reason="gunicorn")
pytestmark = pytest.mark.any_engine  # make test-libraries runs it on both

HERE = Path(__file__).parent


class Gunicorn:
    """One that serves application.py on a free port."""

    def __init__(self, folder: Path, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.address = probe.getsockname()
        self.log = folder / "log"
        command = [sys.executable, "-m", "gunicorn", "-k", "netpoll.adapters.gunicorn.Worker"]
        command += ["--no-control-socket", "-b", "{}:{}".format(*self.address)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *options, "application"], cwd=HERE, stdout=log, stderr=log
            )

    def wait_until_it_serves(self) -> None:
        end = time.monotonic() + LONG
        while b"Booting worker" not in self.log.read_bytes() or not self._answers():
            assert time.monotonic() < end, self.log.read_text()
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)

    def wait_until_so_many_sleep(self, count: int) -> None:
        until(
            lambda: self.log.read_text().count("sleeps\n") >= count,
            f"{count} requests in the application",
        )

    def _answers(self) -> bool:
        try:
            socket.create_connection(self.address, LONG).close()
        except OSError:
            return False
        return True

    def get(self, path: str, **kwargs: Any) -> str:
        connection = http.client.HTTPConnection(*self.address, timeout=LONG, **kwargs)
        try:
            return self.get_on(connection, path)
        finally:
            connection.close()

    def get_on(self, connection: http.client.HTTPConnection, path: str) -> str:
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200
        return response.read().decode()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        return self.process.wait(LONG)


@contextmanager
def gunicorn(folder: Path, *options: str) -> Iterator[Gunicorn]:
    server = Gunicorn(folder, *options)
    try:
        server.wait_until_it_serves()
        yield server
        if server.process.poll() is None:
            server.signal(signal.SIGTERM)
            assert server.end() == 0
    finally:
        server.process.kill()
        server.process.wait()


def at_once(count: int, function: Callable[..., Any], *args: Any) -> list[Any]:
    with ThreadPoolExecutor(count) as threads:
        return [task.result() for task in [threads.submit(function, *args) for _ in range(count)]]


@pytest.mark.parametrize("options", [(), ("--preload",)])
def test_requests_at_once(tmp_path: Path, options: tuple[str, ...]) -> None:
    with gunicorn(tmp_path, *options) as server:
        assert server.get("/patched") == "netpoll.socket None"
        start = time.monotonic()
        at_once(20, server.get, "/sleep/1")
        assert time.monotonic() - start < 15

        def local(number: int) -> None:
            assert server.get(f"/local/{number}") == f"/local/{number}"

        with ThreadPoolExecutor(5) as threads:
            list(threads.map(local, range(10)))


def test_term_loses_no_request(tmp_path: Path) -> None:
    with gunicorn(tmp_path, "--worker-connections", "10") as server:
        with ThreadPoolExecutor(10) as threads:
            tasks = [threads.submit(server.get, "/sleep/0.5") for _ in range(10)]
            server.wait_until_so_many_sleep(10)
            server.signal(signal.SIGTERM)
            assert [task.result() for task in tasks] == ["/sleep/0.5"] * 10
        assert server.end() == 0
    assert "graceful timeout" not in server.log.read_text()


def test_term_ends_what_takes_too_long(tmp_path: Path) -> None:
    with gunicorn(tmp_path, "--graceful-timeout", "1") as server:
        worker = int(server.get("/pid"))
        with ThreadPoolExecutor(1) as threads:
            task = threads.submit(server.get, "/sleep/100")
            server.wait_until_so_many_sleep(1)
            start = time.monotonic()
            # To the worker, as its parent would kill it as soon as the same time is over.
            os.kill(worker, signal.SIGTERM)
            assert isinstance(task.exception(LONG), (OSError, http.client.HTTPException))
        assert 0.9 < time.monotonic() - start < LONG
        until(lambda: "Worker exiting" in server.log.read_text(), "the worker's end")
    assert "Worker graceful timeout" in server.log.read_text()


def test_term_ends_the_whole_server_in_time(tmp_path: Path) -> None:
    with gunicorn(tmp_path, "--graceful-timeout", "1") as server:
        with ThreadPoolExecutor(1) as threads:
            task = threads.submit(server.get, "/sleep/100")
            server.wait_until_so_many_sleep(1)
            server.signal(signal.SIGTERM)
            assert isinstance(task.exception(LONG), (OSError, http.client.HTTPException))
        assert server.end() == 0


def test_hup_replaces_the_workers(tmp_path: Path) -> None:
    with gunicorn(tmp_path) as server:
        before = server.get("/pid")
        failed: list[Exception] = []
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                try:
                    server.get("/sleep/0.01")
                except Exception as error:
                    failed.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        server.signal(signal.SIGHUP)
        end = time.monotonic() + LONG
        while server.get("/pid") == before and time.monotonic() < end:
            time.sleep(0.02)
        stop.set()
        asking.join()
        assert server.get("/pid") != before
        assert not failed


def test_max_requests_replaces_the_worker(tmp_path: Path) -> None:
    with gunicorn(tmp_path, "--max-requests", "5") as server:
        assert len({server.get("/pid") for _ in range(20)}) >= 3


def test_keep_alive(tmp_path: Path) -> None:
    with gunicorn(tmp_path, "--keep-alive", "1") as server:
        connection = http.client.HTTPConnection(*server.address, timeout=LONG)
        server.get_on(connection, "/a")
        sock = connection.sock
        server.get_on(connection, "/b")
        assert connection.sock is sock
        start = time.monotonic()
        assert sock.recv(1) == b""  # closed for its silence
        assert 0.9 < time.monotonic() - start < 3
        connection.close()


@pytest.mark.parametrize(
    "begun", [b"", b"GET / HTTP/1.1\r\nHost:", b"POST /read HTTP/1.1\r\nContent-Length: 9\r\n\r\nx"]
)
def test_a_client_that_stalls_is_cut_off(tmp_path: Path, begun: bytes) -> None:
    with gunicorn(tmp_path, "--keep-alive", "1", "--timeout", "1") as server:
        start = time.monotonic()
        with socket.create_connection(server.address, LONG) as sock:
            sock.sendall(begun)
            while sock.recv(1000):
                pass
        assert 0.9 < time.monotonic() - start < 5


def test_tls(tmp_path: Path) -> None:
    trustme = pytest.importorskip("trustme", reason="trustme, which makes the certificates")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    pem = str(tmp_path / "pem")
    with gunicorn(tmp_path, "--certfile", pem, "--keyfile", pem) as server:

        def get() -> str:
            connection = http.client.HTTPSConnection(*server.address, timeout=LONG, context=context)
            try:
                return server.get_on(connection, "/sleep/1")
            finally:
                connection.close()

        with socket.create_connection(server.address):  # who says nothing holds up no other
            start = time.monotonic()
            at_once(5, get)
            assert time.monotonic() - start < 4


def test_worker_connections_is_a_limit(tmp_path: Path) -> None:
    with gunicorn(tmp_path, "--worker-connections", "2", "--keep-alive", "0") as server:
        start = time.monotonic()
        at_once(6, server.get, "/sleep/0.2")
        assert time.monotonic() - start > 0.6


def test_a_worker_whose_hub_is_blocked_is_replaced(tmp_path: Path) -> None:
    with gunicorn(tmp_path, "--timeout", "1") as server:
        before = server.get("/pid")
        with pytest.raises((OSError, http.client.HTTPException)):
            server.get("/block/100")
        end = time.monotonic() + LONG
        while server.get("/pid") == before:  # it may still be on its way out
            assert time.monotonic() < end
            time.sleep(0.1)
