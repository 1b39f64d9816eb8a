"""The greenlets of netpoll.green over cffi: what python/ext/waiter.c and spawn.c are on CPython."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from traceback import walk_tb
from typing import Any, TypeVar, cast

from netpoll import _errors
from netpoll._cffi.engine import NEVER, OK, nanoseconds
from netpoll._cffi.hub import Exc, HubBase, bind_waiter, get_hub
from netpoll._cffi.wait import acquire, coop_yield, instant_after
from netpoll._core import ffi, lib

try:
    from greenlet import GreenletExit, getcurrent, greenlet
except ImportError:  # then there are no hubs
    pass
else:
    _is_dead: Any = greenlet.dead.__get__  # what its subclasses say is another thing

G = TypeVar("G")

_JOIN = ffi.new("char[]", b"join")

# What `bind_green` gives: see python/ext/bind.h.
_report_error: Callable[[Any, BaseException], None]
_copy_context: Callable[[], Any]


def bind_green(
    report_error: Callable[[Any, BaseException], None], copy_context: Callable[[], Any]
) -> None:
    """What reports an exception that nothing collects, and what a greenlet runs in."""
    global _report_error, _copy_context
    _report_error, _copy_context = report_error, copy_context


def _to_keep(error: BaseException) -> BaseException:
    """What ended a greenlet, without a way back to the waiter that keeps it.

    The caller's frame has that, and so have the frames of waits in this engine, which are done.
    """
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        for frame, _ in walk_tb(link.__traceback__):
            if frame.f_globals.get("__package__") == __package__:
                with suppress(RuntimeError):  # it runs
                    frame.clear()
        link = link.__context__
    return error


def _nothing() -> None:
    """Instead of a switch to a greenlet that has ended."""


class WaiterBase:
    """What a hub knows of a greenlet, which has it as its attribute _netpoll."""

    __reduce_ex__ = _errors.refuse_copies

    def __init__(self, hub: HubBase) -> None:
        self.hub = hub
        self._greenlet: Any = None
        self.switch: Callable[[], Any] = _nothing
        self.thrown: Exc | None = None
        self.parked = False  # in a wait of the hub's
        self._done = ffi.new("np_sema *")  # open: it has ended
        self._task: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]] | None = None
        self._name = "main"
        self._value: Any = None
        self._error: BaseException | None = None
        self._collectors: deque[object] = deque()  # one for each in get()
        self.owner: Any = None  # of its values of locals: local.py
        self.timeout: Any = None  # the innermost that it is inside: timeout.py
        self._on_end: Callable[[Any, BaseException | None], object] | None = None

    def bind(self, greenlet: Any) -> None:
        """It is this greenlet's."""
        self._greenlet, self.switch = greenlet, greenlet.switch
        greenlet._netpoll = self

    def unbind(self) -> None:
        """Its hub has ended."""
        del self._greenlet._netpoll

    @property
    def greenlet(self) -> Any:
        """Until it ends."""
        return self._greenlet

    @property
    def ended(self) -> bool:
        """Has the greenlet ended?"""
        return bool(lib.np_sema_is_open(self._done))

    @property
    def over(self) -> bool:
        """The same, also if a signal handler has cut off what says so to others."""
        return self.ended or self._greenlet is None or _is_dead(self._greenlet)

    @property
    def name(self) -> str:
        """At first that of its function."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError("the name of a greenlet is a str")
        self._name = name

    @property
    def error(self) -> BaseException | None:
        """What ended it, or None."""
        return self._error

    @property
    def waits(self) -> bool:
        """Does the greenlet not run now?"""
        return self.parked or self._task is not None

    def raise_thrown(self) -> None:
        """What was thrown into the greenlet."""
        if self.thrown is not None:
            error, self.thrown = self.thrown, None
            try:
                raise error
            finally:
                del error  # its traceback has this frame

    def join(self, timeout: float | None, /) -> None:
        """Wait until it has ended, or for timeout seconds."""
        after = NEVER if timeout is None else nanoseconds(timeout)
        if after > 0:
            self._refuse_itself()
        self._join(after)

    def _refuse_itself(self) -> None:
        if self._greenlet is not None and getcurrent() is self._greenlet:
            raise RuntimeError("a greenlet cannot join itself")

    def _join(self, after: int) -> bool:
        until = instant_after(after) if after > 0 else 0
        coop_yield(until != 0)
        rc = acquire(self._done, until, _JOIN)
        if rc < 0:
            raise _errors.system(-rc, "join")
        return rc == OK

    def get(self, timeout: float | None, /) -> Any:
        """Wait until it has ended; its result, or the exception that ended it is raised.

        :raises TimeoutError: it has not ended after timeout seconds.
        """
        after = NEVER if timeout is None else nanoseconds(timeout)
        self._refuse_itself()
        mark = object()
        try:
            self._collectors.append(mark)
            ended = self._join(after)
        finally:
            with suppress(ValueError):
                self._collectors.remove(mark)
        if not ended:
            raise TimeoutError(f"{self._name} has not ended")
        if self._error is None:
            return self._value
        try:
            raise self._error
        finally:
            del self  # the error's traceback has this frame

    def collected(self) -> None:
        """What ends it will be: nobody need report it."""
        self._collectors.append(None)

    def kill(self, exc: Exc, /) -> None:
        """Raise exc in it, where it waits, as soon as its turn comes."""
        if not (isinstance(exc, BaseException) or issubclass(exc, BaseException)):
            raise TypeError(f"exceptions derive from BaseException, not {exc!r}")
        if self._greenlet is not None and getcurrent() is self._greenlet:
            raise exc
        if self.ended:
            return
        if self._task is not None and threading.get_ident() == self.hub.thread:
            self.end_by(exc if isinstance(exc, BaseException) else exc())
        else:
            self.hub.throw(self, exc)

    def withdraw(self, exc: Exc, /) -> bool:
        """An exception that is to be raised in it, and has not been yet, will not be."""
        return self.hub.withdraw(self, exc)

    # A spawned one.

    def set_task(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """What it is to do."""
        self._name = getattr(function, "__qualname__", None) or repr(function)
        self._task = (function, args, kwargs)

    def run(self) -> None:
        """The greenlet's `run`."""
        if self.ended or self._task is None:
            return
        function, args, kwargs = self._task
        self._task = self._error = None
        try:
            self.hub.tell_thrown()
            self.raise_thrown()
            self._value = function(*args, **kwargs)
        except GreenletExit as exit:
            self._value = _to_keep(exit)
        except BaseException as error:
            self._error = _to_keep(error)
        finally:
            self.end()
            del self, function, args, kwargs  # the error's frames refer to this one

    def end_by(self, exc: BaseException) -> None:
        """End without having started, or having been left behind."""
        if isinstance(exc, GreenletExit):
            self._value = exc
        else:
            self._error = exc
        self.end()
        self._task = None

    def end(self) -> None:
        """Its value or error is there.  To report the error it may have to wait once more."""
        self.owner = None
        unseen = None if self._collectors or self.ended else self._error
        lib.np_sema_open(self._done)
        if self._on_end is not None:
            on_end, self._on_end = self._on_end, None
            on_end(self._greenlet, self._error)
        elif unseen is not None:
            self._report(unseen)
        self.hub.has_ended(self)
        self.timeout = None
        self._greenlet, self.switch = None, _nothing  # the two hold each other

    def _report(self, error: BaseException) -> None:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self.hub.interrupt(error)
        else:
            _report_error(self._greenlet, error)

    def enlist(
        self,
        members: set[Any],
        on_end: Callable[[Any, BaseException | None], object],
    ) -> None:
        """A member of the set; at its end on_end is called with it and its error."""
        self._on_end = on_end
        members.add(self._greenlet)


