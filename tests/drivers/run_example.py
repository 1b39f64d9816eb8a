"""`make example-psycopg` and the like: an example against a server of its own, on loopback."""

from __future__ import annotations

import runpy
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from netpoll import green
from servers import Nginx, Postgres, Redis, Server

EXAMPLES = Path(__file__).parent.parent.parent / "examples"

ARGUMENTS: dict[str, tuple[type[Server], Callable[[Any], object]]] = {
    "psycopg": (Postgres, lambda server: server.dsn),
    "psycopg2": (Postgres, lambda server: server.dsn),
    "pool": (Postgres, lambda server: server.dsn),
    "redis": (Redis, lambda server: server.port),
    "http": (Nginx, lambda server: f"http://127.0.0.1:{server.port}/hello"),
}


def main(name: str) -> None:
    kind, argument = ARGUMENTS[name]
    with tempfile.TemporaryDirectory(prefix="netpoll-") as folder:
        server = kind(Path(folder))
        try:
            example = runpy.run_path(str(EXAMPLES / f"with_{name}.py"))
            green.run(example["main"], argument(server))
        finally:
            server.stop()


if __name__ == "__main__":
    main(sys.argv[1])
