"""What only trio has: cancel scopes, checkpoints, its own sockets beside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from netpoll import READ, BusyError, ClosedError, DeadlineExceeded, Poller
from netpoll.adapters._nest import deliver_ready
from support import LONG, WINE, Sockets

if WINE:
    pytest.skip("trio asks Wine for what it cannot tell", allow_module_level=True)
trio = pytest.importorskip("trio")

from netpoll.adapters.trio import wait  # noqa: E402
from trio.testing import assert_checkpoints, wait_all_tasks_blocked  # noqa: E402

pytestmark = pytest.mark.usefixtures("watched")


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        with trio.fail_after(LONG):
            await main()

    trio.run(bounded)


@pytest.mark.rule(1)
def test_a_cancel_scope_withdraws_the_wait(poller: Poller, sockets: Sockets) -> None:
    a, b = sockets.pair()

    async def main() -> None:
        with poller.open(a) as desc:
            with trio.move_on_after(0.01) as scope:
                await wait(desc, READ)
            assert scope.cancelled_caught
            assert not poller.stats().parked_readers
            b.send(b"x")
            await wait(desc, READ)

    run(main)


@pytest.mark.rule(1)
@pytest.mark.parametrize("watched", ["descriptor"], indirect=True)  # a thread only tells the run
def test_a_notification_that_came_first_wins_over_the_cancellation(
    poller: Poller, sockets: Sockets
) -> None:
    """trio has scheduled the task already: it must not be told that nothing happened."""
    a, b = sockets.pair()
    outcome = []

    async def task(desc: object) -> None:
        await wait(desc, READ)
        outcome.append("ready")

    async def main() -> None:
        with poller.open(a) as desc:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(task, desc)
                await wait_all_tasks_blocked()
                b.send(b"x")
                deliver_ready(poller)
                nursery.cancel_scope.cancel()
        assert outcome == ["ready"]

    run(main)


def test_it_is_a_checkpoint_whether_it_waits_or_not(poller: Poller, sockets: Sockets) -> None:
    a, b = sockets.pair()

    async def main() -> None:
        with poller.open(a) as desc:
            b.send(b"x")
            with assert_checkpoints():
                await wait(desc, READ)
            a.recv(1)
            desc.reset(READ)
            b.send(b"x")
            deliver_ready(poller)
            with trio.CancelScope() as scope:
                scope.cancel()
                await wait(desc, READ)
            assert scope.cancelled_caught
            await wait(desc, READ)  # what was ready then is so now

    run(main)


def test_its_own_sockets_and_deadlines_work_beside(poller: Poller, sockets: Sockets) -> None:
    a, b = sockets.pair()

    async def main() -> None:
        ours, theirs = trio.socket.socketpair()
        with ours, theirs, poller.open(a) as desc:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ours.recv, 1)
                await wait_all_tasks_blocked()
                desc.set_deadline(0.01)
                with pytest.raises(DeadlineExceeded):
                    await wait(desc, READ)
                await theirs.send(b"x")
            desc.set_deadline(None)
            b.send(b"x")
            await wait(desc, READ)

    run(main)


def test_the_poller_closed_by_a_task_of_the_same_run(poller: Poller, sockets: Sockets) -> None:
    async def task(desc: object) -> None:
        with pytest.raises(ClosedError):
            await wait(desc, READ)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(task, poller.open(sockets.pair()[0]))
            await wait_all_tasks_blocked()
            poller.close()

    run(main)


def test_an_error_of_one_wait_cancels_its_siblings_and_nothing_else(
    poller: Poller, sockets: Sockets
) -> None:
    a, b = sockets.pair()
    c, _ = sockets.pair()

    async def main() -> None:
        with poller.open(a) as first, poller.open(c) as second:
            with pytest.raises(BaseException) as caught:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(wait, second, READ)
                    nursery.start_soon(wait, first, READ)
                    await wait_all_tasks_blocked()
                    nursery.start_soon(wait, first, READ)
            assert [type(error) for error in caught.value.exceptions] == [BusyError]
            assert not poller.stats().parked_readers
            b.send(b"x")
            await wait(first, READ)

    run(main)
