"""`python -m netpoll` and `python -m netpoll echo`."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import netpoll
import pytest
from support import LONG, needs_sigint


def command(*arguments: str, backend: str | None = None) -> subprocess.CompletedProcess[str]:
    env = dict(os.environ, **({"NETPOLL_BACKEND": backend} if backend else {}))
    return subprocess.run(
        [sys.executable, "-m", "netpoll", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=env,
    )


def test_it_shows_version_backends_and_kernel_features_and_checks_itself() -> None:
    done = command()
    assert (done.returncode, done.stderr) == (0, "")
    assert netpoll.__version__ in done.stdout
    assert all(name in done.stdout for name in netpoll.backends())
    assert "ok" in done.stdout and "FAILED" not in done.stdout
    if sys.platform == "linux":
        assert re.search("eventfd|epoll_pwait2|futex", done.stdout)


def test_it_tells_its_version_and_the_engine() -> None:
    done = command("--version")
    assert (done.returncode, done.stdout) == (0, f"netpoll {netpoll.__version__}\n")
    engine = "plain cffi" if os.environ.get("NETPOLL_PURE") == "1" else "types in C"
    assert re.search(rf"^  engine +{engine}$", command().stdout, re.M)


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe that breaks is POSIX")
def test_a_reader_that_goes_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "netpoll"],
            check=False,
            stdout=pipe,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (1, b"")


def test_an_unusable_backend_in_the_environment_is_named() -> None:
    done = command("echo", "--port", "0", backend="nope")
    assert done.returncode != 0
    assert "nope" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("--nonsense",),
        ("echo", "--port", "x"),
        ("echo", "--port", "-1"),
        ("echo", "--port", "65536"),
        ("echo", "--port"),
        ("echo", "--read-deadline", "soon"),
        ("echo", "--read-deadline", "nan"),
        ("echo", "--read-deadline", "-1"),
        ("echo", "more"),
    ],
    ids=" ".join,
)
def test_bad_arguments_get_a_usage_line(arguments: tuple[str, ...]) -> None:
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ") and "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [(), ("echo", "--port", "0")], ids=["check", "echo"])
def test_an_unusable_backend_gets_a_usage_line(arguments: tuple[str, ...]) -> None:
    done = command(*arguments, backend="select")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ") and "Traceback" not in done.stderr
    assert all(name in done.stderr for name in ("select", *netpoll.backends()))


def test_help_names_the_options() -> None:
    done = command("echo", "--help")
    assert done.returncode == 0
    assert all(option in done.stdout for option in ("--host", "--port", "--read-deadline"))


def test_a_port_in_use_is_an_error_without_a_traceback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = command("echo", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr and done.stderr


class Server:
    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "netpoll", "echo", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        found = re.search(r"(\d+)\D*$", self.process.stdout.readline().split("(")[0])
        assert found
        self.address = ("127.0.0.1", int(found[1]))

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=LONG)

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Ctrl-C, or another signal; exit status and stderr."""
        self.process.send_signal(number)
        self.said, stderr = self.process.communicate(timeout=LONG)
        return self.process.returncode, stderr


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    server = Server(*getattr(request, "param", ()))
    yield server
    if server.process.poll() is None:
        server.process.kill()
        server.process.communicate()


@needs_sigint
@pytest.mark.rule(13)
def test_echo_serves_until_ctrl_c(server: Server) -> None:
    with server.connect() as idle, server.connect() as client:
        for size in (1, 100, 300_000):
            data = os.urandom(size)
            sender = threading.Thread(target=client.sendall, args=(data,))
            sender.start()
            answer = b""
            while len(answer) < size:
                answer += client.recv(1 << 16)
            sender.join(LONG)
            assert answer == data
        assert server.stop() == (0, "")
        assert idle.recv(1) == b""


@needs_sigint
@pytest.mark.rule(3)
@pytest.mark.parametrize("server", [("--read-deadline", "0.2")], indirect=True)
def test_echo_cuts_a_silent_client_off_at_its_read_deadline(server: Server) -> None:
    with server.connect() as silent, server.connect() as busy:
        start = time.monotonic()
        stop = False

        def talk() -> None:
            while not stop:
                busy.sendall(b"x")
                assert busy.recv(1) == b"x"
                time.sleep(0.02)

        talker = threading.Thread(target=talk)
        talker.start()
        assert silent.recv(1) == b""
        assert time.monotonic() - start > 0.1
        time.sleep(0.2)
        assert talker.is_alive(), "the busy client was cut off, too"
        stop = True
        talker.join(LONG)
    assert server.stop() == (0, "")


@needs_sigint
def test_echo_survives_clients_that_vanish(server: Server) -> None:
    for _ in range(20):
        server.connect().close()
    with server.connect() as client:
        client.sendall(b"still here")
        assert client.recv(100) == b"still here"
    assert server.stop() == (0, "")


@needs_sigint
def test_echo_says_who_comes_and_goes_and_sigterm_stops_it(server: Server) -> None:
    with server.connect() as client:
        host, port = client.getsockname()
        client.sendall(b"here")
        assert client.recv(100) == b"here"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert server.stop(signal.SIGTERM) == (0, "")
    assert server.said.splitlines() == [
        f"{host} port {port} came; 1 connected",
        f"{host} port {port} went: it hung up; 0 connected",
        "stopped",
    ]


@needs_sigint
@pytest.mark.parametrize("server", [("--quiet",)], indirect=True)
def test_echo_can_be_quiet(server: Server) -> None:
    server.connect().close()
    assert server.stop() == (0, "")
    assert server.said == "stopped\n"
