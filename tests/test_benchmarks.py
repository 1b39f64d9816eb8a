"""The benchmarks still run, and notice work that was not done. Nothing here looks at speed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import not_on_libkqueue

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the benchmarks tie processes to cores and run C on epoll"
)


def benchmarks(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


@pytest.mark.parametrize(
    "tables",
    [
        ("ping-pong-unix-1", "ping-pong-tcp-1"),
        ("echo-64", "churn"),
        ("turn-1", "spawn"),
        pytest.param(
            ("beside-ping-pong-unix-100",),
            marks=not_on_libkqueue("loses events when more than half a batch is ready"),
        ),
    ],
)
def test_netpoll_and_a_rival_do_all_of_the_work(tables: tuple[str, ...]) -> None:
    done = benchmarks("--quick", *tables, "--only", "netpoll,asyncio")
    assert done.returncode == 0, done.stdout + done.stderr
    for table in tables:
        assert f"[{table}]" in done.stdout
    assert "0 row(s) failed" in done.stdout and "FAILED" not in done.stdout


def test_a_contestant_that_cannot_run_is_reported_and_not_left_out() -> None:
    done = benchmarks("--quick", "ping-pong-unix-1", "--only", "netpoll", NETPOLL_BACKEND="none")
    assert done.returncode == 1
    assert "FAILED" in done.stdout and "1 row(s) failed" in done.stdout


def test_an_unknown_table_is_named() -> None:
    done = benchmarks("ping-pong-by-mail")
    assert done.returncode == 2
    assert "ping-pong-by-mail" in done.stderr


@pytest.mark.parametrize(
    ("made", "complaint"), [([3, 3], None), ([3, 2], "5 trips"), ([3], "3 trips")]
)
def test_missing_trips_are_noticed(made: list[int], complaint: str | None) -> None:
    from benchmarks.pairs import Gate

    gate = Gate(2, 3)
    for trips in made:
        gate.done(trips)
    expect(gate.check, complaint)


@pytest.mark.parametrize(("sent", "complaint"), [(b"x", None), (b"xx", "b'xx'"), (b"y", "b'y'")])
def test_bytes_too_many_are_noticed(sent: bytes, complaint: str | None) -> None:
    from benchmarks.pairs import connected_pairs, take_out

    first, second = connected_pairs(1)[0]
    with first, second:
        second.send(sent)
        expect(lambda: take_out([first.fileno()]), complaint)
        with pytest.raises(BlockingIOError):
            take_out([first.fileno()])


def expect(check: Callable[[], None], complaint: str | None) -> None:
    if complaint is None:
        check()
    else:
        with pytest.raises(RuntimeError, match=complaint):
            check()


@pytest.mark.parametrize("fault", ["wrong byte", "hangs up", None])
def test_the_load_compares_every_byte(fault: str | None) -> None:
    from benchmarks import build

    with socket.create_server(("127.0.0.1", 0)) as server:
        load = subprocess.Popen(
            [build.c_program("load"), str(server.getsockname()[1]), "100", "1", "0.3", "peak"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        connection, _ = server.accept()
        with connection:
            rounds = 0
            while data := receive(connection):
                rounds += 1
                if rounds > 50 and fault == "hangs up":
                    break
                if rounds > 50 and fault == "wrong byte":
                    data = data[:-1] + bytes([data[-1] ^ 1])
                connection.sendall(data)
        said, complaint = load.communicate(timeout=20)
    if fault is None:
        assert load.returncode == 0 and json.loads(said)["rate"] > 0
    else:
        assert load.returncode != 0 and said == "" and "load.c" in complaint


def receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(100, socket.MSG_WAITALL)
    except ConnectionResetError:
        return b""
