"""Waiting by level, for code that does not read until it would block.

`PollDesc.wait` reports edges: after a wait, one has to read (or write) until it would block, or the
rest of the data may never be reported (rule 1).  libpq, most database drivers and everything
written for `select` leave data behind and expect to be told of it again.  For them one asks
before one waits:

    from netpoll.adapters.level import is_ready, wait_level

    wait_level(desc, READ)                 # a thread, or a greenlet of netpoll.green

    if not is_ready(desc, READ):           # the same with any adapter's wait
        await wait(desc, READ)

It differs from rule 1 in two ways: it costs a system call a wait, and what was remembered is
dropped, so that a wait never ends for data that was taken already.
"""

from __future__ import annotations

import contextlib
import select
import sys
import threading
import time
from collections.abc import Mapping
from functools import partial
from operator import methodcaller
from socket import socketpair
from typing import Any, cast

from netpoll import READ, WRITE, BusyError, PollDesc, Poller, PollError
from netpoll._engine import coop_yield
from netpoll._whole import consume
from netpoll.adapters._nest import (
    FdWatch,
    PollerWatches,
    Wait,
    Watch,
    deliver_ready,
    has_descriptor,
)

__all__ = ["LEVEL_TRIGGERED", "is_ready", "poll_now", "wait_level"]

#: The backends that ask the kernel at each `park` and `wait`, so nobody has to before.
LEVEL_TRIGGERED = frozenset({"poll", "iocp"})
#: The backends whose events may be stale: they were true once since the last `park`.
STALE_EVENTS = frozenset({"iocp"})

#: Seconds between two polls where a poller has no descriptor to sleep on.
NAP = 0.001


def is_ready(desc: PollDesc, modes: int) -> int:
    """Which of the modes, READ or WRITE or both, are ready at this moment.

    If one is not, a wait for it that begins after this call ends as soon as it is.

    :raises ClosedError, DeadlineExceeded, NotPollableError: what a wait would raise.
    :raises ValueError: modes are not READ, WRITE or both.
    """
    if not 0 < modes <= READ | WRITE:
        raise ValueError(f"fd {desc.fd}: modes are READ, WRITE or both, not {modes!r}")
    coop_yield(False)
    for mode in (READ, WRITE):
        if modes & mode:
            desc.reset(mode)  # first: what comes after the poll is an edge
    return sum(ready for _, ready in poll_now({desc.fd: modes}))


def wait_level(desc: PollDesc, modes: int) -> int:
    """Wait until one of the modes, READ or WRITE or both, is ready; which are.

    In a thread with a hub of `netpoll.green` the greenlet waits, elsewhere the thread.

    :raises ClosedError, DeadlineExceeded, NotPollableError, BusyError: as `PollDesc.wait`.
    :raises ValueError: modes are not READ, WRITE or both.
    """
    while not (ready := is_ready(desc, modes)):
        told = _wait_for_edge(desc, modes)
        if desc.poller.backend not in STALE_EVENTS:
            return told
    return ready


def _wait_for_edge(desc: PollDesc, modes: int) -> int:
    if modes in (READ, WRITE):
        desc.wait(modes)
        return modes
    green = sys.modules.get("netpoll.green")
    if green is not None and green.has_hub():
        return _either_in_hub(desc)
    return _either_in_thread(desc)


# --- asking the kernel ----------------------------------------------------------------------------

if sys.platform == "win32":
    #: What Windows's select takes at once: FD_SETSIZE as Python is built.
    MOST = 512

    def poll_now(wanted: Mapping[int, int]) -> list[tuple[int, int]]:
        """Of descriptors and the modes asked for, those that are ready, without blocking."""
        ready: dict[int, int] = {}
        rest = list(wanted.items())
        while rest:
            some, rest = rest[:MOST], rest[MOST:]
            readers = [fd for fd, modes in some if modes & READ]
            writers = [fd for fd, modes in some if modes & WRITE]
            # A connection that was refused is an exception there, and an event for writers.
            for mode, found in zip(
                (READ, WRITE, WRITE), select.select(readers, writers, writers, 0), strict=True
            ):
                for fd in found:
                    ready[fd] = ready.get(fd, 0) | mode
        return list(ready.items())

