"""The engine on plain cffi calls.

Tokens.  The core carries integers.  Each wait takes a new one and files the token under it in the
poller; whoever gets the integer out of the core, by polling or by withdrawing, takes the token out
of the file.  dict.pop makes that exactly once.

Threads.  Between any two bytecodes another thread may park, resume or withdraw on the same
descriptor, so nothing here notes who is parked there: the integer tells, to the core and in the
file.

Signal handlers.  They run between any two bytecodes of the main thread, and may raise there.  So
tokens move from the file to their queue inside one C call, and what an exception cuts off is kept
for the next poll.
"""

from __future__ import annotations

import errno
import itertools
import math
import operator
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from netpoll import _errors, _hooks
from netpoll._core import ffi, lib
from netpoll._hooks import HubToken

if TYPE_CHECKING:
    from netpoll._api import HasFileno, PollDesc
    from netpoll._engine import Queue

BATCH = 128
NEVER = lib.NP_NEVER
NANO = 1_000_000_000

_GONE = object()
_is_there = partial(operator.is_not, _GONE)

_NO_NOTE = (0, None)

_MODES = (1, 2)
_MODE_SETS = (1, 2, 3)

_counters_of = operator.attrgetter(*(name for name, _ in ffi.typeof("np_stats").fields))

# Functions and constants as globals: an attribute of lib costs more.
OK, CLOSED, TIMEOUT = lib.NP_OK, lib.NP_CLOSED, lib.NP_TIMEOUT
NOT_POLLABLE, BUSY = lib.NP_NOT_POLLABLE, lib.NP_BUSY
INTERRUPTED, PARKED, AGAIN = lib.NP_INTERRUPTED, lib.NP_PARKED, lib.NP_AGAIN
IO_ONLY = lib.NP_IO_ONLY
np_poll, np_reset, np_park, np_resume = lib.np_poll, lib.np_reset, lib.np_park, lib.np_resume


def nanoseconds(seconds: float) -> int:
    """Rounded up, so that nothing is ever early; what is past the end of the clock is NEVER."""
    try:
        if math.isnan(seconds):
            raise ValueError("the timeout is NaN")
        nanos = float(seconds) * NANO
    except OverflowError:  # an int past every float
        return NEVER if seconds > 0 else 0
    if nanos >= NEVER:
        return NEVER
    return math.ceil(nanos) if nanos > 0 else 0


_new_desc: Callable[[PollerBase, int], PollDesc]
_descriptor_of: Callable[[int | HasFileno], int]


def connect_desc(
    new_desc: Callable[[PollerBase, int], PollDesc],
    descriptor_of: Callable[[int | HasFileno], int],
) -> None:
    """For `Poller.open`: the class of what it makes, and how it gets a number of anything."""
    global _new_desc, _descriptor_of
    _new_desc, _descriptor_of = new_desc, descriptor_of


def _free_poller(box: Any, ffi: Any = ffi, lib: Any = lib, batch: int = BATCH) -> None:
    """Tokens that nobody will poll out any more hold their descriptors, and so the poller.

    What it needs is bound, since the module may have been taken apart by then: without the GIL a
    poller often lives until the interpreter ends.
    """
    if not (p := box[0]):
        return
    keys = ffi.new("np_token[]", batch)
    lib.np_poller_close(p)
    while lib.np_take_ready(p, keys, batch):
        pass
    lib.np_poller_unref(p)


