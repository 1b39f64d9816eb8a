"""What starts a child, whole: whatever a signal handler raises meanwhile, there is an object with a
child and its pipes, or neither.

The code is the standard module's, in Python and of many steps.  So it runs with globals where what
opens a descriptor, closes one, or starts a process, also notes that, in one call into C.
"""

from __future__ import annotations

import errno
import os
import signal
from _thread import RLock
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import chain
from types import SimpleNamespace
from typing import Any

from netpoll._file import File, fdopen
from netpoll._stand_in import StandIn
from netpoll._whole import call, consume

__all__ = ["Start"]


class Start:
    """What a `Popen` has opened and started, until it is made.

    :param namespace: where the standard module's code finds its globals.
    """

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._numbers: list[int] = []
        self._children: list[int] = []
        self._namespace = namespace
        #: Close what is open.  In one call, for it comes first when something has failed.
        self.close_all = partial(consume, map(os.close, self._numbers))

    def names(self) -> dict[str, Any]:
        """The globals of the code."""
        names = dict(
            self._namespace,
            os=StandIn(
                os,
                {
                    "pipe": self._pipe,
                    "open": self._open,
                    "dup": self._dup,
                    "close": self._close,
                    "waitpid": self._waitpid,
                    "posix_spawn": self._posix_spawn,
                },
            ),
            # Which thread has it can be asked, so that it is given back by all means.
            threading=StandIn(self._namespace["threading"], {"Lock": RLock}),
            io=StandIn(self._namespace["io"], {"open": self._open_file}),
            _fork_exec=self._fork_exec,
        )
        if "_posixsubprocess" in names:  # CPython 3.10
            names["_posixsubprocess"] = SimpleNamespace(fork_exec=self._old_fork_exec)
        return names

    def end(self) -> None:
        """End the child: nobody will ever hear of it."""
        for child in self._children:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)

    # Instead of functions of `os`.

    def _pipe(self) -> tuple[int, ...]:
        return tuple(self._opened(chain.from_iterable(map(call, (os.pipe,))), 2))

    def _open(self, *args: Any) -> int:
        return self._opened(map(call, (partial(os.open, *args),)))[0]

    def _dup(self, number: int) -> int:
        return self._opened(map(os.dup, (number,)))[0]

    def _opened(self, made: Iterable[int], count: int = 1) -> list[int]:
        self._numbers.extend(made)
        return self._numbers[-count:]

    def _close(self, number: int) -> None:
        if number not in self._numbers:  # it was cut off as it had closed it
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        consume(map(call, (partial(self._numbers.remove, number), partial(os.close, number))))

    def _waitpid(self, child: int, options: int) -> tuple[int, int]:
        reaped: list[tuple[int, int]] = []
        wait = partial(reaped.extend, map(os.waitpid, (child,), (options,)))
        consume(map(call, (wait, self._children.clear)))
        return reaped[0]

    def _posix_spawn(self, *args: Any, **kwargs: Any) -> int:
        return self._started(partial(os.posix_spawn, *args, **kwargs))

    # Instead of others.

    def _fork_exec(self, *args: Any) -> int:
        return self._started(partial(self._namespace["_fork_exec"], *args))

    def _old_fork_exec(self, *args: Any) -> int:
        return self._started(partial(self._namespace["_posixsubprocess"].fork_exec, *args))

    def _started(self, start: Callable[[], int]) -> int:
        self._children.extend(map(call, (start,)))
        return self._children[-1]

    def _open_file(self, number: int, mode: str, size: int) -> Any:
        """On a `File`, which owns the number in the moment that this does not any more."""
        file = fdopen(number, mode, size, closefd=False)
        raw: File = file.raw if size else file
        owned = partial(setattr, raw, "_closefd", True)
        consume(map(call, (partial(self._numbers.remove, number), owned)))
        return file
