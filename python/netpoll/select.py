"""The standard module; in a greenlet hub what waits parks the greenlet::

    from netpoll import select

    readable, writable, _ = select.select([sock], [], [], 5.0)

The same names, signatures, results and errors as in `select`.  A thread without a hub calls the
standard function.  In a hub:

* `epoll` and `kqueue` are objects of the kernel's, as ever; their `poll` and `control` wait for
  them as for any descriptor.  `close` in another greenlet ends such a wait with the ValueError of
  a closed object.
* `select` and `poll` first ask the kernel without waiting.  So plain files, which are always ready,
  and numbers that are not open are reported as by the standard functions.  Only if nothing is ready
  do they wait, at an epoll or kqueue that is made for it; where there is neither (Windows), they
  ask again every few milliseconds.
* A greenlet that polls again and again gives others a turn, whatever is ready.
"""

from __future__ import annotations

import operator
import os
import select as _select
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial, wraps
from select import *  # noqa: F403
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar

from netpoll._api import PollDesc
from netpoll._blocking.readiness import wait_readable
from netpoll._engine import coop_yield, current_hub, pause
from netpoll._errors import ClosedError, refuse_copies

T = TypeVar("T")

#: As they are now: later the names of the module may be ours.
_std: Any = SimpleNamespace(**vars(_select))

__all__ = [name for name in vars(_select) if not name.startswith("_")]

#: Seconds between two tries where nothing can tell that it is time for one.
_INTERVAL = 0.005

#: What a wait is for: number -> POLLIN, POLLOUT, POLLPRI.
Interests = dict[int, int]

_IN, _PRI, _OUT = 1, 2, 4

#: Where the standard functions find a timeout too large: in seconds, and in milliseconds.
_MAX_SECONDS = 2**63 / 1e9 - 1
_MAX_MS = 2**31 - 1
_NO_FILE = 2**31 - 1  #: a number that nothing has


# --- waiting --------------------------------------------------------------------------------------


class Watch(NamedTuple):
    """What the kernel makes readable when an attempt may succeed."""

    number: int
    #: Called before the attempt, so that it is readable again for news only.
    take: Callable[[], object] = int


def _wait(
    attempt: Callable[[], T],
    ready: Callable[[T], object],
    watched: AbstractContextManager[Watch | None],
    seconds: float | None,
    waits: set[PollDesc] | None = None,
) -> T:
    """Attempt it until something is ready, or the time is over.

    :param attempt: asks the kernel, without waiting.
    :param watched: gives None where nothing tells when an attempt may succeed.
    :param waits: has the descriptor meanwhile; to close that leads to an attempt.
    """
    until = None if seconds is None else time.monotonic() + seconds
    with watched as watch:
        while not ready(found := attempt()):
            if until is not None and time.monotonic() >= until:
                break
            if watch is None:
                pause(_INTERVAL)
            else:
                with suppress(ClosedError):  # the next attempt tells
                    wait_readable(watch.number, until, waits)
                watch.take()
    return found


def _watch_by_epoll(interests: Interests) -> tuple[Any, Callable[[], object]]:
    made = _std.epoll(max(len(interests), 1))
    for number, events in interests.items():
        with suppress(PermissionError):  # plain files
            # Edges: `select` takes no notice of some events that an epoll reports, asked or not.
            made.register(number, events | _std.EPOLLET)
    return made, partial(made.poll, 0, max(len(interests), 1))


def _watch_by_kqueue(interests: Interests) -> tuple[Any, Callable[[], object]]:
    made = _std.kqueue()
    for number, events in interests.items():
        for bit, kind in ((_IN, _std.KQ_FILTER_READ), (_OUT, _std.KQ_FILTER_WRITE)):
            if events & bit:
                made.control([_std.kevent(number, kind, _std.KQ_EV_ADD)], 0)
    return made, int


_watch: Callable[[Interests], tuple[Any, Callable[[], object]]] | None = (
    _watch_by_epoll
    if hasattr(_std, "epoll")
    else _watch_by_kqueue
    if hasattr(_std, "kqueue")
    else None
)


