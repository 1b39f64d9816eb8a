"""The loops that netpoll is embedded in, each in a thread of its own, behind one face.

A scenario is plain code in the test's thread.  It has tasks of a loop wait, and does to their
descriptors what anybody may do from another thread.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest
from netpoll import READ, WRITE, PollDesc, Poller
from support import LONG, WINE, until


class Cancelled(Exception):
    """What a cancellation looks like from outside."""


class Waiting:
    """A task that waits, or does more, and what became of it."""

    def __init__(self, future: Future[Any], cancel: Callable[[], object]) -> None:
        self._future = future
        self.cancel = cancel  # ask for it; does not wait until it is done

    @property
    def done(self) -> bool:
        return self._future.done()

    def result(self) -> Any:
        return self._future.result(LONG)

    def raises(self, kind: type[BaseException]) -> BaseException:
        """Assert that an exception of exactly this class ended it; give the exception."""
        error = self._future.exception(LONG)
        assert type(error) is kind, repr(error or "no error")
        return error

    def cancelled(self) -> bool:
        """Was it the cancellation that ended it?"""
        return isinstance(self._future.exception(LONG), Cancelled)


class Loop(ABC):
    """A running loop.  A context manager."""

    def __init__(self) -> None:
        self._running = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Loop:
        self._thread.start()
        assert self._running.wait(LONG)
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()
        self._thread.join(LONG)
        assert not self._thread.is_alive(), "the loop does not end"

    @abstractmethod
    def _run(self) -> None:
        """Run the loop until it is stopped; tell when it runs."""

    @abstractmethod
    def _stop(self) -> None:
        """From outside."""

    @abstractmethod
    def wait(self, desc: PollDesc, mode: int = READ) -> Waiting:
        """A task waits, once."""

    @abstractmethod
    def bounce(
        self, desc: PollDesc, receive: Callable[[], Any], send: Callable[[], Any]
    ) -> Waiting:
        """A task goes on receiving, and sends for each time, until receive gives what is false."""

    def parked(self, poller: Poller, readers: int = 0, writers: int = 0) -> None:
        """Wait until so many are parked."""

        def enough() -> bool:
            stats = poller.stats()
            return (stats.parked_readers, stats.parked_writers) == (readers, writers)

        until(enough, f"{readers} readers and {writers} writers are parked")

    def waiting(self, desc: PollDesc, mode: int = READ) -> Waiting:
        """`wait`, once it is parked; nobody else waits on the poller."""
        waiting = self.wait(desc, mode)
        self.parked(desc.poller, readers=mode == READ, writers=mode == WRITE)
        return waiting


# --- asyncio, uvloop ------------------------------------------------------------------------------


class AsyncioLoop(Loop):
    def __init__(self, make: Callable[[], asyncio.AbstractEventLoop]) -> None:
        super().__init__()
        self._loop = make()

    def _run(self) -> None:
        self._loop.call_soon(self._running.set)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    def wait(self, desc: PollDesc, mode: int = READ) -> Waiting:
        from netpoll.adapters.asyncio import wait

        return self._task(partial(wait, desc, mode))

    def bounce(
        self, desc: PollDesc, receive: Callable[[], Any], send: Callable[[], Any]
    ) -> Waiting:
        from netpoll.adapters.asyncio import wait

        return self._task(partial(_bounce, wait, desc, receive, send))

    def _task(self, function: Callable[[], Any]) -> Waiting:
        done: Future[Any] = Future()
        done.set_running_or_notify_cancel()
        task: list[asyncio.Task[Any]] = []

        async def main() -> None:
            try:
                done.set_result(await function())
            except asyncio.CancelledError:
                done.set_exception(Cancelled())
            except BaseException as error:
                done.set_exception(error)

        def start() -> None:
            task.append(self._loop.create_task(main()))

        def cancel() -> None:
            task[0].cancel()

        self._loop.call_soon_threadsafe(start)
        return Waiting(done, partial(self._loop.call_soon_threadsafe, cancel))


async def _bounce(
    wait: Any, desc: PollDesc, receive: Callable[[], Any], send: Callable[[], Any]
) -> int:
    turns = 0
    while True:
        desc.reset(READ)
        try:
            if not receive():
                return turns
        except BlockingIOError:
            await wait(desc, READ)
        else:
            turns += 1
            send()


# --- trio -----------------------------------------------------------------------------------------


class TrioLoop(Loop):
    _token: Any
    _nursery: Any

    def _run(self) -> None:
        import trio

        trio.run(self._main)

    async def _main(self) -> None:
        import trio

        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as self._nursery:
            self._running.set()
            await trio.sleep_forever()

    def _stop(self) -> None:
        self._token.run_sync_soon(self._nursery.cancel_scope.cancel)

    def wait(self, desc: PollDesc, mode: int = READ) -> Waiting:
        from netpoll.adapters.trio import wait

        return self._task(partial(wait, desc, mode))

    def bounce(
        self, desc: PollDesc, receive: Callable[[], Any], send: Callable[[], Any]
    ) -> Waiting:
        from netpoll.adapters.trio import wait

        return self._task(partial(_bounce, wait, desc, receive, send))

    def _task(self, function: Callable[[], Any]) -> Waiting:
        import trio

        done: Future[Any] = Future()
        done.set_running_or_notify_cancel()
        scope = trio.CancelScope()

        async def main() -> None:
            try:
                with scope:
                    done.set_result(await function())
            except BaseException as error:
                done.set_exception(error)
            if scope.cancelled_caught:
                done.set_exception(Cancelled())

        self._token.run_sync_soon(self._nursery.start_soon, main)
        return Waiting(done, lambda: self._token.run_sync_soon(scope.cancel))


# --- gevent ---------------------------------------------------------------------------------------


class GeventLoop(Loop):
    _hub: Any
    _ended: Any

    def _run(self) -> None:
        import gevent
        from gevent.event import Event

        self._hub = gevent.get_hub()
        self._ended = Event()
        alive = self._hub.loop.async_()  # else a hub with nothing to do complains
        alive.start(lambda: None)
        self._running.set()
        self._ended.wait()
        alive.stop()
        alive.close()
        self._hub.destroy(destroy_loop=True)

    def _call(self, function: Callable[[], Any]) -> None:
        self._hub.loop.run_callback_threadsafe(function)

    def _stop(self) -> None:
        self._call(self._ended.set)

    def wait(self, desc: PollDesc, mode: int = READ) -> Waiting:
        from netpoll.adapters.gevent import wait

        return self._task(partial(wait, desc, mode))

    def bounce(
        self, desc: PollDesc, receive: Callable[[], Any], send: Callable[[], Any]
    ) -> Waiting:
        from netpoll.adapters.gevent import wait

        def bounce() -> int:
            turns = 0
            while True:
                desc.reset(READ)
                try:
                    if not receive():
                        return turns
                except BlockingIOError:
                    wait(desc, READ)
                else:
                    turns += 1
                    send()

        return self._task(bounce)

    def _task(self, function: Callable[[], Any]) -> Waiting:
        import gevent

        done: Future[Any] = Future()
        done.set_running_or_notify_cancel()
        greenlets: list[Any] = []

        def main() -> None:
            try:
                done.set_result(function())
            except gevent.GreenletExit:
                done.set_exception(Cancelled())
            except BaseException as error:
                done.set_exception(error)

        self._call(lambda: greenlets.append(gevent.spawn(main)))
        return Waiting(done, lambda: self._call(lambda: greenlets[0].kill(block=False)))


# --- all of them ----------------------------------------------------------------------------------


def _asyncio() -> Loop:
    return AsyncioLoop(asyncio.SelectorEventLoop)


def _asyncio_on_netpoll() -> Loop:
    from netpoll.adapters.selectors import PollerSelector

    return AsyncioLoop(lambda: asyncio.SelectorEventLoop(PollerSelector()))


def _proactor() -> Loop:
    if sys.platform != "win32":
        pytest.skip("asyncio's proactor loop is Windows'")
    return AsyncioLoop(asyncio.ProactorEventLoop)


def _uvloop() -> Loop:
    if sys.platform == "win32":
        pytest.skip("uvloop is not for Windows")
    return AsyncioLoop(pytest.importorskip("uvloop").new_event_loop)


def _trio() -> Loop:
    if WINE:
        pytest.skip("trio asks for the base of a socket, which Wine cannot tell")
    pytest.importorskip("trio")
    return TrioLoop()


def _gevent() -> Loop:
    pytest.importorskip("gevent")
    return GeventLoop()


LOOPS: dict[str, Callable[[], Loop]] = {
    "asyncio": _asyncio,
    "asyncio on PollerSelector": _asyncio_on_netpoll,
    "asyncio's proactor": _proactor,
    "uvloop": _uvloop,
    "trio": _trio,
    "gevent": _gevent,
}
