"""netpoll.green: spawn, run, sleep, join, get, and a hub that starves nobody."""

from __future__ import annotations

import gc
import io
import logging
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import netpoll
import pytest
from netpoll import READ, ClosedError, DeadlineExceeded
from support import (
    LONG,
    GreenStage,
    Sockets,
    Stage,
    ThreadTask,
    check_python,
    contend,
    fill,
    needs_counts,
    never_early,
    read_exactly,
    read_some,
    until,
    write_all,
)

greenlet = pytest.importorskip("greenlet")

from netpoll import green, socket  # noqa: E402


class Boom(Exception):
    """Raised by greenlets of these tests."""


def boom() -> None:
    raise Boom


# --- results --------------------------------------------------------------------------------------


def test_run_gives_the_functions_result(greenlets: Stage) -> None:
    assert green.run(lambda a, b=0: a + b, 1, b=2) == 3
    assert green.run(green.run, green.run, lambda: 4) == 4
    with pytest.raises(Boom):
        green.run(boom)


def test_get_gives_result_or_exception(greenlets: Stage) -> None:
    adding = green.spawn(lambda a, b=0: a + b, 1, b=2)
    assert isinstance(adding, green.Greenlet) and isinstance(adding, greenlet.greenlet)
    assert not adding.dead
    assert adding.get() == 3 and adding.get() == 3
    assert adding.dead
    failing = green.spawn(boom)
    for _ in range(2):
        with pytest.raises(Boom):
            failing.get()
    assert failing.dead


