"""The servers of tests/drivers, and those of protocols.py and Debian's MariaDB and memcached."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "drivers"))

if os.environ.get("LIBRARIES") != "1":
    collect_ignore_glob = ["test_*.py"]  # make test-libraries asks for it
if sys.platform != "win32":  # the servers are Unix's
    from library_servers import MariaDB, Memcached, Protocols
    from servers import Postgres, Redis


def _in_folder(kind: Any, *args: Any) -> Iterator[Any]:
    with tempfile.TemporaryDirectory(prefix="netpoll-") as folder:
        server = kind(Path(folder), *args)
        yield server
        server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    yield from _in_folder(Postgres)


@pytest.fixture(scope="session")
def redis() -> Iterator[Any]:
    yield from _in_folder(Redis)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Any]:
    yield from _in_folder(MariaDB)


@pytest.fixture(scope="session")
def memcached() -> Iterator[Any]:
    yield from _in_folder(Memcached)


@pytest.fixture(scope="session")
def protocols(memcached: Any) -> Iterator[Any]:
    yield from _in_folder(Protocols, memcached)
