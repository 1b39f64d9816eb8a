"""What stands on pollers: other loops, selectors, queues."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from netpoll import READ, WRITE, Poller
from netpoll.adapters import asyncio as asyncio_adapter
from netpoll.adapters import level
from netpoll.adapters.selectors import PollerSelector
from netpoll.sync import LifoQueue
from scenarios_pollers import described
from scenarios_sockets import ended
from world import Act, World, demand, with_both, with_threads

# --- selectors ------------------------------------------------------------------------------------


def selector_of(world: World) -> PollerSelector:
    selector = PollerSelector()
    world.closed_at_the_end(selector)
    return selector


def still_selects(world: World, selector: PollerSelector, ours: Any, peer: Any) -> None:
    """Whatever was cut off: registered anew, it is reported as ready, and then no more."""
    with contextlib.suppress(KeyError):
        selector.unregister(ours)
    selector.register(ours, READ)
    peer.send(b"x")
    found = selector.select(world.patience)
    demand([(key.fileobj, events) for key, events in found] == [(ours, READ)], f"select: {found}")
    ours.recv(100)
    demand(selector.select(0) == [], "a later select finds what is not there")


@with_threads
def selector_register(world: World) -> Act:
    selector = selector_of(world)
    ours, peer = world.pair()
    world.check(still_selects, world, selector, ours, peer)

    def act() -> None:
        selector.register(ours, READ)
        selector.modify(ours, READ | WRITE)
        selector.unregister(ours)

    return act


@with_threads
def selector_select(world: World) -> Act:
    """Nothing that was registered is forgotten."""
    selector = selector_of(world)
    pairs = [world.pair() for _ in range(3)]
    for ours, _ in pairs:
        selector.register(ours, READ)

    def still_there() -> None:
        for _ours, peer in pairs:
            peer.send(b"x")
        waiting = {ours for ours, _ in pairs}
        while waiting:
            found = selector.select(world.patience)
            demand(found, f"a later select finds nothing of {waiting}")
            waiting -= {key.fileobj for key, _ in found}

    world.check(still_there)

    def act() -> None:
        pairs[0][1].send(b"x")
        pairs[1][1].send(b"x")
        selector.select(1)
        pairs[0][0].recv(1)
        selector.select(0)
        selector.select(0)

    return act


@with_threads
def selector_close(world: World) -> Act:
    selector = selector_of(world)
    ours, _ = world.pair()
    selector.register(ours, READ)

    def act() -> None:
        selector.close()

    return act


@with_threads
def make_a_selector(world: World) -> Act:
    def act() -> None:
        with PollerSelector() as selector:
            selector.get_map()

    return act


@with_threads
def asyncio_on_a_selector(world: World) -> Act:
    ours, peer = world.pair(usable=False)
    ours.setblocking(False)

    async def receive() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(0.0003, peer.send, b"x")
        await loop.sock_recv(ours, 1)

    loop = asyncio.SelectorEventLoop(PollerSelector())
    world.closed_at_the_end(loop)
    world.ours_only()

    def act() -> None:
        try:
            loop.run_until_complete(receive())
        finally:
            loop.close()

    return act


# --- asyncio --------------------------------------------------------------------------------------


def run_in_loop(world: World, task: Coroutine[Any, Any, object]) -> None:
    """As `asyncio.run`, but that it prints nothing of what has ended a task."""
    loop = asyncio.new_event_loop()
    world.closed_at_the_end(loop)  # and not collected before, which asyncio does in Python
    loop.set_exception_handler(lambda *_: None)
    try:
        loop.run_until_complete(task)
    finally:
        if tasks := asyncio.all_tasks(loop):
            for one in tasks:
                one.cancel()
            loop.run_until_complete(asyncio.wait(tasks, timeout=world.patience))
        loop.close()


@with_threads
def asyncio_wait(world: World) -> Act:
    desc, peer = described(world, world.poller())

    world.ours_only()

    async def receive() -> None:
        asyncio.get_running_loop().call_later(0.0003, peer.send, b"x")
        await asyncio_adapter.wait(desc, READ)

    def act() -> None:
        run_in_loop(world, receive())

    return act


@with_threads
def asyncio_cancel(world: World) -> Act:
    desc, _ = described(world, world.poller())

    world.ours_only()

    async def receive() -> None:
        waiting = asyncio.ensure_future(asyncio_adapter.wait(desc, READ))
        await asyncio.sleep(0.0003)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting

    def act() -> None:
        run_in_loop(world, receive())

    return act


@with_threads
def asyncio_two_waits(world: World) -> Act:
    poller = world.poller()
    (first, one), (second, two) = described(world, poller), described(world, poller)

    world.ours_only()

    async def receive() -> None:
        loop = asyncio.get_running_loop()
        for peer in (one, two):
            loop.call_later(0.0003, peer.send, b"x")
        await asyncio.gather(*(asyncio_adapter.wait(desc, READ) for desc in (first, second)))

    def act() -> None:
        run_in_loop(world, receive())

    return act


@with_threads
def asyncio_poller_closed(world: World) -> Act:
    poller = Poller()
    world.closed_at_the_end(poller)
    ours, _ = world.pair(usable=False)
    desc = world.open(ours, poller)

    world.ours_only()

    async def receive() -> None:
        asyncio.get_running_loop().call_later(0.0003, poller.close)
        await asyncio_adapter.wait(desc, READ)

    def act() -> None:
        ended(run_in_loop, world, receive())

    return act


# --- level ----------------------------------------------------------------------------------------


@with_both
def wait_by_level(world: World) -> Act:
    desc, peer = described(world)
    world.soon(peer.send, b"x")

    def act() -> None:
        demand(level.is_ready(desc, READ | WRITE) & WRITE != 0, "it is ready")
        level.wait_level(desc, READ)

    return act


@with_both
def wait_for_either_mode(world: World) -> Act:
    """Neither is ready: nothing to read, and no room to write."""
    desc, peer = described(world)
    world.fill(desc)
    world.release(world.drain, peer)
    world.soon(peer.send, b"x")

    def act() -> None:
        demand(level.wait_level(desc, READ | WRITE) & READ, "another mode")

    return act


# --- queues ---------------------------------------------------------------------------------------


def still_serves(world: World, queue: LifoQueue) -> None:
    """And nothing is lost but what the one that was struck had in its hand."""
    while not queue.empty():
        queue.get(timeout=world.patience)
    queue.put("later", timeout=world.patience)
    demand(queue.get(timeout=world.patience) == "later", "a later get gave something else")


@with_both
def queue_put_and_get(world: World) -> Act:
    queue = LifoQueue(1)
    world.check(still_serves, world, queue)

    def act() -> None:
        queue.put(1)
        queue.get()

    return act


@with_both
def queue_get_waits(world: World) -> Act:
    queue = LifoQueue()
    world.soon(queue.put, 1)
    world.check(still_serves, world, queue)

    def act() -> None:
        demand(queue.get() == 1, "get gave something else")

    return act


@with_both
def queue_put_waits(world: World) -> Act:
    queue = LifoQueue(1)
    queue.put(1)
    world.soon(queue.get)
    world.check(still_serves, world, queue)

    def act() -> None:
        queue.put(2)

    return act


@with_both
def queue_put_for_another(world: World) -> Act:
    """The other gets it, or one that is put later."""
    queue = LifoQueue()
    world.actor(queue.get)
    world.release(queue.put, 2)
    world.check(still_serves, world, queue)

    def act() -> None:
        queue.put(1)

    return act


@with_both
def queue_get_in_vain(world: World) -> Act:
    queue = LifoQueue()
    world.check(still_serves, world, queue)

    def act() -> None:
        with contextlib.suppress(Exception):
            queue.get(timeout=0.0003)

    return act
