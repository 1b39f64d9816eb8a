"""The smallest hub that makes greenlets useful: one per OS thread, made by the first use of it.

    from netpoll import green

    def serve():
        ...  # netpoll.open(sock).wait(READ) parks the greenlet, not the thread

    green.run(serve)

This module has the public classes; the hub itself is in python/ext/hub.h, and over cffi in
_cffi/hub.py.

The greenlets of a thread that are ready to run are in one FIFO queue.  A greenlet that waits
switches directly to the first of them; the hub polls after each pass through the queue.

Signals.  While all greenlets of the main thread wait, an exception of a handler is raised in the
main greenlet; otherwise, as always, in the code that runs.  Wherever it strikes, the hub and the
other greenlets stay consistent.

Deadlock.  Greenlets that wait for each other wait for ever, like threads that join each other;
another thread, a signal or Ctrl-C may still end it.
"""

from __future__ import annotations

import atexit
import contextvars
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar

try:
    import greenlet
    from greenlet import GreenletExit
except ModuleNotFoundError as error:
    if error.name != "greenlet":
        raise
    raise ModuleNotFoundError(
        "netpoll.green needs greenlet: pip install 'netpoll[green]'", name="greenlet"
    ) from None

from netpoll import _engine, _hooks
from netpoll._blocking.threads import call_in_thread
from netpoll._engine import GroupBase, HubBase, TimeoutBase, WaiterBase, current_hub, get_hub, sleep
from netpoll._errors import refuse_copies

__all__ = [
    "ExceptHookArgs",
    "Greenlet",
    "GreenletExit",
    "Group",
    "Hub",
    "call_in_thread",
    "excepthook",
    "get_hub",
    "has_hub",
    "run",
    "sleep",
    "spawn",
    "timeout",
]

P = ParamSpec("P")
T = TypeVar("T")


class Hub(HubBase):
    """The greenlets of a thread, and the poller that they wait at.  From `get_hub`.

    `poller` is where `netpoll.open` registers descriptors in this thread.  If it is closed, every
    waiter gets ClosedError, and the hub goes on with a new one.
    """


class Greenlet(greenlet.greenlet, Generic[T]):
    """A function that runs in the hub of the thread that spawned it.  From `spawn`.

    `join`, `get` and `kill` may be called from any thread.
    """

    __slots__ = ("_netpoll",)
    _netpoll: WaiterBase

    @property
    def name(self) -> str:
        """For people, in `repr`, `netpoll.dump` and reports of errors; at first its function's."""
        return self._netpoll.name

    @name.setter
    def name(self, name: str) -> None:
        self._netpoll.name = name

    @property
    def dead(self) -> bool:
        """Has it ended, or was it killed before it started?"""
        return self._netpoll.ended

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or for so long.  Its exception is not raised here.

        :param timeout: seconds; None waits for ever, 0 or less not at all.
        :raises RuntimeError: a greenlet joins itself.
        """
        self._netpoll.join(timeout)

    def get(self, timeout: float | None = None) -> T | GreenletExit:
        """Wait until it has ended; return its result, or raise the exception that ended it.

        The result of a killed greenlet is the GreenletExit.  An exception that ends it during a
        `get` counts as collected: it is not reported.

        :param timeout: seconds; None waits for ever.
        :raises TimeoutError: it has not ended; it goes on.
        """
        try:
            value: T | GreenletExit = self._netpoll.get(timeout)
        finally:
            del self  # the error's traceback has this frame
        return value

    def kill(self, exc: BaseException | type[BaseException] = GreenletExit) -> None:
        """Raise exc in it, where it waits, when it is next scheduled; does not wait for that.

        A greenlet that has not started never will, and counts as ended by exc.  One that kills
        itself raises exc at once.  A notification on its way to it stays for the next waiter.
        """
        self._netpoll.kill(exc)

    def __repr__(self) -> str:
        if not hasattr(self, "_netpoll"):
            return f"<netpoll.Greenlet at {id(self):#x}, not made by spawn>"
        state = "ended" if self.dead else "started" if self else "not started"
        return f"<netpoll.Greenlet {self._netpoll.name} at {id(self):#x}, {state}>"


def spawn(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Greenlet[T]:
    """Run ``function(*args, **kwargs)`` in a greenlet of its own, when the caller next waits.

    Greenlets start in the order in which they were spawned, each in a copy of its spawner's
    `contextvars` context.  An exception that no call of `Greenlet.get` collects is reported by
    `excepthook`; KeyboardInterrupt and SystemExit are raised in the thread's main greenlet instead,
    and GreenletExit ends the greenlet silently.
    """
    return _engine.spawn(Greenlet, function, args, kwargs, None)


def run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``function(*args, **kwargs)`` in a greenlet until it returns, and others meanwhile.

    It runs in the caller's `contextvars` context.  Returns its result, or raises its exception.  An
    exception that interrupts the caller, such as that of Ctrl-C, is raised where the function
    waits, as if it had been called directly.
    """
    value: T = _engine.run(Greenlet, function, args, kwargs, _own_context())
    return value


def _own_context() -> contextvars.Context:
    """The caller's, itself: what is set in it is set for the caller."""
    current: Any = greenlet.getcurrent()
    context: contextvars.Context | None = current.gr_context
    if context is None:  # nothing has been set yet
        current.gr_context = context = contextvars.copy_context()
    return context


def has_hub() -> bool:
    """Has the calling thread a hub, so that `wait` parks the greenlet and not the thread?"""
    return current_hub() is not None


