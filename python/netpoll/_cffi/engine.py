"""The engine on plain cffi calls.

Tokens.  The core carries integers.  Each wait takes a new one and files the token under it in the
poller; the call that gets the integer out of the core, by polling or by withdrawing, takes the
token out of the file.  dict.pop makes that exactly once.

Threads.  Between any two bytecodes another thread may park, resume or withdraw on the same
descriptor, so nothing here notes what is parked there: the integer tells, to the core and in the
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
from typing import TYPE_CHECKING, Any, Protocol

from netpoll import _errors
from netpoll._cffi.kept import Kept, keep
from netpoll._core import ffi, lib

if TYPE_CHECKING:
    from netpoll._api import HasFileno, PollDesc

BATCH = lib.EXT_TOKEN_BATCH
NEVER = lib.NP_NEVER
NANO = 1_000_000_000

_GONE = object()
_is_there = partial(operator.is_not, _GONE)

_NO_NOTE = (0, None, None)

_MODES = (1, 2)
_MODE_SETS = (1, 2, 3)

_counters_of = operator.attrgetter(*(name for name, _ in ffi.typeof("np_stats").fields))

# Functions and constants as globals: an attribute of lib costs more.
OK, CLOSED, TIMEOUT = lib.NP_OK, lib.NP_CLOSED, lib.NP_TIMEOUT
NOT_POLLABLE, BUSY = lib.NP_NOT_POLLABLE, lib.NP_BUSY
INTERRUPTED, PARKED, AGAIN = lib.NP_INTERRUPTED, lib.NP_PARKED, lib.NP_AGAIN
NO_POLLER = lib.NP_NO_POLLER
IO_ONLY = lib.NP_IO_ONLY
np_poll, np_reset, np_park_at, np_resume = (
    lib.np_poll,
    lib.np_reset,
    lib.np_park_at,
    lib.np_resume,
)

_keys = itertools.count(1)


class NoPollerError(Exception):
    """The poller where a token was to come out is closed."""


class Queue(Protocol):
    """Where ready tokens go: a list or a deque."""

    def extend(self, tokens: Iterable[Any], /) -> None: ...


class HubToken:
    """The token of a greenlet in a wait: the thread that polls it out hands it to its hub.

    Users' schedulers never see one, and cannot cancel one.
    """

    __slots__ = ()

    def deliver(self) -> None:
        """From any thread: the token's greenlet is to run."""
        raise NotImplementedError


def nanoseconds(seconds: float) -> int:
    """Rounded up, so that nothing is ever early; what is past the end of the clock is NEVER."""
    try:
        if math.isnan(seconds):
            raise ValueError("the timeout is NaN")
        nanos = float(seconds) * NANO
    except TypeError:
        raise TypeError(f"seconds must be a number or None, not {seconds!r}") from None
    except OverflowError:  # an int past every float
        return NEVER if seconds > 0 else 0
    if nanos >= NEVER:
        return NEVER
    return math.ceil(nanos) if nanos > 0 else 0


# What `bind` and `bind_wait` give.
_desc_class: Callable[[PollerBase, int], PollDesc]
_descriptor_number: Callable[[int | HasFileno], int]
_wait_at: Callable[[DescBase, int, int], None]


def bind(
    desc_class: Callable[[PollerBase, int], PollDesc],
    descriptor_number: Callable[[int | HasFileno], int],
) -> None:
    """For `Poller.open`: the class of what it makes, and how it gets a number of anything."""
    global _desc_class, _descriptor_number
    _desc_class, _descriptor_number = desc_class, descriptor_number


def bind_wait(wait_at: Callable[[DescBase, int, int], None]) -> None:
    """For `DescBase.wait`: in a thread with a hub the greenlet waits."""
    global _wait_at
    _wait_at = wait_at


