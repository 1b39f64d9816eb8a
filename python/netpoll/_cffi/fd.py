"""FD on plain cffi calls: what python/ext/fd_type.c and its neighbours are on CPython.

An FD is an np_file, Go's internal/poll.FD: a number in non-blocking mode and the operations on it.
Of one mode they are served one at a time, in the order of coming.  `close` ends all of them with
ClosedError; the number is closed when the last has left, so it cannot become another file's under a
running operation.

Two kinds of limits bind an operation, and the earlier wins.  The timeout is counted for each anew
and raises TimeoutError("timed out"), as sockets do.  A deadline is an instant that anything may
move meanwhile, and raises DeadlineExceeded.

Signals.  A handler may raise between any two bytecodes.  How far an operation has come is known to
the core alone; whatever strikes, np_op_end and np_op_cancel undo what was done.
"""

from __future__ import annotations

import _socket
import errno
import operator
import os
import select
import sys
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, ParamSpec, TypeAlias, TypeVar

from netpoll import _api, _errors
from netpoll._cffi.engine import (
    AGAIN,
    BUSY,
    INTERRUPTED,
    NEVER,
    NO_POLLER,
    OK,
    core_of,
    nanoseconds,
    wait_error,
)
from netpoll._cffi.hub import HubBase, current_hub
from netpoll._cffi.kept import keep
from netpoll._cffi.wait import acquire, coop_yield, instant_after, wait_parked
from netpoll._core import ffi, lib

try:
    import fcntl
    import termios
except ImportError:  # Windows
    fcntl = termios = None  # type: ignore[assignment]

P = ParamSpec("P")
T = TypeVar("T")

READ, WRITE = lib.NP_READ, lib.NP_WRITE

Parts: TypeAlias = Callable[[Any, T], Generator[Any, Any, T]]

#: FD.stream
TCP, UNIX = 1, 2

_ALREADY = {errno.EALREADY, getattr(errno, "WSAEALREADY", errno.EALREADY)}
_IN_PROGRESS = {errno.EINPROGRESS, getattr(errno, "WSAEWOULDBLOCK", errno.EINPROGRESS)}

#: With these flags the standard class does not wait either.
NEVER_WAITS = getattr(_socket, "MSG_DONTWAIT", 0) | getattr(_socket, "MSG_ERRQUEUE", 0)

_FASTOPEN = getattr(_socket, "MSG_FASTOPEN", 0)
_OOB = _socket.MSG_OOB
_WINDOWS = os.name == "nt"
_READABLE = sum(getattr(select, name, 0) for name in ("POLLIN", "POLLHUP", "POLLPRI"))
_FAILED = getattr(select, "POLLERR", 0) | getattr(select, "POLLHUP", 0)
_ENDED = sum(getattr(select, name, 0) for name in ("POLLRDHUP", "POLLHUP", "POLLPRI"))
_CLOSE = ffi.new("char[]", b"close")


