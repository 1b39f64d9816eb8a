"""Hubs over cffi: what python/ext/hub.c and hub_life.c are on CPython.

The queue of those that may run holds entries: anything with a method switch().  To take the first
one and switch to it is one next() of a map over an iterator, so that no signal handler can come in
between.  One entry is the hub's own, which polls when its turn comes.

Signals.  A handler runs between any two bytecodes of the main thread, and may raise there.

* What is raised in the hub's greenlet ends that one, and so greenlet raises it in the main one, its
  parent.  All that a hub knows is in the HubBase; the next wait gives it another greenlet.
* A wait that is cut off may leave its token behind.  The poller keeps the token, and the memory
  that the core has of it, until it comes out.  Then it switches to a greenlet for nothing; every
  wait minds that.
* What is thrown into a greenlet stands in one place until all is done to throw it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import repeat
from operator import methodcaller
from typing import TYPE_CHECKING, Any, TypeAlias

from netpoll import _errors
from netpoll._cffi import engine
from netpoll._cffi.engine import HubToken, poll_into
from netpoll._core import lib
from netpoll._interruptions import is_interruption
from netpoll._whole import call, consume

if TYPE_CHECKING:
    from netpoll._api import Poller
    from netpoll._cffi.waiter import WaiterBase

try:
    from greenlet import GreenletExit, getcurrent, greenlet
except ImportError:  # then there are no hubs
    pass

Exc: TypeAlias = "BaseException | type[BaseException]"

# Messages to the hub's greenlet.
_POLL = object()
_START = object()

_COOP_BUDGET = lib.EXT_COOP_BUDGET
MAX_EXITS, _LAST_TURNS = lib.EXT_MAX_EXITS, lib.EXT_LAST_TURNS


# What `bind_poller`, `bind_waiter` and `bind_green` give: see python/ext/bind.h.
_internal_poller: Callable[[], Poller]
_waiter_class: type[WaiterBase]
_make_hub: Callable[[], HubBase]


def bind_poller(internal_poller: Callable[[], Poller]) -> None:
    """What makes a hub's poller."""
    global _internal_poller
    _internal_poller = internal_poller


def bind_waiter(kind: type[WaiterBase]) -> None:
    """The class of what a hub knows of a greenlet."""
    global _waiter_class
    _waiter_class = kind


def bind_green(make_hub: Callable[[], HubBase]) -> None:
    """What makes a hub."""
    global _make_hub
    _make_hub = make_hub


# --- the queue ------------------------------------------------------------------------------------


class _Entry:
    """One that is no greenlet's."""

    __slots__ = ("switch",)

    def __init__(self, switch: Callable[[], Any]) -> None:
        self.switch = switch


class Token(HubToken):
    """Of one wait; out of the poller it is an entry."""

    __slots__ = ("greenlet", "hub", "memory", "switch")

    def __init__(self, waiter: WaiterBase, memory: object) -> None:
        self.hub = waiter.hub
        self.greenlet = waiter.greenlet
        self.switch = waiter.switch
        self.memory = memory  # what the core uses until then

    def deliver(self) -> None:
        self.hub.make_ready(self)