class PollerBase:
    """A poller of the core."""

    def __init__(self, backend: str | None) -> None:
        self._set_up_box()
        rc = lib.np_poller_new(ffi.NULL if backend is None else backend.encode(), self._box)
        if rc != OK:
            raise _errors.system(-rc, "no poller")
        self._set_up_tokens()

    def _adopt(self, address: int) -> None:
        self._set_up_box()
        p = ffi.cast("np_poller *", address)
        lib.np_poller_ref(p)
        self._box[0] = p
        self._set_up_tokens()

    def _set_up_box(self) -> None:
        # It gives the poller back, and is there before it: when memory runs out nothing is lost.
        self._box = ffi.gc(ffi.new("np_poller **"), _free_poller)

    def _set_up_tokens(self) -> None:
        self._p = self._box[0]
        self._keys = itertools.count(1)
        self._tokens: dict[int, Any] = {}
        self._late: deque[Any] = deque()
        # For polls to come; those in progress have theirs.
        self._buffers: list[tuple[Any, Any]] = []

    def open(self, fd: int | HasFileno) -> PollDesc:
        """Register a descriptor for both modes, edge-triggered.  Go's pollOpen.

        :param fd: the number, or an object with fileno().  It stays the caller's: close the
            PollDesc first.
        :raises OSError: (EBADF) not an open descriptor; or out of memory or kernel resources.
        :raises NotPollableError: a kind of file that the kernel cannot poll, such as a regular
            file.
        :raises FileExistsError: open on this poller already.
        :raises ClosedError: the poller is closed.
        """
        return _new_desc(self, _descriptor_of(fd))

    def poll(self, timeout: float | None = 0) -> list[Any]:
        """Collect kernel events and fire due deadlines.  Go's netpoll(delta).

        Wakes the threads that wait for them, and returns the tokens, parked by schedulers, that
        became ready; each exactly once.  It may return an empty list early: after `wake`, or when
        an event was a thread's.  Two threads may call it at once.

        :param timeout: seconds to block; 0 never blocks, None blocks until there is something to
            return.
        :raises ClosedError: the poller is or was closed; its `tokens` are those that were still
            parked.
        """
        tokens: list[Any] = []
        try:
            self._poll_into(tokens, timeout)
        except _errors.ClosedError as error:
            error.tokens = tokens
            raise
        return tokens

    def _poll_into(self, queue: Queue, timeout: float | None) -> None:
        if self._late:
            queue.extend(map(deque.popleft, itertools.repeat(self._late, len(self._late))))
            timeout = 0
        nanos = -1 if timeout is None else nanoseconds(timeout)
        until = time.monotonic_ns() + nanos if 0 < nanos < NEVER else 0
        while (rc := self._poll_once(queue, nanos)) == INTERRUPTED:
            # Signal handlers have run, on the way here, and none has raised.
            if until:
                nanos = max(until - time.monotonic_ns(), 0)
        if rc == CLOSED:
            self._take_ready(queue)
            raise _errors.poller_closed()
        if rc != OK:
            raise _errors.system(-rc, "poll")

    def _poll_once(self, queue: Queue, nanos: int) -> int:
        try:
            keys, n = buffers = self._buffers.pop()
        except IndexError:
            keys, n = buffers = ffi.new("np_token[]", BATCH), ffi.new("int *")
        try:
            rc = np_poll(self._p, nanos, keys, BATCH, n)
            if n[0]:
                queue.extend(self._claim(keys[0 : n[0]]))
        except BaseException:  # a signal handler's
            if n[0]:
                self._late.extend(self._claim(keys[0 : n[0]]))
            raise
        self._buffers.append(buffers)
        return rc

    def _claim(self, keys: Iterable[int]) -> Iterable[Any]:
        """The tokens filed under keys, which leave the file as they are iterated over; all in C.

        One that is gone is that of a waiter who gave up while it was on its way here.
        """
        return filter(_is_there, map(self._tokens.pop, keys, itertools.repeat(_GONE)))

    def _take_ready(self, queue: Queue) -> None:
        keys = ffi.new("np_token[]", BATCH)
        while n := lib.np_take_ready(self._p, keys, BATCH):
            queue.extend(self._claim(keys[0:n]))

    def wake(self) -> None:
        """Make the `poll` in progress, or else the next one that would block, return early.

        From any thread or signal handler.  Wake-ups before a poll collapse into one.  Go's
        netpollBreak.
        """
        lib.np_wake(self._p)

    def fileno(self) -> int:
        """A descriptor that is readable when `poll(0)` has work: events, tokens, a due deadline.

        With it a poller nests in any other loop.  It belongs to the poller.

        :raises NotImplementedError: on Windows.
        :raises ClosedError: the poller is closed.
        """
        out = ffi.new("np_fd *")
        rc = lib.np_poller_fileno(self._p, out)
        if rc == OK:
            return int(out[0])
        if rc == CLOSED:
            raise _errors.poller_closed()
        if -rc == errno.ENOSYS:
            raise NotImplementedError("a poller has no descriptor on this system")
        raise _errors.system(-rc, "fileno")

    def next_deadline(self) -> float | None:
        """Seconds until the earliest deadline (0 if it is due), or None if there is none."""
        left = lib.np_next_deadline(self._p)
        return None if left < 0 else left / NANO

    def is_poll_descriptor(self, fd: int) -> bool:
        """Is fd one of the descriptors that this poller is made of?"""
        return bool(lib.np_is_poll_descriptor(self._p, fd))

    def close(self) -> None:
        """Every waiter gets ClosedError, and so does a `poll` in progress, and later ones.

        A later `open` gets it too.  Idempotent.
        """
        lib.np_poller_close(self._p)

    @property
    def backend(self) -> str:
        """The name of the backend: "epoll", "kqueue", "iocp" or "poll"."""
        name = ffi.string(lib.np_poller_backend(self._p))
        assert isinstance(name, bytes)
        return name.decode()

    @property
    def closed(self) -> bool:
        """Has `close` been called?"""
        return bool(lib.np_poller_closed(self._p))

    def _counters(self) -> tuple[int, ...]:
        out = ffi.new("np_stats *")
        lib.np_poller_stats(self._p, out)
        counters: tuple[int, ...] = _counters_of(out)
        return counters

    def _address(self) -> int:
        return int(ffi.cast("uintptr_t", self._p))