@contextmanager
def _watched(interests: Interests) -> Iterator[Watch | None]:
    """For `_wait`."""
    if _watch is None:
        yield None
        return
    made, take = _watch(interests)
    try:
        yield Watch(made.fileno(), take)
    finally:
        made.close()


def _number(timeout: Any, limit: float, refuse: Callable[[Any], object]) -> float:
    """:param refuse: the standard function, which raises what is wrong; it must not wait."""
    if not isinstance(timeout, (int, float)):
        try:
            timeout = operator.index(timeout)
        except TypeError:
            refuse(timeout)
            timeout = float(timeout)
    if not -limit <= timeout <= limit:  # NaN, too
        refuse(timeout)
    return float(timeout)


def _number_of(file: Any) -> int:
    return file if isinstance(file, int) else int(file.fileno())


# --- select ---------------------------------------------------------------------------------------


def _merged(*lists: tuple[Iterable[Any], int]) -> Interests:
    found: Interests = {}
    for files, events in lists:
        for file in files:
            number = _number_of(file)
            found[number] = found.get(number, 0) | events
    return found


@wraps(_select.select)  # type: ignore[no-redef]
def select(
    rlist: Iterable[Any],
    wlist: Iterable[Any],
    xlist: Iterable[Any],
    timeout: float | None = None,
    /,
) -> tuple[list[Any], list[Any], list[Any]]:
    if current_hub() is None:
        return _std.select(rlist, wlist, xlist, timeout)  # type: ignore[no-any-return]
    coop_yield(timeout != 0)
    lists = [_listed(files) for files in (rlist, wlist, xlist)]
    seconds = None
    if timeout is not None:
        seconds = _number(timeout, _MAX_SECONDS, partial(_std.select, (), (), ()))
        if seconds < 0:
            _std.select((), (), (), timeout)
    attempt: Callable[[], Any] = partial(_std.select, *lists, 0)
    found: tuple[list[Any], list[Any], list[Any]] = attempt()
    if any(found) or seconds == 0:
        return found
    interests = _merged(*zip(lists, (_IN, _OUT, _PRI), strict=True))
    found = _wait(attempt, any, _watched(interests), seconds)
    return found


def _listed(files: Any) -> Any:
    """An iterator serves one attempt only; what is no sequence is for the attempt to refuse."""
    return list(files) if isinstance(files, Iterable) and not isinstance(files, list) else files


select.__module__ = __name__


# --- poll -----------------------------------------------------------------------------------------

if hasattr(_std, "poll"):

    def _refuse_poll(timeout: Any) -> None:
        """What is no file is ready at once, for versions that take any time (3.15)."""
        poll = _std.poll()
        poll.register(_NO_FILE)
        poll.poll(timeout)

    class poll:  # type: ignore[no-redef]
        """As in the standard module, where it is a function that makes objects like this."""

        __slots__ = ("_interests", "_poll")
        __reduce_ex__ = refuse_copies

        def __init__(self) -> None:
            self._poll = _std.poll()
            self._interests: Interests = {}

        def register(self, fd: Any, eventmask: int = _IN | _PRI | _OUT, /) -> None:
            """Watch a descriptor from now on."""
            self._poll.register(fd, eventmask)
            self._interests[_number_of(fd)] = eventmask

        def modify(self, fd: Any, eventmask: int, /) -> None:
            """Change what is watched for."""
            self._poll.modify(fd, eventmask)
            self._interests[_number_of(fd)] = eventmask

        def unregister(self, fd: Any, /) -> None:
            """Watch it no longer."""
            self._poll.unregister(fd)
            self._interests.pop(_number_of(fd), None)

        def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
            """Wait for any of them, so many milliseconds; None or less than 0: for ever."""
            if current_hub() is None:
                return self._poll.poll(timeout)  # type: ignore[no-any-return]
            coop_yield(timeout != 0)
            seconds = None
            if timeout is not None:
                seconds = _number(timeout, _MAX_MS, _refuse_poll) / 1000
                seconds = None if seconds < 0 else seconds
            attempt = partial(self._poll.poll, 0)
            found: list[tuple[int, int]] = attempt()
            if found or seconds == 0:
                return found
            return _wait(attempt, bool, _watched(dict(self._interests)), seconds)


