"""Tasks of every loop wait on our descriptors, with deadlines that others move and a close that
others call.  Each scenario runs in each loop, on each backend.
"""

from __future__ import annotations

import io
import random
import re
import threading
import time
from functools import partial

import netpoll
import pytest
from loops import Loop
from netpoll import READ, WRITE, BusyError, ClosedError, DeadlineExceeded, Poller
from netpoll.adapters._nest import ThreadWatch, deliver_ready
from support import LONG, PAUSE, ClosedMeanwhile, Sockets, blocked, never_early, turns, until

pytestmark = pytest.mark.usefixtures("watched")


# --- readiness ------------------------------------------------------------------------------------


@pytest.mark.rule(1)
def test_readiness_ends_the_wait(loop: Loop, poller: Poller, sockets: Sockets, mode: int) -> None:
    desc, make_ready = blocked(poller.open, sockets, mode)
    with desc:
        waiting = loop.waiting(desc, mode)
        time.sleep(PAUSE)
        assert not waiting.done
        make_ready()
        waiting.result()


@pytest.mark.rule(1)
def test_what_was_ready_before_ends_the_wait_at_once(
    loop: Loop, poller: Poller, sockets: Sockets
) -> None:
    a, b = sockets.pair()
    b.send(b"x")
    with poller.open(a) as desc:
        loop.wait(desc).result()


@pytest.mark.rule(1, 17)
def test_many_tasks_bounce_many_bytes(loop: Loop, poller: Poller, sockets: Sockets) -> None:
    count, rounds = 30, turns(40)  # libkqueue loses events of more than 64 descriptors
    pairs = [sockets.pair() for _ in range(count)]
    descs = [poller.open(end) for pair in pairs for end in pair]
    ends = [end for pair in pairs for end in pair]

    def receive(end: object, left: list[int]) -> bytes:
        if not left[0]:
            return b""
        data = end.recv(1)
        left[0] -= 1
        return data

    tasks = [
        loop.bounce(desc, partial(receive, end, [rounds]), partial(end.send, b"x"))
        for desc, end in zip(descs, ends, strict=True)
    ]
    for _, second in pairs:
        second.send(b"x")
    assert [task.result() for task in tasks] == [rounds] * len(tasks)
    for desc in descs:
        desc.close()


# --- deadlines ------------------------------------------------------------------------------------


