"""`netpoll.select`: in a hub the greenlet waits; all else is as in the standard module."""

from __future__ import annotations

import copy
import os
import pickle
import select as std
import socket
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from netpoll import select
from support import (
    HAS_GREENLET,
    WINDOWS,
    Sockets,
    Stage,
    check_python,
    close_quietly,
    name_of,
    needs_linux,
    needs_pipe,
    never_early,
)

if HAS_GREENLET:
    from netpoll import green

Wait = Callable[[socket.socket, float | None], bool]

#: A way to wait until a socket can be read, by name: True if it can.
WAYS: dict[str, Wait] = {}


def way(wait: Wait) -> Wait:
    WAYS[wait.__name__.removeprefix("by_")] = wait
    return wait


@way
def by_select(sock: socket.socket, seconds: float | None) -> bool:
    return select.select([sock], [], [], seconds) == ([sock], [], [])


if hasattr(std, "poll"):

    @way
    def by_poll(sock: socket.socket, seconds: float | None) -> bool:
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        found = poll.poll(None if seconds is None else seconds * 1000)
        return bool(found == [(sock.fileno(), select.POLLIN)])


if hasattr(std, "epoll"):

    @way
    def by_epoll(sock: socket.socket, seconds: float | None) -> bool:
        with select.epoll() as epoll:
            epoll.register(sock, select.EPOLLIN)
            return bool(epoll.poll(seconds) == [(sock.fileno(), select.EPOLLIN)])


if hasattr(std, "kqueue"):

    @way
    def by_kqueue(sock: socket.socket, seconds: float | None) -> bool:
        kqueue = select.kqueue()
        event = select.kevent(sock, select.KQ_FILTER_READ, select.KQ_EV_ADD)
        found = kqueue.control([event], 1, seconds)
        kqueue.close()
        return [event.ident for event in found] == [sock.fileno()]


@pytest.fixture(params=WAYS)
def wait(request: pytest.FixtureRequest) -> Wait:
    return WAYS[request.param]


def test_it_waits_until_there_is_something(stage: Stage, sockets: Sockets, wait: Wait) -> None:
    a, b = sockets.pair()
    task = stage.spawn(wait, a, None)
    stage.stays_blocked(task)
    b.send(b"x")
    assert task.result()
    assert wait(a, None) and wait(a, 0) and wait(a, 60)


def test_a_timeout(stage: Stage, sockets: Sockets, wait: Wait) -> None:
    a, _ = sockets.pair()
    with never_early(0.02):
        assert not wait(a, 0.02)
    assert not wait(a, 0)


def test_others_run_meanwhile(greenlets: Stage, sockets: Sockets, wait: Wait) -> None:
    a, _ = sockets.pair()
    tasks = [greenlets.spawn(wait, a, 0.3) for _ in range(3)]
    ticks = 0
    while not all(task.done for task in tasks):
        greenlets.sleep(0.005)
        ticks += 1
    assert ticks > 3
    assert [task.result() for task in tasks] == [False] * 3


def test_a_greenlet_that_finds_something_again_and_again_gives_others_a_turn(
    greenlets: Stage, sockets: Sockets, wait: Wait
) -> None:
    a, b = sockets.pair()
    b.send(b"x")
    other = greenlets.spawn(lambda: None)
    for _ in range(1000):
        assert wait(a, 1)
        if other.done:
            return
    pytest.fail("no other had a turn")


def test_one_that_asks_without_waiting_gives_others_a_turn(
    greenlets: Stage, sockets: Sockets, wait: Wait
) -> None:
    a, b = sockets.pair()
    greenlets.spawn(b.send, b"x")
    for _ in range(1000):
        if wait(a, 0):
            return
    pytest.fail("no other had a turn")


def test_a_kill_ends_the_wait(greenlets: Stage, sockets: Sockets, wait: Wait) -> None:
    a, b = sockets.pair()
    task = greenlets.spawn(wait, a, None)
    greenlets.stays_blocked(task)
    task.greenlet.kill()  # type: ignore[attr-defined]
    task.raises(green.GreenletExit)
    b.send(b"x")
    assert wait(a, None)


def test_the_hubs_poller_may_be_closed_meanwhile(
    greenlets: Stage, sockets: Sockets, wait: Wait
) -> None:
    a, b = sockets.pair()
    task = greenlets.spawn(wait, a, None)
    greenlets.stays_blocked(task)
    green.get_hub().poller.close()
    greenlets.stays_blocked(task)
    b.send(b"x")
    assert task.result()


# --- select ---------------------------------------------------------------------------------------


