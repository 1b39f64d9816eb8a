"""filelock: greenlets that wait for a lock's file, by trying again and again."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import filelock
from netpoll import green

SERVER = "none"
LIMIT = 1
LATE = filelock.Timeout

folder = tempfile.TemporaryDirectory(prefix="netpoll-")
path = Path(folder.name) / "lock"


def begin(servers: Any) -> None:
    pass


def ask(seconds: float, timeout: float) -> None:
    """Have it for so long; one that is asked for longer than it waits meets another's."""
    if seconds > timeout:
        with filelock.FileLock(path, is_singleton=False):
            ask(0, timeout)
    with filelock.FileLock(path, timeout=timeout, poll_interval=0.01):
        green.sleep(seconds)
