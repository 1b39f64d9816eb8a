"""kill: schedules an exception, runs nothing that had not started, loses no notification."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from netpoll import READ, WRITE
from support import LONG, Sockets, Stage, blocked, drain, fill, read_some

greenlet = pytest.importorskip("greenlet")

from netpoll import green  # noqa: E402


class Boom(Exception):
    """A kill's own exception."""


def _killed(victim: green.Greenlet[Any]) -> None:
    """Dead; GreenletExit is its result, as greenlet has it, or its exception."""
    victim.join(LONG)
    assert victim.dead
    try:
        result = victim.get()
    except greenlet.GreenletExit:
        return
    assert result is None or isinstance(result, greenlet.GreenletExit)


@pytest.mark.rule(1)
def test_a_parked_greenlet_is_killed(greenlets: Stage, sockets: Sockets, mode: int) -> None:
    desc, make_ready = blocked(greenlets.open, sockets, mode)
    log: list[str] = []

    def wait() -> None:
        try:
            desc.wait(mode)
        except greenlet.GreenletExit:
            log.append("exit")
            raise
        finally:
            log.append("finally")

    victim = green.spawn(wait)
    greenlets.until_parked(readers=mode == READ, writers=mode == WRITE)
    victim.kill()
    _killed(victim)
    assert log == ["exit", "finally"]
    greenlets.until_parked(0, 0)
    waiter = greenlets.spawn(desc.wait, mode)
    greenlets.stays_blocked(waiter, seconds=0.01)
    make_ready()
    waiter.result()


@pytest.mark.parametrize("by", ["kill", "throw"])
def test_one_that_gives_its_turn_away_is_interrupted(greenlets: Stage, by: str) -> None:
    """What stands in the queue for it must not end a later wait."""
    slept: list[float] = []

    def give_way() -> None:
        try:
            while True:
                green.sleep(0)
        except Boom:
            start = time.monotonic()
            green.sleep(0.01)
            slept.append(time.monotonic() - start)

    victim = green.spawn(give_way)
    green.sleep(0)  # now it stands in the queue
    culprit = green.spawn(getattr(victim, by), Boom)
    victim.join(LONG)
    assert victim.dead and slept[0] >= 0.01
    culprit.kill()  # whom nobody switches back to if he has thrown
    _killed(culprit)


def test_a_kill_schedules_and_does_not_run_the_victim_at_once(
    greenlets: Stage, sockets: Sockets
) -> None:
    desc = greenlets.open(sockets.pair()[0])
    log: list[str] = []

    def wait() -> None:
        try:
            desc.wait(READ)
        finally:
            log.append("victim")

    victim = green.spawn(wait)
    green.sleep(0.002)

    def killer() -> None:
        victim.kill()
        log.append("killer")

    green.spawn(killer).join()
    _killed(victim)
    assert sorted(log) == ["killer", "victim"]


def test_a_greenlet_that_never_started_never_runs(greenlets: Stage) -> None:
    log: list[str] = []
    victim = green.spawn(log.append, "ran")
    victim.kill()
    green.sleep(0.005)
    _killed(victim)
    assert log == []


def test_a_sleeping_greenlet_is_killed_at_once(greenlets: Stage) -> None:
    start = time.monotonic()
    victim = green.spawn(green.sleep, LONG * 4)
    green.sleep(0)
    victim.kill()
    _killed(victim)
    assert time.monotonic() - start < LONG


def test_a_joining_greenlet_is_killed(greenlets: Stage) -> None:
    target = green.spawn(green.sleep, LONG)
    for wait in (target.join, target.get, lambda: target.join(LONG)):
        victim = green.spawn(wait)
        green.sleep(0)
        victim.kill()
        _killed(victim)
    assert not target.dead
    target.kill()
    target.join()


def test_a_ready_greenlet_is_killed_before_it_runs_again(greenlets: Stage) -> None:
    log: list[str] = []

    def wait() -> None:
        green.sleep(0)
        log.append("ran on")

    victim = green.spawn(wait)
    green.sleep(0)
    victim.kill()
    _killed(victim)
    assert log == []


@pytest.mark.parametrize("error", [Boom, Boom("text"), KeyError("key")])
def test_a_kill_with_an_exception_of_its_own(greenlets: Stage, error: BaseException) -> None:
    victim = green.spawn(green.sleep, LONG)
    green.sleep(0)
    victim.kill(error)
    with pytest.raises((Boom, KeyError)):
        victim.get()
    assert victim.dead


def test_kill_of_a_dead_greenlet_does_nothing(greenlets: Stage) -> None:
    victim = green.spawn(lambda: 7)
    victim.join()
    victim.kill()
    victim.kill(Boom)
    assert victim.get() == 7


def test_kills_in_a_row_are_survived(greenlets: Stage) -> None:
    victim = green.spawn(green.sleep, LONG)
    green.sleep(0)
    for _ in range(5):
        victim.kill()
    _killed(victim)
    green.sleep(0.002)


