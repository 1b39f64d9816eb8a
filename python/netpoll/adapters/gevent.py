"""gevent's greenlets wait on netpoll's descriptors, beside gevent's own sockets.

from netpoll.adapters.gevent import wait

def receive(sock, desc):
    while True:
        desc.reset(READ)
        try:
            return sock.recv(4096)
        except BlockingIOError:
            wait(desc, READ)
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
from gevent import monkey
from gevent.hub import Waiter

from netpoll import PollDesc, Poller
from netpoll.adapters._nest import FdWatch, LoopWatches, ThreadWatch, Wait, Watch, deliver_ready

__all__ = ["wait"]


def wait(desc: PollDesc, mode: int) -> None:
    """`PollDesc.wait` for a greenlet of gevent: the others of its hub run meanwhile.

    The descriptor may be open on any poller; the hub watches that one while greenlets wait on it.
    Deadlines, `unblock` and `close` end the wait as they do in a thread.  A kill or a
    `gevent.Timeout` withdraws it, and a notification that was on its way stays for the next waiter.

    :raises ClosedError, DeadlineExceeded, NotPollableError, BusyError: as `PollDesc.wait`.
    """
    hub = gevent.get_hub()
    greenlet = _GreenletWait(_watches_of(hub), desc, mode)
    greenlet.waiter = Waiter(hub)
    with greenlet.inside, greenlet:
        try:
            while greenlet.park():
                greenlet.waiter.get()
                if greenlet.resume():
                    break
                greenlet.waiter = Waiter(hub)
        finally:
            if greenlet.parked:
                greenlet.cancel()


class _GreenletWait(Wait):
    waiter: Any

    def _who(self) -> object:
        return self.waiter.greenlet

    def _abandoned(self) -> bool:
        hub = self.waiter.hub
        if hub.loop is None or hub.dead:
            return True
        # greenlet may learn late that a thread has ended; and its number may be another's by then.
        return hub.thread_ident not in sys._current_frames()

    def notify(self) -> None:
        waiter = self.waiter
        if gevent.getcurrent() is waiter.hub:
            waiter.switch(None)
        else:
            _call_soon(waiter.hub, partial(waiter.switch, None))


def _call_soon(hub: Any, call: Callable[[], object]) -> None:
    """From any thread.  A hub that was destroyed meanwhile has no greenlets to run."""
    if hub.loop is not None:
        hub.loop.run_callback_threadsafe(call)


class _HubWatches(LoopWatches):
    def __init__(self, hub: Any) -> None:
        super().__init__()
        self.hub = weakref.ref(hub)  # weakly, as this is filed under it

    def call_soon(self, function: Callable[[], object]) -> None:
        hub = self.hub()
        if hub is not None:
            _call_soon(hub, function)

    def _watch_fd(self, poller: Poller) -> Watch:
        return _HubWatch(self, poller)

    def _watch_by_thread(self, poller: Poller) -> Watch:
        return _HubThreadWatch(self, poller)


class _HubWatch(FdWatch):
    """To start and stop a watcher of gevent costs no system call; a started one keeps the hub
    waiting.
    """

    def __init__(self, watches: _HubWatches, poller: Poller) -> None:
        self._watches = watches
        super().__init__(poller)
        self._io: Any = gevent.get_hub().loop.io(self.fd, 1)

    def busy(self) -> None:
        if not self._io.active:
            self._io.start(deliver_ready, self.poller)

    def idle(self) -> None:
        self._io.stop()

    def wake(self) -> None:
        hub = self._watches.hub()
        if hub is None:
            return
        if threading.get_ident() == hub.thread_ident:
            self._poller_closed()
        else:
            _call_soon(hub, self._poller_closed)

    def _poller_closed(self) -> None:
        self._watches.forget(self)
        hub = self._watches.hub()
        if hub is not None and hub.loop is not None:  # a hub takes its watchers along
            self._io.stop()
            self._io.close()
        self.release()
        deliver_ready(self.poller)


class _HubThreadWatch(ThreadWatch):
    """A hub that nothing but our thread could wake would complain: something must be started.

    It ends at once when idle: a hub must not be destroyed while something is to run in it soon.
    """

    def __init__(self, watches: _HubWatches, poller: Poller) -> None:
        self._keeps: Any = gevent.get_hub().loop.async_()
        super().__init__(watches, poller)

    def _start_thread(self) -> None:
        """`threading` may be patched, and a greenlet that polls would stop the hub."""
        monkey.get_original("_thread", "start_new_thread")(self._drive, ())

    def busy(self) -> None:
        if not self._keeps.active:
            self._keeps.start(int)
        super().busy()

    def idle(self) -> None:
        self._end_if_idle()

    def _end(self) -> None:
        super()._end()
        if gevent.get_hub().loop is not None:  # a hub takes its watchers along
            self._keeps.stop()
            self._keeps.close()


_watches_by_hub: weakref.WeakKeyDictionary[Any, _HubWatches] = weakref.WeakKeyDictionary()


def _watches_of(hub: Any) -> _HubWatches:
    watches = _watches_by_hub.get(hub)
    if watches is None:
        watches = _watches_by_hub[hub] = _HubWatches(hub)
    return watches
