"""No torn state: an exception out of a signal handler, wherever it strikes, leaves hubs whole.

CPython calls handlers where a function begins, after a call, and where a loop goes back.  Here an
exception is raised at each such place in the package's own code that a scenario passes, one after
the other, in a thread with a fresh hub each time; then everything has to work as before.
"""

from __future__ import annotations

import contextlib
import dis
import io
import itertools
import os
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import netpoll
import pytest
from netpoll import READ
from support import LONG, ThreadTask

pytest.importorskip("greenlet")

from netpoll import green

pytestmark = [
    pytest.mark.rule(13),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # a `with` may be struck, too
    pytest.mark.skipif(sys.implementation.name != "cpython", reason="only CPython traces opcodes"),
]

PACKAGE = os.path.dirname(netpoll.__file__) + os.sep


class Struck(Exception):
    """What the handler raises."""


def finalizes(frame: FrameType | None) -> bool:
    """Is it called by a finalizer?  What that raises Python prints, and no more."""
    while frame is not None and frame.f_code.co_name not in {"__del__", "_free_poller", "_end"}:
        frame = frame.f_back
    return frame is not None


class Handler:
    """Raises once, at the nth place in the package's own code where a handler may be called."""

    def __init__(self, nth: int) -> None:
        self.where = ""
        self._left = nth
        self._last: dict[FrameType, int] = {}  # the opcode that each frame executed last

    def trace(self, frame: FrameType, event: str, arg: object) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(PACKAGE) or (event == "call" and finalizes(frame)):
            return None
        frame.f_trace_opcodes = True
        if event == "return":
            self._last.pop(frame, None)
        elif event == "call" or (event == "opcode" and self._may_be_called(frame)):
            self._left -= 1
            if self._left == 0:
                sys.settrace(None)
                self._last.clear()
                self.where = f"{code.co_name} at {code.co_filename}:{frame.f_lineno} ({event})"
                raise Struck
        return self.trace

    def _may_be_called(self, frame: FrameType) -> bool:
        last = self._last.get(frame, 0)
        self._last[frame] = frame.f_code.co_code[frame.f_lasti]
        name = dis.opname[last]
        return name.startswith("CALL") or name in {"JUMP_BACKWARD", "JUMP_ABSOLUTE"}


def fail() -> None:
    raise ValueError("it is not collected")


def spawn_and_get() -> None:
    assert green.spawn(lambda: 7).get() == 7


def join_with_a_timeout() -> None:
    sleeping = green.spawn(green.sleep, 0.002)
    sleeping.join(0.001)
    sleeping.join(LONG)
    assert sleeping.dead


def kill_and_join() -> None:
    victim = green.spawn(green.sleep, LONG)
    green.sleep(0)
    victim.kill()
    victim.join()


def kill_what_has_not_started() -> None:
    victim = green.spawn(fail)
    victim.kill()
    victim.join()


def kill_from_another_thread() -> None:
    victim = green.spawn(green.sleep, LONG)
    green.sleep(0)
    ThreadTask("killer", victim.kill, ()).join(LONG)
    victim.join(LONG)
    assert victim.dead


def fail_unseen() -> None:
    failing = green.spawn(fail)
    failing.join()


def run_and_sleep() -> None:
    assert green.run(lambda: green.sleep(0.001) or green.sleep()) is None


def wait_for_a_descriptor() -> None:
    a, b = socket.socketpair()
    with a, b, green.get_hub().poller.open(a) as desc:
        desc.set_deadline(0.1)  # the sender may be struck
        sending = green.spawn(b.send, b"x")
        with contextlib.suppress(netpoll.DeadlineExceeded):
            desc.wait(READ)
        sending.join()


def wait_until_a_deadline() -> None:
    a, b = socket.socketpair()
    with a, b, green.get_hub().poller.open(a) as desc:
        desc.set_deadline(0.001)
        with pytest.raises(netpoll.DeadlineExceeded):
            desc.wait(READ)


SCENARIOS: list[Callable[[], None]] = [
    spawn_and_get,
    join_with_a_timeout,
    kill_and_join,
    kill_what_has_not_started,
    kill_from_another_thread,
    fail_unseen,
    run_and_sleep,
    wait_for_a_descriptor,
    wait_until_a_deadline,
]


def everything_works() -> None:
    """What the scenario left behind ends when it is killed, and new ones come and go."""
    for left in green.get_hub().alive:
        left.kill()
        left.join(LONG)
        assert left.dead, f"{left} cannot be killed"
    assert not green.get_hub().alive
    fresh = [green.spawn(lambda i=i: green.sleep(0.0001 * i) or i) for i in range(4)]
    assert [one.get() for one in fresh] == list(range(4))
    kill_and_join()
    a, b = socket.socketpair()
    with a, b, green.get_hub().poller.open(a) as desc:
        green.spawn(b.send, b"x")
        desc.wait(READ)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_an_exception_at_any_place(
    scenario: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # for what is not collected

    def strike() -> None:
        sys.settrace(handler.trace)
        try:
            scenario()
        except Struck:
            pass
        finally:
            sys.settrace(None)
        everything_works()

    for nth in itertools.count(1):
        handler = Handler(nth)
        try:
            ThreadTask("struck", strike, ()).result()
        except BaseException as error:
            raise AssertionError(f"after an exception at place {nth}: {handler.where}") from error
        if not handler.where:
            break
    assert nth > 10