def waiter_of(greenlet: Any) -> Any:
    """That of a greenlet of the calling thread, which has a hub."""
    return get_hub().waiter_of(greenlet)


def owner_of(greenlet: Any, make: Callable[[], Any]) -> Any:
    """What owns its values of locals, and ends with the greenlet."""
    waiter = waiter_of(greenlet)
    if waiter.owner is None:
        waiter.owner = make()
    return waiter.owner


def spawn(
    kind: Callable[[Callable[[], Any], Any], G],
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context: Any,
    *group: Any,
) -> G:
    """A greenlet of that class which calls the function, when the caller next waits.

    :param context: it runs in; None: a copy of the caller's.
    :param group: what `WaiterBase.enlist` takes, or nothing.
    """
    if not callable(function):
        raise TypeError(f"{function!r} is not callable")
    hub = get_hub()
    waiter = WaiterBase(hub)
    waiter.set_task(function, args, kwargs)
    child: Any = kind(waiter.run, hub.greenlet)
    child.gr_context = _copy_context() if context is None else context
    waiter.bind(child)
    if group:
        waiter.enlist(*group)
    hub.spawned(waiter)
    return cast(G, child)


def run(
    kind: Callable[[Callable[[], Any], Any], Any],
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context: Any,
) -> Any:
    """The result of the function, which is called in a greenlet of that class."""
    waiter: WaiterBase = spawn(kind, function, args, kwargs, context)._netpoll
    waiter.collected()  # also while a signal handler has cut off what waits below
    while True:
        try:
            value = waiter.get(None)
        except BaseException as error:
            if waiter.over:
                del waiter  # the error's traceback has this frame
                raise
            waiter.kill(error)
        else:
            break
    if isinstance(value, GreenletExit):
        raise value
    return value


bind_waiter(WaiterBase)
