"""Several calls that no signal handler comes between.

CPython runs signal handlers between two bytecodes, and one that raises cuts off what comes after.
So calls that belong together are made by one call into C.  What they call must be in C too: a frame
of Python's has bytecodes of its own.

    consume(map(call, (first, second)))
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from operator import methodcaller
from typing import Any

__all__ = ["call", "consume"]

#: Call a function without arguments.
call: Callable[[Any], Any] = methodcaller("__call__")

#: Take all that an iterator gives.
consume: Callable[[Iterator[Any]], object] = partial(deque, maxlen=0)
