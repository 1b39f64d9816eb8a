"""Locks, conditions, queues and locals; limits and groups of greenlets."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from netpoll import green, sync
from world import Act, World, demand, with_both, with_greenlets

SHORT = 0.0005


def held(world: World, lock: Any) -> Callable[[], None]:
    """Another has it, until the function that is returned is called, or all has to end."""
    done = sync.Event()

    def hold() -> None:
        with lock:
            done.wait()

    world.actor(hold)
    world.release(done.set)
    return done.set


def stays_free(world: World, lock: Any) -> None:
    def check() -> None:
        demand(lock.acquire(True, world.patience), "the lock is not free")
        lock.release()

    world.check(check)


def take(world: World, lock: Any) -> Act:
    release = held(world, lock)
    stays_free(world, lock)

    def act() -> None:
        world.soon(release)
        with lock:
            pass
        with lock:
            pass

    return act


@with_both
def sync_lock(world: World) -> Act:
    return take(world, sync.Lock())


@with_both
def sync_rlock(world: World) -> Act:
    return take(world, sync.RLock())


@with_both
def sync_lock_in_vain(world: World) -> Act:
    lock = sync.Lock()
    held(world, lock)
    stays_free(world, lock)

    def act() -> None:
        demand(not lock.acquire(True, SHORT), "it was had")

    return act


@with_both
def sync_condition(world: World) -> Act:
    """One more waits: whoever is not struck is notified."""
    condition = sync.Condition()
    stays_free(world, condition)

    def notify(count: int) -> None:
        with condition:
            condition.notify(count)

    def wait() -> None:
        with condition:
            condition.wait()

    world.actor(wait)
    world.release(notify, 2)

    def act() -> None:
        world.soon(notify, 2)
        with condition:
            condition.wait(world.patience)

    return act


@with_both
def sync_condition_notify(world: World) -> Act:
    condition = sync.Condition()
    stays_free(world, condition)

    def wait() -> None:
        with condition:
            condition.wait()

    def notify_all() -> None:
        with condition:
            condition.notify_all()

    world.actor(wait)
    world.actor(wait)
    world.release(notify_all)

    def act() -> None:
        with condition:
            condition.notify()
        with condition:
            condition.notify()

    return act


@with_both
def sync_event(world: World) -> Act:
    event = sync.Event()
    world.actor(event.wait)
    world.release(event.set)

    def act() -> None:
        world.soon(event.set)
        event.wait(world.patience)
        event.clear()

    return act


@with_both
def sync_semaphore(world: World) -> Act:
    semaphore = sync.BoundedSemaphore(1)
    release = held(world, semaphore)
    stays_free(world, semaphore)

    def act() -> None:
        world.soon(release)
        with semaphore:
            pass

    return act


@with_both
def sync_barrier(world: World) -> Act:
    """Struck or not: nothing waits for ever."""
    barrier = sync.Barrier(2)

    def pass_it() -> None:
        try:
            barrier.wait()
        except sync.BrokenBarrierError:
            pass

    world.actor(pass_it)
    world.release(barrier.abort)

    def act() -> None:
        barrier.wait(world.patience)

    return act


def comes_through(world: World, q: Any) -> None:
    """What is put in later, another gets."""

    def check() -> None:
        while not q.empty():
            q.get_nowait()
        q.put("mark", True, world.patience)
        demand(q.get(True, world.patience) == "mark", "another item came out")
        demand(q.empty(), "an item too many")

    world.check(check)


@with_both
def sync_simple_queue_get(world: World) -> Act:
    q: sync.SimpleQueue[str] = sync.SimpleQueue()
    world.actor(q.get)
    world.release(q.put, "one")
    comes_through(world, q)

    def act() -> None:
        world.soon(q.put, "two")
        world.soon(q.put, "three")
        q.get()

    return act


@with_both
def sync_queue_get(world: World) -> Act:
    q: sync.Queue[str] = sync.Queue()
    world.actor(q.get)
    world.release(q.put, "one")
    comes_through(world, q)

    def act() -> None:
        world.soon(q.put, "two")
        world.soon(q.put, "three")
        q.get()

    return act


@with_both
def sync_queue_put(world: World) -> Act:
    """Another waits for the room, or for what was put in."""
    q: sync.PriorityQueue[str] = sync.PriorityQueue(1)

    def put_if_there_is_room() -> None:
        with contextlib.suppress(sync.Full):
            q.put_nowait("one")

    world.actor(q.get)
    world.release(put_if_there_is_room)
    comes_through(world, q)

    def act() -> None:
        q.put("two")
        q.put("three")
        world.soon(q.get)
        q.put("four", True, world.patience)

    return act


@with_both
def sync_local(world: World) -> Act:
    class Mine(sync.local):
        def __init__(self) -> None:
            self.x = 7

    mine = Mine()

    def use() -> None:
        demand(mine.x == 7, "another's value")
        mine.x = 8

    def act() -> None:
        world.actor(use)
        use()

    world.check(use)
    return act


def nothing_comes_later(world: World) -> None:
    world.check(green.sleep, 3 * SHORT)


@with_greenlets
def sync_timeout_in_time(world: World) -> Act:
    def work() -> None:
        with green.timeout(2 * SHORT):
            pass
        green.sleep(3 * SHORT)

    def act() -> None:
        green.run(work)

    nothing_comes_later(world)
    return act


@with_greenlets
def sync_timeout_over(world: World) -> Act:
    def work() -> None:
        try:
            with green.timeout(SHORT) as outer, green.timeout(10):
                green.sleep(10)
        except TimeoutError:
            demand(outer.expired, "it is another's")

    def act() -> None:
        green.run(work)

    nothing_comes_later(world)
    return act


@with_greenlets
def sync_get_in_vain(world: World) -> Act:
    job = green.spawn(green.sleep, 1000)
    world.release(job.kill)

    def act() -> None:
        try:
            job.get(SHORT)
        except TimeoutError:
            pass

    return act


@with_greenlets
def sync_group(world: World) -> Act:
    """However it is struck, the others end with it."""

    def fail() -> None:
        raise ValueError

    def work() -> None:
        try:
            with green.Group() as group:
                group.spawn(green.sleep, 1000)
                group.spawn(fail)
        except ValueError:
            pass

    def act() -> None:
        green.run(work)

    nothing_comes_later(world)
    return act