class PollerBase:
    """A poller of the core."""

    __reduce_ex__ = _errors.refuse_copies

    _internal = False  # users need not close it

    def __init__(self, backend: str | None) -> None:
        self._set_up_box()
        rc = lib.np_poller_new(ffi.NULL if backend is None else backend.encode(), self._box)
        if rc != OK:
            raise _errors.system(-rc, "no poller")
        self._set_up_tokens()

    def _set_up_box(self) -> None:
        # It releases the poller, and is there before it: when memory runs out nothing is lost.
        self._box = ffi.gc(ffi.new("np_poller **"), lib.free_boxed_poller)
        self._kept = keep(self._box)

    def _set_up_tokens(self) -> None:
        self._p = self._box[0]
        self._tokens: dict[int, Any] = {}
        self._late: deque[Any] = deque()
        self._held: deque[Any] = deque()  # tokens of users that a hub polled out
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
        return _desc_class(self, _descriptor_number(fd))

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
        found: deque[Any] = deque()
        ours: list[Any] = []
        try:
            poll_into(self, found, 0 if self._held else timeout)
            self._sort(found, ours)
        except _errors.ClosedError as error:
            self._sort(found, ours)
            error.tokens = ours
            raise
        except BaseException:  # a signal handler's
            self._late.extend(found)
            self._held.extend(ours)
            raise
        return ours

    def _sort(self, found: deque[Any], ours: list[Any]) -> None:
        """Hand the hubs their tokens; the rest is the caller's, with what hubs have polled out."""
        while found:
            if isinstance(found[0], HubToken):
                found[0].deliver()
            else:
                ours.append(found[0])
            found.popleft()
        while self._held:
            try:
                ours.append(self._held.popleft())
            except IndexError:  # another thread was faster
                break

    def _poll_once(self, queue: deque[Any], nanos: int) -> int:
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

        One that is gone is that of a waiter that gave up while it was on its way here.
        """
        return filter(_is_there, map(self._tokens.pop, keys, itertools.repeat(_GONE)))

    def _take_ready(self, queue: deque[Any]) -> None:
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

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        try:
            unclosed = lib is not None and poller_unclosed(self)  # None: the process ends
        except AttributeError:  # the constructor did not come to its end
            return
        if unclosed:
            _warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)


def poll_into(poller: PollerBase, queue: deque[Any], timeout: float | None) -> None:
    """`poll`, with the tokens added to queue in one step that no signal handler can come between.

    On a closed poller the tokens that are left are added before ClosedError is raised.
    """
    if poller._late:
        queue.extend(map(deque.popleft, itertools.repeat(poller._late, len(poller._late))))
        timeout = 0
    nanos = -1 if timeout is None else nanoseconds(timeout)
    until = time.monotonic_ns() + nanos if 0 < nanos < NEVER else 0
    lib.np_begin_wait()
    while (rc := poller._poll_once(queue, nanos)) == INTERRUPTED:
        # Signal handlers have run, on the way here, and none has raised.
        if until:
            nanos = max(until - time.monotonic_ns(), 0)
        if nanos == 0:  # signals may come for ever
            return
    if rc == CLOSED:
        poller._take_ready(queue)
        raise _errors.poller_closed()
    if rc != OK:
        raise _errors.system(-rc, "poll")


def poller_counters(poller: PollerBase) -> tuple[int, ...]:
    """The fields of np_stats, in their order."""
    out = ffi.new("np_stats *")
    lib.np_poller_stats(poller._p, out)
    counters: tuple[int, ...] = _counters_of(out)
    return counters


def core_of(poller: PollerBase) -> Any:
    """The np_poller."""
    return poller._p


def checked_core_of(poller: Any) -> Any:
    """The same of what a user gave."""
    if not isinstance(poller, PollerBase):
        raise TypeError(f"not a Poller: {poller!r}")
    try:
        return poller._p
    except AttributeError:
        raise RuntimeError("Poller.__init__ was not called") from None


def kept_of(poller: PollerBase) -> Kept:
    """What keeps the core's poller."""
    return poller._kept


def hold_token(poller: PollerBase, token: Any) -> None:
    """For the next `poll` of a user: a hub polled it out."""
    poller._held.append(token)
    poller.wake()


# Tokens by their keys.


def new_key() -> int:
    """For a wait: its token is filed under it."""
    return next(_keys)


def file_token(poller: PollerBase, key: int, token: Any) -> dict[int, Any]:
    """Where it is filed until it comes out of the poller."""
    poller._tokens[key] = token
    return poller._tokens


def filed_token(poller: PollerBase, key: int) -> Any:
    """The token that the core knows as key; None if it was given out."""
    return poller._tokens.get(key)


def poller_set_internal(poller: PollerBase) -> None:
    """Users need not close it: no warning."""
    poller._internal = True


def poller_unclosed(poller: PollerBase) -> bool:
    """Would it be worth a ResourceWarning if it went now?"""
    return not (poller._internal or lib.np_poller_closed(poller._p))


