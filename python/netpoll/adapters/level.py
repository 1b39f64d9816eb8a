"""Waiting by level, for code that does not read until it would block.

`PollDesc.wait` reports news: after a wait, one has to read (or write) until it would block, or the
rest of the data may never be reported (rule 1).  libpq, most database drivers and everything
written for `select` leave data behind and expect to be told of it again.  For them one looks
before one waits:

    from netpoll.adapters.level import is_ready, wait_level

    wait_level(desc, READ)                 # a thread, or a greenlet of netpoll.green

    if not is_ready(desc, READ):           # the same with any adapter's wait
        await wait(desc, READ)

It differs from rule 1 in two ways: it costs a system call a wait, and what was remembered is
dropped, so that a wait never ends for data that somebody has taken already.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import threading
import time
from collections.abc import Mapping

from netpoll import READ, WRITE, BusyError, PollDesc, Poller, PollError
from netpoll.adapters._nest import FdWatch, Nest, Wait, Watch, collect, has_descriptor

__all__ = ["LEVEL_TRIGGERED", "is_ready", "look", "wait_level"]

#: The backends that look anew at each `park` and `wait`, and so need no look before.
LEVEL_TRIGGERED = frozenset({"poll", "iocp"})
#: The backends whose news may be old when it is told: it was true once since the last `park`.
LATE = frozenset({"iocp"})

#: Seconds between two looks where a poller has no descriptor to sleep on.
NAP = 0.001


def is_ready(desc: PollDesc, modes: int) -> int:
    """Which of the modes, READ or WRITE or both, are ready at this moment.

    If one is not, a wait for it that begins after this call ends as soon as it is.

    :raises ClosedError, DeadlineExceeded, NotPollableError: what a wait would raise.
    :raises ValueError: modes are not READ, WRITE or both.
    """
    if not 0 < modes <= READ | WRITE:
        raise ValueError(f"fd {desc.fd}: modes are READ, WRITE or both, not {modes!r}")
    for mode in (READ, WRITE):
        if modes & mode:
            desc.reset(mode)  # first: what comes after the look is news
    return sum(ready for _, ready in look({desc.fd: modes}))


def wait_level(desc: PollDesc, modes: int) -> int:
    """Wait until one of the modes, READ or WRITE or both, is ready; which are.

    In a thread with a hub of `netpoll.green` the greenlet waits, elsewhere the thread.

    :raises ClosedError, DeadlineExceeded, NotPollableError, BusyError: as `PollDesc.wait`.
    :raises ValueError: modes are not READ, WRITE or both.
    """
    while not (ready := is_ready(desc, modes)):
        told = _wait_for_news(desc, modes)
        if desc.poller.backend not in LATE:
            return told
    return ready


def _wait_for_news(desc: PollDesc, modes: int) -> int:
    if modes in (READ, WRITE):
        desc.wait(modes)
        return modes
    green = sys.modules.get("netpoll.green")
    if green is not None and green.has_hub():
        return _either_in_hub(desc)
    return _either_in_thread(desc)


# --- a look --------------------------------------------------------------------------------------

if sys.platform == "win32":
    #: What Windows's select takes at once: FD_SETSIZE as Python is built.
    MOST = 512

    def look(wanted: Mapping[int, int]) -> list[tuple[int, int]]:
        """Of descriptors and the modes asked for, those that are ready, without blocking."""
        ready: dict[int, int] = {}
        rest = list(wanted.items())
        while rest:
            some, rest = rest[:MOST], rest[MOST:]
            readers = [fd for fd, modes in some if modes & READ]
            writers = [fd for fd, modes in some if modes & WRITE]
            # A connection that was refused is an exception there, and a writer's news.
            for mode, found in zip(
                (READ, WRITE, WRITE), select.select(readers, writers, writers, 0), strict=True
            ):
                for fd in found:
                    ready[fd] = ready.get(fd, 0) | mode
        return list(ready.items())

else:
    _EVENTS = (0, select.POLLIN, select.POLLOUT, select.POLLIN | select.POLLOUT)
    # An error or a hang-up is news for both.
    _MODES = {
        events: (READ if events & ~select.POLLOUT else 0)
        | (WRITE if events & ~select.POLLIN else 0)
        for events in range(2 * max(select.POLLNVAL, select.POLLHUP, select.POLLERR))
    }

    def look(wanted: Mapping[int, int]) -> list[tuple[int, int]]:
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
    from netpoll import green

    outcomes: list[int | Exception] = []

    def wait_for(mode: int) -> None:
        try:
            desc.wait(mode)
            outcomes.append(mode)
        except (PollError, BusyError) as error:
            outcomes.append(error)
        finally:
            pair[mode == READ].kill()

    pair = [green.spawn(wait_for, mode) for mode in (READ, WRITE)]
    try:
        for one in pair:
            one.join()
    finally:
        for one in pair:
            one.kill()
    ready = sum(mode for mode in outcomes if isinstance(mode, int))
    if not ready:
        raise next(error for error in outcomes if isinstance(error, Exception))
    return ready


def _either_in_thread(desc: PollDesc) -> int:
    with (
        _ThreadNest() as nest,
        _Half(nest, desc, READ) as reader,
        _Half(nest, desc, WRITE) as writer,
    ):
        halves = (reader, writer)
        while True:
            for half in halves:
                if not half.parked and not half.park():
                    return half.mode
            nest.sleep(desc.poller)
            ready = sum(half.mode for half in halves if half.out and half.resume())
            if ready:
                return ready


class _ThreadNest(Nest):
    """A thread is the loop, which runs for one wait."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.current_thread()
        self._bell, self._ringer = socket.socketpair()
        self._bell.setblocking(False)
        self._ringer.setblocking(False)

    def __enter__(self) -> _ThreadNest:
        return self

    def __exit__(self, *error: object) -> None:
        self._bell.close()
        self._ringer.close()

    def ring(self) -> None:
        """From any thread: the sleeper has to look."""
        with contextlib.suppress(OSError):  # rung often enough, or nobody is there any more
            self._ringer.send(b"!")

    def sleep(self, poller: Poller) -> None:
        """Until something may have become ready, which is then collected."""
        if sys.platform == "win32" or not self._watches:
            time.sleep(NAP)
        else:
            poll = select.poll()
            for fd in (self._bell.fileno(), *self._descriptors()):
                poll.register(fd, select.POLLIN)
            poll.poll()
        with contextlib.suppress(BlockingIOError):
            self._bell.recv(4096)
        collect(poller)

    def _descriptors(self) -> list[int]:
        return [watch.fd for watch in self._watches.values() if isinstance(watch, FdWatch)]

    def enter(self, poller: Poller) -> None:
        if poller in self._watches or has_descriptor(poller):  # else we nap
            super().enter(poller)

    def _watch(self, poller: Poller) -> Watch:
        return _ThreadWatch(self, poller)


class _ThreadWatch(FdWatch):
    def __init__(self, nest: _ThreadNest, poller: Poller) -> None:
        self._nest = nest
        super().__init__(poller)

    def wake(self) -> None:
        self._nest.ring()

    def busy(self) -> None:
        pass

    def idle(self) -> None:
        self._nest.forget(self)
        self.release()


class _Half(Wait):
    nest: _ThreadNest

    def _who(self) -> object:
        return self.nest.thread

    def _notify(self) -> None:
        self.nest.ring()