class HubBase:
    """The greenlets of a thread, and the poller that they wait at."""

    __reduce_ex__ = _errors.refuse_copies

    def __init__(self) -> None:
        main: Any = getcurrent()
        while main.parent is not None:
            main = main.parent
        self._main = main
        self._thread = threading.get_ident()
        self._alive: set[WaiterBase] = set()  # of those that were spawned and have not ended
        self._finished = False
        self._queue: deque[Any] = deque()
        self._turns: Iterator[Any] = map(methodcaller("switch"), iter(self._queue.popleft, None))
        self._fresh: deque[WaiterBase] = deque()  # spawned and not started
        self._starts: Iterator[Any] = map(methodcaller("switch"), iter(self._fresh.popleft, None))
        self._thrown: deque[tuple[WaiterBase, Exc]] = deque()  # not told to the waiters yet
        self._tokens: deque[Any] = deque()  # out of the poller, and not in the queue yet
        self._closed: deque[Poller] = deque()  # whose tokens have not come out yet
        self._poll_entry, self._start_entry = _Entry(main.switch), _Entry(main.switch)
        self._coop_ops = 0  # operations since the last switch: none of them had to wait
        self._process = os.getpid()
        self._poller = _internal_poller()
        self._greenlet: Any = None
        self._main_waiter: Any = _waiter_class(self)
        self._main_waiter.bind(main)

    # For users, and for reports.

    @property
    def poller(self) -> Poller:
        """Where the greenlets of the thread wait; a new one if it was closed."""
        poller = self._poller
        if poller.closed and not self._finished and threading.get_ident() == self._thread:
            fresh = _internal_poller()
            self._closed.append(poller)
            self._poller = poller = fresh
        return poller

    @property
    def thread(self) -> int:
        """Its thread, as `threading.get_ident` has it."""
        return self._thread

    @property
    def greenlet(self) -> Any:
        """Its own: it runs when no other may, to block in the poller."""
        if self._greenlet is None or self._greenlet.dead:
            self._revive()
        return self._greenlet

    @property
    def alive(self) -> set[Any]:
        """The greenlets that were spawned and have not ended."""
        return {waiter.greenlet for waiter in self._alive.copy() if not waiter.ended} - {None}

    @property
    def finished(self) -> bool:
        """Has its thread ended?"""
        return self._finished

    def is_main(self) -> bool:
        """Is the running greenlet the main one?"""
        return getcurrent() is self._main

    def running_greenlet(self) -> Any:
        """`running_greenlet`, in its thread."""
        current: Any = getcurrent()
        return None if current is self._main or current is self._greenlet else current

    def counts(self) -> tuple[int, int, int]:
        """`hub_counts`."""
        alive = self._alive.copy()
        return len(alive), sum(waiter.waits for waiter in alive), len(self._queue)

    def poller_as_it_is(self) -> Poller:
        """`hub_poller`."""
        return self._poller

    # The queue.

    def make_ready(self, entry: Token | WaiterBase) -> None:
        """It is to run; from any thread."""
        self._queue.append(entry)
        if threading.get_ident() != self._thread:
            self._poller.wake()

    def let_others_run(self, waiter: WaiterBase) -> None:
        """Switch to the next that may run, until something switches back.

        :raises BaseException: what was thrown into the greenlet.
        """
        self._coop_ops = 0
        assert self.greenlet is not None
        waiter.parked = True
        try:
            next(self._turns)
        finally:
            waiter.parked = False
        self.tell_thrown()
        waiter.raise_thrown()

    def spawned(self, waiter: WaiterBase) -> None:
        """Start its greenlet soon."""
        steps: tuple[Callable[[], None], ...] = (
            partial(self._alive.add, waiter),
            partial(self._queue.append, self._start_entry),
            partial(self._fresh.append, waiter),
        )
        consume(map(call, steps))

    def has_ended(self, waiter: WaiterBase) -> None:
        """A greenlet that was spawned has ended."""
        self._alive.discard(waiter)

    # Exceptions for greenlets.

    def throw(self, waiter: WaiterBase, error: Exc) -> None:
        """Raise it in the greenlet as soon as its turn comes; from any thread."""
        self._thrown.append((waiter, error))
        if threading.get_ident() == self._thread:
            self.tell_thrown()
        else:
            self._poller.wake()

    def withdraw(self, waiter: WaiterBase, error: Exc) -> bool:
        """It is not to be raised any more; in its thread."""
        with suppress(ValueError):
            self._thrown.remove((waiter, error))
            return True
        if waiter.thrown is not error:
            return False
        waiter.thrown = None
        return True

    def interrupt(self, error: BaseException) -> None:
        """Raise the error in the main greenlet, before any other runs."""
        self.throw(self._main_waiter, error)

    def tell_thrown(self) -> None:
        """After every switch: what is thrown goes before what was ready."""
        while self._thrown:
            waiter, error = self._thrown[0]
            waiter.thrown = error
            entry = waiter if waiter.parked else _Entry(partial(_throw_into, waiter))
            if waiter is self._main_waiter:
                self._queue.appendleft(entry)
            else:
                self._queue.append(entry)
            self._thrown.popleft()

    # Its greenlet.

    def _revive(self) -> None:
        """It has none yet, or an exception has ended that."""
        mine = greenlet(self._run, self._main)
        self._poll_entry.switch = partial(mine.switch, _POLL)
        self._start_entry.switch = partial(mine.switch, _START)
        for waiter in tuple(self._alive):
            if waiter.over:
                waiter.end()  # a signal handler cut its end off
            else:
                waiter.greenlet.parent = mine
        if self._poll_entry not in self._queue:
            self._queue.append(self._poll_entry)
        self._greenlet = mine

    def _run(self, message: object = None) -> None:
        """Between turns; a message tells whose turn has come."""
        while not self._finished:
            if message is _POLL:
                self._poll()
                self._queue.append(self._poll_entry)
            starts = message is _START and self._fresh
            message = next(self._starts if starts else self._turns)

    def _poll(self) -> None:
        """Block until a greenlet may run."""
        self.tell_thrown()
        missing = len(self._fresh) - self._queue.count(self._start_entry)
        self._queue.extend([self._start_entry] * missing)
        while self._closed:
            self._drain(self._closed[0])
            self._closed.popleft()
        try:
            poll_into(self._poller, self._tokens, 0 if self._queue else None)
        except _errors.ClosedError:
            assert self.poller is not None  # a new one
        finally:
            self._collect()

    def _drain(self, poller: Poller) -> None:
        """All that were parked there come out.  One that a semaphore has granted to may not have
        arrived yet: it is counted until it has."""
        while True:
            waiting = poller.stats().waiters
            with suppress(_errors.ClosedError):
                poll_into(poller, self._tokens, 0)
            self._collect()
            if not waiting:
                break

    def _collect(self) -> None:
        """Tokens that are not ours stay for the next poll of a user."""
        tokens = self._tokens
        while tokens:
            token = tokens[0]
            if isinstance(token, Token) and token.hub is self:
                self._queue.extend(map(deque.popleft, (tokens,)))
                continue
            if isinstance(token, HubToken):
                token.deliver()
            else:
                engine.hold_token(self._poller, token)
            tokens.popleft()

    # Operations that did not wait.

    def coop_yield(self, may_wait: bool) -> None:
        """One to which data comes faster than it is read would have the thread for itself, and so
        would one that tries again and again what may not wait.

        :param may_wait: False: not where others are not expected to run.
        """
        self._coop_ops += 1
        if self._coop_ops > _COOP_BUDGET:
            self._coop_ops = 0
            if self._can_yield() and (may_wait or not is_interruption()):
                self.yield_now()

    def _can_yield(self) -> bool:
        """Not where a wait would be refused: a signal handler or a trace function may call from
        there.  Nor as the hub ends, when whoever waits is left behind.  A child begins anew: hooks
        of the fork may be running, before which nothing else should."""
        process, self._process = self._process, os.getpid()
        if process != self._process or self._finished or getcurrent() is self._greenlet:
            return False
        return not self.current_waiter().parked

    def yield_now(self) -> None:
        """The others have a turn each."""
        waiter = self.current_waiter()
        try:
            self._queue.append(waiter)
            self.let_others_run(waiter)
        except BaseException:
            with suppress(ValueError):
                self._queue.remove(waiter)
            raise

    def current_waiter(self) -> WaiterBase:
        """The calling greenlet's; one that is not netpoll's gets it when it first waits."""
        current: Any = getcurrent()
        if current is self._greenlet:
            raise RuntimeError("the hub cannot wait: was this called in a signal handler?")
        waiter = self.waiter_of(current)
        if waiter.ended:
            raise GreenletExit
        return waiter

    def waiter_of(self, greenlet: Any) -> WaiterBase:
        """That of a greenlet of its thread, made if it has none."""
        waiter = getattr(greenlet, "_netpoll", None)
        if not (isinstance(waiter, _waiter_class) and waiter.hub is self):
            waiter = _waiter_class(self)
            waiter.bind(greenlet)
        return waiter

    def can_park(self) -> bool:
        """Not the hub itself, and nothing that it has left behind."""
        try:
            return not self.current_waiter().ended
        except (RuntimeError, GreenletExit):
            return False

    # The end.

    def finish(self) -> None:
        """The thread ends: so do its greenlets, the hub and its poller."""
        own = getcurrent() is self._main  # not the child of a fork in another thread
        self._finished = True
        self._turns = map(methodcaller("switch"), repeat(self._main))
        if own:
            self._unwind()
        while self._alive:
            self._alive.pop().end_by(GreenletExit())
        if own and self._greenlet is not None and not self._greenlet.dead:
            with suppress(GreenletExit):
                self._greenlet.throw(GreenletExit)
        self._main_waiter.unbind()
        self._poller.close()
        # All that refers to the hub, and that it refers to.
        self._greenlet = self._main_waiter = None
        self._queue.clear()
        self._fresh.clear()
        self._poll_entry.switch = self._start_entry.switch = self._main.switch

    def _unwind(self) -> None:
        """GreenletExit where they wait, round by round, as what one waits for in a `finally` may be
        what another holds.  One whose wait is over goes on; one that has not started does not."""
        turns = iter(range(_LAST_TURNS))
        for exits in range(MAX_EXITS):
            while exits > 0 and next(turns, None) is not None and self._run_ready():
                pass
            for waiter in self._alive.copy():
                if victim := waiter.greenlet:
                    victim.parent = self._main
                    victim.throw(GreenletExit)
                elif not waiter.ended:
                    waiter.end_by(GreenletExit())
            if not self._alive:
                break

    def _run_ready(self) -> bool:
        """Those whose wait is over run until they wait again; False: there are none."""
        with suppress(_errors.ClosedError):  # users may have closed it: then nothing comes
            poll_into(self._poller, self._tokens, 0)
        self._collect()
        ran = False
        for _ in range(len(self._queue)):
            entry = self._queue.popleft()
            if not isinstance(entry, _Entry) and entry.greenlet is not self._main:
                ran = True
                entry.switch()
        return ran


