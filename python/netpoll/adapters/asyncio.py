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
from netpoll.adapters._nest import FdWatch, LoopNest, Wait, Watch, collect

__all__ = ["wait"]


async def wait(desc: PollDesc, mode: int) -> None:
    """`PollDesc.wait` for a task: others run meanwhile.

    The descriptor may be open on any poller; the loop watches that one while tasks wait on it.
    Deadlines, `unblock` and `close` end the wait as they do in a thread.  Cancelling the task
    withdraws it, and a notification that was on its way stays for the next waiter.

    :raises ClosedError, DeadlineExceeded, NotPollableError, BusyError: as `PollDesc.wait`.
    """
    loop = asyncio.get_running_loop()
    with _TaskWait(_nest_of(loop), desc, mode) as task:
        task.future = loop.create_future()
        while task.park():
            await task.future
            if task.resume():
                break
            task.future = loop.create_future()


class _TaskWait(Wait):
    nest: _LoopNest
    future: asyncio.Future[None]

    def __init__(self, nest: _LoopNest, desc: PollDesc, mode: int) -> None:
        super().__init__(nest, desc, mode)
        self._task = asyncio.current_task()

    def _who(self) -> object:
        return self._task

    def _abandoned(self) -> bool:
        loop = self.nest.loop()
        return loop is None or loop.is_closed()

    def _notify(self) -> None:
        loop, future = self.future.get_loop(), self.future
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


class _LoopNest(LoopNest):
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

    def __init__(self, nest: _LoopNest, poller: Poller) -> None:
        self._nest = nest
        super().__init__(poller)
        self._loop().add_reader(self.fd, self._readable)

    def _loop(self) -> asyncio.AbstractEventLoop:
        loop = self._nest.loop()
        assert loop is not None, "it runs"
        return loop

    def busy(self) -> None:
        pass

    def idle(self) -> None:
        loop = self._nest.loop()
        if loop is None or loop.is_closed():  # and the collector ends the task
            self._nest.forget(self)
            self.release()
        else:
            loop.call_soon(self._end_if_idle)

    def _end_if_idle(self) -> None:
        if not self.waits:
            self._end()

    def _end(self) -> None:
        if self.fd >= 0:
            self._loop().remove_reader(self.fd)
            self._nest.forget(self)
            self.release()

    def _readable(self) -> None:
        collect(self.poller)

    def wake(self) -> None:
        loop = self._nest.loop()
        if loop is None:
            return
        if asyncio._get_running_loop() is loop:
            self._poller_closed()
        else:
            _call_soon_threadsafe(loop, self._poller_closed)

    def _poller_closed(self) -> None:
        self._end()
        collect(self.poller)


_nests: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopNest] = (
    weakref.WeakKeyDictionary()
)


def _nest_of(loop: asyncio.AbstractEventLoop) -> _LoopNest:
    nest = _nests.get(loop)
    if nest is None:
        nest = _nests[loop] = _LoopNest(loop)
    return nest
