"""Pollers and their descriptors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import netpoll
from netpoll import READ, WRITE, ClosedError, DeadlineExceeded, PollDesc, Poller
from scenarios_sockets import ended
from world import Act, World, demand, demand_error, with_both, with_threads


def described(world: World, poller: Poller | None = None) -> tuple[PollDesc, Any]:
    """A descriptor that can be waited on afterwards, and its peer."""
    ours, peer = world.pair(usable=False)
    ours.setblocking(False)
    desc = world.open(ours, poller)

    def still_waits() -> None:
        desc.set_deadline(world.patience)
        for mode in (READ, WRITE):
            peer.send(b"x")
            try:
                desc.wait(mode)
            except OSError as error:
                demand(False, f"a later wait: {error!r}")

    world.check(still_waits)
    return desc, peer


@with_both
def open_and_close(world: World) -> Act:
    ours, _ = world.pair()

    def act() -> None:
        with netpoll.open(ours) as desc:
            desc.fileno()

    return act


@with_both
def make_a_poller(world: World) -> Act:
    ours, _ = world.pair()

    def act() -> None:
        with Poller() as poller:
            poller.open(ours).close()

    return act


@with_both
def wait(world: World) -> Act:
    desc, peer = described(world)
    world.soon(peer.send, b"x")

    def act() -> None:
        desc.reset(READ)
        desc.wait(READ)

    return act


@with_both
def wait_canceled(world: World) -> Act:
    desc, peer = described(world)
    world.soon(peer.send, b"x")

    def act() -> None:
        desc.wait_canceled(READ)

    return act


@with_both
def wait_until_the_deadline(world: World) -> Act:
    desc, _ = described(world)

    def act() -> None:
        desc.set_deadline(0.0005)
        demand_error(DeadlineExceeded, desc.wait, READ)
        desc.set_deadline(None)

    return act


@with_both
def move_a_deadline(world: World) -> Act:
    desc, _ = described(world)
    world.actor(ended, desc.wait, READ)
    world.release(desc.set_deadline, 0)

    def act() -> None:
        desc.set_deadline(1000, READ)
        desc.set_deadline(0.0003)
        desc.deadline(READ)

    return act


def _end_another(how: Callable[[PollDesc], object]) -> Callable[[World], Act]:
    def prepare(world: World) -> Act:
        ours, _ = world.pair(usable=False)
        desc = world.open(ours)
        world.actor(ended, desc.wait, READ)
        world.release(how, desc)
        return lambda: how(desc)

    return prepare


@with_both
def unblock(world: World) -> Act:
    return _end_another(PollDesc.unblock)(world)


@with_both
def close_a_descriptor(world: World) -> Act:
    return _end_another(PollDesc.close)(world)


def forget(desc: PollDesc) -> None:
    """What a scheduler does that does not know whether its token is parked, or came out."""
    if not desc.cancel(READ):
        desc.poller.poll(0)
        desc.resume(READ)


@with_both
def park_and_resume(world: World) -> Act:
    poller = world.poller()
    desc, peer = described(world, poller)
    world.release(forget, desc)

    def act() -> None:
        while desc.park(READ, "token"):
            peer.send(b"x")
            while "token" not in poller.poll(1):
                pass
            if desc.resume(READ):
                break

    return act


@with_both
def park_and_cancel(world: World) -> Act:
    desc, _ = described(world, world.poller())
    world.release(forget, desc)

    def act() -> None:
        desc.park(READ, "token")
        demand(desc.cancel(READ), "it is not parked")

    return act


@with_threads
def poll_until_woken(world: World) -> Act:
    poller = world.poller()
    world.soon(poller.wake)

    def act() -> None:
        poller.poll(None)

    return act


@with_both
def poll_for_a_while(world: World) -> Act:
    poller = world.poller()

    def act() -> None:
        poller.poll(0.0003)
        poller.next_deadline()
        poller.stats()
        poller.fileno()

    return act


@with_both
def close_a_poller(world: World) -> Act:
    poller = world.poller()
    ours, _ = world.pair(usable=False)
    desc = world.open(ours, poller)
    world.actor(ended, desc.wait, READ)
    world.release(poller.close)

    def act() -> None:
        poller.close()

    return act


@with_both
def close_a_poller_that_is_polled(world: World) -> Act:
    poller = world.poller()
    world.thread(ended, poller.poll, None)
    world.release(poller.close)

    def act() -> None:
        poller.close()

    return act


@with_both
def describe(world: World) -> Act:
    desc, _ = described(world, world.poller())

    def act() -> None:
        desc.set_deadline(1000)
        repr(desc)
        repr(desc.poller)
        netpoll.is_poll_descriptor(desc.fd)
        desc.set_deadline(None)

    return act


@with_threads
def wait_for_one_that_is_closed(world: World) -> Act:
    ours, _ = world.pair(usable=False)
    desc = world.open(ours)
    world.soon(desc.close)

    def act() -> None:
        demand_error(ClosedError, desc.wait, READ)

    return act
