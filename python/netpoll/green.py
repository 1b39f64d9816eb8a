"""The smallest hub that makes greenlets useful: one per OS thread, made by the first use of it.

    from netpoll import green

    def serve():
        ...  # netpoll.open(sock).wait(READ) parks the greenlet, not the thread

    green.run(serve)

How it works.  All greenlets of a thread that may run stand in one queue, and so does the hub.
Whoever parks switches straight to the first in the queue.  The hub runs only when its turn comes:
it looks at the poller and the sleepers, blocking if nobody else may run, and goes to the end of the
queue.  As the queue is first in, first out, to look at the kernel more often than once a round
would let nobody run sooner.

An entry of the queue is anything with a method switch():

* A `_Waiter` is the entry of a parked greenlet.  It is the token that the greenlet parks in the
  poller, so that the poller puts it into the queue itself.  Its `switch` is the greenlet's own,
  until `kill` replaces it by a throw, so that whichever entry comes first ends the victim.  A wait
  that was cut short leaves its waiter behind, retired, for what may still be on its way.
* The hub's own entry.  There is always one in the queue while the hub does not run.
* One for each greenlet that was spawned and has not started.  It starts from the hub, so that it
  does not inherit the depth of somebody's stack.

Signals.  A handler runs between two bytecodes of the main thread, and may raise there.  What must
not be torn apart by that is one call of a C function, as `Turns.turn` is.  What a handler raises in
the hub goes to the main greenlet.

Blocked for ever.  Like threads that join each other, greenlets that wait for what cannot come wait
on; another thread, a signal or Ctrl-C may still end it.

Abroad.  A greenlet may wait on another thread's poller.  Its token comes out there, whoever polls,
and `Poller.poll` hands it to its hub.  But nobody else need drive that poller, so a hub with such
waiters looks there too, and sleeps on the descriptors of all these pollers, its own included.
Where a poller has no descriptor (Windows) it sleeps on its own, in naps of a millisecond.
"""

from __future__ import annotations

import heapq
import itertools
import math
import select
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Any, Generic, ParamSpec, Protocol, TypeAlias, TypeVar

import greenlet
from greenlet import GreenletExit, getcurrent

from netpoll import _hooks
from netpoll._api import PollDesc, Poller
from netpoll._engine import Turns, WaiterBase, rest
from netpoll._errors import ClosedError

__all__ = ["Greenlet", "GreenletExit", "Hub", "get_hub", "has_hub", "run", "sleep", "spawn"]

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds between two looks at a poller that holds something for others and so cannot wake a hub.
NAP = 0.001

# Messages to the hub.
_LOOK = object()
_START = object()

_MOST_STRAIGHT = 128  # as in python/ext/turns.c


# --- the queue ------------------------------------------------------------------------------------


class _Entry(Protocol):
    @property
    def switch(self) -> Callable[[], Any]:
        """Go there; returns when somebody comes back here."""


class _Errand:
    """An entry that is not a greenlet's."""

    __slots__ = ("switch",)

    def __init__(self, switch: Callable[[], Any]) -> None:
        self.switch = switch


class _Waiter(WaiterBase):
    """The entry of a greenlet, which has one at a time, as its attribute _netpoll."""

    __slots__ = ("hub",)

    def __init__(self, hub: Hub, who: Any) -> None:
        super().__init__(hub.ready, who)
        self.hub = hub
        who._netpoll = self

    def deliver(self) -> None:
        hub = self.hub
        hub.ready.append(self)
        if threading.get_ident() != hub.thread:
            hub.wake()

    def retire(self) -> None:
        """Entries that are still on their way do nothing any more."""
        self.switch = self.hub.visit

    def replace(self) -> None:
        """A wait was cut short; the next one has a new waiter."""
        self.retire()
        _Waiter(self.hub, self.greenlet)

    def arm(self, error: BaseException | type[BaseException]) -> None:
        """Whatever entry comes first throws the error into the greenlet."""
        self.switch = partial(self._throw, error)

    def _throw(self, error: BaseException | type[BaseException]) -> Any:
        self.replace()
        if isinstance(error, BaseException):
            return self.greenlet.throw(type(error), error, error.__traceback__)
        return self.greenlet.throw(error)


# --- the hub --------------------------------------------------------------------------------------