def test_select_for_reading_writing_and_urgent_data(stage: Stage, sockets: Sockets) -> None:
    a, b = sockets.tcp()
    assert select.select([a], [a], [a], 1) == ([], [a], [])
    task = stage.spawn(select.select, (), [], [a])
    stage.stays_blocked(task)
    b.send(b"!", socket.MSG_OOB)
    assert task.result() == ([], [], [a])


@needs_linux
@pytest.mark.rule(19)
@pytest.mark.parametrize("lists", ["xlist", "wlist"])
def test_an_event_that_select_was_not_asked_for_keeps_no_loop_busy(
    greenlets: Stage, sockets: Sockets, lists: str
) -> None:
    """An epoll always reports a hang-up."""
    hung_up, peer = sockets.pair()
    r, w = sockets.pipe()
    (peer.close if lists == "xlist" else partial(close_quietly, w))()
    a, b = sockets.pair()
    args: Any = ([a], [], [hung_up]) if lists == "xlist" else ([a], [r], [])
    poller = greenlets.poller
    before = poller.stats().polls
    assert select.select(*args, 0.2) == ([], [], [])
    assert poller.stats().polls - before < 20
    task = greenlets.spawn(select.select, *args)
    greenlets.stays_blocked(task)
    b.send(b"x")
    assert task.result() == ([a], [], [])


