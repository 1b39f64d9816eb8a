"""Code that runs in the midst of other code, which does not expect anything else to run there."""

from __future__ import annotations

import importlib
import inspect
import signal
import sys
import threading
import weakref
from functools import partial
from types import FrameType
from typing import Any

__all__ = ["is_interruption"]

#: That of `signal` takes an enumeration's time.
_handler_of: Any = importlib.import_module("_signal").getsignal
_SIGNALS = range(1, signal.NSIG)

_finalize: Any = weakref.finalize.__call__


def is_interruption() -> bool:
    """Is the caller in a signal handler, or in a finalizer?

    Python does not tell: they are known by their code.
    """
    handlers: list[object] = []  # what is called as they are
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__del__" or code is _finalize.__code__:
            return True
        if code.co_argcount > 1 or code.co_flags & inspect.CO_VARARGS:
            handlers.append(code)
        frame = frame.f_back
    if not handlers or threading.get_ident() != threading.main_thread().ident:
        return False
    set_ones = map(_code_of, filter(callable, map(_handler_of, _SIGNALS)))
    return any(code is handler for code in set_ones for handler in handlers)


def _code_of(handler: Any) -> Any:
    while isinstance(handler, partial):
        handler = handler.func
    return getattr(handler, "__code__", None) or getattr(type(handler).__call__, "__code__", None)
