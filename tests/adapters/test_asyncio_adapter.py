"""What only asyncio has: its cancellation at each step, its timeouts, its many short loops."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import netpoll
import pytest
from netpoll import READ, ClosedError, Poller
from netpoll.adapters._nest import deliver_ready
from netpoll.adapters.asyncio import wait
from netpoll.adapters.selectors import PollerSelector
from support import LONG, Sockets, open_fds, until

pytestmark = pytest.mark.usefixtures("watched")


def plain() -> asyncio.AbstractEventLoop:
    return asyncio.SelectorEventLoop()


def on_netpoll() -> asyncio.AbstractEventLoop:
    return asyncio.SelectorEventLoop(PollerSelector())


def uv() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":
        pytest.skip("uvloop is not for Windows")
    return pytest.importorskip("uvloop").new_event_loop()


@pytest.fixture(params=[plain, on_netpoll, uv])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    loop = request.param()

    def run(main: Coroutine[Any, Any, Any]) -> Any:
        try:
            return loop.run_until_complete(asyncio.wait_for(main, LONG))
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    return run


@pytest.mark.rule(1)
def test_a_task_cancelled_between_its_notification_and_its_turn_leaves_it_to_the_next(
    run: Any, poller: Poller, sockets: Sockets
) -> None:
    a, b = sockets.pair()

    async def main() -> None:
        with poller.open(a) as desc:
            task = asyncio.ensure_future(wait(desc, READ))
            await asyncio.sleep(0)
            b.send(b"x")
            deliver_ready(poller)
            until(lambda: not poller.stats().parked_readers, "the token is out")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await wait(desc, READ)

    run(main())


@pytest.mark.rule(1)
def test_a_timeout_of_asyncio_withdraws_the_wait(
    run: Any, poller: Poller, sockets: Sockets
) -> None:
    a, b = sockets.pair()

    async def main() -> None:
        with poller.open(a) as desc:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(wait(desc, READ), 0.01)
            assert not poller.stats().parked_readers
            b.send(b"x")
            await wait(desc, READ)

    run(main())


def test_a_task_that_was_cancelled_before_it_began_leaves_nothing(
    run: Any, poller: Poller, sockets: Sockets
) -> None:
    async def main() -> None:
        with poller.open(sockets.pair()[0]) as desc:
            task = asyncio.ensure_future(wait(desc, READ))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not poller.stats().parked_readers

    run(main())


def test_the_poller_closed_by_a_task_of_the_same_loop(
    run: Any, poller: Poller, sockets: Sockets
) -> None:
    async def main() -> None:
        desc = poller.open(sockets.pair()[0])
        task = asyncio.ensure_future(wait(desc, READ))
        await asyncio.sleep(0)
        poller.close()
        with pytest.raises(ClosedError):
            await task

    run(main())


def test_an_idle_loop_watches_no_poller(
    run: Any, poller: Poller, sockets: Sockets, watched: str
) -> None:
    a, b = sockets.pair()

    def watching() -> set[Any]:
        return open_fds() if watched == "descriptor" else set(threading.enumerate())

    async def main() -> None:
        with poller.open(a) as desc:
            if watched == "descriptor":
                poller.fileno()
            before = watching()
            task = asyncio.ensure_future(wait(desc, READ))
            await asyncio.sleep(0)
            assert len(watching()) == len(before) + 1
            b.send(b"x")
            await task
            while watching() != before:
                await asyncio.sleep(0)

    run(main())


def test_loops_that_come_and_go_leave_nothing_at_a_poller_that_stays(sockets: Sockets) -> None:
    a, b = sockets.pair()
    poller = netpoll.default_poller()
    with poller.open(a) as desc:
        for _ in range(5):
            desc.reset(READ)
            loop = asyncio.SelectorEventLoop()
            loop.call_soon(b.send, b"x")
            loop.run_until_complete(wait(desc, READ))  # and it stops at once
            loop.close()
            a.recv(1)


def test_a_wait_in_one_loop_outlives_the_end_of_another(poller: Poller, sockets: Sockets) -> None:
    (a, b), (c, d) = sockets.pair(), sockets.pair()
    with poller.open(a) as first, poller.open(c) as second:
        ended = threading.Event()

        def other() -> None:
            asyncio.run(wait(second, READ))
            ended.set()

        thread = threading.Thread(target=other)
        thread.start()

        async def main() -> None:
            task = asyncio.ensure_future(wait(first, READ))
            await asyncio.sleep(0)
            d.send(b"x")
            while not ended.is_set():
                await asyncio.sleep(0.001)
            b.send(b"x")
            await task

        until(lambda: poller.stats().parked_readers == 1, "the other loop waits")
        asyncio.run(asyncio.wait_for(main(), LONG))
        thread.join()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout came with Python 3.11")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_task_whose_loop_was_closed_keeps_nobody_out(poller: Poller, sockets: Sockets) -> None:
    """asyncio complains of it, when it is collected."""
    a, b = sockets.pair()
    with poller.open(a) as desc:
        loop = asyncio.new_event_loop()
        task = loop.create_task(wait(desc, READ))
        loop.run_until_complete(asyncio.sleep(0.01))
        assert not task.done()
        loop.close()

        async def next_one() -> None:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(wait(desc, READ), 0.02)
            asyncio.get_running_loop().call_later(0.02, b.send, b"x")
            await asyncio.wait_for(wait(desc, READ), LONG)

        asyncio.run(next_one())
        task._log_destroy_pending = False
        del task, loop
        gc.collect()
        desc.reset(READ)
        a.recv(1)
        assert desc.park(READ, "another's") and desc.cancel(READ)


def test_the_sooner_of_deadline_and_timeout_ends_it(poller: Poller, sockets: Sockets) -> None:
    async def main() -> None:
        with poller.open(sockets.pair()[0]) as desc:
            desc.set_deadline(LONG)
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(0.01):
                    await wait(desc, READ)
            assert not isinstance(caught.value, netpoll.DeadlineExceeded)
            desc.set_deadline(0.01)
            with pytest.raises(netpoll.DeadlineExceeded):
                async with asyncio.timeout(LONG):
                    await wait(desc, READ)

    asyncio.run(main())
