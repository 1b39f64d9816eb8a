"""Raises an exception where CPython runs signal handlers, at one such place at a time.

CPython runs them where it checks its eval breaker: as a frame begins or goes on, after a call, and
as a loop jumps back.  An exception that PyThreadState_SetAsyncExc sends to a thread is raised at
the thread's next check, by the same code; so it does what the exception of a handler does, and in
any thread.  A trace function counts the places and sends one just before the n-th.

The code under test must meet it, and not the trace function.  So what sends it is the look-up of an
attribute, after which there is no check before the trace function has returned.
"""

from __future__ import annotations

import ctypes
import dis
import os
import sys
import threading
from collections.abc import Callable
from functools import cache
from operator import methodcaller
from types import CodeType, FrameType
from typing import Any, NamedTuple

#: The opcodes with a check in CPython 3.10 to 3.14, besides the beginning of a frame: see
#: CHECK_EVAL_BREAKER in its ceval.c or bytecodes.c.  One too many would cost time only.
CHECKS = frozenset(
    [
        "CALL",
        "CALL_KW",
        "CALL_FUNCTION",
        "CALL_FUNCTION_KW",
        "CALL_FUNCTION_EX",
        "CALL_METHOD",
        "JUMP_ABSOLUTE",
        "JUMP_BACKWARD",
        "POP_JUMP_IF_FALSE",
        "POP_JUMP_IF_TRUE",
        "POP_JUMP_BACKWARD_IF_FALSE",
        "POP_JUMP_BACKWARD_IF_TRUE",
        "POP_JUMP_BACKWARD_IF_NONE",
        "POP_JUMP_BACKWARD_IF_NOT_NONE",
    ]
)
if sys.version_info >= (3, 12):  # there they jump forward only
    CHECKS -= {"POP_JUMP_IF_FALSE", "POP_JUMP_IF_TRUE"}

#: Bytes of an instruction.
UNIT = 2


class Strike(KeyboardInterrupt):
    """What the signal handler raises."""


class Place(NamedTuple):
    """An instruction."""

    file: str  #: below python/netpoll; elsewhere the name alone
    line: int
    function: str
    opcode: str
    ours: bool  #: is it the package's?

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}, {self.opcode}"


def place_of(code: CodeType, line: int, offset: int) -> Place:
    _, inside, below = code.co_filename.rpartition(f"{os.sep}python{os.sep}netpoll{os.sep}")
    file = below if inside else os.path.basename(code.co_filename)
    opcode = dis.opname[code.co_code[max(offset, 0)]]
    return Place(file, line, code.co_name, opcode, bool(inside))


def struck_at(error: BaseException) -> Place | None:
    """Where it was raised."""
    last = error.__traceback__
    if last is None:
        return None
    while last.tb_next is not None:
        last = last.tb_next
    return place_of(last.tb_frame.f_code, last.tb_lineno, last.tb_lasti)


@cache
def checks_of(code: CodeType) -> frozenset[int]:
    """The offsets of the instructions with a check.  A prefix stands for what it belongs to."""
    found = []
    prefix: int | None = None
    for offset in range(0, len(code.co_code), UNIT):
        name = dis.opname[code.co_code[offset]]
        if name == "EXTENDED_ARG":
            prefix = offset if prefix is None else prefix
            continue
        if name in CHECKS:
            found.append(offset if prefix is None else prefix)
        prefix = None
    return frozenset(found)


def every_offset(code: CodeType) -> frozenset[int]:
    return frozenset(range(0, len(code.co_code), UNIT))


#: Where a signal has to come, for an exception at each check.  From 3.13 on the check at the
#: beginning of a frame comes before the trace function hears of the frame.
where_to_send = checks_of if sys.version_info < (3, 13) else every_offset


class Striker:
    """Traces the calling thread, and strikes at the n-th place since `start`.

    :param traced: is this file's code under test?
    :param at: n, from 1 on; 0: never, to find the places.
    :param offsets: where in a code object to strike, besides its beginning.
    """

    #: The place before which it struck.
    armed: Place | None = None

    def __init__(
        self,
        traced: Callable[[str], bool],
        at: int = 0,
        offsets: Callable[[CodeType], frozenset[int]] = where_to_send,
    ) -> None:
        self.places: list[Place] = []
        self._traced = cache(traced)
        self._at = at
        self._offsets = offsets
        self._counting = False
        self._send = ctypes.pythonapi.PyThreadState_SetAsyncExc
        self._send.argtypes = [ctypes.c_ulong, ctypes.py_object]

    def __enter__(self) -> Striker:
        """From here on frames that begin are traced; nothing is counted yet."""
        # To look it up strikes.
        type(self).now = property(methodcaller("_send", threading.get_ident(), Strike))
        sys._getframe().f_trace_opcodes = True  # 3.12 asks for one before it traces any
        sys.settrace(self._begin)
        return self

    def __exit__(self, *error: object) -> None:
        sys.settrace(None)

    def start(self) -> None:
        self._counting = True

    def stop(self) -> None:
        self._counting = False

    def _begin(self, frame: FrameType, event: str, arg: object) -> Any:
        if not self._traced(frame.f_code.co_filename):
            return None
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        if self._counting and self._reached(frame):
            self.now  # noqa: B018
            return None
        return self._go_on

    def _go_on(self, frame: FrameType, event: str, arg: object) -> Any:
        at_check = event == "opcode" and frame.f_lasti in self._offsets(frame.f_code)
        if self._counting and (at_check or event == "return") and self._reached(frame):
            self.now  # noqa: B018
            return None
        return self._go_on

    def _reached(self, frame: FrameType) -> bool:
        place = place_of(frame.f_code, frame.f_lineno, frame.f_lasti)
        self.places.append(place)
        if len(self.places) != self._at:
            return False
        self.armed = place
        sys.settrace(None)  # or the trace function would meet it
        return True
