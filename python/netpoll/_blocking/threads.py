"""Calls that block, each in a thread of a pool, while the caller waits at a semaphore.

A pool has a bounded number of threads.  They start as they are needed, end when they have been idle
for a while, and are daemonic: one that hangs keeps no process from exiting.

Signals.  What a handler raises in the caller may leave a unit of `_ready` without its call, or a
call that nothing waits for; a thread that finds neither goes on, and no call waits for a thread
that is not there.

Fork.  The child has none of the threads.  It has new pools, and calls that were under way end
there with a RuntimeError.  That is done by a fork hook, or by the first call in the child: other
hooks may come before ours.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar

from netpoll._engine import Sema, current_hub
from netpoll._whole import call as invoke
from netpoll._whole import consume

__all__ = ["Call", "Pool", "call_in_thread", "calls"]

P = ParamSpec("P")
T = TypeVar("T")

#: Threads of a pool.
LIMIT = 32

#: Seconds after which an idle thread ends.
IDLE = 10.0


def _forgotten() -> Any:
    """What has ended does not run again."""
    raise AssertionError


class Call(Generic[T]):
    """A function that a thread calls, once."""

    __slots__ = ("_done", "_ended", "_error", "_function", "_value")

    _value: T

    def __init__(
        self, function: Callable[[], T], ended: Callable[[], object] | None = None, name: str = ""
    ) -> None:
        """:param ended: called in the thread, when there is a result.
        :param name: of the waits for it, for `dump`."""
        self._function = function
        self._ended = ended
        self._error: BaseException | None = None
        self._done = Sema(name=name)

    @property
    def ended(self) -> bool:
        """Is there a result, or an error?"""
        return self._done.is_open

    def run(self) -> None:
        """In the thread.  An error's traceback leads back to this frame, so this frame forgets."""
        function = self._function
        try:
            self._value = function()
        except BaseException as error:
            self._error = error
        self._finish()
        del self, function

    def fail(self, error: BaseException) -> None:
        """Instead of `run`."""
        self._error = error
        self._finish()

    def _finish(self) -> None:
        self._function = _forgotten  # whose arguments may be what this is kept for
        self._done.open()
        if self._ended is not None:
            self._ended()

    def wait(self, timeout: float | None = None) -> bool:
        """In a hub the greenlet waits, elsewhere the thread.

        :param timeout: seconds; None: for ever.
        :returns: False: the time was over first.
        """
        return self._done.acquire(timeout)

    def result(self) -> T:
        """What it returned, or raised; to be asked once.

        :raises BlockingIOError: it has not ended.
        """
        if not self.ended:
            raise BlockingIOError
        error, self._error = self._error, None  # whose traceback would have this object
        if error is None:
            return self._value
        try:
            raise error
        finally:
            del error  # a cycle with this frame


class Pool:
    """Threads that call what blocks.

    :param name: of its threads.
    :param limit: how many there are at most; further calls wait until one is free.
    """

    def __init__(self, name: str, limit: int = LIMIT) -> None:
        self.name = name
        self.limit = limit
        self.start_anew()
        _pools.append(self)

    def start_anew(self) -> None:
        """Without threads, and without calls."""
        self._process = os.getpid()
        self._queue: deque[Call[Any]] = deque()
        self._ready = Sema(name=f"{self.name}: idle")  # a unit for each call in the queue
        self._room = Sema(self.limit)  # a unit for each thread that may start
        self._idle: set[object] = set()
        self._running: set[Call[Any]] = set()

    def submit(self, call: Call[Any]) -> None:
        """Have a thread run it.

        :raises RuntimeError: there is no thread, and none can be started.
        """
        self.check_fork()
        queue = self._queue
        consume(map(invoke, (partial(queue.append, call), self._ready.release)))
        if len(queue) > len(self._idle) and self._room.units:
            self._start()

    def withdraw(self, call: Call[Any]) -> None:
        """Do not begin it; one that has begun goes on."""
        with suppress(ValueError):
            self._queue.remove(call)

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name=self.name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no more, or the interpreter exits
            if self._room.units == self.limit:
                raise

    def _work(self) -> None:
        # If this thread forks, it goes on in the child with what was there before.
        queue, ready, room = self._queue, self._ready, self._room
        idle, running, me = self._idle, self._running, object()
        while room.try_acquire():
            idle.add(me)
            while ready.acquire(IDLE):
                idle.discard(me)
                _run_next(queue, running)
                idle.add(me)
            idle.discard(me)
            room.release()
            if not ready.try_acquire():
                return
            ready.release()  # a call came meanwhile, and counted on this thread

    def check_fork(self) -> None:
        """Is this the child of a fork?"""
        if self._process != os.getpid():
            self.fail_all()

    def fail_all(self) -> None:
        """The child of a fork: the threads are gone."""
        calls = {*self._queue, *self._running}
        self.start_anew()
        for call in calls:
            call.fail(RuntimeError("the thread of the call is not in the child of the fork"))

    def call(
        self,
        name: str,
        timeout: float | None,
        function: Callable[P, T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Call it in a thread, and wait for that.

        :param name: of the wait, for `dump`.
        :param timeout: seconds; None: for ever.
        :raises TimeoutError: the time is over; if the call has begun, it goes on.
        """
        call = self.ended_call(name, timeout, function, *args, **kwargs)
        if call is None:
            raise TimeoutError("timed out")
        return call.result()

    def ended_call(
        self,
        name: str,
        timeout: float | None,
        function: Callable[P, T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Call[T] | None:
        """As `call`; None: the time is over.

        A TimeoutError that is raised is that of a timeout around it, or of a signal handler.
        """
        call = Call(partial(copy_context().run, function, *args, **kwargs), name=name)
        try:
            self.submit(call)
            ended = call.wait(timeout)
        except BaseException:
            self.withdraw(call)
            raise
        if not ended:
            self.withdraw(call)
            return None
        return call


def _run_next(queue: deque[Call[Any]], running: set[Call[Any]]) -> None:
    """The first of the queue, if it was not withdrawn."""
    try:
        call = queue.popleft()
    except IndexError:
        return
    running.add(call)
    call.run()
    running.discard(call)
    del call  # as `run` does


_pools: list[Pool] = []

#: For `call_in_thread`.
calls = Pool("netpoll call")


def call_in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call what blocks: in a thread of a pool, while the greenlet waits and others run.

    The function runs in a copy of the caller's `contextvars` context.  A thread without a hub
    makes the call itself.

    At most 32 such calls run at once; others wait for their turn.  A call has no limit, but
    whatever ends the greenlet's wait (a kill, Ctrl-C) leaves the call to itself: if it has begun
    it goes on, and its result is dropped; else it never begins.  No call keeps the process from
    exiting.

    :returns: its result; its exception is raised.
    :raises RuntimeError: in the child of a fork: the call was under way in the parent.
    """
    if current_hub() is None:
        return copy_context().run(function, *args, **kwargs)
    return calls.call("call_in_thread", None, function, *args, **kwargs)


_queues_before: list[deque[Call[Any]]] = []


def _before_fork() -> None:
    _queues_before[:] = [pool._queue for pool in _pools]


def _after_fork() -> None:
    for pool, queue in zip(_pools, _queues_before, strict=False):
        if pool._queue is queue:  # no other hook has made a call before
            pool.fail_all()


if sys.platform != "win32":
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
