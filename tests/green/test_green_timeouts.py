"""`green.timeout`: a limit for all that a greenlet waits for in a block."""

from __future__ import annotations

import copy
import errno
import gc
import pickle
import random
import socket as std
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("greenlet")

import greenlet
from netpoll import READ, green, sync
from netpoll import socket as np_socket
from support import LONG, Sockets, Stage, ThreadTask, needs_linux, never_early, waits


def sleep() -> None:
    green.sleep(LONG)


def wait_for_a_lock() -> None:
    lock = sync.Lock()
    lock.acquire()
    lock.acquire()


def wait_for_a_queue() -> None:
    sync.SimpleQueue[int]().get()


def wait_for_a_condition() -> None:
    condition = sync.Condition()
    with condition:
        condition.wait()


def join() -> None:
    job = green.spawn(green.sleep, LONG)
    try:
        job.join()
    finally:
        job.kill()


def receive() -> None:
    a, b = np_socket.socketpair()
    with a, b:
        a.recv(1)


@pytest.mark.rule(5)
@pytest.mark.rule(19)
@pytest.mark.parametrize(
    "wait",
    [sleep, wait_for_a_lock, wait_for_a_queue, wait_for_a_condition, join, receive],
    ids=lambda wait: wait.__name__,
)
def test_it_is_raised_wherever_the_greenlet_waits(
    greenlets: Stage, wait: Callable[[], None]
) -> None:
    with pytest.raises(TimeoutError), never_early(0.01), green.timeout(0.01) as limit:
        wait()
    assert limit.expired
    assert waits("timeout") == 0
    green.sleep(0.002)


