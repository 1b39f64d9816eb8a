"""asyncio's tasks wait on netpoll's descriptors, under any loop, uvloop's too.

from netpoll.adapters.asyncio import wait

async def receive(sock, desc):
    while True:
        desc.reset(READ)
        try:
            return sock.recv(4096)
        except BlockingIOError:
            await wait(desc, READ)
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from functools import partial

from netpoll import PollDesc, Poller
from netpoll.adapters._nest import FdWatch, LoopWatches, Wait, Watch, deliver_ready

__all__ = ["wait"]


async def wait(desc: PollDesc, mode: int) -> None:
    """`PollDesc.wait` for a task: others run meanwhile.

    The descriptor may be open on any poller; the loop watches that one while tasks wait on it.
    Deadlines, `unblock` and `close` end the wait as they do in a thread.  Cancelling the task
    withdraws it, and a notification that was on its way stays for the next waiter.

    :raises ClosedError, DeadlineExceeded, NotPollableError, BusyError: as `PollDesc.wait`.
    """
    loop = asyncio.get_running_loop()
    task = _TaskWait(_watches_of(loop), desc, mode)
    with task.inside, task:
        try:
            future = task.expect(loop)
            while task.park():
                await future
                if task.resume():
                    break
                future = task.expect(loop)
        finally:
            if task.parked:
                task.cancel()


class _TaskWait(Wait):
    """What it has of its loop it refers to weakly, as the loop may find it again."""

    watches: _LoopWatches
    _future: weakref.ref[asyncio.Future[None]]

    def __init__(self, watches: _LoopWatches, desc: PollDesc, mode: int) -> None:
        super().__init__(watches, desc, mode)
        task = asyncio.current_task()
        assert task is not None, "it runs"
        self._task = weakref.ref(task)

    def _who(self) -> object:
        return self._task()

    def expect(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """What ends when it is notified."""
        future = loop.create_future()
        self._future = weakref.ref(future)
        return future

    def _abandoned(self) -> bool:
        loop = self.watches.loop()
        return loop is None or loop.is_closed()

    def notify(self) -> None:
        future = self._future()
        if future is None:  # it has left
            return
        loop = future.get_loop()
        if asyncio._get_running_loop() is loop:
            _finish(future)
        else:
            _call_soon_threadsafe(loop, partial(_finish, future))


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():  # else cancelled
        future.set_result(None)


def _call_soon_threadsafe(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    """A loop that has been closed meanwhile has no tasks to run."""
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        if not loop.is_closed():
            raise


class _LoopWatches(LoopWatches):
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.loop = weakref.ref(loop)  # weakly, as this is filed under it

    def call_soon(self, function: Callable[[], object]) -> None:
        loop = self.loop()
        if loop is not None:
            _call_soon_threadsafe(loop, function)

    def _watch_fd(self, poller: Poller) -> Watch:
        return _LoopWatch(self, poller)


class _LoopWatch(FdWatch):
    """To begin and to end costs system calls, so it ends only if a turn later it is still idle."""

    def __init__(self, watches: _LoopWatches, poller: Poller) -> None:
        self._watches = watches
        self._reads = False
        super().__init__(poller)

    def _loop(self) -> asyncio.AbstractEventLoop:
        loop = self._watches.loop()
        assert loop is not None, "it runs"
        return loop

    def busy(self) -> None:
        if not self._reads:
            self._loop().add_reader(self.fd, self._readable)
            self._reads = True

    def idle(self) -> None:
        loop = self._watches.loop()
        if loop is None or loop.is_closed():  # and the collector ends the task
            self._watches.forget(self)
            self.release()
        else:
            loop.call_soon(self._end_if_idle)

    def _end_if_idle(self) -> None:
        if not self.is_needed():
            self._end()

    def _end(self) -> None:
        if self.fd >= 0:
            self._reads = False  # first: if the rest is cut off, it is watched anew
            self._loop().remove_reader(self.fd)
            self._watches.forget(self)
            self.release()

    def _readable(self) -> None:
        deliver_ready(self.poller)

    def wake(self) -> None:
        loop = self._watches.loop()
        if loop is None:
            return
        if asyncio._get_running_loop() is loop:
            self._poller_closed()
        else:
            _call_soon_threadsafe(loop, self._poller_closed)

    def _poller_closed(self) -> None:
        self._end()
        deliver_ready(self.poller)


_watches_by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopWatches] = (
    weakref.WeakKeyDictionary()
)


def _watches_of(loop: asyncio.AbstractEventLoop) -> _LoopWatches:
    watches = _watches_by_loop.get(loop)
    if watches is None:
        watches = _watches_by_loop[loop] = _LoopWatches(loop)
    return watches