class DescBase:
    """A descriptor of the core, Go's pollDesc."""

    _open = False  # until np_open succeeded, and again after close

    def __init__(self, poller: PollerBase, fd: int) -> None:
        self._set_up_box()
        rc = lib.np_open(poller._p, fd, self._box)
        if rc != OK:
            raise _open_error(rc, fd)
        self._set_up(poller, fd)

    def _adopt(self, poller: PollerBase, address: int) -> None:
        self._set_up_box()
        d = ffi.cast("np_desc *", address)
        lib.np_desc_ref(d)
        self._box[0] = d
        self._set_up(poller, int(lib.np_desc_fd(d)))

    def _set_up_box(self) -> None:
        # As above.  What it refers to last is closed by that.
        self._box = ffi.gc(ffi.new("np_desc **"), lib.unref_boxed_desc)

    def _set_up(self, poller: PollerBase, fd: int) -> None:
        self._d = self._box[0]
        self._poller = poller
        self._fd = fd
        #: For dump, by mode: the key and token parked last, until somebody resumes or withdraws.
        self._notes: list[tuple[int, Any]] = [_NO_NOTE] * 3
        self._open = True

    @property
    def fd(self) -> int:
        """The descriptor's number, also after close."""
        return self._fd

    @property
    def poller(self) -> Any:
        """The poller that it was opened on."""
        return self._poller

    @property
    def closed(self) -> bool:
        """Was it closed or evicted, or its poller closed?"""
        return bool(lib.np_desc_closed(self._d))

    def _check(self, mode: int, allowed: tuple[int, ...] = _MODES) -> None:
        if mode not in allowed:
            names = "READ or WRITE" if allowed is _MODES else "READ, WRITE or both"
            raise ValueError(f"fd {self._fd}: mode is {names}, not {mode!r}")

    def _error(self, rc: int, mode: int) -> Exception:
        if rc == CLOSED:
            return _errors.closed(self._fd)
        if rc == TIMEOUT:
            return _errors.deadline_exceeded(self._fd, mode)
        if rc == NOT_POLLABLE:
            return _errors.not_pollable(self._fd)
        if rc == BUSY:
            return _errors.busy(self._fd, mode)
        return _errors.system(-rc, f"fd {self._fd}")

    def reset(self, mode: int) -> None:
        """Before an I/O attempt: forget a pending notification of the mode.

        The loop is: reset, try the I/O until it would block, wait, try again.  A waiter that is
        parked meanwhile is never lost by it.  Go's pollReset.

        :raises ClosedError, DeadlineExceeded, NotPollableError: what `wait` would raise.
        """
        self._check(mode)
        if rc := np_reset(self._d, mode):
            raise self._error(rc, mode)

    def wait(self, mode: int) -> None:
        """Wait until mode, READ or WRITE, is ready; consume the notification.  Go's pollWait.

        In a thread with a greenlet hub the calling greenlet waits, elsewhere the calling thread.

        :raises ClosedError: the descriptor or its poller is closed, or is while it waits.
        :raises DeadlineExceeded: the deadline of the mode has passed, or does while it waits.
        :raises NotPollableError: the kernel reported an error alone (to readers only).
        :raises BusyError: somebody else waits for the mode already.
        """
        if _hooks.wait is None:
            self._wait(mode, 0)
        else:
            _hooks.wait(self, mode, 0)

    def wait_canceled(self, mode: int) -> None:
        """Wait for readiness only, ignoring deadline and `unblock`.  Go's pollWaitCanceled.

        For an operation that the kernel was asked to cancel and that must yet be seen to end.

        :raises ClosedError: the descriptor or its poller is closed, so that readiness can never
            come.
        :raises BusyError: somebody else waits for the mode already.
        """
        if _hooks.wait is None:
            self._wait(mode, IO_ONLY)
        else:
            _hooks.wait(self, mode, IO_ONLY)

    def _wait(self, mode: int, flags: int) -> None:
        self._check(mode)
        wait = lib.np_wait_canceled if flags else lib.np_wait
        while (rc := wait(self._d, mode)) == INTERRUPTED:
            pass  # signal handlers have run, and none has raised
        if rc:
            raise self._error(rc, mode)

    def park(self, mode: int, token: Any) -> bool:
        """Wait, for a scheduler: Go's netpollblock up to the gopark.

        :param token: any object; the scheduler's own.
        :returns: False: ready now, go on.  True: parked, and token comes out of exactly one later
            `poll` of the descriptor's poller, unless `cancel` withdraws it; then call `resume`.
        :raises ClosedError, DeadlineExceeded, NotPollableError, BusyError: as `wait`.
        """
        return self._park(mode, token, 0, next(self._poller._keys))

    def _park(self, mode: int, token: Any, flags: int, key: int) -> bool:
        """`park` with flags, under a key that is in no use."""
        self._check(mode)
        tokens = self._poller._tokens
        tokens[key] = token
        if (rc := np_park(self._d, mode, key, flags)) == PARKED:
            self._notes[mode] = (key, token)
            return True
        del tokens[key]
        if rc:
            raise self._error(rc, mode)
        return False

    def resume(self, mode: int) -> bool:
        """What became of the wait, after the token came out.

        :returns: True: ready.  False: park again (a deadline fired and was moved before this call).
            Called while no token came out: False or an error, and no other waiter is harmed.
        :raises ClosedError, DeadlineExceeded, NotPollableError: as `wait`.
        """
        return self._resume(mode, 0)

    def _resume(self, mode: int, flags: int) -> bool:
        self._check(mode)
        self._notes[mode] = _NO_NOTE
        rc = np_resume(self._d, mode, flags)
        if rc == OK:
            return True
        if rc == AGAIN:
            return False
        raise self._error(rc, mode)

    def cancel(self, mode: int) -> bool:
        """Withdraw a parked token.

        A notification that was on its way stays for the next waiter.

        :returns: True: withdrawn, it will not come out.  False: it has come out already or is about
            to, or none is parked (a thread or greenlet in `wait` is not cancelled by it).
        """
        self._check(mode)
        out = ffi.new("np_token *")
        if not lib.np_cancel(self._d, mode, out):
            return False
        self._notes[mode] = _NO_NOTE
        token = self._poller._tokens.pop(int(out[0]), None)
        if not isinstance(token, HubToken):
            return True
        token.deliver()  # a greenlet in wait: it finds nothing and parks again
        return False

    def _holds(self, key: int) -> bool:
        """Is the token that was parked under the key yet to be polled out?"""
        return key in self._poller._tokens

    def _give_up(self, mode: int, key: int) -> None:
        """The wait is over, however far its parking had come; the token may still come out."""
        if self._holds(key):
            lib.np_cancel_token(self._d, mode, key)
            self._poller._tokens.pop(key, None)
            self._notes[mode] = _NO_NOTE

    def set_deadline(self, timeout: float | None, mode: int = 3) -> None:
        """Set the deadline of the mode, by default of both.  Go's SetDeadline.

        A deadline is an instant: it binds present and later waits until it is moved, also by
        another thread.  It is never early.  A present waiter and every later `reset` and `wait` of
        the mode get DeadlineExceeded once it has passed, until it is moved or cleared.

        :param timeout: seconds from now; None, or too large, clears it; 0 or less expires at once.
        :raises ClosedError: the descriptor is closed.
        :raises ValueError: the timeout is NaN, or the mode none.
        """
        self._check(mode, _MODE_SETS)
        try:
            nanos = NEVER if timeout is None else nanoseconds(timeout)
        except ValueError as error:
            raise ValueError(f"fd {self._fd}: {error}") from None
        if rc := lib.np_set_deadline(self._d, nanos, mode):
            raise self._error(rc, mode)

    def _set_deadline_at(self, when: int, modes: int) -> None:
        if rc := lib.np_set_deadline_at(self._d, when, modes):
            raise self._error(rc, modes)

    def deadline(self, mode: int) -> float | None:
        """Seconds left until the deadline of the mode, negative once it expired, or None."""
        self._check(mode)
        left = ffi.new("int64_t *")
        if not lib.np_deadline(self._d, mode, left):
            return None
        return int(left[0]) / NANO

    def unblock(self) -> None:
        """Every present and later wait raises ClosedError.  Go's evict.  Idempotent."""
        lib.np_unblock(self._d)

    def close(self) -> None:
        """Unblock, and deregister before returning; the fd itself is never closed.  Idempotent."""
        self._open = False
        lib.np_close(self._d)

    def _set_ready(self, modes: int) -> None:
        lib.np_set_ready(self._d, modes)

    def _short_is_drained(self) -> bool:
        return bool(lib.np_short_is_drained(self._d))

    def _for_io(self) -> None:
        lib.np_errors_are_ready(self._d)
        self._open = False

    def _address(self) -> int:
        return int(ffi.cast("uintptr_t", self._d))

    def _token(self, mode: int, key: int) -> Any:
        noted, token = self._notes[mode]
        return self._poller._tokens.get(key, token if noted == key else None)

    def _unclosed(self) -> bool:
        return self._open and not self._poller.closed

    def _state(self, mode: int) -> str:
        if lib.np_is_parked(self._d, mode):
            return "parked"
        return "ready" if lib.np_is_ready(self._d, mode) else ""

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        # Without lib the module has been taken apart: the process ends, and with it what is open.
        if not self._open or lib is None:
            return
        try:
            if self._unclosed():
                _warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
        finally:  # the warning may be an error
            self.close()


def _open_error(rc: int, fd: int) -> Exception:
    if rc == CLOSED:
        return _errors.poller_closed(fd)
    if -rc == errno.EPERM:
        return _errors.not_pollable(fd)
    if -rc == errno.EEXIST:
        return FileExistsError(errno.EEXIST, f"fd {fd}: open on this poller already")
    return _errors.system(-rc, f"fd {fd}")
