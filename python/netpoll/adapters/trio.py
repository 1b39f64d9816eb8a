"""trio's tasks wait on netpoll's descriptors, within trio's cancel scopes.

from netpoll.adapters.trio import wait

async def receive(sock, desc):
    while True:
        desc.reset(READ)
        try:
            return sock.recv(4096)
        except BlockingIOError:
            await wait(desc, READ)
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import trio

from netpoll import PollDesc, Poller
from netpoll.adapters._nest import FdWatch, LoopNest, Wait, Watch, collect

__all__ = ["wait"]


async def wait(desc: PollDesc, mode: int) -> None:
    """`PollDesc.wait` for a task of trio: others run meanwhile.  Always a checkpoint.

    The descriptor may be open on any poller; the run watches that one while tasks wait on it.
    Deadlines, `unblock` and `close` end the wait as they do in a thread.  A cancel scope withdraws
    it, and a notification that was on its way stays for the next waiter.

    :raises ClosedError, DeadlineExceeded, NotPollableError, BusyError: as `PollDesc.wait`.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    with _TaskWait(_nest(), desc, mode) as waiting:
        parked = waiting.park()
        while parked:
            await trio.lowlevel.wait_task_rescheduled(waiting.abort)
            if waiting.resume():
                return
            parked = waiting.park()
    await trio.lowlevel.cancel_shielded_checkpoint()


class _TaskWait(Wait):
    nest: _RunNest

    def __init__(self, nest: _RunNest, desc: PollDesc, mode: int) -> None:
        super().__init__(nest, desc, mode)
        self._task: trio.lowlevel.Task | None = trio.lowlevel.current_task()

    def _who(self) -> object:
        return self._task

    def abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _notify(self) -> None:
        self.nest.call(self._reschedule)

    def _reschedule(self) -> None:
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)


class _RunNest(LoopNest):
    def __init__(self) -> None:
        super().__init__()
        self._run = trio.lowlevel.current_trio_token()
        self._thread = threading.get_ident()

    def call(self, function: Callable[[], object]) -> None:
        """In the run's thread; a run that has ended meanwhile has no tasks."""
        if threading.get_ident() == self._thread:
            function()
        else:
            self.call_soon(function)

    def call_soon(self, function: Callable[[], object]) -> None:
        try:
            self._run.run_sync_soon(function)
        except trio.RunFinishedError:
            pass

    def _watch_fd(self, poller: Poller) -> Watch:
        return _RunWatch(self, poller)


class _RunWatch(FdWatch):
    """A system task, which ends with the run, with the poller, or when it wakes for nobody."""

    def __init__(self, nest: _RunNest, poller: Poller) -> None:
        self._nest = nest
        self._scope = trio.CancelScope()
        super().__init__(poller)
        trio.lowlevel.spawn_system_task(self._serve)

    async def _serve(self) -> None:
        try:
            with self._scope:
                while self.waits:
                    await trio.lowlevel.wait_readable(self.fd)
                    collect(self.poller)
        finally:
            self._nest.forget(self)
            self.release()

    def busy(self) -> None:
        pass

    def idle(self) -> None:
        pass

    def wake(self) -> None:
        self._nest.call(self._poller_closed)

    def _poller_closed(self) -> None:
        self._nest.forget(self)
        self._scope.cancel()
        collect(self.poller)


_run_nest: trio.lowlevel.RunVar[_RunNest] = trio.lowlevel.RunVar("netpoll")


def _nest() -> _RunNest:
    try:
        return _run_nest.get()
    except LookupError:
        nest = _RunNest()
        _run_nest.set(nest)
        return nest
