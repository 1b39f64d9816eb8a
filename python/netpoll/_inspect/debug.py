"""The debug mode, NETPOLL_DEBUG=1: what is worth its price only when something is wrong.

* It is remembered where each descriptor, poller and socket was opened; a leak is warned of with
  that stack, and `dump` names the place.
* A watchdog thread looks at the hubs.  One whose greenlets have not given each other a turn for
  NETPOLL_DEBUG_BLOCKED seconds (0.5) is reported through `logging`, with the stack of the culprit.
* A wait for a descriptor in blocking mode is reported too: the call that follows may block.

Nothing of this is there when the mode is off: the methods concerned are replaced when it is
switched on, which is when the package is imported.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import os
import sys
import threading
import time
import traceback
import warnings
import weakref
from collections.abc import Callable
from itertools import accumulate, chain, repeat, takewhile
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

from netpoll import _api, _engine, _hooks
from netpoll._inspect.dump import opened, stack

if TYPE_CHECKING:
    from netpoll.green import Hub

BLOCKED = 0.5  # seconds; the default of NETPOLL_DEBUG_BLOCKED

log = logging.getLogger("netpoll")


def switch_on() -> None:
    """Before anything was opened."""
    _remember_places(_api.PollDesc, _engine.desc_unclosed)
    _remember_places(_api.Poller, _engine.poller_unclosed)
    if hasattr(os, "get_blocking"):
        for wait in ("wait", "wait_canceled", "park"):
            setattr(_api.PollDesc, wait, _checking_mode(getattr(_api.PollDesc, wait)))
    _hooks.adopted = _remember
    _hooks.new_socket_class = lambda kind: _remember_places(kind, _is_unclosed_socket)
    _hooks.new_hub = _Watchdog(_threshold()).watch


def _threshold() -> float:
    text = os.environ.get("NETPOLL_DEBUG_BLOCKED", "")
    try:
        seconds = float(text) if text else BLOCKED
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise ValueError(f"NETPOLL_DEBUG_BLOCKED={text!r} is not a positive number of seconds")
    return seconds


# --- places ---------------------------------------------------------------------------------------


def _is_unclosed_socket(sock: Any) -> bool:
    return bool(sock.fileno() >= 0)


def _remember_places(kind: Any, is_unclosed: Callable[[Any], bool]) -> None:
    """It is known where every object was made, and said if it is never closed."""
    kind.__init__ = _remembering(kind.__init__)
    end = getattr(kind, "__del__", lambda self: None)

    forget = opened.pop  # the interpreter may have cleared our globals when it is called last

    def __del__(self: Any, _warn: Callable[..., None] = warnings.warn) -> None:
        places = forget(id(self), [])
        try:
            leaked = is_unclosed(self)
        except (AttributeError, RuntimeError):  # the constructor did not come to its end
            leaked = False
        if leaked:
            text = f"unclosed {self!r}, opened" + "".join(f"\n  at {where}" for where in places)
            try:
                _warn(text, ResourceWarning, stacklevel=2)
            finally:  # the warning may be an error
                self.close()
        end(self)

    kind.__del__ = __del__


def _remember(new: Any) -> None:
    opened[id(new)] = stack(sys._getframe(1))


def _remembering(start: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(start)
    def remember(self: Any, *args: Any, **kwargs: Any) -> None:
        _remember(self)
        start(self, *args, **kwargs)

    return remember


# --- blocking mode --------------------------------------------------------------------------------


def _checking_mode(wait: Callable[..., Any]) -> Callable[..., Any]:
    """It is said once of every descriptor, at its first wait."""
    checked: weakref.WeakSet[_api.PollDesc] = weakref.WeakSet()

    @functools.wraps(wait)
    def check(self: _api.PollDesc, *args: Any, **kwargs: Any) -> Any:
        if self not in checked:
            checked.add(self)
            with contextlib.suppress(OSError, RuntimeError):  # the wait itself says it better
                if os.get_blocking(self.fileno()):
                    log.warning("fd %d is in blocking mode: setblocking(False)", self.fd)
        return wait(self, *args, **kwargs)

    return check


# --- the watchdog ---------------------------------------------------------------------------------


class _Watch:
    """What is known of one hub: when it last made progress.

    Progress is a switch between greenlets, or a look at the poller since then (a greenlet that is
    alone takes turns with itself, by looks alone).  When such a look was is not known: not later
    than when the watchdog hears of it, which may be late, if C code keeps the GIL.

    A hub may be blocked and go on before the watchdog gets to run.  Whoever switches sees that.
    """

    def __init__(self, hub: Hub, threshold: float) -> None:
        self.hub = weakref.ref(hub)
        self.threshold = threshold
        self.lock = threading.RLock()  # a signal handler may switch in the midst of `trace`
        self.looking = False  # the hub itself runs, and may sleep in its poller
        self.progress = time.monotonic()
        self.polls = 0  # looks until the last switch, or the last that the watchdog has heard of
        self.reported = False
        self.missed: str | None = None  # a report that the watchdog was too late for

    def trace(self, before: Callable[..., Any] | None, event: str, args: Any) -> None:
        """greenlet.settrace calls it at every switch of the thread."""
        hub = self.hub()
        with self.lock:
            if hub is not None:
                self._switched(hub, event in {"switch", "throw"} and args)
        if before is not None:
            before(event, args)

    def _switched(self, hub: Hub, ends: Any) -> None:
        now, polls = time.monotonic(), _polls_of(hub)
        # The switch may follow a poll, which told where to switch to.
        if ends and 0 <= polls - self.polls <= 1 and self._is_over(now):
            culprit = ends[0]
            others = hub.alive - {culprit}
            where = _stack(_frames(culprit.gr_frame)) or f"  in {culprit!r}"
            self.missed = self._describe(hub, now, len(others), where)
        self.progress, self.polls, self.reported = now, polls, False
        self.looking = bool(ends) and ends[1] is hub.greenlet

    def _is_over(self, now: float) -> bool:
        """Is there a report to be made?"""
        return not (self.looking or self.reported) and now - self.progress >= self.threshold

    def check(self, hub: Hub) -> None:
        with self.lock:
            report, self.missed = self.missed, None
            now, polls = time.monotonic(), _polls_of(hub)
            if polls != self.polls:
                self.progress, self.polls, self.reported = now, polls, False
            elif self._is_over(now):
                report = self._culprit_of(hub, now)
        if report:
            log.warning("%s", report)

    def _culprit_of(self, hub: Hub, now: float) -> str | None:
        frames = _frames(sys._current_frames().get(hub.thread))
        if not frames or frames[0].f_code is _Watch.trace.__code__:
            return None  # it has just switched, and `trace` waits for the lock
        self.reported = True
        others = _engine.hub_counts(hub)[1]
        return self._describe(hub, now, others, _stack(frames))

    def _describe(self, hub: Hub, now: float, others: int, where: str) -> str | None:
        if not others:  # no other is kept from running
            return None
        return (
            f"the hub of thread {hub.thread:#x} has been blocked for {now - self.progress:.2f} s; "
            f"{others} other greenlets cannot run\n{where}"
        )


def _polls_of(hub: Hub) -> int:
    return _engine.hub_poller(hub).stats().polls


def _frames(innermost: FrameType | None) -> list[FrameType]:
    """In one call in C, the innermost first: a frame that ends meanwhile loses its way back."""
    way_back: Any = accumulate(chain([innermost], repeat("f_back")), cast("Any", getattr))
    return list(takewhile(bool, way_back))


def _stack(frames: list[FrameType]) -> str:
    places = traceback.StackSummary.extract((frame, frame.f_lineno) for frame in frames[::-1])
    return "".join(places.format()).rstrip()


class _Watchdog:
    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.watches: list[_Watch] = []
        self.locked: list[Any] = []  # their locks, during a fork
        self.lock = threading.RLock()
        self.thread: threading.Thread | None = None
        if hasattr(os, "register_at_fork"):
            # The thread that forks has the locks meanwhile: hooks that run before ours may use a
            # hub.
            os.register_at_fork(
                before=self._before_fork,
                after_in_parent=self._release,
                after_in_child=self._after_fork,
            )

    def watch(self, hub: Hub) -> None:
        import greenlet

        watch = _Watch(hub, self.threshold)
        greenlet.settrace(functools.partial(watch.trace, greenlet.gettrace()))
        with self.lock:
            self.watches.append(watch)
            if self.thread is None:
                self._start()

    def _start(self) -> None:
        self.thread = threading.Thread(target=self._run, name="netpoll watchdog", daemon=True)
        self.thread.start()

    def _before_fork(self) -> None:
        self.lock.acquire()
        self.locked = [watch.lock for watch in self.watches]
        for lock in self.locked:
            lock.acquire()

    def _release(self) -> None:
        for lock in self.locked:
            lock.release()
        self.lock.release()

    def _after_fork(self) -> None:
        self._release()
        if self.thread is not None:
            self._start()

    def _run(self) -> None:
        while True:
            time.sleep(self.threshold / 4)
            with self.lock:
                watches = self.watches = [
                    watch for watch in self.watches if watch.hub() is not None
                ]
            for watch in watches:
                hub = watch.hub()
                if hub is not None and not hub.finished:
                    watch.check(hub)
                del hub
