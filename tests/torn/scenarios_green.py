"""Greenlets and their hub."""

from __future__ import annotations

import threading

import netpoll
from netpoll import READ, green
from world import Act, World, demand, with_first_hub, with_greenlets


def nap() -> None:
    green.sleep(0.0003)


@with_first_hub
def make_a_hub(world: World) -> Act:
    def act() -> None:
        green.sleep(0)

    return act


@with_first_hub
def spawn_in_a_new_hub(world: World) -> Act:
    def act() -> None:
        green.spawn(int).join()

    return act


@with_greenlets
def sleep(world: World) -> Act:
    def act() -> None:
        green.sleep(0)
        green.sleep(0.0003)

    return act


@with_greenlets
def sleep_beside_others(world: World) -> Act:
    def act() -> None:
        for seconds in (0.0006, 0, 0.0003):
            green.spawn(green.sleep, seconds)
        green.sleep(0.0009)

    return act


@with_greenlets
def spawn_and_join(world: World) -> Act:
    def act() -> None:
        job = green.spawn(int)
        job.join()
        demand(job.dead, "join was early")

    return act


@with_greenlets
def spawn_and_get(world: World) -> Act:
    def act() -> None:
        demand(green.spawn(int, "7").get() == 7, "get gave something else")

    return act


@with_greenlets
def spawn_in_a_greenlet(world: World) -> Act:
    def parent() -> None:
        green.spawn(nap)
        green.spawn(nap).join()

    def act() -> None:
        green.spawn(parent).join()

    return act


@with_greenlets
def join_one_that_waits(world: World) -> Act:
    def act() -> None:
        job = green.spawn(nap)
        job.join()
        demand(job.dead, "join was early")

    return act


@with_greenlets
def join_by_several(world: World) -> Act:
    job = green.spawn(nap)

    def act() -> None:
        joiners = [green.spawn(job.join) for _ in range(2)]
        job.join()
        for joiner in joiners:
            joiner.join()

    return act


@with_greenlets
def join_in_vain(world: World) -> Act:
    job = green.spawn(green.sleep, 1000)
    world.release(job.kill)

    def act() -> None:
        job.join(0.0003)
        demand(not job.dead, "who ended it?")

    return act


@with_greenlets
def join_in_time(world: World) -> Act:
    def act() -> None:
        job = green.spawn(nap)
        job.join(1000)
        demand(job.dead, "join was early")

    return act


@with_greenlets
def join_from_another_thread(world: World) -> Act:
    """The other's hub waits; ours is struck as the greenlet ends."""
    job = green.spawn(nap)
    begins = threading.Event()

    def join() -> None:
        green.get_hub()
        begins.set()
        job.join()

    world.thread(join)
    begins.wait()

    def act() -> None:
        job.join()

    return act


@with_greenlets
def join_one_of_another_thread(world: World) -> Act:
    jobs: list[green.Greenlet[None]] = []
    there = threading.Event()

    def other() -> None:
        jobs.append(green.spawn(green.sleep, 0.002))
        there.set()
        jobs[0].join()

    world.thread(other)
    there.wait()

    def act() -> None:
        jobs[0].join()

    return act


@with_greenlets
def run(world: World) -> Act:
    def act() -> None:
        demand(green.run(int, "7") == 7, "run gave something else")

    return act


@with_greenlets
def run_what_waits(world: World) -> Act:
    def work() -> str:
        green.sleep(0)
        green.sleep(0.0003)
        return "done"

    def act() -> None:
        demand(green.run(work) == "done", "run gave something else")

    return act


@with_greenlets
def run_in_run(world: World) -> Act:
    def work() -> int:
        return green.run(nap) or green.run(int)

    def act() -> None:
        demand(green.run(work) == 0, "run gave something else")

    return act


@with_greenlets
def kill_a_sleeper(world: World) -> Act:
    victim = green.spawn(green.sleep, 1000)
    green.sleep(0)
    world.release(victim.kill)

    def act() -> None:
        victim.kill()
        victim.join()
        demand(victim.dead, "join was early")

    return act