@pytest.mark.rule(1)
def test_a_victim_that_catches_the_exception_goes_on(greenlets: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    desc = greenlets.open(a)

    def stubborn() -> bytes:
        try:
            desc.wait(READ)
        except Boom:
            pass
        return read_some(desc)

    victim = green.spawn(stubborn)
    greenlets.until_parked(readers=1)
    victim.kill(Boom)
    green.sleep(0.002)
    assert not victim.dead
    b.send(b"x")
    assert victim.get() == b"x"


def test_a_greenlet_may_kill_itself(greenlets: Stage) -> None:
    log: list[str] = []

    def suicide() -> None:
        log.append("before")
        greenlet.getcurrent().kill()
        green.sleep(0.001)
        log.append("after")

    victim = green.spawn(suicide)
    _killed(victim)
    assert log == ["before"]


@pytest.mark.rule(1)
def test_a_kill_while_the_event_is_on_the_way_leaves_it_to_the_next_waiter(
    greenlets: Stage, sockets: Sockets, mode: int
) -> None:
    """The kernel knows of the readiness, the hub does not yet: the kill comes first."""
    desc, make_ready = blocked(greenlets.open, sockets, mode)
    for _ in range(3):
        victim = green.spawn(desc.wait, mode)
        greenlets.until_parked(readers=mode == READ, writers=mode == WRITE)
        make_ready()
        victim.kill()
        _killed(victim)
        greenlets.wait(desc, mode)
        if mode == WRITE:
            return  # it stays writable
        assert drain(desc.fd)
        desc.reset(mode)


@pytest.mark.rule(1)
@pytest.mark.parametrize("turns", range(5))
def test_a_kill_at_any_moment_after_the_event_leaves_it_to_the_next_waiter(
    greenlets: Stage, sockets: Sockets, turns: int
) -> None:
    """Not collected yet, queued, running: the wait ends well or the notification stays."""
    a, b = sockets.pair()
    desc = greenlets.open(a)
    woken = []

    def wait() -> None:
        desc.wait(READ)
        woken.append(True)

    for _ in range(10):
        victim = green.spawn(wait)
        greenlets.until_parked(readers=1)
        woken.clear()
        b.send(b"x")
        for _ in range(turns):
            green.sleep(0)
        victim.kill()
        victim.join(LONG)
        assert victim.dead
        if not woken:
            greenlets.wait(desc, READ)
        assert a.recv(10) == b"x"
        desc.reset(READ)


@pytest.mark.rule(1)
def test_a_kill_and_a_reader_waiting_next_lose_no_byte(greenlets: Stage, sockets: Sockets) -> None:
    """Readers are killed at random moments; the bytes that were sent are all read by the others."""
    a, b = sockets.pair()
    desc = greenlets.open(a)
    got: list[bytes] = []

    def reader() -> None:
        while True:
            data = read_some(desc)
            got.append(data)
            if data.endswith(b"."):
                return

    total = 300
    for i in range(total):
        victim = green.spawn(reader)
        if i % 3:
            green.sleep(0)
        b.send(b"x")
        if i % 2:
            green.sleep(0)
        victim.kill()
        victim.join(LONG)
        assert victim.dead
    last = greenlets.spawn(reader)
    b.send(b".")
    last.result()
    assert b"".join(got) == b"x" * total + b"."


def test_a_kill_from_another_thread_or_a_refusal(greenlets: Stage) -> None:
    """The contract does not promise it; it must not corrupt the hub, whatever it does."""
    victim = green.spawn(green.sleep, 0.05)
    green.sleep(0)

    def kill() -> None:
        try:
            victim.kill()
        except Exception:
            pass

    greenlets.thread(kill).join(LONG)
    victim.join(LONG)
    assert victim.dead
    green.sleep(0.001)


@pytest.mark.rule(2)
def test_a_killed_writer_frees_its_mode(greenlets: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    fill(a.fileno())
    desc = greenlets.open(a)
    reader, writer = green.spawn(desc.wait, READ), green.spawn(desc.wait, WRITE)
    greenlets.until_parked(readers=1, writers=1)
    writer.kill()
    _killed(writer)
    assert not reader.dead
    again = greenlets.spawn(desc.wait, WRITE)
    b.close()
    again.result()
    reader.get()


def test_thousands_of_kills_from_another_thread_end_only_their_victim(greenlets: Stage) -> None:
    """Each comes by way of the hub's queue; none may run on the stack of whoever parks next."""
    victim = green.spawn(green.sleep, LONG)
    green.sleep(0)
    killer = threading.Thread(target=lambda: [victim.kill() for _ in range(3000)])
    killer.start()
    killer.join()
    green.sleep(0)
    victim.join(LONG)
    assert victim.dead
