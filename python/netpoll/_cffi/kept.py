"""Boxes that last until nothing of Python's refers to them.

A destructor of cffi's (`ffi.gc`) alone is not enough.  In a cycle the garbage collector calls
destructors and `__del__` by age, so what has been destroyed might still be used by the `__del__` of
something younger.  So what uses a box has a token besides, which the collector does not know, as it
refers to nothing; and the box is kept here until the token is gone.  No frame of Python's runs
then, and so no signal handler.
"""

from __future__ import annotations

import weakref
from typing import Any

from netpoll._core import ffi

__all__ = ["keep"]

_boxes: dict[weakref.ref[Any], Any] = {}

#: The token, and what must last as long, also when the modules have gone.
Kept = tuple[Any, dict[weakref.ref[Any], Any]]


def keep(box: Any) -> Kept:
    """Until what is returned has gone."""
    token = ffi.new("char *")
    _boxes[weakref.ref(token, _boxes.pop)] = box
    return token, _boxes
