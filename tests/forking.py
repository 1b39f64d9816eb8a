"""For scripts that fork: run a function in a child, bounded, and see that it went well."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable

LIMIT = 15


def watch(seconds: int) -> None:
    """Dump the stacks and die after a while.

    By a signal: faulthandler's own timer would, in a child, wait for a thread of the parent.
    """
    faulthandler.cancel_dump_traceback_later()
    faulthandler.register(signal.SIGALRM, chain=True)
    signal.alarm(seconds)


watch(2 * LIMIT)


def fork() -> int:
    """Fork; the child has a watchdog of its own."""
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        watch(LIMIT)
    return pid


def start(function: Callable[[], object]) -> int:
    """Fork; the child runs the function and leaves with status 0 if it returned."""
    if pid := fork():
        return pid
    status = 1
    try:
        function()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def finish(pid: int) -> None:
    end = time.monotonic() + LIMIT + 5
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            assert os.waitstatus_to_exitcode(status) == 0, f"the child failed: {status}"
            return
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError("the child hangs")


def in_child(function: Callable[[], object]) -> None:
    finish(start(function))


class Signpost:
    """A step that one process waits for and the other one takes."""

    def __init__(self) -> None:
        self._r, self._w = os.pipe()

    def reach(self) -> None:
        os.write(self._w, b"!")

    def wait(self) -> None:
        assert os.read(self._r, 1) == b"!"
