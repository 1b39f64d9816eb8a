"""subprocess: children that take a while, and pipes."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

SERVER = "none"
LATE = subprocess.TimeoutExpired


def begin(servers: Any) -> None:
    pass


def ask(seconds: float, timeout: float) -> None:
    subprocess.run(["sleep", str(seconds)], timeout=timeout, check=True)


def pipes() -> None:
    program = "import sys, time; time.sleep(0.2); sys.stdout.write(sys.stdin.read().upper())"
    text = "x" * 300_000
    done = subprocess.run(
        [sys.executable, "-c", program], input=text, capture_output=True, text=True, check=True
    )
    assert done.stdout == text.upper()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"hello\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"hello\n"
        child.stdin.close()
        assert child.wait(10) == 0