def test_get_and_join_wait_for_a_greenlet_that_waits(greenlets: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    reading = green.spawn(read_some, greenlets.open(a))
    joining = [green.spawn(reading.join) for _ in range(3)]
    getting = [green.spawn(reading.get) for _ in range(3)]
    greenlets.sleep(0.005)
    assert not any(waiter.dead for waiter in (*joining, *getting))
    b.send(b"x")
    assert [waiter.get() for waiter in getting] == [b"x"] * 3
    for waiter in joining:
        waiter.get()


def test_join_raises_nothing_and_may_time_out(greenlets: Stage) -> None:
    sleeping = green.spawn(green.sleep, 0.1)
    with never_early(0.01):
        sleeping.join(0.01)
    assert not sleeping.dead
    sleeping.join(0)
    assert not sleeping.dead
    sleeping.join(timeout=None)
    assert sleeping.dead
    sleeping.join()
    sleeping.join(0)
    failing = green.spawn(boom)
    with pytest.raises(Boom):
        failing.get()
    failing.join()
    assert failing.dead


def test_a_greenlet_that_was_joined_with_a_timeout_can_be_joined_again(greenlets: Stage) -> None:
    """The timer of the first join must not disturb a later wait of the same greenlet."""
    sleeping = green.spawn(green.sleep, 0.05)
    for _ in range(20):
        sleeping.join(0.001)
    sleeping.join(LONG)
    assert sleeping.dead
    with never_early(0.03):
        green.sleep(0.03)


def test_a_join_from_inside_its_own_greenlet_cannot_hang_the_hub(greenlets: Stage) -> None:
    """It is a mistake, and the others go on all the same."""
    selfish: list[green.Greenlet[None]] = []

    def join_myself() -> None:
        selfish[0].join(0.01)

    selfish.append(green.spawn(join_myself))
    greenlets.until(lambda: selfish[0].dead, "the join of itself is over")


# --- order and fairness ---------------------------------------------------------------------------


def test_greenlets_start_in_the_order_of_their_spawning(greenlets: Stage) -> None:
    order: list[int] = []
    spawned = [green.spawn(order.append, i) for i in range(50)]
    assert order == []
    for one in spawned:
        one.join()
    assert order == list(range(50))


def test_sleep_0_lets_the_others_run(greenlets: Stage) -> None:
    log: list[str] = []

    def talk(name: str) -> None:
        for _ in range(3):
            log.append(name)
            green.sleep(0)

    talkers = [green.spawn(talk, name) for name in "abc"]
    for talker in talkers:
        talker.join()
    assert log == list("abcabcabc")


def test_sleepers_wake_in_the_order_of_their_times(greenlets: Stage) -> None:
    order: list[float] = []

    def sleep(seconds: float) -> None:
        with never_early(seconds):
            green.sleep(seconds)
        order.append(seconds)

    times = [0.05, 0.01, 0.03, 0.02, 0.04]
    for sleeper in [green.spawn(sleep, seconds) for seconds in times]:
        sleeper.join()
    assert order == sorted(times)


@pytest.mark.rule(5)
def test_sleep_is_not_early(greenlets: Stage) -> None:
    for seconds in (0.0, 1e-9, 1e-6, 0.0011, 0.02):
        with never_early(seconds):
            green.sleep(seconds)


def test_the_repr_of_one_that_was_not_spawned(greenlets: Stage) -> None:
    assert "not made by spawn" in repr(green.Greenlet(int))


@pytest.mark.parametrize("bad", ["1", None, float("nan")])
def test_sleep_refuses_what_is_no_time(greenlets: Stage, bad: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        green.sleep(bad)  # type: ignore[arg-type]
    green.sleep(0.001)


@pytest.mark.rule(12)
def test_busy_greenlets_starve_neither_io_nor_timers_nor_the_newly_spawned(
    greenlets: Stage, sockets: Sockets
) -> None:
    a, b = sockets.pair()
    stop = False

    def spin() -> None:
        while not stop:
            green.sleep(0)

    spinners = [green.spawn(spin) for _ in range(10)]
    reading = greenlets.spawn(read_some, greenlets.open(a))
    timing = greenlets.spawn(green.sleep, 0.01)
    deadline = greenlets.open(sockets.pair()[0])
    deadline.set_deadline(0.01)
    expiring = greenlets.spawn(deadline.wait, READ)
    fresh = greenlets.spawn(lambda: "fresh")
    b.send(b"x")
    assert reading.result() == b"x"
    timing.result()
    expiring.raises(DeadlineExceeded)
    assert fresh.result() == "fresh"
    stop = True
    for spinner in spinners:
        spinner.join()


@pytest.mark.rule(12)
def test_a_ping_pong_that_never_rests_starves_nobody(greenlets: Stage, sockets: Sockets) -> None:
    """Two greenlets that always have something to read hand over to each other; others come in."""
    a, b = sockets.pair()
    stop = False

    def bounce(desc: netpoll.PollDesc) -> int:
        count = 0
        while not stop:
            write_all(desc, read_exactly(desc, 1))
            count += 1
        return count

    one, two = greenlets.open(a), greenlets.open(b)
    bouncing = [greenlets.spawn(bounce, desc) for desc in (one, two)]
    write_all(one, b"x")
    with never_early(0.02):
        green.sleep(0.02)
    for i in range(50):
        assert greenlets.spawn(lambda i=i: i).result() == i
    stop = True
    one.unblock()
    two.unblock()
    for task in bouncing:
        task.join(LONG)
        assert task.done


@pytest.mark.rule(12)
@pytest.mark.parametrize("call", ["recv", "recv_into", "recvfrom"])
def test_one_who_never_has_to_wait_starves_nobody(
    greenlets: Stage, sockets: Sockets, call: str
) -> None:
    """As where a peer in another process sends faster than one reads."""
    a, b = sockets.pair()
    left = b.send(bytes(60_000))
    with socket.socket(fileno=a.detach()) as sock:
        sock.settimeout(None)
        receive = getattr(sock, call)
        wanted = bytearray(1) if call == "recv_into" else 1

        enough = False

        def read() -> None:
            nonlocal left
            while left and not enough:
                receive(wanted)
                left -= 1

        silent = greenlets.open(sockets.pair()[0])
        silent.set_deadline(0.001)
        expiring = greenlets.spawn(silent.wait, READ)
        reading = greenlets.spawn(read)
        for i in range(3):
            green.sleep(0.001)
            assert greenlets.spawn(lambda i=i: i).result() == i
        expiring.raises(DeadlineExceeded)
        assert left > 0
        enough = True  # to read all of it takes a slow machine minutes
        reading.result()


@pytest.mark.rule(12)
def test_one_who_never_has_to_wait_may_be_killed(greenlets: Stage, sockets: Sockets) -> None:
    """Between two operations, so that nothing is lost."""
    a, b = sockets.pair()
    sent = b.send(bytes(60_000))
    received = 0
    with socket.socket(fileno=a.detach()) as sock:
        sock.settimeout(None)

        def read() -> None:
            nonlocal received
            while True:
                received += len(sock.recv(1))

        reading = green.spawn(read)
        green.sleep(0)
        reading.kill()
        reading.join(LONG)
        assert reading.dead
        assert 0 < received < sent
        sock.setblocking(False)
        while received < sent:
            received += len(sock.recv(sent))


@pytest.mark.rule(12)
def test_a_wait_that_is_ready_may_be_repeated_without_an_end(
    greenlets: Stage, sockets: Sockets
) -> None:
    """Each of many readers finds data waiting every time; timers still fire."""
    a, b = sockets.pair()
    desc = greenlets.open(a)
    fired: list[int] = []
    timing = greenlets.spawn(lambda: (green.sleep(0.005), fired.append(1)))
    end = time.monotonic() + LONG
    while not fired and time.monotonic() < end:
        b.send(b"x")
        assert read_some(desc, 1) == b"x"
        green.sleep(0)
    timing.result()
    assert fired


# --- depth and references -------------------------------------------------------------------------


@pytest.mark.rule(17)
def test_greenlets_that_spawn_greenlets_do_not_nest(greenlets: Stage) -> None:
    """A fresh greenlet inherits nobody's depth: 3000 generations without a RecursionError."""
    depths: list[int] = []

    def descend(generation: int) -> None:
        if generation:
            green.spawn(descend, generation - 1)
            green.sleep(0)
        else:
            frame, depth = sys._getframe(), 0
            while frame := frame.f_back:  # type: ignore[assignment]
                depth += 1
            depths.append(depth)

    green.spawn(descend, 3000)
    greenlets.until(lambda: depths, "the last generation runs")
    assert depths[0] < 20


@pytest.mark.rule(17)
def test_thousands_of_greenlets_wait_at_once(greenlets: Stage) -> None:
    gate = [False]

    def wait() -> int:
        while not gate[0]:
            green.sleep(0.01)
        return 1

    waiting = [green.spawn(wait) for _ in range(3000)]
    green.sleep(0.02)
    gate[0] = True
    assert sum(one.get() for one in waiting) == 3000


@pytest.mark.rule(17)
def test_a_finished_greenlet_and_what_it_held_is_let_go(greenlets: Stage, sockets: Sockets) -> None:
    class Thing:
        pass

    a, b = sockets.pair()
    desc = greenlets.open(a)

    def hold(thing: Thing) -> None:
        local = thing  # noqa: F841
        desc.wait(READ)

    thing = Thing()
    holder = green.spawn(hold, thing)
    gone = [weakref.ref(thing), weakref.ref(holder)]
    del thing
    green.sleep(0.002)
    gc.collect()
    assert all(alive() is not None for alive in gone)
    b.send(b"x")
    holder.join()
    del holder
    green.spawn(green.sleep).join()  # a hub may keep the one that ended last
    gc.collect()
    assert [alive() for alive in gone] == [None, None]


@needs_counts
def test_a_finished_greenlet_is_no_garbage_for_the_collector(greenlets: Stage) -> None:
    gone = weakref.ref(green.spawn(green.sleep))
    gc.disable()
    try:
        green.sleep(0.002)
        green.spawn(green.sleep).join()  # a hub may keep the one that ended last
        assert gone() is None
    finally:
        gc.enable()


def test_a_greenlet_keeps_its_spawner_not_alive(greenlets: Stage) -> None:
    class Thing:
        pass

    def spawner(thing: Thing) -> green.Greenlet[None]:
        return green.spawn(green.sleep, 0.2)

    thing = Thing()
    gone = weakref.ref(thing)
    first = green.spawn(spawner, thing)
    second = first.get()
    del thing, first
    green.spawn(green.sleep).join()
    gc.collect()
    assert gone() is None and not second.dead
    second.kill()


# --- exceptions that nobody collects --------------------------------------------------------------


def _stderr_of(play: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> str:
    """As in a program that does not set up logging, which pytest does."""
    text = io.StringIO()
    monkeypatch.setattr(sys, "stderr", text)
    monkeypatch.setattr(logging.root, "handlers", [])
    play()
    monkeypatch.undo()
    return text.getvalue()


def test_an_exception_that_nobody_collects_is_printed(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def play() -> None:
        def main() -> None:
            green.spawn(boom)
            green.sleep(0.001)

        monkeypatch.setenv("NETPOLL_BACKEND", backend)
        GreenStage(backend).perform(main)
        gc.collect()

    text = _stderr_of(play, monkeypatch)
    assert "Traceback" in text and "Boom" in text and "in boom" in text
    assert text.count("Boom") == 1 or text.count("Traceback") == 1


@pytest.mark.parametrize("error", [greenlet.GreenletExit, None])
def test_an_exit_is_not_printed(
    backend: str, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def leave() -> None:
        if error:
            raise error

    def play() -> None:
        def main() -> None:
            left = green.spawn(leave)
            killed = green.spawn(green.sleep, LONG)
            green.sleep(0.001)
            killed.kill()
            green.sleep(0.001)
            assert left.dead and killed.dead

        monkeypatch.setenv("NETPOLL_BACKEND", backend)
        GreenStage(backend).perform(main)
        gc.collect()

    assert _stderr_of(play, monkeypatch) == ""


@pytest.mark.rule(12)
def test_a_greenlet_that_fails_disturbs_no_other(
    greenlets: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    others = [green.spawn(green.sleep, 0.01) for _ in range(3)]
    for _ in range(10):
        green.spawn(boom)
    green.sleep(0)
    for other in others:
        other.get()


@pytest.mark.rule(13)
@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit(3)"])
def test_an_exit_of_the_program_in_a_greenlet_goes_to_the_main_one(
    backend: str, error: str
) -> None:
    script = f"""
        from netpoll import green
        def fail():
            raise {error}
        green.spawn(fail)
        try:
            green.sleep(10)
        except ({error.split("(", maxsplit=1)[0]}) as error:
            print("main got", type(error).__name__)
        green.sleep(0.001)
        print("and goes on")
    """
    assert (
        check_python(script, backend=backend)
        == f"main got {error.split('(', maxsplit=1)[0]}\nand goes on\n"
    )


# --- hubs -----------------------------------------------------------------------------------------


def test_each_thread_has_its_own_hub_and_poller(greenlets: Stage) -> None:
    hub = green.get_hub()
    assert green.get_hub() is hub
    assert green.run(green.get_hub) is hub
    seen: list[netpoll.Poller] = []
    greenlets.thread(
        GreenStage(greenlets.backend).perform, lambda: seen.append(green.get_hub().poller)
    ).result()
    assert seen[0] is not hub.poller
    assert hub.poller.backend == greenlets.backend


@pytest.mark.rule(12, 17)
def test_a_hub_that_ends_with_its_thread_closes_its_poller(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard around every test counts the descriptors of a hundred hubs."""
    monkeypatch.setenv("NETPOLL_BACKEND", backend)
    pollers: list[netpoll.Poller] = []

    def hub() -> None:
        green.spawn(green.sleep, LONG)  # left behind
        green.sleep(0)
        pollers.append(green.get_hub().poller)

    for _ in range(100):
        ThreadTask("a hub's thread", green.run, (hub,)).result()
    gc.collect()
    end = time.monotonic() + LONG
    while not all(_is_closed(poller) for poller in pollers) and time.monotonic() < end:
        time.sleep(0.001)
    assert all(_is_closed(poller) for poller in pollers)


@pytest.mark.rule(12)
def test_a_hub_goes_with_its_thread_though_greenlets_were_to_run() -> None:
    gone: list[weakref.ref[Any]] = []

    def hub() -> None:
        gone.extend(weakref.ref(green.spawn(green.sleep)) for _ in range(3))
        gone.append(weakref.ref(green.get_hub()))

    ThreadTask("a hub's thread", hub, ()).result()
    until(lambda: gc.collect() >= 0 and not any(one() for one in gone), "they are gone")


def _is_closed(poller: netpoll.Poller) -> bool:
    try:
        poller.poll(0)
    except ClosedError:
        return True
    return False


@pytest.mark.rule(8)
def test_a_poller_closed_under_its_hub_ends_every_wait(greenlets: Stage, sockets: Sockets) -> None:
    waiters = [greenlets.spawn(greenlets.open(sockets.pair()[0]).wait, READ) for _ in range(5)]
    greenlets.until_parked(readers=5)
    greenlets.thread(greenlets.poller.close).join(0)
    for waiter in waiters:
        waiter.join(LONG)
        assert waiter.done
        with pytest.raises(ClosedError):
            waiter.result()


def test_the_main_greenlet_waits_like_any_other(greenlets: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    desc = greenlets.open(a)
    ticks: list[int] = []

    def tick() -> None:
        for i in range(5):
            green.sleep(0.001)
            ticks.append(i)
        b.send(b"x")

    ticking = green.spawn(tick)
    desc.wait(READ)
    assert ticks == [0, 1, 2, 3, 4]
    ticking.join()


@pytest.mark.rule(12)
def test_another_thread_may_end_a_wait_in_a_hub_that_has_nothing_else_to_do(
    greenlets: Stage, sockets: Sockets
) -> None:
    desc = greenlets.open(sockets.pair()[0])
    threading.Timer(0.02, desc.unblock).start()
    with pytest.raises(ClosedError):
        desc.wait(READ)


@pytest.mark.rule(12)
def test_wakes_of_the_hubs_poller_disturb_nobody(greenlets: Stage) -> None:
    poller = green.get_hub().poller

    def wake() -> None:
        for _ in range(200):
            poller.wake()
            time.sleep(0.0001)

    waking = greenlets.thread(wake)
    with never_early(0.03):
        green.sleep(0.03)
    waking.result()


def test_run_outside_of_a_greenlet_runs_until_the_function_returns(backend: str) -> None:
    """Others that are still running stay, and go on in the next run."""
    script = """
        from netpoll import green
        log = []
        def slow():
            green.sleep(0.05)
            log.append("slow")
        def main():
            green.spawn(slow)
            green.sleep(0)
            return "done"
        print(green.run(main), log)
        green.run(green.sleep, 0.1)
        print(log)
    """
    assert check_python(script, backend=backend) == "done []\n['slow']\n"


@pytest.mark.rule(11)
def test_a_thread_has_a_hub_from_its_first_use_on() -> None:
    def look() -> list[bool]:
        before = green.has_hub()
        green.get_hub()
        return [before, green.has_hub()]

    assert ThreadTask("thread", look, ()).result() == [False, True]


@pytest.mark.rule(2, 8)
def test_greenlets_of_several_threads_contend_for_a_descriptor(
    greenlets: Stage, sockets: Sockets
) -> None:
    """Each hub parks, resumes and gives up in its own thread: nobody withdraws another's token."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(4):
            a, _ = sockets.pair()
            fill(a.fileno())
            contend(greenlets, greenlets.open(a), 0.25, [1e-6, 1e-5, 3e-5])
    finally:
        sys.setswitchinterval(interval)


# --- the hub's poller -----------------------------------------------------------------------------


@pytest.mark.rule(8)
def test_a_hub_whose_poller_was_closed_has_another_one_at_once(
    greenlets: Stage, sockets: Sockets
) -> None:
    """Before its greenlets wait for anything, and also while they never have to."""
    a, b = sockets.pair()
    closed = green.get_hub().poller
    closed.close()
    poller = green.get_hub().poller
    assert poller is not closed and not poller.closed and poller.backend == greenlets.backend
    desc = greenlets.open(a)
    assert desc.poller is poller
    reader = greenlets.spawn(read_some, desc)
    b.send(b"x")
    assert reader.result() == b"x"
    stop = False

    def spin() -> None:
        while not stop:
            green.sleep(0)

    spinners = [green.spawn(spin) for _ in range(3)]
    sleeping = green.spawn(green.sleep, 0.01)
    green.sleep(0)
    greenlets.thread(poller.close).result()
    sleeping.join(LONG)
    assert sleeping.dead
    stop = True
    for spinner in spinners:
        spinner.join()


@pytest.mark.rule(8)
def test_a_poller_that_closes_ends_neither_a_sleep_nor_a_join(greenlets: Stage) -> None:
    def sleep() -> None:
        with never_early(0.03):
            green.sleep(0.03)

    sleeping = greenlets.spawn(sleep)
    joining = greenlets.spawn(green.spawn(green.sleep, 0.02).join)
    limited = green.spawn(green.sleep, LONG)
    with never_early(0.02):
        for _ in range(3):
            green.sleep(0.001)
            green.get_hub().poller.close()
        limited.join(0.02)
    assert not limited.dead
    limited.kill()
    sleeping.result()
    joining.result()


@pytest.mark.rule(12)
def test_a_hub_leaves_users_their_tokens_on_its_own_poller(
    greenlets: Stage, sockets: Sockets
) -> None:
    """It polls them out along with its greenlets', and keeps them for the next poll."""
    pairs = [sockets.pair() for _ in range(20)]
    descs = [greenlets.open(a) for a, _ in pairs]
    poller = greenlets.poller
    for i, desc in enumerate(descs):
        assert desc.park(READ, i)
    for _, b in pairs:
        b.send(b"x")
    greenlets.sleep(0.005)
    reader = greenlets.thread(poller.poll, LONG)
    assert sorted(reader.result()) == list(range(20))
    assert poller.poll(0) == []
    for desc in descs:
        assert desc.resume(READ)
        desc.close()


# --- greenlets of other threads -------------------------------------------------------------------


@pytest.mark.rule(11)
def test_a_thread_without_a_hub_joins_and_gets_and_still_has_none(greenlets: Stage) -> None:
    def play(child: green.Greenlet[int]) -> tuple[int | greenlet.GreenletExit, bool]:
        child.join(0.001)
        child.join()
        return child.get(), green.has_hub()

    def slow() -> int:
        green.sleep(0.02)
        return 7

    assert greenlets.thread(play, green.spawn(slow)).result() == (7, False)
    failing = green.spawn(boom)
    with pytest.raises(Boom):
        greenlets.thread(failing.get).result()
    with never_early(0.01):
        greenlets.thread(green.spawn(green.sleep, 0.05).join, 0.01).result()


@pytest.mark.rule(12)
def test_joins_and_gets_from_many_threads_end_with_the_greenlet(greenlets: Stage) -> None:
    for _ in range(5):
        child = green.spawn(lambda: green.sleep(0.01) or 3)
        waiting = [greenlets.thread(child.get) for _ in range(5)]
        waiting += [
            greenlets.thread(GreenStage(greenlets.backend).perform, child.join) for _ in range(2)
        ]
        assert [one.result() for one in waiting] == [3] * 5 + [None] * 2


def _end_with(stubborn: bool) -> tuple[list[green.Greenlet[Any]], list[str]]:
    """What a thread leaves behind: greenlets that sleep, have not started, or wait again."""
    left: list[green.Greenlet[Any]] = []
    log: list[str] = []

    def sleep() -> None:
        try:
            green.sleep(LONG)
        finally:
            log.append("finally")
            if stubborn:
                green.sleep(LONG)

    def thread() -> None:
        left.append(green.spawn(sleep))
        green.sleep(0)
        left.append(green.spawn(sleep))

    ThreadTask("thread", thread, ()).result()
    end = time.monotonic() + LONG
    while not all(one.dead for one in left) and time.monotonic() < end:
        time.sleep(0.001)
    return left, log


@pytest.mark.rule(12, 15)
@pytest.mark.parametrize("stubborn", [False, True])
def test_a_greenlet_whose_thread_has_ended_has_ended_too(stubborn: bool) -> None:
    left, log = _end_with(stubborn)
    assert log == ["finally"]
    for one in left:
        one.kill()
        one.join()
        assert one.dead and isinstance(one.get(), greenlet.GreenletExit)