# --- epoll and kqueue -----------------------------------------------------------------------------


class _KernelObject:
    """What is common to the two."""

    __slots__ = ("_made", "_waits")
    __reduce_ex__ = refuse_copies

    def __init__(self, made: Any) -> None:
        self._made = made
        self._waits: set[PollDesc] = set()

    @property
    def closed(self) -> bool:
        """Is it closed?"""
        return bool(self._made.closed)

    def close(self) -> None:
        """Close it, and end the waits of greenlets; idempotent."""
        self._made.close()
        for desc in tuple(self._waits):
            desc.close()

    def fileno(self) -> int:
        """Its number."""
        return int(self._made.fileno())

    def _wait(self, attempt: Callable[[], list[T]], seconds: float | None) -> list[T]:
        found = attempt()
        if found or seconds == 0:
            return found
        return _wait(attempt, bool, self._watched(), seconds, self._waits)

    @contextmanager
    def _watched(self) -> Iterator[Watch]:
        """A number for each wait, as a poller takes each only once; made and owned in one step."""
        (own,) = map(type(self._made).fromfd, map(os.dup, (self._made.fileno(),)))
        try:
            yield Watch(own.fileno())
        finally:
            own.close()


if hasattr(_std, "epoll"):

    class epoll(_KernelObject):  # type: ignore[no-redef]
        """As in the standard module."""

        __slots__ = ()

        def __init__(self, sizehint: int = -1, flags: int = 0) -> None:
            super().__init__(_std.epoll(sizehint, flags))

        @classmethod
        def fromfd(cls, fd: int, /) -> Any:
            """An object for an epoll that is open."""
            self = cls.__new__(cls)
            _KernelObject.__init__(self, _std.epoll.fromfd(fd))
            return self

        def register(self, fd: Any, eventmask: int = _IN | _PRI | _OUT) -> None:
            """Watch a descriptor from now on."""
            self._made.register(fd, eventmask)

        def modify(self, fd: Any, eventmask: int) -> None:
            """Change what is watched for."""
            self._made.modify(fd, eventmask)

        def unregister(self, fd: Any) -> None:
            """Watch it no longer."""
            self._made.unregister(fd)

        def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
            """Wait for any of them, so many seconds; None or less than 0: for ever."""
            if current_hub() is None:
                return self._made.poll(timeout, maxevents)  # type: ignore[no-any-return]
            coop_yield(timeout != 0)
            seconds = None
            if timeout is not None:
                refuse = partial(self._made.poll, maxevents=maxevents)
                seconds = _number(timeout, _MAX_MS / 1000, refuse)
                seconds = None if seconds < 0 else seconds
            return self._wait(partial(self._made.poll, 0, maxevents), seconds)

        def __enter__(self) -> Any:
            self._made.__enter__()
            return self

        def __exit__(self, *unused: object) -> None:
            self.close()


if hasattr(_std, "kqueue"):

    class kqueue(_KernelObject):
        """As in the standard module."""

        __slots__ = ()

        def __init__(self) -> None:
            super().__init__(_std.kqueue())

        @classmethod
        def fromfd(cls, fd: int, /) -> Any:
            """An object for a kqueue that is open."""
            self = cls.__new__(cls)
            _KernelObject.__init__(self, _std.kqueue.fromfd(fd))
            return self

        def control(
            self, changelist: Any, maxevents: int, timeout: float | None = None, /
        ) -> list[Any]:
            """Change what is watched for, and wait for so many events, for so many seconds."""
            if current_hub() is None or maxevents <= 0:
                return self._made.control(changelist, maxevents, timeout)  # type: ignore[no-any-return]
            coop_yield(timeout != 0)
            seconds = None
            if timeout is not None:
                seconds = _number(timeout, _MAX_SECONDS, partial(self._made.control, None, 0))
                if seconds < 0:
                    self._made.control(None, 0, timeout)
            found: list[Any] = self._made.control(changelist, maxevents, 0)
            if found or seconds == 0:
                return found
            return self._wait(partial(self._made.control, None, maxevents, 0), seconds)
