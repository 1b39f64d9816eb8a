"""The programs that docs/drivers.md quotes, against the servers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import run_example
from servers import Nginx, Postgres, Redis
from support import not_on_libkqueue

EXAMPLES = Path(__file__).parent.parent.parent / "examples"

pytest.importorskip("netpoll.green")


def run(name: str, argument: object) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name, str(argument)],
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("driver", "first"),
    [
        ("psycopg", "ten queries at once: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"),
        ("psycopg2", "a query: 42"),
    ],
)
def test_postgresql(driver: str, first: str, postgres: Postgres) -> None:
    pytest.importorskip(driver)
    output = run(f"with_{driver}.py", postgres.dsn)
    assert output == f"{first}\na minute's query: cut off; connection closed\n"


def test_pool(postgres: Postgres) -> None:
    pytest.importorskip("psycopg")
    output = run("with_pool.py", postgres.dsn)
    assert output == (
        "queries of a thousand greenlets on ten connections: 1000\n"
        "a minute's query: cut off; the pool still answers: 42\n"
    )


@not_on_libkqueue("loses events when more than half a batch is ready")
def test_redis(redis_server: Redis) -> None:
    pytest.importorskip("redis")
    assert run("with_redis.py", redis_server.port) == (
        "greenlets that got what they waited for: 100\n"
    )


def test_http(nginx: Nginx) -> None:
    pytest.importorskip("requests")
    assert run("with_http.py", f"http://127.0.0.1:{nginx.port}/hello") == (
        "urllib3, fifty at once: 50\nrequests: 200\n"
    )


def test_each_has_a_command_that_starts_its_server() -> None:
    programs = {path.stem.removeprefix("with_") for path in EXAMPLES.glob("with_*.py")}
    assert set(run_example.ARGUMENTS) == programs
