"""What the tests' gunicorn serves.  It takes its modules when it is loaded, as any application."""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

request = threading.local()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    path = environ["PATH_INFO"]
    request.path = path
    kind, _, argument = path[1:].partition("/")
    if kind == "sleep":
        print("sleeps", file=sys.stderr, flush=True)  # into the log
        time.sleep(float(argument))
    elif kind == "read":
        environ["wsgi.input"].read()
    elif kind == "block":  # the whole hub
        ctypes.CDLL(None).usleep(int(argument) * 1_000_000)
    body = {
        "pid": str(os.getpid()),
        "patched": f"{socket.socket.__module__} {socket.socket().gettimeout()}",
        "local": request.path,
    }.get(kind, path)
    start_response("200 OK", [("Content-Length", str(len(body)))])
    yield body.encode()