def _own_waiter() -> WaiterBase:
    """That of the calling greenlet."""
    get_hub()
    current: Any = greenlet.getcurrent()
    if not hasattr(current, "_netpoll"):  # one that is not netpoll's gets it when it first waits
        sleep(0)
    waiter: WaiterBase = current._netpoll
    return waiter


# --- limits ---------------------------------------------------------------------------------------


class timeout(TimeoutBase):
    """A limit for all that a greenlet waits for in a block::

        with green.timeout(5):
            sock.connect(address)
            reply = sock.recv(4096)  # TimeoutError, wherever it waits after 5 seconds

    The error is raised once: what the block does about it, such as its `finally`, may wait again.
    Blocks nest.  While the greenlet is inside another block, the outer one's error passes that
    block's handlers for TimeoutError and Exception, and is a TimeoutError from its own block's end
    on: what an inner limit ended is told from what an outer one ended.

    :param seconds: from the beginning of the block; None: never; 0 or less: at the first wait.
    :raises RuntimeError: in `__enter__`, outside of greenlets.
    """

    __slots__ = ()


class _OuterTimeout(BaseException):
    """That of a block around the innermost one."""


# --- groups ---------------------------------------------------------------------------------------


class _MemberFailed(BaseException):
    """Thrown into the greenlet that is inside a group's block."""


class Group(GroupBase):
    """Greenlets that end together::

        with green.Group() as group:
            pages = [group.spawn(fetch, url) for url in urls]
        # all have ended here
        texts = [page.get() for page in pages]

    At its end the block waits for all that were spawned in it.  The first exception, of one of them
    or of the block, kills the rest, and is raised when all have ended; what the others raise on
    their way out is reported by `excepthook`.  A kill or a timeout of the greenlet that is inside
    ends them too.
    """

    __reduce_ex__ = refuse_copies

    def __init__(self) -> None:
        self._members: set[Greenlet[Any]] = set()
        self._waiter: Any = None  # of the greenlet that is inside
        self._signal: BaseException | None = None  # thrown into it when one fails
        self._error: BaseException | None = None  # the first
        self._entered = False

    def spawn(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Greenlet[T]:
        """`green.spawn`, as one of the group.

        :raises RuntimeError: before the block has begun, and after it has ended.
        """
        if self._waiter is None:
            raise RuntimeError("a group spawns while its block runs")
        if self._error is not None:
            raise RuntimeError("the group is ending: one of it has failed")
        return _engine.spawn(Greenlet, function, args, kwargs, None, self._members, self._ended)

    def __len__(self) -> int:
        """How many have not ended."""
        return len(self._members)

    def __enter__(self) -> Group:
        if self._entered:
            raise RuntimeError("a group is for one block")
        self._entered = True
        self._waiter = _own_waiter()
        return self

    def _finish(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Until all have ended."""
        try:
            if error is not None and error is not self._signal:
                self._fail(error)
            self._join()
            if self._error is not None and self._error is not error:
                _raise_as_it_is(self._error)
        finally:
            if not self._members:
                self._waiter = self._error = self._signal = None
            del error, tb

    def _join(self) -> None:
        """Until all have ended, whatever is raised here meanwhile."""
        while self._members:
            try:
                for member in tuple(self._members):
                    member.join()
                    self._members.discard(member)
            except BaseException as error:
                if error is not self._signal:
                    self._fail(error)
        if self._signal is not None:
            self._waiter.withdraw(self._signal)

    def _ended(self, member: Greenlet[Any], error: BaseException | None) -> None:
        self._members.discard(member)
        if error is None:
            return
        if self._error is not None:
            _report_error(member, error)
            return
        self._fail(error)
        self._signal = _MemberFailed()
        self._waiter.kill(self._signal)

    def _fail(self, error: BaseException) -> None:
        if self._error is None or not isinstance(error, Exception):
            self._error = error
        else:
            _report_error(greenlet.getcurrent(), error)
        for member in tuple(self._members):
            member.kill()


def _raise_as_it_is(error: BaseException) -> None:
    """With the context that it has, whatever is being handled."""
    context = error.__context__
    try:
        raise error
    finally:
        error.__context__ = context
        del error, context


# --- what the engine calls ------------------------------------------------------------------------


def _make_hub() -> Hub:
    hub = Hub()
    if _hooks.new_hub is not None:
        _hooks.new_hub(hub)
    return hub


class ExceptHookArgs(NamedTuple):
    """What `excepthook` is called with."""

    exc_type: type[BaseException]
    exc_value: BaseException
    exc_traceback: TracebackType | None
    greenlet: Greenlet[Any]


def excepthook(args: ExceptHookArgs, /) -> None:
    """Report an exception that ended a greenlet, and that no `get` collects.

    It logs an error, with the greenlet's name and the traceback, as ``netpoll.green``; that is
    printed to stderr where logging is not set up.  Assign another function to `green.excepthook` to
    have that called instead, in the greenlet that ends.
    """
    error = (args.exc_type, args.exc_value, args.exc_traceback)
    _log.error("Exception in %r", args.greenlet, exc_info=error)


#: What `excepthook` is at first.
__excepthook__ = excepthook

_log = logging.getLogger("netpoll.green")


def _report_error(ended: Any, error: BaseException) -> None:
    """The error ended the greenlet, and no `get` collects it."""
    args = ExceptHookArgs(type(error), error, error.__traceback__, ended)
    try:
        excepthook(args)
    except Exception:
        _log.exception("Exception in green.excepthook, called for %r", ended)
        __excepthook__(args)


_engine.bind(
    make_hub=_make_hub,
    report_error=_report_error,
    copy_context=contextvars.copy_context,
    outer_timeout=_OuterTimeout,
)

# Other threads' hubs end with them.
atexit.register(_engine.end_hub)
