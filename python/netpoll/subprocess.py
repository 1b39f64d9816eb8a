"""The standard module; in a greenlet hub what waits for a child parks the greenlet::

    from netpoll import subprocess

    done = subprocess.run(["git", "fetch"], capture_output=True, timeout=30)

The same names, signatures, results and errors as in `subprocess`; `Popen` is a subclass of the
standard one.  `wait` and `communicate`, and reads and writes of `stdin`, `stdout` and `stderr`,
wait in netpoll: in a hub the greenlet, elsewhere the thread.  Any number of them may wait for one
child, or for a thousand.  The pipes are on `netpoll.File`: deadlines and `close` from elsewhere are
those of `raw` (of text: `buffer.raw`).

To start a child still blocks the thread, until it has executed its program.  How it is started is
up to the standard module, and to its switches (`_USE_VFORK`).

On Windows, which tells of no pipe if it is ready, threads wait and the greenlet waits for them.
"""

from __future__ import annotations

import os as _os
import selectors as _selectors
import subprocess as _std
import sys as _sys
from _socket import socket as _Socket
from collections.abc import Sequence as _Sequence
from contextlib import nullcontext as _nullcontext
from contextlib import suppress as _suppress
from functools import partial as _partial
from functools import update_wrapper as _update_wrapper
from functools import wraps as _wraps
from subprocess import *  # noqa: F403
from subprocess import TimeoutExpired
from typing import Any

from netpoll import select as _select
from netpoll._blocking import children as _children
from netpoll._blocking.start import Start as _Start
from netpoll._blocking.threads import Call as _Call
from netpoll._engine import coop_yield, current_hub
from netpoll._file import fdopen as _fdopen
from netpoll._rebind import rebind as _rebind
from netpoll._stand_in import StandIn as _StandIn
from netpoll._whole import call as _call

__all__ = list(_std.__all__)

# Private names too: functions of the module run with our globals, below.
globals().update({name: value for name, value in vars(_std).items() if name not in globals()})


_init: Any = _std.Popen.__init__  # `netpoll.patch` may put ours there later

_standard_poll: Any = _std.Popen.poll


def _poll(self: Any) -> int | None:
    """As in the standard class."""
    coop_yield(False)
    ended: int | None = _standard_poll(self)
    return ended


if _sys.platform == "win32":

    def _file_of(pipe: Any) -> Any:
        pipe = getattr(pipe, "buffer", pipe)  # of text
        return getattr(pipe, "raw", pipe)

    def _read_all(pipe: Any) -> Any:
        with pipe:
            return pipe.read()

    class Popen(_std.Popen[Any]):  # type: ignore[no-redef]
        """A child process.  As the standard class."""

        #: Nobody else has it: does an exception end the child?
        _is_of_call = False

        #: What `communicate` does, each in a thread: pipes and calls.
        _transfers: _Sequence[tuple[Any, _Call[Any]]] = ()

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            names = {**globals(), "io": _StandIn(globals()["io"], {"open": _fdopen})}
            _rebind(_init, names)(self, *args, **kwargs)

        def __exit__(self, kind: Any, *error: Any) -> None:
            if kind is not None and self._is_of_call:
                self.kill()
            for pipe, transfer in self._transfers:
                if not transfer.ended:  # it has the lock of the pipe's buffer
                    _file_of(pipe).close()
                    transfer.wait()
            super().__exit__(kind, *error)

        def _communicate(
            self, input: Any, endtime: float | None, orig_timeout: float | None
        ) -> tuple[Any, Any]:
            if not self._communication_started:  # type: ignore[attr-defined]
                self._transfers = self._begin_transfers(input)
            for _, transfer in self._transfers:
                if not transfer.wait(self._remaining_time(endtime)):  # type: ignore[attr-defined]
                    assert orig_timeout is not None
                    raise TimeoutExpired(self.args, orig_timeout)
            results = {pipe: transfer.result() for pipe, transfer in self._transfers}
            return results.get(self.stdout), results.get(self.stderr)

        def _begin_transfers(self, input: Any) -> _Sequence[tuple[Any, _Call[Any]]]:
            calls = [(pipe, _partial(_read_all, pipe)) for pipe in (self.stdout, self.stderr)]
            calls.append((self.stdin, _partial(self._stdin_write, input)))  # type: ignore[attr-defined]
            return [(pipe, _children.begin(call)) for pipe, call in calls if pipe]

        poll = _poll

        def _wait(self, timeout: float | None) -> int | None:
            coop_yield(timeout != 0)
            wait = super()._wait  # type: ignore[misc]
            if self.returncode is not None or current_hub() is None:
                return wait(timeout)  # type: ignore[no-any-return]
            call: Any = _children.in_thread(timeout, wait, None)
            if call is None:
                assert timeout is not None
                raise TimeoutExpired(self.args, timeout)
            return call.result()  # type: ignore[no-any-return]