def poller_adopt(poller: PollerBase, address: int) -> None:
    """Instead of __init__: an np_poller that was made in C.  Takes a reference of its own."""
    poller._set_up_box()
    p = ffi.cast("np_poller *", address)
    lib.np_poller_ref(p)
    poller._box[0] = p
    poller._set_up_tokens()


def poller_address(poller: PollerBase) -> int:
    """Of the np_poller; before __init__ 0, or AttributeError."""
    return int(ffi.cast("uintptr_t", poller._p))


class DescBase:
    """A descriptor of the core, Go's pollDesc."""

    __reduce_ex__ = _errors.refuse_copies

    _open = False  # until np_open succeeded, and again after close

    def __init__(self, poller: PollerBase, fd: int) -> None:
        self._set_up_box()
        rc = lib.np_open(poller._p, fd, self._box)
        if rc != OK:
            raise _open_error(rc, fd)
        self._set_up(poller, fd)

    def _set_up_box(self) -> None:
        # As above.  What it refers to last is closed by that.
        self._box = ffi.gc(ffi.new("np_desc **"), lib.unref_boxed_desc)
        self._kept = keep(self._box)

    def _set_up(self, poller: PollerBase, fd: int) -> None:
        self._d = self._box[0]
        self._poller = poller
        self._fd = fd
        #: By mode: the key, the token parked last and its poller, until it is resumed or withdrawn.
        self._notes: list[tuple[int, Any, Any]] = [_NO_NOTE] * 3
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
        return wait_error(rc, self._fd, mode)

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

        :raises ValueError: the mode is neither READ nor WRITE.
        :raises ClosedError: the descriptor or its poller is closed, or is while it waits.
        :raises DeadlineExceeded: the deadline of the mode has passed, or does while it waits.
        :raises NotPollableError: the kernel reported an error alone (to readers only).
        :raises BusyError: another waits for the mode already.
        """
        _wait_at(self, mode, 0)

    def wait_canceled(self, mode: int) -> None:
        """Wait for readiness only, ignoring deadline and `unblock`.  Go's pollWaitCanceled.

        For an operation that the kernel was asked to cancel and that must yet be seen to end.

        :raises ClosedError: the descriptor or its poller is closed, so that readiness can never
            come.
        :raises BusyError: another waits for the mode already.
        """
        _wait_at(self, mode, IO_ONLY)

    def park(self, mode: int, token: Any) -> bool:
        """Wait, for a scheduler: Go's netpollblock up to the gopark.

        :param token: any object; the scheduler's own.
        :returns: False: ready now, go on.  True: parked, and token comes out of exactly one later
            `poll` of the descriptor's poller, unless `cancel` withdraws it; then call `resume`.
        :raises ClosedError, DeadlineExceeded, NotPollableError, BusyError: as `wait`.
        """
        return park_as(self, mode, token, flags=0, key=new_key(), home=self._poller)

    def resume(self, mode: int) -> bool:
        """What became of the wait, after the token came out.

        :returns: True: ready.  False: park again (a deadline fired and was moved before this call).
            Called while no token came out: False or an error, and no other waiter is harmed.
        :raises ClosedError, DeadlineExceeded, NotPollableError: as `wait`.
        """
        return resume_after(self, mode, 0)

    def cancel(self, mode: int) -> bool:
        """Withdraw a parked token.

        A notification that was on its way stays for the next waiter.

        :returns: True: withdrawn, it will not come out.  False: it has come out already or is about
            to, or none is parked (a thread or greenlet in `wait` is not cancelled by it).
        """
        self._check(mode)
        out = ffi.new("np_token *")
        try:
            return bool(lib.np_cancel(self._d, mode, out)) and self._forget(mode, int(out[0]))
        except BaseException:  # a signal handler's
            if out[0]:
                self._forget(mode, int(out[0]))
            raise

    def _forget(self, mode: int, key: int) -> bool:
        """A token that was withdrawn; False: it was a greenlet's.  Idempotent."""
        noted, token, home = self._notes[mode]
        hubs = noted == key and isinstance(token, HubToken)
        (home if hubs else self._poller)._tokens.pop(key, None)
        if hubs:
            token.deliver()  # a greenlet in wait: it finds nothing and parks again
        self._notes[mode] = _NO_NOTE
        return not hubs

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

    def deadline(self, mode: int) -> float | None:
        """Seconds left until the deadline of the mode, negative once it expired, or None.

        :raises ValueError: the mode is neither READ nor WRITE.
        """
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
        for mode in _MODES:
            if not isinstance(self._notes[mode][1], HubToken):
                self._notes[mode] = _NO_NOTE  # a user's token may refer to us

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        # Without lib the module has been taken apart: the process ends, and with it what is open.
        if not self._open or lib is None:
            return
        try:
            if desc_unclosed(self):
                _warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
        finally:  # the warning may be an error
            self.close()