@pytest.mark.rule(3)
def test_a_descriptor_is_unharmed(greenlets: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    desc = greenlets.open(a)
    with pytest.raises(TimeoutError), green.timeout(0.01):
        desc.wait(READ)
    b.send(b"x")
    desc.wait(READ)


def test_in_time_nothing_is_raised(greenlets: Stage) -> None:
    with green.timeout(0.3) as limit:
        green.sleep(0.001)
    green.sleep(0.35)
    assert not limit.expired and waits("timeout") == 0


def test_the_error_comes_once(greenlets: Stage) -> None:
    """What cleans up may wait."""
    steps = []
    with pytest.raises(TimeoutError), green.timeout(0.005):
        try:
            sleep()
        finally:
            green.sleep(0.01)
            steps.append("cleaned up")
    assert steps == ["cleaned up"]


def test_an_outer_limit_is_not_taken_for_the_inner_one(greenlets: Stage) -> None:
    taken = []
    with pytest.raises(TimeoutError) as raised, green.timeout(0.01) as outer:
        while True:
            try:
                with green.timeout(LONG) as inner:
                    sleep()
            except (TimeoutError, Exception) as error:
                taken.append(error)
    assert outer.expired and not inner.expired and not taken
    assert type(raised.value) is TimeoutError and raised.value.__suppress_context__


def test_an_inner_limit_leaves_the_outer_one(greenlets: Stage) -> None:
    with pytest.raises(TimeoutError), never_early(0.3), green.timeout(0.3) as outer:
        with pytest.raises(TimeoutError), green.timeout(0.002):
            sleep()
        assert not outer.expired
        sleep()
    assert outer.expired


def test_the_outer_limit_counts_again_when_an_inner_one_is_left(greenlets: Stage) -> None:
    with green.timeout(0.005):
        with green.timeout(LONG):
            green.sleep(0)
        with pytest.raises(TimeoutError):
            sleep()


def test_both_at_once(greenlets: Stage) -> None:
    with pytest.raises(TimeoutError), green.timeout(0.005) as outer:
        with green.timeout(0.005):
            sleep()
        pytest.fail("it goes on")
    assert outer.expired or waits("timeout") == 0


def test_the_error_is_caught_inside(greenlets: Stage) -> None:
    with green.timeout(0.002) as limit:
        try:
            sleep()
        except TimeoutError:
            pass
        green.sleep(0.005)
    assert limit.expired


def test_to_be_moved_it_needs_an_instant(greenlets: Stage) -> None:
    with green.timeout(LONG) as limit, pytest.raises(TypeError, match="move"):
        limit.move()  # type: ignore[call-arg]


def test_a_block_in_a_greenlet_of_the_users_own_begins_at_once(greenlets: Stage) -> None:
    order: list[str] = []

    def enter() -> None:
        with green.timeout(LONG):
            order.append("entered")

    sleeper = green.spawn(lambda: (green.sleep(0.1), order.append("slept")))
    greenlet.greenlet(enter).switch()  # back at its end
    sleeper.join()
    assert order == ["entered", "slept"]


def test_it_is_moved_and_cancelled(greenlets: Stage) -> None:
    with green.timeout(0.002) as limit:
        limit.move(LONG)
        green.sleep(0.005)
        limit.cancel()
        green.sleep(0.005)
        assert not limit.expired
        limit.move(0.005)
        with pytest.raises(TimeoutError):
            sleep()
        limit.move(0.005)
        with pytest.raises(TimeoutError):
            sleep()


@pytest.mark.parametrize("seconds", [None, LONG])
def test_what_is_about_to_be_raised_is_withdrawn(greenlets: Stage, seconds: float | None) -> None:
    limit = green.timeout(0.02)

    def work() -> bool:
        with limit:
            green.sleep(0.1)
        return limit.expired

    def move() -> None:
        green.sleep(0.015)
        limit.move(seconds)  # type: ignore[arg-type]

    def compute() -> None:  # until both have come; the one that moves is the first
        green.sleep(0.005)
        time.sleep(0.05)

    worker, *others = map(green.spawn, (work, move, compute))
    assert worker.get() is False
    for other in others:
        other.get()


def test_what_came_while_it_computed_is_withdrawn_at_the_end_of_the_block(
    greenlets: Stage,
) -> None:
    poller = green.get_hub().poller
    with green.timeout(0.01) as limit:
        ThreadTask("another driver", poller.poll, (0.2,)).result()
        assert limit.expired
    green.sleep(0.01)


@pytest.mark.parametrize("seconds", [0, -1])
def test_at_once_is_at_the_first_wait(greenlets: Stage, seconds: float) -> None:
    reached = []
    with pytest.raises(TimeoutError), green.timeout(seconds):
        reached.append("the block")
        sleep()
    assert reached


def test_without_a_limit(greenlets: Stage) -> None:
    for seconds in (None, 1e300, float("inf")):
        with green.timeout(seconds) as limit:
            green.sleep(0.001)
        assert not limit.expired


def _full_backlog(sockets: Sockets) -> Any:
    """The address of a listener to which a connect waits."""
    listener = sockets.keep(std.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    for _ in range(4):
        client = sockets.keep(std.socket())
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
    return listener.getsockname()


@needs_linux
@pytest.mark.rule(19)
def test_it_is_not_the_result_of_connect_ex(greenlets: Stage, sockets: Sockets) -> None:
    address = _full_backlog(sockets)
    with np_socket.socket() as sock:
        with pytest.raises(TimeoutError), green.timeout(0.02):
            sock.connect_ex(address)
        sock.settimeout(0.01)
        assert np_socket.socket.connect_ex(sock, address) in {errno.EALREADY, errno.EWOULDBLOCK}
    with np_socket.socket() as sock:
        sock.settimeout(0.01)
        assert sock.connect_ex(address) == errno.EWOULDBLOCK


@needs_linux
@pytest.mark.rule(19)
def test_create_connection_does_not_try_the_next_address_after_it(
    greenlets: Stage, sockets: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = [(std.AF_INET, std.SOCK_STREAM, 0, "", _full_backlog(sockets)) for _ in range(3)]
    left = iter(tried)
    monkeypatch.setattr(np_socket, "getaddrinfo", lambda *unused: left)
    with pytest.raises(TimeoutError), green.timeout(0.02):
        np_socket.create_connection(("several", 1))
    assert len(list(left)) == 2
    left = iter(tried)
    with pytest.raises(TimeoutError, match="timed out"):
        np_socket.create_connection(("several", 1), 0.01)
    assert not list(left)


def test_no_copies() -> None:
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="pickle"):
            attempt(green.timeout(1))


def test_wrong_use_is_refused(greenlets: Stage) -> None:
    with pytest.raises(ValueError):
        green.timeout(float("nan"))
    with pytest.raises(TypeError):
        green.timeout("x")  # type: ignore[arg-type]
    limit = green.timeout(LONG)
    with limit:
        with pytest.raises(RuntimeError, match="inside already"):
            limit.__enter__()
        assert repr(limit).startswith("<netpoll.timeout of <netpoll.Greenlet")
    with limit:  # again, when it was left
        pass


def test_it_is_for_greenlets() -> None:
    def body(hub: bool) -> None:
        if hub:
            green.get_hub()
        with pytest.raises(RuntimeError, match=r"green\.run"), green.timeout(1):
            pass

    for hub in (False, True):
        ThreadTask("body", body, (hub,)).result()


def test_a_kill_goes_before_it(greenlets: Stage) -> None:
    ends = []

    def work() -> None:
        try:
            with green.timeout(0):
                sleep()
        except BaseException as error:
            ends.append(type(error))
            raise

    victim = green.spawn(work)
    green.sleep(0)
    victim.kill()
    victim.join()
    assert ends in ([green.GreenletExit], [TimeoutError]) and waits("timeout") == 0


def test_a_poller_that_is_closed_meanwhile(greenlets: Stage) -> None:
    with pytest.raises(TimeoutError), never_early(0.02), green.timeout(0.02):
        green.get_hub().poller.close()
        sleep()


def test_a_greenlet_that_never_leaves_its_block(greenlets: Stage) -> None:
    """A generator keeps it open; nothing is thrown into what comes after."""

    def limited() -> Any:
        with green.timeout(0.005):
            yield

    def work() -> Any:
        block = limited()
        next(block)
        return block

    block = green.spawn(work).get()
    green.sleep(0.01)
    with pytest.raises(StopIteration):
        next(block)
    green.sleep(0.005)


def test_nothing_is_kept_by_a_cycle(greenlets: Stage) -> None:
    class Value:
        pass

    gc.collect()
    gc.disable()
    try:
        value = Value()
        gone = weakref.ref(value)

        def work(value: Value) -> None:
            try:
                with green.timeout(LONG), green.timeout(0.001):
                    sleep()
            except TimeoutError:
                pass

        green.spawn(work, value).join()
        del value
        green.sleep(0)
        assert gone() is None
    finally:
        gc.enable()


def test_storms_of_limits_reach_their_own_blocks_only(greenlets: Stage) -> None:
    pick, wrong = random.Random(3), []

    def work() -> None:
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            short, long = pick.random() / 500, pick.random() / 200
            try:
                with green.timeout(long) as outer:
                    try:
                        with green.timeout(short) as inner:
                            green.sleep(pick.random() / 300)
                    except TimeoutError:
                        if not inner.expired:
                            wrong.append("inner")
                    green.sleep(0)
            except TimeoutError:
                if not outer.expired:
                    wrong.append("outer")
            green.sleep(0)

    jobs = [green.spawn(work) for _ in range(20)]
    for job in jobs:
        job.get(LONG)
    assert not wrong and waits("timeout") == 0