def test_select_takes_any_iterable_and_objects_and_numbers(stage: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    task = stage.spawn(lambda: select.select(iter([a, a.fileno()]), {b}, range(0), 5))
    assert task.result() == ([], [b], [])
    b.send(b"x")
    assert select.select(iter([a, a.fileno()]), [], []) == ([a, a.fileno()], [], [])


def test_select_of_nothing_sleeps(stage: Stage) -> None:
    if WINDOWS:
        pytest.skip("the standard function refuses that")
    with never_early(0.02):
        assert select.select([], [], [], 0.02) == ([], [], [])


def test_plain_files_are_ready(stage: Stage, sockets: Sockets) -> None:
    if WINDOWS:
        pytest.skip("the standard function takes sockets only")
    a, b = sockets.pair()
    with tempfile.TemporaryFile() as file, open(os.devnull, "rb") as null:
        for plain in (file, null):
            assert select.select([plain, a], [plain], []) == ([plain], [plain], [])
            poll = select.poll()
            poll.register(plain, select.POLLIN)
            poll.register(a, select.POLLIN)
            assert poll.poll() == [(plain.fileno(), select.POLLIN)]
        task = stage.spawn(select.select, [a], [], [file])  # no such event of a plain file
        stage.stays_blocked(task)
        b.send(b"x")
        assert task.result() == ([a], [], [])


class Unready:
    def fileno(self) -> str:
        return "0"


@pytest.mark.parametrize(
    "args",
    [
        ([], [], [], -1),
        ([], [], [], float("nan")),
        ([], [], [], float("inf")),
        ([], [], [], 1e30),
        ([], [], [], "1"),
        ([], [], [], 1j),
        (1, [], []),
        ([-1], [], [], 0),
        ([99999], [], [], 0),
        (["x"], [], [], 0),
        ([Unready()], [], [], 0),
    ],
    ids=name_of,
)
def test_a_wrong_call_of_select_is_the_standard_error(stage: Stage, args: tuple[Any, ...]) -> None:
    assert outcome(select.select, *args) == outcome(std.select, *args)


def outcome(function: Callable[..., object], *args: Any) -> object:
    try:
        return function(*args)
    except Exception as error:
        return type(error), error.args


# --- poll and epoll -------------------------------------------------------------------------------


def poll_what_is_ready(module: Any, timeout: object) -> object:
    """Of a number that nothing has: it does not wait where a version takes the time."""
    poll = module.poll()
    poll.register(2**31 - 1)
    return outcome(poll.poll, timeout)


@pytest.mark.skipif(not hasattr(std, "poll"), reason="the system has no poll")
@pytest.mark.parametrize("timeout", ["1", float("nan"), 2**31, 1e30, 1j, -(2.0**40)])
def test_a_wrong_timeout_of_poll_is_the_standard_error(stage: Stage, timeout: Any) -> None:
    assert poll_what_is_ready(select, timeout) == poll_what_is_ready(std, timeout)


@pytest.mark.skipif(not hasattr(std, "poll"), reason="the system has no poll")
def test_a_time_that_is_very_long_blocks_nobody_else(stage: Stage, sockets: Sockets) -> None:
    """Before CPython 3.15 it is an error."""
    r, w = sockets.pipe()
    poll = select.poll()
    poll.register(r, select.POLLIN)
    task = stage.spawn(outcome, poll.poll, 2**31)
    stage.sleep(0.01)
    os.write(w, b"x")
    standard = poll_what_is_ready(std, 2**31)
    taken = isinstance(standard, list)
    assert task.result() == ([(r, select.POLLIN)] if taken else standard)


@pytest.mark.skipif(not hasattr(std, "poll"), reason="the system has no poll")
def test_poll_of_a_closed_number(stage: Stage, sockets: Sockets) -> None:
    r, w = os.pipe()
    close_quietly(w)
    poll = select.poll()
    poll.register(r, select.POLLIN)
    close_quietly(r)
    assert poll.poll() == [(r, select.POLLNVAL)]
    poll.unregister(r)
    assert poll.poll(0) == []
    assert outcome(poll.unregister, r) == outcome(std.poll().unregister, r)
    assert outcome(poll.modify, r, 1) == outcome(std.poll().modify, r, 1)
    assert outcome(poll.register, "x") == outcome(std.poll().register, "x")


@pytest.mark.skipif(not hasattr(std, "poll"), reason="the system has no poll")
def test_what_poll_watches_can_be_changed(stage: Stage, sockets: Sockets) -> None:
    a, _ = sockets.pair()
    poll = select.poll()
    poll.register(a)
    assert poll.poll() == [(a.fileno(), select.POLLOUT)]
    poll.modify(a, select.POLLIN)
    task = stage.spawn(poll.poll, 20)
    assert task.result() == []


@needs_linux
def test_the_epoll_object(stage: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    epoll = select.epoll()
    epoll.register(a.fileno(), select.EPOLLIN | select.EPOLLET)
    assert not epoll.closed and epoll.fileno() >= 0
    assert outcome(epoll.register, a) == (FileExistsError, (17, "File exists"))
    b.send(b"x")
    other = select.epoll.fromfd(os.dup(epoll.fileno()))
    assert other.poll(-1, maxevents=1) == [(a.fileno(), select.EPOLLIN)]
    other.close()
    assert epoll.poll(0.01) == []
    epoll.modify(a, select.EPOLLOUT)
    assert epoll.poll() == [(a.fileno(), select.EPOLLOUT)]
    epoll.unregister(a)
    assert epoll.poll(timeout=0.01) == []
    for timeout, maxevents in (("1", -1), (0, 0), (1e30, -1), (float("nan"), -1), (1, -2)):
        with std.epoll() as standard:
            mine = outcome(epoll.poll, timeout, maxevents)
            assert mine == outcome(standard.poll, timeout, maxevents)
    epoll.close()
    epoll.close()
    assert epoll.closed
    with pytest.raises(ValueError, match="closed epoll"):
        epoll.poll()
    with pytest.raises(ValueError, match="closed epoll"):
        epoll.__enter__()


@needs_linux
def test_close_ends_the_waits_at_an_epoll_object(greenlets: Stage) -> None:
    epoll = select.epoll()
    tasks = [greenlets.spawn(epoll.poll), greenlets.spawn(epoll.poll, 60)]
    greenlets.stays_blocked(*tasks)
    epoll.close()
    for task in tasks:
        task.raises(ValueError)


@needs_linux
@pytest.mark.parametrize("name", ["poll", "epoll"])
def test_no_copies(name: str) -> None:
    """Two objects would have one of the kernel's."""
    made = getattr(select, name)()
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="pickle"):
            attempt(made)


def test_every_public_name_is_there() -> None:
    public = [name for name in vars(std) if not name.startswith("_")]
    assert set(public) <= set(vars(select))
    changed = {"select", "poll", "epoll", "kqueue"}
    assert all(getattr(select, n) is getattr(std, n) for n in set(public) - changed)


def test_it_is_as_quick_as_a_wait_of_its_own(greenlets: Stage, sockets: Sockets) -> None:
    """The best of many: what is ready is found at once, not at the next of some interval."""
    if not hasattr(std, "epoll"):
        pytest.skip("asked again every few milliseconds")
    a, b = sockets.pair()
    best = 1.0
    for _ in range(20):
        task = greenlets.spawn(select.select, [a], [], [], 1)
        greenlets.sleep(0)
        began = time.perf_counter()
        b.send(b"x")
        task.result()
        best = min(best, time.perf_counter() - began)
        a.recv(1)
    assert best < 0.003


@needs_pipe
def test_the_debug_mode_has_nothing_to_say_of_it() -> None:
    """It tells of descriptors in blocking mode, but nothing is read from those of these waits."""
    check_python(
        """
        import os
        os.environ["NETPOLL_DEBUG"] = "1"
        import netpoll
        from netpoll import green, select, subprocess

        def main():
            r, w = os.pipe()
            select.select([r], [], [], 0.01)
            with select.epoll() as epoll:
                epoll.poll(0.01)
            with netpoll.File(r) as file, netpoll.File(w, "w"):
                file.set_deadline(0.01)
                try:
                    file.read(1)
                except TimeoutError:
                    pass
            subprocess.run(["sleep", "0.01"])

        green.run(main)
        """
    )