@with_greenlets
def kill_one_that_did_not_start(world: World) -> Act:
    victim = green.spawn(green.sleep, 1000)
    world.release(victim.kill)

    def act() -> None:
        victim.kill()
        victim.join()
        demand(victim.dead, "join was early")

    return act


@with_greenlets
def kill_a_reader(world: World) -> Act:
    ours, _ = world.pair()
    victim = green.spawn(ours.recv, 1)
    green.sleep(0)
    world.release(victim.kill)

    def act() -> None:
        victim.kill()
        victim.join()

    return act


@with_greenlets
def kill_a_joiner(world: World) -> Act:
    job = green.spawn(green.sleep, 1000)
    victim = green.spawn(job.join)
    green.sleep(0)
    world.release(victim.kill)
    world.release(job.kill)

    def act() -> None:
        victim.kill()
        victim.join()
        demand(not job.dead, "who ended it?")

    return act


@with_greenlets
def kill_oneself(world: World) -> Act:
    def end() -> None:
        job.kill()

    job = green.spawn(end)

    def act() -> None:
        job.join()

    return act


@with_greenlets
def kill_from_another_thread(world: World) -> Act:
    """The kill is not lost, whatever else comes."""
    victim = green.spawn(green.sleep, 1000)
    green.sleep(0)
    begins = threading.Event()

    def kill() -> None:
        begins.wait()
        victim.kill()

    world.thread(kill)
    world.release(begins.set)

    def act() -> None:
        begins.set()
        victim.join()

    return act


@with_greenlets
def kill_in_another_thread(world: World) -> Act:
    victims: list[green.Greenlet[None]] = []
    there = threading.Event()

    def other() -> None:
        victims.append(green.spawn(green.sleep, 1000))
        green.sleep(0)
        there.set()
        victims[0].join()

    world.thread(other)
    there.wait()
    world.release(victims[0].kill)

    def act() -> None:
        victims[0].kill()
        victims[0].join()

    return act


@with_greenlets
def wait_on_another_poller(world: World) -> Act:
    ours, peer = world.pair(usable=False)
    desc = world.open(ours, netpoll.default_poller())

    def act() -> None:
        green.spawn(peer.send, b"x")
        desc.wait(READ)

    return act


@with_greenlets
def two_wait_on_another_poller(world: World) -> Act:
    poller = world.poller()
    ends = [world.pair(usable=False) for _ in range(2)]
    descs = [world.open(ours, poller) for ours, _ in ends]
    for _, peer in ends:
        world.release(peer.send, b"x")

    def act() -> None:
        green.spawn(descs[0].wait, READ)
        for _, peer in ends:
            green.spawn(peer.send, b"x")
        descs[1].wait(READ)

    return act


@with_greenlets
def wait_while_the_poller_is_driven(world: World) -> Act:
    """The token of a greenlet comes out of `Poller.poll`."""
    poller = world.poller()
    ours, peer = world.pair(usable=False)
    desc = world.open(ours, poller)
    world.release(peer.send, b"x")

    def act() -> None:
        waiter = green.spawn(desc.wait, READ)
        green.sleep(0)
        peer.send(b"x")
        poller.poll(0)
        waiter.join()

    return act


@with_greenlets
def close_the_poller_of_the_hub(world: World) -> Act:
    def act() -> None:
        green.get_hub().poller.close()
        green.sleep(0)
        green.sleep(0.0003)

    return act


@with_greenlets
def pass_bytes_on(world: World) -> Act:
    ends = [world.pair() for _ in range(2)]

    def relay() -> None:
        ends[1][1].send(ends[0][0].recv(1))

    world.release(ends[0][1].send, b"xx")
    world.release(ends[1][1].send, b"x")

    def act() -> None:
        green.spawn(relay)
        green.spawn(ends[0][1].send, b"x")
        ends[1][0].recv(1)

    return act
