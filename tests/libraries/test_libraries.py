"""Each library of docs/libraries.md, unchanged: in a program of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
EVERY = ("cooperative", "late", "frozen", "killed")
POOL = (*EVERY, "exhausted")
#: By library: the server that it needs, and the checks.
ROWS: dict[str, tuple[str | None, tuple[str, ...]]] = {
    "asyncio": (None, ("cooperative", "late", "killed", "a_loop_in_a_greenlet")),
    "bottle": (None, ("cooperative", "late", "killed")),
    "dnspython": ("protocols", EVERY),
    "filelock": (None, ("cooperative", "late", "killed", "exhausted")),
    "flask": (None, ("cooperative", "late", "killed")),
    "ftplib": ("protocols", EVERY),
    "futures": (
        None,
        ("cooperative", "exhausted", "late", "an_executor_in_a_block", "as_they_complete"),
    ),
    "httpx": ("protocols", POOL),
    "multiprocessing": (
        None,
        ("cooperative", "exhausted", "late", "killed", "a_process_that_is_joined", "the_end"),
    ),
    "paho": ("protocols", (*EVERY, "a_loop_in_a_greenlet")),
    "paramiko": ("protocols", EVERY),
    "pexpect": (None, ("cooperative", "late", "killed")),
    "pg8000": ("postgres", EVERY),
    "pika": ("protocols", EVERY),
    "psycopg_pool": ("postgres", (*POOL, "waiting_for_a_connection")),
    "pymemcache": ("protocols", EVERY),
    "pymysql": ("mariadb", EVERY),
    "pysocks": ("protocols", (*EVERY, "in_requests")),
    "redis": ("redis", (*POOL, "subscriptions", "locks")),
    "requests": ("protocols", (*POOL, "retries")),
    "requests_https": ("protocols", EVERY),
    "smtplib": ("protocols", EVERY),
    "sqlalchemy_pg8000": ("postgres", (*POOL, "sessions")),
    "sqlalchemy_psycopg": ("postgres", (*POOL, "sessions")),
    "subprocess": (None, ("cooperative", "late", "killed", "pipes")),
    "urllib3": ("protocols", POOL),
    "waitress": (None, ("cooperative", "late", "killed")),
    "websocket": ("protocols", EVERY),
    "websockets": ("protocols", EVERY),
}


#: The module that has to be there, if it is called otherwise.
LIBRARIES = {
    "dnspython": "dns",
    "psycopg_pool": "psycopg_pool",
    "futures": "concurrent.futures",
    "pysocks": "socks",
}


def described(server: Any) -> dict[str, Any]:
    pid = server.process.pid
    if not hasattr(server, "ports"):
        return {type(server).__name__.lower(): {"port": server.port, "pid": pid}}
    found: dict[str, Any] = {
        name: {"port": port, "pid": pid} for name, port in server.ports.items()
    }
    return found | {"certificate": str(server.certificate)}


@pytest.mark.parametrize("how", ["package", "everything"])
@pytest.mark.parametrize("name", ROWS)
def test_library(request: pytest.FixtureRequest, name: str, how: str) -> None:
    server, checks = ROWS[name]
    pytest.importorskip(
        LIBRARIES.get(name, name.split("_", maxsplit=1)[0]), reason="make libraries"
    )
    servers = described(request.getfixturevalue(server)) if server else {}
    # psycopg's own waiting in C knows no Python: this is its setting for that.
    settings = {"SERVERS": json.dumps(servers), "PSYCOPG_WAIT_FUNC": "wait_poll"}
    try:
        done = subprocess.run(
            [sys.executable, str(HERE / "trial.py"), name, how, *checks],
            check=False,
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            timeout=50,
        )
    finally:
        if server:
            request.getfixturevalue(server).signal_all(signal.SIGCONT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Exception in" not in done.stderr