else:
    _EVENTS = (0, select.POLLIN, select.POLLOUT, select.POLLIN | select.POLLOUT)
    # An error or a hang-up is an event for both.
    _MODES = {
        events: (READ if events & ~select.POLLOUT else 0)
        | (WRITE if events & ~select.POLLIN else 0)
        for events in range(2 * max(select.POLLNVAL, select.POLLHUP, select.POLLERR))
    }

    def poll_now(wanted: Mapping[int, int]) -> list[tuple[int, int]]:
        """Of descriptors and the modes asked for, those that are ready, without blocking."""
        poll = select.poll()
        for fd, modes in wanted.items():
            poll.register(fd, _EVENTS[modes])
        return [
            (fd, modes) for fd, events in poll.poll(0) if (modes := _MODES[events] & wanted[fd])
        ]


# --- either mode ---------------------------------------------------------------------------------


def _either_in_hub(desc: PollDesc) -> int:
    """Two greenlets wait, and the first to end ends the other."""
    from greenlet import getcurrent

    from netpoll.green import spawn

    outcomes: list[int | Exception] = []
    pair: list[Any] = []
    kill_both = partial(consume, map(methodcaller("kill"), pair))

    def wait_for(mode: int) -> None:
        try:
            desc.wait(mode)
            outcomes.append(mode)
        except (PollError, BusyError) as error:
            outcomes.append(error)
        finally:
            for one in pair:
                if one is not getcurrent():
                    one.kill()

    spawn_for = partial(cast(Any, spawn), wait_for)
    try:
        pair.extend(map(spawn_for, (READ, WRITE)))
        for one in pair:
            one.join()
    finally:
        kill_both()
    ready = sum(mode for mode in outcomes if isinstance(mode, int))
    if not ready:
        raise next(error for error in outcomes if isinstance(error, Exception))
    return ready


def _either_in_thread(desc: PollDesc) -> int:
    with _ThreadWatches() as watches:
        halves = reader, writer = _Half(watches, desc, READ), _Half(watches, desc, WRITE)
        with reader.inside, writer.inside, reader, writer:
            try:
                while True:
                    for half in halves:
                        if not half.parked and not half.park():
                            return half.mode
                    watches.sleep(desc.poller)
                    ready = sum(half.mode for half in halves if half.out and half.resume())
                    if ready:
                        return ready
            finally:
                if reader.parked:
                    reader.cancel()
                if writer.parked:
                    writer.cancel()


class _ThreadWatches(PollerWatches):
    """A thread is the loop, which runs for one wait."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.current_thread()
        self._wake_reader, self._wake_writer = socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)

    def __enter__(self) -> _ThreadWatches:
        return self

    def __exit__(self, *error: object) -> None:
        self._wake_reader.close()
        self._wake_writer.close()

    def wake(self) -> None:
        """From any thread: the sleeper has to poll again."""
        with contextlib.suppress(OSError):  # woken often enough, or it has ended
            self._wake_writer.send(b"!")

    def sleep(self, poller: Poller) -> None:
        """Until something may have become ready, which is then collected."""
        if sys.platform == "win32" or not self._by_poller:
            time.sleep(NAP)
        else:
            poll = select.poll()
            for fd in (self._wake_reader.fileno(), *self._descriptors()):
                poll.register(fd, select.POLLIN)
            poll.poll()
        with contextlib.suppress(BlockingIOError):
            self._wake_reader.recv(4096)
        deliver_ready(poller)

    def _descriptors(self) -> list[int]:
        return [watch.fd for watch in self._by_poller.values() if isinstance(watch, FdWatch)]

    def enter(self, wait: Wait) -> None:
        if wait.poller in self._by_poller or has_descriptor(wait.poller):  # else we nap
            super().enter(wait)

    def _watch(self, poller: Poller) -> Watch:
        return _ThreadWatch(self, poller)


class _ThreadWatch(FdWatch):
    def __init__(self, watches: _ThreadWatches, poller: Poller) -> None:
        self._watches = watches
        super().__init__(poller)

    def wake(self) -> None:
        self._watches.wake()

    def busy(self) -> None:
        pass

    def idle(self) -> None:
        self._watches.forget(self)
        self.release()


class _Half(Wait):
    watches: _ThreadWatches

    def _who(self) -> object:
        return self.watches.thread

    def notify(self) -> None:
        self.watches.wake()