def _throw_into(waiter: WaiterBase) -> Any:
    """It waits in a way of its own, or has come back to one of ours."""
    error, waiter.thrown = waiter.thrown, None
    if error is None or waiter.ended:
        return None
    if isinstance(error, BaseException):
        return waiter.greenlet.throw(type(error), error, error.__traceback__)
    return waiter.greenlet.throw(error)


# --- the hub of a thread --------------------------------------------------------------------------


class _ThreadExit:
    """Goes with its thread."""

    hub: HubBase | None = None

    def __init__(self, hub: HubBase) -> None:
        self.hub = hub

    def __del__(self, finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if self.hub is not None and not finalizing():
            thread = threading.get_ident()
            _finishing[thread] = self.hub
            try:
                self.hub.finish()
            finally:
                del _finishing[thread]


class _PerThread(threading.local):
    exit: _ThreadExit | None = None


_local = _PerThread()

#: By thread: the hub of one that ends, and has no `_local` any more.
_finishing: dict[int, HubBase] = {}


def current_hub() -> HubBase | None:
    """The calling thread's, or None."""
    exit = _local.exit
    return _finishing.get(threading.get_ident()) if exit is None else exit.hub


def running_greenlet() -> Any:
    """None: what runs is the thread, in its main greenlet, or in the hub's, which runs signal
    handlers."""
    hub = current_hub()
    return None if hub is None else hub.running_greenlet()


def hub_counts(hub: HubBase) -> tuple[int, int, int]:
    """How many greenlets are alive, how many of them do not run now, and how many may run."""
    return hub.counts()


def hub_poller(hub: HubBase) -> Poller:
    """Its poller, also one that is closed and will be replaced."""
    return hub.poller_as_it_is()


def get_hub() -> Any:
    """The hub of the calling thread; made if there is none yet."""
    if current_hub() is None:
        hub = _make_hub()
        if _local.exit is None:  # a signal handler may have made one
            _local.exit = _ThreadExit(hub)
    return current_hub()


def end_hub() -> None:
    """That of the calling thread, which ends; not in one of its greenlets."""
    hub = current_hub()
    if hub is not None and hub.is_main():
        _local.exit = None
