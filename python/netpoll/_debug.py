"""The debug mode, NETPOLL_DEBUG=1: what is worth its price only when something is wrong.

* It is remembered where each descriptor, poller and socket was opened; a leak is warned of with
  that stack, and `dump` names the place.
* A watchdog thread looks at the hubs.  One whose greenlets have not given each other a turn for
  NETPOLL_DEBUG_BLOCKED seconds (0.5) is reported through `logging`, with the stack of the culprit.

Nothing of this is there when the mode is off: the methods concerned are replaced when it is
switched on, which is when the package is imported.
"""

from __future__ import annotations

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

from netpoll import _api, _hooks
from netpoll._dump import opened, stack

if TYPE_CHECKING:
    from netpoll.green import Hub

BLOCKED = 0.5  # seconds; the default of NETPOLL_DEBUG_BLOCKED

log = logging.getLogger("netpoll")


def switch_on() -> None:
    """Before anything was opened."""
    _remember_places(_api.PollDesc, _is_unclosed_desc)
    _remember_places(_api.Poller, _is_unclosed_poller)
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


def _is_unclosed_desc(desc: Any) -> bool:
    return bool(desc._unclosed())


def _is_unclosed_poller(poller: Any) -> bool:
    return not (poller.closed or poller._implicit)


def _is_unclosed_socket(sock: Any) -> bool:
    return bool(sock.fileno() >= 0)


def _remember_places(kind: Any, is_unclosed: Callable[[Any], bool]) -> None:
    """It is known where every object was made, and said if it is never closed."""
    for name in ("__init__", "_adopt"):
        if hasattr(kind, name):
            setattr(kind, name, _remembering(getattr(kind, name)))
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


def _remembering(start: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(start)
    def remember(self: Any, *args: Any, **kwargs: Any) -> None:
        opened[id(self)] = stack(sys._getframe(1))
        start(self, *args, **kwargs)

    return remember


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
        now, polls = time.monotonic(), hub.poller.stats().polls
        # Whoever switches may have looked once just before, to see whom to switch to.
        if ends and 0 <= polls - self.polls <= 1 and self._is_over(now):
            culprit = ends[0]
            others = hub.alive - {culprit}
            where = _stack(_frames(culprit.gr_frame)) or f"  in {culprit!r}"
            self.missed = self._describe(hub, now, len(others), where)
        self.progress, self.polls, self.reported = now, polls, False
        self.looking = bool(ends) and ends[1] is hub

    def _is_over(self, now: float) -> bool:
        """Is there a report to be made?"""
        return not (self.looking or self.reported) and now - self.progress >= self.threshold

    def check(self, hub: Hub) -> None:
        with self.lock:
            report, self.missed = self.missed, None
            now, polls = time.monotonic(), hub.poller.stats().polls
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
        # Of those that have started, the one that runs has no frame of its own.
        others = [g for g in tuple(hub.alive) if not g or g.gr_frame is not None]
        return self._describe(hub, now, len(others), _stack(frames))

    def _describe(self, hub: Hub, now: float, others: int, where: str) -> str | None:
        if not others:  # nobody is kept from running
            return None
        return (
            f"the hub of thread {hub.thread:#x} has been blocked for {now - self.progress:.2f} s; "
            f"{others} other greenlets cannot run\n{where}"
        )


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
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

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

    def _after_fork(self) -> None:
        self.lock = threading.Lock()
        for watch in self.watches:
            watch.lock = threading.RLock()
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
                if hub is not None and not hub._finished:
                    watch.check(hub)
                del hub