class FD:
    """A number in use by a socket object, which closes it.

    :param number: non-blocking.
    :param stream: if a read or write that is short means that the next one would have to wait: 1
        for TCP, 2 for UNIX streams; else 0.
    """

    __reduce_ex__ = _errors.refuse_copies

    def __init__(self, number: int, stream: int) -> None:
        self.number = number
        self.stream = stream
        self.low_water = 0
        self.box = ffi.gc(ffi.new("np_file **"), lib.free_boxed_file)
        self._kept = keep(self.box)
        if rc := lib.np_file_new(number, stream, self.box):
            raise _errors.system(-rc, f"fd {number}")
        self.file = self.box[0]
        self._is_closed = partial(lib.is_file_closed, self.file)

    #: Without a frame: buffers of `io` take an error here, such as a signal handler's, for a yes.
    closed = property(
        operator.methodcaller("_is_closed"), doc="Has `close` or `detach` been called?"
    )

    @property
    def timeout(self) -> float | None:
        """Seconds that an operation may take; 0: it never waits; None: no limit."""
        ns = lib.np_file_timeout(self.file)
        return None if ns < 0 else ns / 1e9

    @timeout.setter
    def timeout(self, value: float | None) -> None:
        lib.np_file_set_timeout(self.file, -1 if value is None else nanoseconds(value))

    # What a socket in blocking mode does, and ours does by itself.

    def set_blocking_options(
        self, reads: float | None, writes: float | None, low_water: int
    ) -> None:
        """What counts while `timeout` is None.

        :param reads: seconds, from SO_RCVTIMEO; None: there is no limit.
        :param writes: from SO_SNDTIMEO.
        :param low_water: SO_RCVLOWAT, if it is more than 1; else 0.
        """
        for mode, seconds in ((READ, reads), (WRITE, writes)):
            ns = -1 if seconds is None else nanoseconds(seconds)
            lib.np_file_set_option_timeout(self.file, ns, mode)
        self.low_water = low_water

    @property
    def blocking_options(self) -> bool:
        """Has one of them been set?"""
        limits = (lib.np_file_option_timeout(self.file, mode) for mode in (READ, WRITE))
        return self.low_water > 0 or any(limit >= 0 for limit in limits)

    # Operations.

    def call(
        self, mode: int, flags: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """An operation: the function, called again whenever the mode is ready, as long as it
        raises BlockingIOError.

        :param flags: those of the system call, MSG_*: some mean that it never waits.
        :raises BlockingIOError: it may not wait, as the timeout is 0 or the flags say so, and would
            have to: for the kernel, or for another operation of the mode.
        :raises TimeoutError: the timeout is over.
        :raises DeadlineExceeded: the deadline of the mode has passed, even if the function would
            not have had to wait.
        :raises ClosedError: the socket is closed, or is while it waits.
        """
        with _Operation(self, mode, flags) as operation:
            return operation.attempt(function, *args, **kwargs)

    def call_parts(self, mode: int, flags: int, function: Callable[[], bool]) -> None:
        """The same for an operation in parts: the function is called until it returns False."""
        with _Operation(self, mode, flags) as operation:
            while operation.attempt(function):
                operation.moved()
                coop_yield()

    def call_whole(
        self,
        mode: int,
        flags: int,
        room: int,
        parts: Parts[T],
        function: Callable[..., T],
        *args: Any,
    ) -> T:
        """`call`, and then as many parts as a socket in blocking mode would go on with.

        :param room: how many bytes a read takes at most; of a write 0.
        :param parts: of the arguments and the first result, a generator as in `_parts`.
        """
        with _Operation(self, mode, flags) as operation:
            operation.wait_for_low_water(room)
            first = operation.attempt(function, *args)
            if not operation.blocks():
                return first
            if flags & _FASTOPEN:
                operation.await_connection()
            return operation.finish(parts(args, first), function)

    def call_peeking(self, flags: int, room: int, wanted: int, function: Callable[[], int]) -> int:
        """The function, called again until it gives so many bytes or no more can come."""
        with _Operation(self, READ, flags) as operation:
            operation.wait_for_low_water(room)
            while True:
                got = operation.attempt(function)
                if not 0 < got < wanted or not operation.blocks() or _events(self.number, _ENDED):
                    return got
                try:
                    operation.wait()
                except OSError as error:
                    if id(error) == operation.ended:
                        return got
                    raise

    def connect(
        self,
        begin: Callable[[Any], int],
        address: Any,
        busy: int,
        look_up: Callable[[], Any] | None,
        late: int | None,
    ) -> int:
        """Connect, and wait until that is done: 0, or the errno of what went wrong.

        :param begin: the standard `connect_ex` of the socket.
        :param busy: the errno that says that the peer's backlog is full; 0: there is none.
        :param look_up: gives the address instead; called as the function of `call` is.
        :param late: the result if the time is over, instead of TimeoutError or BlockingIOError.
            Those of handlers, and of timeouts around the call, are raised.
        :raises TimeoutError, DeadlineExceeded, ClosedError: as `call`.
        """
        operation = _Operation(self, WRITE, 0)
        try:
            with operation:
                if look_up is not None:
                    address = operation.attempt(look_up)
                return operation.connect(begin, address, busy)
        except (TimeoutError, BlockingIOError) as error:
            own = id(error) == operation.ended and not isinstance(error, _errors.PollError)
            if late is None or not own:
                raise
            return late

    def retry(self, mode: int) -> None:
        """What the operation that waits for the mode has seen is out of date: it tries once more.

        For a layer above that takes data on behalf of another operation.
        """
        lib.np_file_retry(self.file, mode)

    def set_deadline(self, timeout: float | None, modes: int) -> None:
        """An instant, `timeout` seconds from now, for present and later operations of the modes.

        :param timeout: None clears; 0 or less expires at once.
        :raises ClosedError: the socket is closed.
        :raises ValueError: the timeout is NaN.
        """
        after = NEVER if timeout is None else nanoseconds(timeout)
        self._set_deadline_at(instant_after(after), modes)

    def _set_deadline_at(self, when: int, modes: int) -> None:
        if rc := lib.np_file_set_deadline(self.file, when, modes):
            raise wait_error(rc, self.number, modes)

    def time_left(self, mode: int) -> float | None:
        """Seconds until the deadline of the mode."""
        when = lib.np_file_deadline(self.file, mode)
        return None if when == NEVER else (when - lib.np_now()) / 1e9

    def take_deadlines(self, other: FD) -> None:
        """Those of an FD that is done with its number."""
        for mode in (READ, WRITE):
            self._set_deadline_at(lib.np_file_deadline(other.file, mode), mode)

    # The end.

    def close(self) -> bool:
        """End all operations with ClosedError; the last one to leave closes the number.

        As in Go, it waits until that is done: not in the hub, nor in a signal handler or finalizer
        that came in the midst of one of the operations.

        :returns: is it by this call that it is closed?
        """
        return self._close(detach=False)

    def detach(self) -> bool:
        """`close`, but the number stays open and is the caller's, if it is by this call."""
        return self._close(detach=True)

    def _close(self, *, detach: bool) -> bool:
        return self.finish_closing(lib.np_file_close(self.file, detach))

    def closing(self, *, detach: bool) -> Callable[[], int]:
        """The same but for `finish_closing`, as one call into C."""
        return partial(lib.close_boxed_file, self.box, detach)

    def finish_closing(self, rc: int) -> bool:
        """After np_file_close."""
        if rc < 0:
            raise OSError(-rc, os.strerror(-rc))
        if rc == OK:
            self._await_end()
        return rc == OK

    def _await_end(self) -> None:
        """Until the last operation has left, where the caller may wait."""
        hub = current_hub()
        parks = hub is not None and hub.can_park()
        gone = lib.np_file_awaited(self.file, parks)
        if gone and (hub is None or parks) and not sys.is_finalizing():
            acquire(gone, NEVER, _CLOSE)


def _events(number: int, wanted: int) -> int:
    """Which of the events are there?"""
    if _WINDOWS:
        return 0
    poll = select.poll()
    poll.register(number, wanted)
    return sum(events & wanted for _, events in poll.poll(0))


def _unread(number: int) -> int:
    """How many bytes are there to read?  -1: it is not connected."""
    if fcntl is None:
        return 0
    try:
        return int.from_bytes(fcntl.ioctl(number, termios.FIONREAD, bytes(4)), sys.byteorder)
    except OSError:
        return -1


def _was_raised_here(error: OSError) -> bool:
    """And not by a signal handler, which has a frame of its own."""
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    name = where.tb_frame.f_globals.get("__name__", "") if where is not None else ""
    return str(name).startswith("netpoll._cffi")


class _Operation:
    """A `with` block, from np_op_begin to np_op_end."""

    __slots__ = ("_fd", "_mode", "_op", "ended", "may_wait")

    def __init__(self, fd: FD, mode: int, flags: int) -> None:
        self._fd = fd
        self._mode = mode
        self._op = ffi.gc(ffi.new("np_op *"), partial(lib.end_op, fd.box))
        #: The exception that is the operation's own: a limit, a close, what the system call said.
        #: Others are raised by signal handlers, or thrown into the greenlet.  Its id, as its
        #: traceback refers to us, while it is raised; 0: there is none.
        self.ended = 0
        # Urgent data that are on their way are never waited for, but by a timeout.  Datagrams have
        # none.
        urgent = mode == READ and flags & _OOB and fd.stream and fd.timeout is None
        self.may_wait = fd.timeout != 0 and not flags & NEVER_WAITS and not urgent

    def blocks(self) -> bool:
        """Has it timeout None, and no flag that says otherwise?"""
        return self.may_wait and self._fd.timeout is None

    def __enter__(self) -> _Operation:
        try:
            self._begin()
            return self
        except BaseException:
            ffi.release(self._op)
            raise

    def _begin(self) -> None:
        coop_yield(self.may_wait)
        rc = lib.np_op_begin(self._op, self._fd.file, self._mode, self.may_wait)
        if rc == BUSY:
            self.wait()
        elif rc:
            raise self._error(rc)

    @property
    def __exit__(self) -> Callable[..., None]:  # noqa: PLE0302
        """A method of cffi's, which runs np_op_end: one of ours could be cut off by a signal
        handler before it has done anything."""
        leaving: Callable[..., None] = self._op.__exit__
        return leaving

    def attempt(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """The function, called again whenever the mode is ready."""
        while True:
            self.may_be_tried()
            try:
                return function(*args, **kwargs)
            except BlockingIOError as error:
                # A connection that is being made (MSG_FASTOPEN) is for a socket that blocks to
                # wait for.
                connecting = error.errno == errno.EINPROGRESS and not self.blocks()
                if not self.may_wait or connecting:
                    raise
            except OSError as error:
                if self._fd.closed:  # since it was tried
                    raise self._end(_errors.closed(self._fd.number)) from None
                if _was_raised_here(error):
                    self.ended = id(error)
                raise
            self.wait()

    def finish(self, parts: Generator[Any, Any, T], function: Callable[..., Any]) -> T:
        """The parts of a generator, until it returns or one ends in an error, which the next
        operation will meet again."""
        got = None
        while True:
            try:
                args = parts.send(got)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            coop_yield()
            try:
                got = self.attempt(self._part, function, args)
            except OSError as error:
                if id(error) != self.ended:
                    raise
                self.ended = 0
                got = None

    def _part(self, function: Callable[..., Any], args: Any) -> Any:
        return None if self._has_failed() or self._at_urgent_mark() else function(*args)

    def _at_urgent_mark(self) -> bool:
        """There the kernel ends a read that has begun."""
        fd = self._fd
        reads = self._mode == READ and fd.stream != 0
        return reads and bool(lib.at_urgent_mark(fd.number))

    def _has_failed(self) -> bool:
        """An attempt would take the error of a connection that was reset, and nothing would report
        it again.  POLLERR alone may be the error queue's."""
        number = self._fd.number
        if _events(number, _FAILED) != _FAILED or not _FAILED:
            return False
        return self._mode == WRITE or _unread(number) <= 0

    def wait_for_low_water(self, room: int) -> None:
        """Before a read: SO_RCVLOWAT of TCP, whose readiness knows of it."""
        fd = self._fd
        wanted = min(fd.low_water, room)
        if not wanted or fd.stream != TCP or not self.blocks():
            return
        # Not if it is no connection: the read says so, and no event would.
        while 0 <= _unread(fd.number) < wanted and not _events(fd.number, _READABLE):
            self.wait()
            self.may_be_tried()

    def connect(self, begin: Callable[[Any], int], address: Any, busy: int) -> int:
        """The errno of what went wrong, or 0."""
        self.may_be_tried()
        while (number := begin(address)) == busy != 0 and self.may_wait:
            self._fd.retry(WRITE)  # no event tells when there is room
            self.wait()
        if number in _IN_PROGRESS and self.may_wait:
            return self.wait_until_connected()
        if number in _ALREADY and self.blocks():
            return self.wait_until_connected()
        return number

    def wait_until_connected(self) -> int:
        """The errno of what went wrong; EINPROGRESS: SO_SNDTIMEO is over."""
        number = -1
        while number < 0:
            try:
                self.wait()
            except BlockingIOError:
                return errno.EINPROGRESS
            number = lib.end_connect(self._fd.number, self.blocks())
        return number

    def await_connection(self) -> None:
        number = lib.end_connect(self._fd.number, True)
        if number < 0:
            number = self.wait_until_connected()
        if number:
            raise OSError(number, os.strerror(number))

    def moved(self) -> None:
        """There was progress."""
        lib.np_op_moved(self._op, 0, 0)

    def may_be_tried(self) -> None:
        """Before each attempt."""
        while rc := lib.np_op_try(self._op):
            if rc != BUSY:
                raise self._error(rc)
            self.wait()

    def wait(self) -> None:
        """Until an attempt may have another result."""
        hub = current_hub()
        rc = self._wait_in_thread() if hub is None else self._wait_in_hub(hub)
        if rc:
            raise self._error(rc)

    def _wait_in_hub(self, hub: HubBase) -> int:
        op, wait = self._op, ffi.new("np_waiter *")
        rc = BUSY
        while rc in {BUSY, INTERRUPTED, NO_POLLER}:  # the hub takes another poller
            rc = wait_parked(
                hub,
                lambda p, key: lib.np_op_park(op, p, wait, key),
                partial(lib.np_op_resume, op, wait),
                partial(lib.np_op_cancel, op, wait),
                (wait, op),
            )
        return rc

    def _wait_in_thread(self) -> int:
        """On Windows at the default poller, or a new one if that was closed.  (Signal handlers have
        run between two waits.)"""
        lib.np_begin_wait()
        while True:
            poller = core_of(_api.default_poller()) if _WINDOWS else ffi.NULL
            rc = lib.np_op_wait(self._op, poller)
            if rc not in {BUSY, INTERRUPTED, NO_POLLER}:
                return rc

    def _error(self, rc: int) -> OSError:
        if rc == AGAIN or (rc == lib.NP_TIMED_OUT and self._fd.timeout is None):
            return self._end(BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)))
        if rc == lib.NP_TIMED_OUT:
            return self._end(TimeoutError("timed out"))
        return self._end(wait_error(rc, self._fd.number, self._mode))

    def _end(self, error: Any) -> OSError:
        self.ended = id(error)
        return error  # type: ignore[no-any-return]
