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
from netpoll.adapters._nest import FdWatch, LoopWatches, Wait, Watch, deliver_ready

__all__ = ["wait"]


async def wait(desc: PollDesc, mode: int) -> None:
    """`PollDesc.wait` for a task of trio: others run meanwhile.  Always a checkpoint.

    The descriptor may be open on any poller; the run watches that one while tasks wait on it.
    Deadlines, `unblock` and `close` end the wait as they do in a thread.  A cancel scope withdraws
    it, and a notification that was on its way stays for the next waiter.

    :raises ClosedError, DeadlineExceeded, NotPollableError, BusyError: as `PollDesc.wait`.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    waiting = _TaskWait(_nest(), desc, mode)
    with waiting.inside, waiting:
        try:
            while waiting.park():
                await trio.lowlevel.wait_task_rescheduled(waiting.abort)
                if waiting.resume():
                    return
        finally:
            if waiting.parked:
                waiting.cancel()
    await trio.lowlevel.cancel_shielded_checkpoint()


class _TaskWait(Wait):
    watches: _RunWatches

    def __init__(self, watches: _RunWatches, desc: PollDesc, mode: int) -> None:
        super().__init__(watches, desc, mode)
        self._task: trio.lowlevel.Task | None = trio.lowlevel.current_task()

    def _who(self) -> object:
        return self._task

    def abort(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED

    def notify(self) -> None:
        self.watches.call(self._reschedule)

    def _reschedule(self) -> None:
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)


class _RunWatches(LoopWatches):
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
    """A system task, which ends with the run, with the poller, or when it wakes for no task."""

    def __init__(self, watches: _RunWatches, poller: Poller) -> None:
        self._watches = watches
        self._scope = trio.CancelScope()
        self._serving = False
        super().__init__(poller)

    async def _serve(self) -> None:
        if self._serving:  # it was spawned twice: a signal came in between
            return
        self._serving = True
        try:
            with self._scope:
                while self.is_needed():
                    await trio.lowlevel.wait_readable(self.fd)
                    deliver_ready(self.poller)
        finally:
            self._watches.forget(self)
            self.release()

    def busy(self) -> None:
        if not self._serving:
            trio.lowlevel.spawn_system_task(self._serve)

    def idle(self) -> None:
        pass

    def wake(self) -> None:
        self._watches.call(self._poller_closed)

    def _poller_closed(self) -> None:
        self._watches.forget(self)
        self._scope.cancel()
        deliver_ready(self.poller)


_run_watches: trio.lowlevel.RunVar[_RunWatches] = trio.lowlevel.RunVar("netpoll")


def _nest() -> _RunWatches:
    try:
        return _run_watches.get()
    except LookupError:
        watches = _RunWatches()
        _run_watches.set(watches)
        return watches