@pytest.mark.rule(3, 5)
def test_a_deadline_ends_the_wait_and_is_not_early(
    loop: Loop, poller: Poller, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(poller.open, sockets, mode)
    with desc:
        with never_early(0.05):
            desc.set_deadline(0.05)
            loop.wait(desc, mode).raises(DeadlineExceeded)
        loop.wait(desc, mode).raises(DeadlineExceeded)
        desc.set_deadline(None)
        waiting = loop.waiting(desc, mode)
        make_ready()
        waiting.result()


@pytest.mark.rule(4)
def test_a_deadline_moved_under_the_wait_applies_to_it(
    loop: Loop, poller: Poller, sockets: Sockets
) -> None:
    with poller.open(sockets.pair()[0]) as desc:
        desc.set_deadline(LONG)
        waiting = loop.waiting(desc)
        desc.set_deadline(0.01)
        waiting.raises(DeadlineExceeded)


@pytest.mark.rule(4)
def test_a_deadline_that_fires_while_it_is_moved_loses_nothing(
    loop: Loop, poller: Poller, sockets: Sockets
) -> None:
    a, b = sockets.pair()
    with poller.open(a) as desc:
        for _ in range(50):
            waiting = loop.waiting(desc)
            desc.set_deadline(0)
            desc.set_deadline(None)
            b.send(b"x")
            try:
                waiting.result()
            except DeadlineExceeded:  # it ran before the deadline was moved
                continue
            finally:
                until(lambda: not poller.stats().parked_readers, "nobody is parked")
                desc.reset(READ)
                a.recv(1)


# --- closing --------------------------------------------------------------------------------------


@pytest.mark.rule(8)
@pytest.mark.parametrize("ending", ["close", "unblock"])
def test_closing_the_descriptor_ends_the_wait(
    loop: Loop, poller: Poller, sockets: Sockets, mode: int, ending: str
) -> None:
    desc, _ = blocked(poller.open, sockets, mode)
    with desc:
        waiting = loop.waiting(desc, mode)
        getattr(desc, ending)()
        waiting.raises(ClosedError)
        loop.wait(desc, mode).raises(ClosedError)


@pytest.mark.rule(8)
def test_closing_the_poller_ends_every_wait_and_the_loop_goes_on(
    loop: Loop, backend: str, sockets: Sockets
) -> None:
    for _ in range(3):  # whatever number the next one gets
        with Poller(backend) as poller:
            descs = [poller.open(sockets.pair()[0]) for _ in range(5)]
            tasks = [loop.wait(desc) for desc in descs]
            loop.parked(poller, readers=5)
            poller.close()
            for task in tasks:
                task.raises(ClosedError)
    a, b = sockets.pair()
    with Poller(backend) as poller, poller.open(a) as desc:
        waiting = loop.waiting(desc)
        b.send(b"x")
        waiting.result()


@pytest.mark.rule(8, 12)
@pytest.mark.parametrize("before", [True, False])
def test_a_poller_closed_as_the_loop_begins_to_watch_it_leaves_nobody_waiting(
    loop: Loop, backend: str, sockets: Sockets, before: bool
) -> None:
    with ClosedMeanwhile(backend) as poller:
        poller.before = before
        loop.wait(poller.open(sockets.pair()[0])).raises(ClosedError)


@pytest.mark.rule(8, 12)
def test_a_poller_closed_before_its_thread_has_polled_leaves_nobody_waiting(
    loop: Loop, poller: Poller, sockets: Sockets, watched: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if watched != "thread":
        pytest.skip("no thread polls for a loop that watches a descriptor")
    held, drive = threading.Event(), ThreadWatch._drive

    def drive_later(watch: ThreadWatch) -> None:
        assert held.wait(LONG * 2)
        drive(watch)

    monkeypatch.setattr(ThreadWatch, "_drive", drive_later)
    waiting = loop.waiting(poller.open(sockets.pair()[0]))
    poller.close()
    try:
        waiting.raises(ClosedError)
    finally:
        held.set()


# --- cancellation ---------------------------------------------------------------------------------


@pytest.mark.rule(1)
def test_a_cancelled_wait_leaves_what_comes_to_the_next_waiter(
    loop: Loop, poller: Poller, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(poller.open, sockets, mode)
    with desc:
        desc.set_deadline(LONG)
        waiting = loop.waiting(desc, mode)
        waiting.cancel()
        assert waiting.cancelled()
        loop.parked(poller)
        again = loop.waiting(desc, mode)
        make_ready()
        again.result()
        desc.reset(mode)


@pytest.mark.rule(1)
def test_a_notification_on_its_way_at_the_cancellation_stays_for_the_next_waiter(
    loop: Loop, poller: Poller, sockets: Sockets
) -> None:
    """The byte stays in the socket, so there is no other edge: who loses this one hangs."""
    chance = random.Random(6)
    cancelled = 0
    for _ in range(60):
        a, b = sockets.pair()
        with poller.open(a) as desc:
            desc.set_deadline(LONG)
            waiting = loop.waiting(desc)
            if chance.random() < 0.5:
                waiting.cancel()
                if chance.random() < 0.5:  # a loaded machine may deliver the byte first, each time
                    assert waiting.cancelled()
                b.send(b"x")
            else:
                b.send(b"x")
                time.sleep(chance.choice([0, 0, 1e-5, 1e-4]))
                waiting.cancel()
            if waiting.cancelled():
                cancelled += 1
                desc.wait(READ)
            desc.set_deadline(None)
        a.close()
        b.close()
    assert cancelled


@pytest.mark.rule(1, 3)
def test_a_wait_cancelled_while_its_deadline_fires_does_not_keep_others_out(
    loop: Loop, poller: Poller, sockets: Sockets
) -> None:
    a, b = sockets.pair()
    with poller.open(a) as desc:
        for _ in range(40):
            waiting = loop.waiting(desc)
            waiting.cancel()
            desc.set_deadline(0)
            if not waiting.cancelled():
                waiting.raises(DeadlineExceeded)
            desc.set_deadline(LONG)
            again = loop.waiting(desc)
            b.send(b"x")
            again.result()
            a.recv(1)
            desc.set_deadline(None)
            desc.reset(READ)


# --- company --------------------------------------------------------------------------------------


@pytest.mark.rule(2)
def test_a_second_waiter_is_refused_and_the_first_is_unharmed(
    loop: Loop, poller: Poller, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(poller.open, sockets, mode)
    with desc:
        first = loop.waiting(desc, mode)
        loop.wait(desc, mode).raises(BusyError)
        with pytest.raises(BusyError):
            desc.wait(mode)
        make_ready()
        first.result()


@pytest.mark.rule(2)
def test_reader_and_writer_wait_at_once(loop: Loop, poller: Poller, sockets: Sockets) -> None:
    desc, make_writable = blocked(poller.open, sockets, WRITE)
    with desc:
        writer = loop.waiting(desc, WRITE)
        reader = loop.wait(desc, READ)
        loop.parked(poller, readers=1, writers=1)
        make_writable()
        writer.result()
        assert not reader.done
        desc.set_deadline(0, READ)
        reader.raises(DeadlineExceeded)


@pytest.mark.rule(11)
def test_loops_in_two_threads_share_a_poller(
    two_loops: tuple[Loop, Loop], poller: Poller, sockets: Sockets
) -> None:
    pairs = [sockets.pair() for _ in range(20)]
    descs = [poller.open(a) for a, _ in pairs]
    for _ in range(20):
        for desc in descs:
            desc.reset(READ)
        tasks = [two_loops[i % 2].wait(desc) for i, desc in enumerate(descs)]
        for _, b in pairs:
            b.send(b"x")
        for task, (a, _) in zip(tasks, pairs, strict=True):
            task.result()
            assert a.recv(1) == b"x"
    for desc in descs:
        desc.close()


@pytest.mark.rule(11, 12)
def test_a_loop_and_threads_share_a_poller(loop: Loop, poller: Poller, sockets: Sockets) -> None:
    (a, b), (c, d) = sockets.pair(), sockets.pair()
    with poller.open(a) as mine, poller.open(c) as theirs:
        theirs.set_deadline(LONG)
        for _ in range(50):
            mine.reset(READ)
            theirs.reset(READ)
            task = loop.wait(mine)
            b.send(b"x")
            d.send(b"x")
            theirs.wait(READ)
            task.result()
            assert a.recv(1) == c.recv(1) == b"x"


def test_the_dump_names_the_task_that_waits(loop: Loop, poller: Poller, sockets: Sockets) -> None:
    """The loop watches the poller, which is no hub's for that."""
    with poller.open(sockets.pair()[0]) as desc:
        waiting = loop.waiting(desc)
        text = io.StringIO()
        netpoll.dump(text)
        assert re.search(r"read: token <(Task|_?Greenlet|TaskGreenlet).*main", text.getvalue())
        waiting.cancel()
        assert waiting.cancelled()
        netpoll.dump(text)


def test_a_mode_that_is_none_is_refused(loop: Loop, poller: Poller, sockets: Sockets) -> None:
    with poller.open(sockets.pair()[0]) as desc:
        for mode in (0, 3, 4):
            loop.wait(desc, mode).raises(ValueError)
        waiting = loop.waiting(desc)
        waiting.cancel()
        assert waiting.cancelled()


def test_a_strangers_token_is_not_dropped_in_silence(
    loop: Loop, poller: Poller, sockets: Sockets
) -> None:
    a, b = sockets.pair()
    c, d = sockets.pair()
    with poller.open(a) as ours, poller.open(c) as strange:
        strange.park(READ, "a stranger's")
        d.send(b"x")
        with pytest.raises(RuntimeError, match="a stranger's"):
            until(lambda: deliver_ready(poller), "it is found")
        waiting = loop.wait(ours)
        b.send(b"x")
        waiting.result()
