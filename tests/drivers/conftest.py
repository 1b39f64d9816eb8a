"""The servers, each started for the first test that wants it and stopped after the last."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.platform == "win32":
    collect_ignore_glob = ["test_*.py"]  # the servers are Unix's
else:
    from servers import Nginx, Postgres, Redis, Server


def _serving(kind: type[Server]) -> Iterator[Server]:
    """Not in pytest's own folder, where only the user of the tests may enter."""
    with tempfile.TemporaryDirectory(prefix="netpoll-") as folder:
        server = kind(Path(folder))
        yield server
        server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    yield from _serving(Postgres)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    yield from _serving(Redis)


@pytest.fixture(scope="session")
def nginx() -> Iterator[Server]:
    yield from _serving(Nginx)
