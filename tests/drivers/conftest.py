"""The servers, each started for the first test that wants it and stopped after the last."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

if sys.platform == "win32":
    collect_ignore_glob = ["test_*.py"]  # the servers are Unix's
else:
    from servers import Nginx, Postgres, Redis, Server


def _serving(kind: type[Server], factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = kind(factory.mktemp(kind.__name__.lower()))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _serving(Postgres, tmp_path_factory)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _serving(Redis, tmp_path_factory)


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _serving(Nginx, tmp_path_factory)