class Hub(greenlet.greenlet):
    """The greenlet that looks after those of its thread that wait.  From `get_hub`."""

    #: Where `netpoll.open` registers descriptors in this thread.  If it is closed, every waiter
    #: gets ClosedError, and the hub goes on with a new one.
    poller: Poller

    def __init__(self) -> None:
        main: Any = getcurrent()
        while main.parent is not None:
            main = main.parent
        super().__init__(parent=main)
        self.main = main
        self.thread = threading.get_ident()
        self.ready = Turns()
        self.visit = partial(self.switch, None)  # a turn in which the hub does nothing of its own
        self.alive: set[Greenlet[Any]] = set()
        self.abroad: dict[Poller, int] = {}  # other pollers: how many of ours wait there
        self._tokens: deque[Any] = deque()  # out of the poller, and not in the queue yet
        self._fresh = Turns()  # spawned and not started
        self.straight = 0  # operations of the engine in Python, until the next `_give_way`
        self._look_entry = _Errand(partial(self.switch, _LOOK))
        self._start_entry = _Errand(partial(self.switch, _START))
        self._timers: list[list[Any]] = []  # a heap of [when, serial, waiter]
        self._serials = itertools.count()
        self._dropped_timers = 0
        self._bell: Poller | None = None  # wakes a hub that sleeps on more than its own poller
        self._finished = False
        self._take_poller()
        self.ready.append(self._look_entry)
        _Waiter(self, main)

    def enroll(self, who: greenlet.greenlet) -> _Waiter:
        """A greenlet, perhaps none of ours, waits for the first time."""
        if who is self:
            raise RuntimeError("the hub cannot wait: was this called in a signal handler?")
        return _Waiter(self, who)

    def start_soon(self, waiter: _Waiter) -> None:
        """In this order: an entry with nobody to start is harmless."""
        self.ready.append(self._start_entry)
        self._fresh.append(waiter)

    def do_soon(self, call: Callable[[], None]) -> None:
        """Call it in the hub; from any thread."""
        self.ready.append(_Errand(partial(self.switch, call)))
        self.wake()

    def wake(self) -> None:
        """Make the hub look at its queue; from any thread or signal handler."""
        self.poller.wake()
        if self._bell is not None:
            self._bell.wake()

    def interrupt(self, error: BaseException) -> None:
        """Raise the error in the main greenlet, before anybody else runs."""
        waiter = self.main._netpoll
        waiter.arm(error)
        self.ready.appendleft(waiter)

    def run(self, message: object = None) -> None:
        while not self._finished:
            try:
                self._serve(message)
            except BaseException as error:
                if not self._finished:
                    self._mend_queue()
                    self.interrupt(error)
            message = None

    def _serve(self, message: object) -> None:
        """Between turns; a message tells whose turn has come."""
        ready, fresh = self.ready, self._fresh
        while True:
            if message is _LOOK:
                self._look()
                ready.append(self._look_entry)
            elif callable(message):
                message()
            message = fresh.turn() if message is _START and fresh else ready.turn()

    def _mend_queue(self) -> None:
        """A signal handler raised while the hub was about to act on a message."""
        if self._look_entry not in self.ready:
            self.ready.append(self._look_entry)
        missing = len(self._fresh) - self.ready.count(self._start_entry)
        self.ready.extend([self._start_entry] * missing)

    def _look(self) -> None:
        """Let everybody run who may: block until there is somebody."""
        if self._timers:
            self._fire()
        if not self.ready:
            self.ready.doubts()
        try:
            if self.abroad:
                self._look_abroad()
            else:
                self._poll(0 if self.ready else self._patience())
        except ClosedError:
            self._take_poller()

    def _poll(self, timeout: float | None) -> None:
        try:
            self.poller._poll_into(self._tokens, timeout)
        finally:
            self.ready.collect(self._tokens)

    def _take_poller(self) -> None:
        self.poller = _hidden_poller()
        self.poller.add_watcher(self)
        self._look_around()

    def _look_around(self) -> None:
        """What there is to look at has changed."""
        self.ready.look_at(self.poller, self._look_entry, not self.abroad)

    # Sleepers.

    def set_timer(self, waiter: _Waiter, seconds: float) -> list[Any]:
        timer = [time.monotonic() + seconds, next(self._serials), waiter]
        heapq.heappush(self._timers, timer)
        if self._timers[0] is timer:
            self.ready.alarm(seconds)
        return timer

    def drop_timer(self, timer: list[Any]) -> None:
        """It stays in the heap, in the name of nobody, until it is due or too many are like it."""
        timer[2] = nobody = self._start_entry
        self._dropped_timers += 1
        if self._dropped_timers > 64 + len(self._timers) // 2:
            self._timers = [kept for kept in self._timers if kept[2] is not nobody]
            heapq.heapify(self._timers)
            self._dropped_timers = 0

    def _fire(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            self.ready.extend(map(itemgetter(2), map(heapq.heappop, (self._timers,))))
        self.ready.alarm(self._patience())

    def _patience(self) -> float | None:
        """Seconds until the first sleeper is due."""
        return max(self._timers[0][0] - time.monotonic(), 0) if self._timers else None

    # Abroad.

    def _look_abroad(self) -> None:
        for poller in tuple(self.abroad):
            poller._collect_for_hubs()
        if not self.ready:
            self._sleep_abroad()
        self._poll(0)

    def _sleep_abroad(self) -> None:
        """Sleep until one of the pollers has work.

        A poller that holds something for others stays readable until they have come for it.
        """
        patience = self._patience()
        if not hasattr(select, "poll"):  # Windows can sleep on one completion port only
            self._nap(patience)
            return
        if self._bell is None:
            self._bell = _hidden_poller()
        sleep = select.poll()
        for poller in (self._bell, self.poller, *self.abroad):
            if poller._left:
                patience = NAP if patience is None else min(patience, NAP)
                continue
            try:
                sleep.register(poller.fileno(), select.POLLIN)
            except ClosedError:  # since we looked
                return
            except NotImplementedError:  # a backend without a descriptor, such as poll(2) on macOS
                self._nap(patience)
                return
        sleep.poll(None if patience is None else math.ceil(min(patience, 1e6) * 1000))
        self._bell.poll(0)

    def _nap(self, patience: float | None) -> None:
        """Sleep on the hub's own poller, to look at the others soon."""
        self._poll(NAP if patience is None else min(patience, NAP))

    # The end.

    def finish(self) -> None:
        """The thread ends: so do its greenlets, the hub and its poller."""
        if sys.is_finalizing():
            return
        if self.main == getcurrent():  # not the child of a fork in another thread
            self.ready.settle(False)
            self._end_greenlets()
            del self.main._netpoll
        for poller in filter(None, (self.poller, self._bell)):
            poller.remove_watcher(self)
            poller.close()

    def _end_greenlets(self) -> None:
        """GreenletExit for everybody, once; who waits again all the same is left behind."""
        self._finished = True
        for victim in tuple(self.alive):
            self.ready.clear()
            self.ready.append(_BackTo(self.main, self.ready))
            victim.parent = self.main
            if victim:
                victim.throw(GreenletExit)
            else:
                victim.die_here(GreenletExit())
        if self:
            self.throw(GreenletExit)


class _BackTo:
    """The only entry of a queue that has closed."""

    def __init__(self, whom: Any, queue: deque[_Entry]) -> None:
        self._whom = whom
        self._queue = queue

    def switch(self) -> Any:
        self._queue.append(self)
        return self._whom.switch()


def _hidden_poller() -> Poller:
    poller = Poller()
    poller._implicit = True
    return poller


# --- greenlets ------------------------------------------------------------------------------------

_Task: TypeAlias = tuple[Callable[..., T], tuple[Any, ...], dict[str, Any]]


class Greenlet(greenlet.greenlet, Generic[T]):
    """A function that runs in the hub of the thread that spawned it.  From `spawn`.

    `join`, `get` and `kill` may be called from any thread.
    """

    _value: T | GreenletExit
    _error: BaseException | None = None
    _done = False

    def __init__(
        self, hub: Hub, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        super().__init__(None, hub)
        self._hub = hub
        self._name = getattr(function, "__qualname__", None) or repr(function)
        self._task: _Task[T] | None = (function, args, kwargs)
        self._netpoll = _Waiter(hub, self)
        # Lists, which cost less than a deque: mostly nothing is put there.
        self._joiners: list[_Waiter] = []
        self._collectors: list[None] = []  # one for each in get(): a count, in any thread

    def run(self) -> None:
        task, self._task = self._task, None
        assert task is not None
        function, args, kwargs = task
        try:
            # Unless something is starred, the interpreter calls a function without a frame of C
            # between: what is on the C stack is copied at each switch.
            match args if not kwargs else None:
                case ():
                    self._value = function()
                case (one,):
                    self._value = function(one)
                case (one, two):
                    self._value = function(one, two)
                case (one, two, three):
                    self._value = function(one, two, three)
                case _:
                    self._value = function(*args, **kwargs)
        except GreenletExit as exit:
            self._value = exit
        except BaseException as error:
            if error.__traceback__ is not None:  # without this frame, which would be a cycle
                error.__traceback__ = error.__traceback__.tb_next
            self._error = error
        finally:
            self._end()

    @property
    def dead(self) -> bool:
        """Has it ended, or was it killed before it started?"""
        return self._done

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or for timeout seconds.  An exception of it is not raised here.

        :raises RuntimeError: a greenlet joins itself.
        """
        if timeout is not None and math.isnan(timeout):
            raise ValueError("the timeout is NaN")
        if self._done or (timeout is not None and timeout <= 0):
            return
        waiter = _current()
        if waiter.greenlet is self:
            raise RuntimeError("a greenlet cannot join itself")
        timer = None if timeout is None else waiter.hub.set_timer(waiter, timeout)
        self._joiners.append(waiter)
        try:
            # Another thread's greenlet may have ended before it could see us.
            if not self._done:
                waiter.hub.ready.turn()
        finally:
            try:
                self._joiners.remove(waiter)
            except ValueError:  # it was woken: by another thread perhaps, and just now
                pass
            if timer is not None:
                waiter.hub.drop_timer(timer)
            waiter.replace()

    def get(self) -> T | GreenletExit:
        """Wait until it has ended; its result, or the exception that ended it is raised.

        Of one that was killed the result is the GreenletExit.  An exception that comes up while
        somebody is in `get` counts as collected: it is not printed.
        """
        self._collectors.append(None)
        try:
            self.join()
        finally:
            self._collectors.pop()
        if self._error is not None:
            raise self._error
        return self._value

    def kill(self, exc: BaseException | type[BaseException] = GreenletExit) -> None:
        """Raise exc in it, where it waits, as soon as its turn comes; does not wait for that.

        One that never started never will, and counts as ended by exc.  One that kills itself raises
        exc at once.  A notification that was on its way to it stays for the next waiter.
        """
        if not (isinstance(exc, BaseException) or issubclass(exc, BaseException)):
            raise TypeError(f"exceptions derive from BaseException, not {exc!r}")
        if threading.get_ident() != self._hub.thread:
            self._hub.do_soon(partial(self._kill, exc))
        elif getcurrent() is self:
            raise exc
        else:
            self._kill(exc)

    def _kill(self, exc: BaseException | type[BaseException]) -> None:
        if self._done:
            return
        if self:  # it has started
            self._netpoll.arm(exc)
            self._hub.ready.append(self._netpoll)
        else:
            self.die_here(exc if isinstance(exc, BaseException) else exc())

    def die_here(self, exc: BaseException) -> None:
        """End without having started."""
        self._task = None
        if isinstance(exc, GreenletExit):
            self._value = exc
        else:
            self._error = exc
        self._end()

    def _end(self) -> None:
        self._done = True
        self._netpoll.retire()
        del self._netpoll  # the two hold each other
        self._hub.alive.discard(self)
        while self._joiners:
            try:
                self._joiners.pop(0).deliver()
            except IndexError:  # another thread's joiner has left
                break
        if self._error is not None and not self._collectors:
            self._report(self._error)

    def _report(self, error: BaseException) -> None:
        """Nobody collects the error."""
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self._hub.interrupt(error)
        elif sys.stderr is not None:
            text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
            sys.stderr.write(f"Exception in {self!r}:\n{text}")

    def __repr__(self) -> str:
        state = "ended" if self._done else "started" if self else "not started"
        return f"<netpoll.Greenlet {self._name} at {id(self):#x}, {state}>"


# --- what users call ------------------------------------------------------------------------------


def spawn(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Greenlet[T]:
    """Run ``function(*args, **kwargs)`` in a greenlet of its own, when the caller next waits.

    Greenlets start in the order of their spawning.  An exception that nobody collects with
    `Greenlet.get` is printed with its traceback; KeyboardInterrupt and SystemExit go to the main
    greenlet of the thread instead, and GreenletExit ends the greenlet silently.
    """
    if not callable(function):
        raise TypeError(f"{function!r} is not callable")
    hub = get_hub()
    child: Greenlet[T] = Greenlet(hub, function, args, kwargs)
    hub.alive.add(child)
    hub.start_soon(child._netpoll)
    return child


def run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``function(*args, **kwargs)`` in a greenlet until it returns, and others meanwhile.

    Gives its result, or raises what it raised.  An exception that interrupts the caller meanwhile,
    such as that of Ctrl-C, is raised where the function waits, as if it had been called directly.
    """
    child = spawn(function, *args, **kwargs)
    while True:
        try:
            value = child.get()
        except BaseException as error:
            if child.dead:
                raise
            child.kill(error)
        else:
            break
    if isinstance(value, GreenletExit):
        raise value
    return value


def sleep(seconds: float = 0) -> None:
    """Let others run for so many seconds, or with 0 for one turn of each that may.

    :raises ValueError: negative, or NaN.
    """
    if not seconds >= 0:
        raise ValueError(f"cannot sleep for {seconds} seconds")
    if not seconds and rest():
        return
    waiter = _current()
    hub = waiter.hub
    timer = None
    try:
        if seconds:
            timer = hub.set_timer(waiter, seconds)
        else:
            hub.ready.append(waiter)
        hub.ready.turn()
    except BaseException:
        waiter.replace()
        if timer is not None:
            hub.drop_timer(timer)
        raise


def has_hub() -> bool:
    """Has the calling thread a hub, so that `wait` parks the greenlet and not the thread?"""
    return _local.owner is not None


def get_hub() -> Hub:
    """The hub of the calling thread; made if there is none yet."""
    current = getcurrent()
    return current if isinstance(current, Hub) else _current().hub


# --- the hub of a thread --------------------------------------------------------------------------


class _Owner:
    """Goes with its thread."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def __del__(self) -> None:
        self.hub.finish()


class _PerThread(threading.local):
    owner: _Owner | None = None


_local = _PerThread()


def _current() -> _Waiter:
    """The waiter of the calling greenlet; a hub is made if the thread has none."""
    current: Any = getcurrent()
    waiter: _Waiter | None = getattr(current, "_netpoll", None)
    if waiter is None:
        if _local.owner is None:
            _local.owner = _Owner(Hub())
            _local.owner.hub.ready.settle(True)
            _hooks.hubs = True
            _hooks.wait = _wait
            _hooks.give_way = _give_way
            if _hooks.new_hub is not None:
                _hooks.new_hub(_local.owner.hub)
        waiter = _local.owner.hub.enroll(current)
    return waiter


def _hub_poller() -> Poller | None:
    return None if _local.owner is None else _local.owner.hub.poller


class _Gate:
    """Where a greenlet queues for a mode of a socket: see _parking.py."""

    def __init__(self) -> None:
        self._waiter: _Waiter | None = None
        self._open = False

    def wait(self, timeout: float | None) -> None:
        self._waiter = waiter = _current()
        timer = None if timeout is None else waiter.hub.set_timer(waiter, max(timeout, 0))
        try:
            if not self._open:
                waiter.hub.ready.turn()
        finally:
            if timer is not None:
                waiter.hub.drop_timer(timer)
            waiter.replace()
            self._waiter = None

    def open(self) -> None:
        self._open = True
        waiter = self._waiter
        if waiter is not None:
            waiter.deliver()


def _gate() -> _Gate | None:
    return None if _local.owner is None else _Gate()


_hooks.hub_poller = _hub_poller
_hooks.gate = _gate


def _give_way() -> None:
    """Somebody to whom data comes faster than it is read would have the thread for himself."""
    waiter: _Waiter | None = getattr(getcurrent(), "_netpoll", None)
    if waiter is not None:  # a hub has none: a signal handler may call from there
        hub = waiter.hub
        hub.straight += 1
        if hub.straight > _MOST_STRAIGHT:
            hub.straight = 0
            sleep(0)


def _wait(desc: PollDesc, mode: int, flags: int) -> None:
    """`PollDesc.wait`, once there is a hub in the process."""
    _give_way()
    current: Any = getcurrent()
    try:
        waiter: _Waiter = current._netpoll
    except AttributeError:
        if _local.owner is None:
            desc._wait(mode, flags)
            return
        waiter = _local.owner.hub.enroll(current)
    if desc.poller is waiter.hub.poller:
        waiter.hub.ready.wait_at(desc, mode, flags, waiter)
    else:
        _wait_abroad(desc, mode, flags, waiter)


def _wait_abroad(desc: PollDesc, mode: int, flags: int, waiter: _Waiter) -> int:
    """On a poller that need not be driven by anybody else.  What `Turns.wait_at` returns."""
    hub, poller = waiter.hub, desc.poller
    hub.abroad[poller] = hub.abroad.get(poller, 0) + 1
    poller.add_watcher(hub)
    hub._look_around()
    try:
        return hub.ready.wait_at(desc, mode, flags, waiter)
    finally:
        hub.abroad[poller] -= 1
        if not hub.abroad[poller]:
            del hub.abroad[poller]
            poller.remove_watcher(hub)
            hub._look_around()