else:

    class _Selector(_selectors.PollSelector):
        """What `communicate` waits at."""

        _selector_cls = _select.poll

    # Where the code of the standard class waits for pipes.
    globals()["_PopenSelector"] = _Selector

    def _step(name: str) -> Any:
        """A method of the standard class that `__init__` calls."""
        standard: Any = getattr(_std.Popen, name)

        @_wraps(standard)
        def step(self: Any, *args: Any, **kwargs: Any) -> Any:
            names = vars(self).get("_names")  # None: of a foreign class, as in `__init__`
            return (_rebind(standard, names) if names else standard)(self, *args, **kwargs)

        return step

    def _close_pipes(popen: Any) -> None:
        for name in ("stdin", "stdout", "stderr"):
            pipe = getattr(popen, name, None)
            if pipe is not None:
                with _suppress(ValueError):  # closed, as its buffer does not know yet
                    pipe.close()

    class Popen(_std.Popen[Any]):  # type: ignore[no-redef]
        """A child process.  As the standard class."""

        #: Nobody else has it: does an exception end the child?
        _is_of_call = False

        #: Our sockets that the child has for its streams.
        _made_blocking: _Sequence[int] = ()

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            if not isinstance(self, Popen):  # its class was made before a patch gave it our name
                _init(self, *args, **kwargs)
                return
            start = _Start(globals())
            try:
                self._names = start.names()
                _rebind(_init, self._names)(self, *args, **kwargs)
                del self._names
            except BaseException:
                start.close_all()
                start.end()
                for number in self._made_blocking:
                    _os.set_blocking(number, False)
                self._child_created = False
                _close_pipes(self)
                raise

        _standard_get_handles = _step("_get_handles")

        def _get_handles(self, *streams: Any) -> Any:
            """A socket without a timeout blocks the child, though it has never blocked us."""
            for stream in streams:
                if isinstance(stream, _Socket) and stream.timeout is None:
                    number = stream.fileno()
                    if number >= 0 and not _os.get_blocking(number):
                        self._made_blocking = (*self._made_blocking, number)
                        _os.set_blocking(number, True)
            return self._standard_get_handles(*streams)

        _get_devnull = _step("_get_devnull")
        _execute_child = _step("_execute_child")
        _close_pipe_fds = _step("_close_pipe_fds")
        if hasattr(_std.Popen, "_posix_spawn"):
            _posix_spawn = _step("_posix_spawn")

        def __exit__(self, kind: Any, *error: Any) -> None:
            if kind is not None and self._is_of_call:
                self.kill()
            super().__exit__(kind, *error)

        def _on_error_fd_closer(self) -> Any:
            return _nullcontext([])  # `__init__` closes them

        _communicate = _rebind(_std.Popen._communicate, globals())  # type: ignore[attr-defined]

        poll = _poll

        def _wait(self, timeout: float | None) -> int | None:
            coop_yield(timeout != 0)
            lock = self._waitpid_lock  # type: ignore[attr-defined]
            if not _children.wait_for_exit(self._unreaped, lock, timeout):
                assert timeout is not None
                raise TimeoutExpired(self.args, timeout)
            return super()._wait(None)  # type: ignore[misc, no-any-return]

        def _internal_poll(self, *args: Any, **kwargs: Any) -> int | None:
            lock = self._waitpid_lock  # type: ignore[attr-defined]
            if lock._is_owned():  # by what a signal handler has interrupted
                return self.returncode
            try:
                return super()._internal_poll(*args, **kwargs)  # type: ignore[misc, no-any-return]
            finally:
                if lock._is_owned():  # it was cut off as it had taken it
                    lock.release()

        def _unreaped(self) -> int | None:
            return self.pid if self.returncode is None else None


_update_wrapper(Popen.__init__, _init)


def _waits_itself(standard: Any) -> Any:
    """A function that starts a child and waits for it: no exception leaves the child behind."""

    @_wraps(standard)
    def function(*args: Any, **kwargs: Any) -> Any:
        children: list[Any] = []

        def start(*args: Any, **kwargs: Any) -> Any:
            # In one step, for nobody else has it yet.
            children.extend(map(_call, (_partial(globals()["Popen"], *args, **kwargs),)))
            children[0]._is_of_call = True
            return children[0]

        try:
            return _rebind(standard, {**globals(), "Popen": start})(*args, **kwargs)
        except BaseException:
            for child in children:
                if child.returncode is None:
                    child.kill()
                    child.wait()
            raise

    return function


for _name in ("run", "call"):
    globals()[_name] = _waits_itself(getattr(_std, _name))
for _name in ("check_call", "check_output", "getoutput", "getstatusoutput"):
    globals()[_name] = _rebind(getattr(_std, _name), globals())
