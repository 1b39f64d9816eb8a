"""What the servers of gunicorn_beside.py serve; with COMPUTE=1 a thread of the process computes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

BODY = b"x" * 100
CORES = sorted(os.sched_getaffinity(0))
_computing: list[int] = []


def compute() -> None:
    os.sched_setaffinity(0, {CORES[-1]})  # of this thread
    while True:
        number = 0
        while number < 1000:
            number += 1


def start_thread(function: Callable[[], None]) -> None:
    """A real one, in a patched process too."""
    if "gevent.monkey" in sys.modules:
        from gevent.monkey import get_original

        get_original("_thread", "start_new_thread")(function, ())
    else:
        import _thread

        _thread.start_new_thread(function, ())


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    if os.environ.get("COMPUTE") == "1" and not _computing:
        _computing.append(1)
        os.sched_setaffinity(0, {CORES[0]})  # on one core the two would not meet: see spinner.py
        start_thread(compute)
    start_response("200 OK", [("Content-Length", str(len(BODY)))])
    return [BODY]