# Internal functions; those of _engine.py are described there.


def desc_adopt(desc: DescBase, poller: PollerBase, address: int) -> None:
    """Instead of __init__: an np_desc that was opened in C on what poller is made of."""
    desc._set_up_box()
    d = ffi.cast("np_desc *", address)
    lib.np_desc_ref(d)
    desc._box[0] = d
    desc._set_up(poller, int(lib.np_desc_fd(d)))


def wait_in_thread(desc: DescBase, mode: int, flags: int) -> None:
    """Block the calling thread.  flags: 0, or NP_IO_ONLY for `wait_canceled`."""
    desc._check(mode)
    wait = lib.np_wait_canceled if flags else lib.np_wait
    lib.np_begin_wait()
    while (rc := wait(desc._d, mode)) == INTERRUPTED:
        pass  # signal handlers have run, and none has raised
    if rc:
        raise desc._error(rc, mode)


def park_as(
    desc: DescBase, mode: int, token: Any, *, flags: int, key: int, home: PollerBase
) -> bool:
    """`park` with flags, under a new key, and the poller out of which it is to come.

    :raises NoPollerError: that poller is closed.
    """
    desc._check(mode)
    tokens = file_token(home, key, token)
    if (rc := np_park_at(desc._d, mode, key, flags, home._p)) == PARKED:
        desc._notes[mode] = (key, token, home)
        return True
    del tokens[key]
    if rc == NO_POLLER:
        raise NoPollerError
    if rc:
        raise desc._error(rc, mode)
    return False


def resume_after(desc: DescBase, mode: int, flags: int) -> bool:
    """`resume` with the flags of `park_as`."""
    desc._check(mode)
    desc._notes[mode] = _NO_NOTE
    rc = np_resume(desc._d, mode, flags)
    if rc == OK:
        return True
    if rc == AGAIN:
        return False
    raise desc._error(rc, mode)


def give_up(desc: DescBase, mode: int, key: int, home: PollerBase) -> None:
    """The wait is over, however far its parking had come; the token may still come out."""
    if key in home._tokens:
        lib.np_cancel_token(desc._d, mode, key)
        home._tokens.pop(key, None)
        desc._notes[mode] = _NO_NOTE


def desc_address(desc: DescBase) -> int:
    """Of the np_desc; before __init__ 0, or AttributeError."""
    return int(ffi.cast("uintptr_t", desc._d))


def parked_token(desc: DescBase, mode: int, key: int) -> Any:
    """The token that the core knows as key, if it can still be told; else None."""
    noted, token, _ = desc._notes[mode]
    return desc._poller._tokens.get(key, token if noted == key else None)


def desc_unclosed(desc: DescBase) -> bool:
    """Would it be worth a ResourceWarning if it went now?"""
    return desc._open and not desc._poller.closed


def desc_state(desc: DescBase, mode: int) -> str:
    """One word for the repr: "parked", "ready" or ""."""
    if lib.np_is_parked(desc._d, mode):
        return "parked"
    return "ready" if lib.np_is_ready(desc._d, mode) else ""


def wait_error(rc: int, fd: int, mode: int) -> Exception:
    """The exception for what ended a wait."""
    if rc == CLOSED:
        return _errors.closed(fd)
    if rc == TIMEOUT:
        return _errors.deadline_exceeded(fd, mode)
    if rc == NOT_POLLABLE:
        return _errors.not_pollable(fd)
    if rc == BUSY:
        return _errors.busy(fd, mode)
    return _errors.system(-rc, f"fd {fd}")


def _open_error(rc: int, fd: int) -> Exception:
    if rc == CLOSED:
        return _errors.poller_closed(fd)
    if -rc == errno.EPERM:
        return _errors.not_pollable(fd)
    if -rc == errno.EEXIST:
        return FileExistsError(errno.EEXIST, f"fd {fd}: open on this poller already")
    return _errors.system(-rc, f"fd {fd}")
