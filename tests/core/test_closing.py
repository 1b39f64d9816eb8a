"""Closing wins: it ends every wait, from anywhere; a handle kept afterwards touches nobody else."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import random
import socket
import weakref
from functools import partial

import pytest
from netpoll import (
    READ,
    WRITE,
    ClosedError,
    DeadlineExceeded,
    NotPollableError,
    PollDesc,
    Poller,
    PollError,
)
from support import (
    LONG,
    PAUSE,
    WINDOWS,
    Sockets,
    Stage,
    blocked,
    fill,
    needs_linux,
    no_error_events,
    not_on_libkqueue,
    open_fds,
    read_some,
    take_tokens,
    write_some,
)

BOTH = READ | WRITE
ENDINGS = {"close": PollDesc.close, "unblock": PollDesc.unblock}


@pytest.fixture(params=ENDINGS)
def ending(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# --- a wait ends ----------------------------------------------------------------------------------


@pytest.mark.rule(8)
def test_closing_ends_a_wait(stage: Stage, sockets: Sockets, mode: int, ending: str) -> None:
    desc, _ = blocked(stage.open, sockets, mode)
    waiter = stage.spawn(desc.wait, mode)
    stage.stays_blocked(waiter, seconds=0.01)
    ENDINGS[ending](desc)
    error = waiter.raises(ClosedError)
    assert isinstance(error, PollError) and isinstance(error, OSError)
    assert error.errno == errno.EBADF
    assert str(desc.fd) in str(error)


@pytest.mark.rule(8)
def test_closing_ends_reader_and_writer(stage: Stage, sockets: Sockets, ending: str) -> None:
    a, _ = sockets.pair()
    fill(a.fileno())
    desc = stage.open(a)
    waiters = [stage.spawn(desc.wait, mode) for mode in (READ, WRITE)]
    stage.until_parked(readers=1, writers=1)
    ENDINGS[ending](desc)
    for waiter in waiters:
        waiter.raises(ClosedError)
    stage.until_parked(readers=0, writers=0)


@pytest.mark.rule(8, 11)
def test_closing_from_another_thread_ends_a_wait(
    stage: Stage, sockets: Sockets, mode: int, ending: str
) -> None:
    desc, _ = blocked(stage.open, sockets, mode)
    waiter = stage.spawn(desc.wait, mode)
    stage.stays_blocked(waiter, seconds=0.01)
    stage.thread(ENDINGS[ending], desc).result()
    waiter.raises(ClosedError)


@pytest.mark.rule(8)
def test_closing_ends_later_waits_too(
    stage: Stage, sockets: Sockets, mode: int, ending: str
) -> None:
    desc, make_ready = blocked(stage.open, sockets, mode)
    make_ready()
    stage.settle()
    ENDINGS[ending](desc)
    assert desc.closed
    for _ in range(2):
        with pytest.raises(ClosedError):
            desc.reset(mode)
        stage.spawn(desc.wait, mode).raises(ClosedError)
        with pytest.raises(ClosedError):
            desc.park(mode, "token")


@pytest.mark.rule(8, 9)
def test_closing_is_idempotent_and_never_closes_the_descriptor_itself(
    stage: Stage, sockets: Sockets, ending: str
) -> None:
    a, b = sockets.pair()
    desc = stage.open(a)
    assert not desc.closed
    for _ in range(3):
        ENDINGS[ending](desc)
    desc.close()
    desc.unblock()
    desc.close()
    assert desc.closed
    b.send(b"x")
    assert a.recv(1) == b"x"


@pytest.mark.rule(8)
def test_close_deregisters_before_it_returns(stage: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    for i in range(50):
        desc = stage.poller.open(a)
        waiter = stage.spawn(read_some, desc)
        b.send(b"%d" % i)
        assert waiter.result() == b"%d" % i
        desc.close()


@pytest.mark.rule(8)
def test_unblock_leaves_the_descriptor_registered(stage: Stage, sockets: Sockets) -> None:
    a, _ = sockets.pair()
    desc = stage.open(a)
    desc.unblock()
    with pytest.raises(FileExistsError):
        stage.open(a)
    desc.close()
    stage.open(a)


@pytest.mark.rule(8)
def test_leaving_the_block_closes(poller: Poller, sockets: Sockets) -> None:
    a, _ = sockets.pair()
    with pytest.raises(ZeroDivisionError), poller.open(a) as desc:
        assert not desc.closed
        1 / 0  # noqa: B018
    assert desc.closed
    assert poller.stats().open == 0


@pytest.mark.rule(8, 1)
def test_a_wait_canceled_is_ended_by_close(stage: Stage, sockets: Sockets, mode: int) -> None:
    """Readiness could never come any more."""
    desc, _ = blocked(stage.open, sockets, mode)
    waiter = stage.spawn(desc.wait_canceled, mode)
    stage.stays_blocked(waiter, seconds=0.01)
    desc.close()
    waiter.raises(ClosedError)


# --- which error ----------------------------------------------------------------------------------


@pytest.mark.rule(7)
def test_closed_is_reported_before_expired(
    stage: Stage, sockets: Sockets, mode: int, ending: str
) -> None:
    desc, make_ready = blocked(stage.open, sockets, mode)
    make_ready()
    desc.set_deadline(-1)
    with pytest.raises(DeadlineExceeded):
        desc.reset(mode)
    ENDINGS[ending](desc)
    with pytest.raises(ClosedError):
        desc.reset(mode)
    stage.spawn(desc.wait, mode).raises(ClosedError)


@pytest.mark.rule(7)
def test_a_waiter_that_is_both_expired_and_closed_reports_closed(
    greenlets: Stage, sockets: Sockets
) -> None:
    """The waiter cannot run between the two calls: it sees both."""
    a, _ = sockets.pair()
    desc = greenlets.open(a)
    waiter = greenlets.spawn(desc.wait, READ)
    greenlets.until_parked(readers=1)
    desc.set_deadline(0)
    desc.unblock()
    waiter.raises(ClosedError)


@pytest.mark.rule(7)
def test_a_token_that_is_both_expired_and_closed_reports_closed(
    poller: Poller, sockets: Sockets
) -> None:
    a, _ = sockets.pair()
    with poller.open(a) as desc:
        assert desc.park(READ, "token")
        desc.set_deadline(0)
        desc.unblock()
        assert take_tokens(poller, 1) == ["token"]
        with pytest.raises(ClosedError):
            desc.resume(READ)


def _broken_pipe(sockets: Sockets) -> int:
    """The full write end of a pipe without a reader: EPOLLERR, and nothing more."""
    r, w = sockets.pipe()
    fill(w)
    os.close(r)
    return w


def _meet_the_event(stage: Stage, desc: PollDesc) -> None:
    """The event makes the reader ready, as in Go: the wait that it ends is not yet an error."""
    with contextlib.suppress(NotPollableError):
        stage.wait(desc, READ)


@no_error_events
@needs_linux
@pytest.mark.rule(7)
def test_an_error_event_alone_is_reported_to_the_reader(stage: Stage, sockets: Sockets) -> None:
    desc = stage.open(_broken_pipe(sockets))
    _meet_the_event(stage, desc)
    error = stage.spawn(desc.wait, READ).raises(NotPollableError)
    assert isinstance(error, PollError) and str(desc.fd) in str(error)
    with pytest.raises(NotPollableError):
        desc.reset(READ)


@no_error_events
@needs_linux
@pytest.mark.rule(7)
def test_an_error_event_alone_ends_a_parked_readers_wait(stage: Stage, sockets: Sockets) -> None:
    r, w = sockets.pipe()
    fill(w)
    desc = stage.open(w)
    reader, writer = stage.spawn(desc.wait, READ), stage.spawn(write_some, desc, b"x")
    stage.until_parked(readers=1, writers=1)
    os.close(r)
    with pytest.raises(BrokenPipeError):
        writer.result()
    with contextlib.suppress(NotPollableError):
        reader.result()
    with pytest.raises(NotPollableError):
        desc.reset(READ)


@needs_linux
@pytest.mark.rule(7)
def test_an_error_event_alone_lets_the_writer_meet_it_in_its_write(
    stage: Stage, sockets: Sockets
) -> None:
    desc = stage.open(_broken_pipe(sockets))
    stage.wait(desc, WRITE)
    desc.reset(WRITE)
    with pytest.raises(BrokenPipeError):
        os.write(desc.fd, b"x")


@no_error_events
@needs_linux
@pytest.mark.rule(7)
def test_expired_and_closed_are_reported_before_an_error_event(
    stage: Stage, sockets: Sockets
) -> None:
    desc = stage.open(_broken_pipe(sockets))
    _meet_the_event(stage, desc)
    stage.spawn(desc.wait, READ).raises(NotPollableError)
    desc.set_deadline(-1)
    stage.spawn(desc.wait, READ).raises(DeadlineExceeded)
    desc.set_deadline(None)
    stage.spawn(desc.wait, READ).raises(NotPollableError)
    desc.unblock()
    stage.spawn(desc.wait, READ).raises(ClosedError)


@no_error_events
@needs_linux
@pytest.mark.rule(7, 10)
def test_an_error_event_does_not_stay_with_the_slot(poller: Poller, sockets: Sockets) -> None:
    """The next owner of the pollDesc starts without it."""
    for _ in range(20):
        broken = poller.open(_broken_pipe(sockets))
        with pytest.raises(NotPollableError):
            while True:
                poller.poll(0)
                broken.wait(READ)
        broken.close()
        del broken
        a, _ = sockets.pair()
        with poller.open(a) as desc:
            poller.poll(0)
            desc.reset(READ)


# --- handles kept afterwards ----------------------------------------------------------------------


def _poke(desc: PollDesc) -> None:
    """Everything that a stale handle can be asked."""
    for mode in (READ, WRITE):
        for refused in (
            lambda mode=mode: desc.wait(mode),
            lambda mode=mode: desc.reset(mode),
            lambda mode=mode: desc.wait_canceled(mode),
            lambda mode=mode: desc.park(mode, "stale"),
            lambda mode=mode: desc.set_deadline(0, mode),
        ):
            with pytest.raises(ClosedError):
                refused()
        assert desc.cancel(mode) is False
        for harmless in (desc.resume, desc.deadline):
            try:
                assert not harmless(mode)
            except ClosedError:
                pass
    desc.unblock()
    desc.close()
    repr(desc)
    assert desc.closed


@pytest.mark.rule(9)
def test_a_handle_kept_after_close_touches_nobody_elses_state(
    stage: Stage, sockets: Sockets
) -> None:
    """The number, the registration and very likely the slot belong to the next descriptor."""
    a, b = sockets.pair()
    old = stage.open(a)
    old.close()
    desc = stage.open(a)
    desc.set_deadline(100)
    waiter = stage.spawn(desc.wait, READ)
    stage.until_parked(readers=1)
    _poke(old)
    stage.stays_blocked(waiter, seconds=0.01)
    assert not desc.closed
    left = desc.deadline(READ)
    assert left is not None and left > 0
    stage.wait(desc, WRITE)
    b.send(b"x")
    waiter.result()


@pytest.mark.rule(9)
def test_a_handle_kept_after_its_poller_closed_is_closed(stage: Stage, sockets: Sockets) -> None:
    poller = stage.new_poller()
    desc = stage.open(sockets.pair()[0], poller)
    poller.close()
    assert desc.closed
    _poke(desc)
    assert desc.poller is poller


@pytest.mark.rule(9)
def test_a_closed_handle_keeps_its_number_for_messages(poller: Poller, sockets: Sockets) -> None:
    a, _ = sockets.pair()
    desc = poller.open(a)
    desc.close()
    assert desc.fd == a.fileno()
    with pytest.raises(ClosedError, match=str(a.fileno())):
        desc.reset(READ)


# --- the poller closes ----------------------------------------------------------------------------


@pytest.mark.rule(8)
def test_a_poller_that_closes_ends_every_wait(stage: Stage, sockets: Sockets) -> None:
    poller = stage.new_poller()
    waiters = []
    for mode in (READ, WRITE):
        for _ in range(5):
            desc, _ = blocked(lambda sock: stage.open(sock, poller), sockets, mode)
            desc.set_deadline(100)
            waiters.append(stage.spawn(desc.wait, mode))
    stage.until_parked(readers=5, writers=5, poller=poller)
    poller.close()
    for waiter in waiters:
        waiter.raises(ClosedError)


@pytest.mark.rule(8)
@pytest.mark.parametrize("timeout", [None, 100])
def test_a_poller_that_closes_ends_the_polls_in_progress(
    threads: Stage, timeout: float | None
) -> None:
    poller = threads.new_poller()
    polling = [threads.spawn(poller.poll, timeout) for _ in range(3)]
    threads.stays_blocked(*polling)
    poller.close()
    for poll in polling:
        poll.raises(ClosedError)


@pytest.mark.rule(8, 9)
def test_a_closed_poller_refuses(poller: Poller, sockets: Sockets) -> None:
    a, _ = sockets.pair()
    desc = poller.open(a)
    poller.close()
    poller.close()
    for timeout in (0, None, 1):
        with pytest.raises(ClosedError):
            poller.poll(timeout)
    with pytest.raises(ClosedError):
        poller.open(a)
    with pytest.raises(ClosedError):
        poller.open(sockets.pair()[0])
    desc.close()
    repr(poller)
    assert poller.stats().open == 0
    for maybe in (
        poller.wake,
        poller.next_deadline,
        poller.fileno,
        lambda: poller.is_poll_descriptor(0),
    ):
        try:
            maybe()
        except (ClosedError, NotImplementedError):
            pass


@pytest.mark.rule(8)
@not_on_libkqueue("has descriptors of its own")
def test_a_poller_gives_its_descriptors_back_although_handles_are_kept(
    backend: str, sockets: Sockets
) -> None:
    """The guard around every test counts descriptors; here the handles outlive the poller."""
    a, _ = sockets.pair()
    before = open_fds()
    poller = Poller(backend)
    desc = poller.open(a)
    poller.close()
    assert open_fds() == before
    desc.close()


@pytest.mark.rule(8)
def test_a_poller_is_a_context_manager(backend: str) -> None:
    with Poller(backend) as poller:
        assert poller.poll(0) == []
    with pytest.raises(ClosedError):
        poller.poll(0)


# --- races ----------------------------------------------------------------------------------------


@pytest.mark.rule(8, 9, 17)
def test_close_unblock_and_deadlines_race_with_waiters(stage: Stage, sockets: Sockets) -> None:
    """Every waiter ends, with an error that fits, however the calls interleave."""
    chance = random.Random(8)
    for _ in range(60):
        a, b = sockets.pair()
        fill(a.fileno())
        desc = stage.open(a)
        waiters = [stage.spawn(desc.wait, mode) for mode in (READ, WRITE)]
        if chance.random() < 0.5:
            stage.until_parked(readers=1, writers=1)
        calls = [desc.close, desc.close, desc.unblock, partial(_move, desc), partial(b.send, b"x")]
        chance.shuffle(calls)
        meddlers = [stage.thread(call) for call in calls]
        for meddler in meddlers:
            meddler.result()
        for waiter in waiters:
            try:
                waiter.result()
            except (ClosedError, DeadlineExceeded):
                pass
        assert desc.closed
        with pytest.raises(ClosedError):
            desc.reset(READ)
        a.close()
        b.close()
        stage.until_parked(0, 0)


def _move(desc: PollDesc) -> None:
    for timeout in (100, 0, None, 1e-6, 50):
        try:
            desc.set_deadline(timeout)
        except ClosedError:
            return


@pytest.mark.rule(8, 17)
def test_pollers_close_under_waiters_polls_and_opens(threads: Stage, sockets: Sockets) -> None:
    pairs = [sockets.pair() for _ in range(6)]

    def open_and_wait(poller: Poller, sock: socket.socket) -> None:
        with poller.open(sock) as desc:
            desc.set_deadline(LONG)
            desc.wait(READ)

    def poll_on(poller: Poller) -> None:
        while True:  # it may return early, because of a deadline that is set meanwhile
            poller.poll(None)

    for i in range(40):
        poller = threads.new_poller()
        actors = [threads.spawn(open_and_wait, poller, a) for a, _ in pairs]
        actors += [threads.spawn(poll_on, poller) for _ in range(2)]
        threads.sleep(0.0005 * (i % 8))
        poller.close()
        for actor in actors:
            actor.raises(ClosedError)


@pytest.mark.rule(8, 9)
def test_a_waiter_may_close_what_it_waited_on(stage: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    desc = stage.open(a)

    def wait_and_close() -> None:
        desc.wait(READ)
        desc.close()

    waiter = stage.spawn(wait_and_close)
    stage.until_parked(readers=1)
    b.send(b"x")
    waiter.result()
    assert desc.closed


@pytest.mark.rule(9)
def test_closing_the_socket_first_is_survived(stage: Stage, sockets: Sockets) -> None:
    """Wrong order, but it happens: the number is gone when the descriptor closes."""
    a, _ = sockets.pair()
    desc = stage.open(a)
    number = a.fileno()
    a.close()
    desc.close()
    c, d = sockets.pair()
    assert WINDOWS or number in (c.fileno(), d.fileno())
    desc = stage.open(c)
    waiter = stage.spawn(read_some, desc)
    stage.stays_blocked(waiter, seconds=PAUSE)
    d.send(b"x")
    assert waiter.result() == b"x"


@pytest.mark.rule(8, 12)
def test_a_file_closed_beside_a_sleeping_driver_is_let_go(threads: Stage, sockets: Sockets) -> None:
    """Whoever sleeps in the kernel may hold on to every file it sleeps on.

    Once the descriptor and the socket are closed, the peer must see the end of the stream, although
    another thread went on sleeping; also if somebody had waited on it before and left.
    """
    for waited_before in (False, True):
        (a, b), (c, d) = sockets.pair(), sockets.pair()
        desc = threads.open(a)
        if waited_before:
            desc.set_deadline(0.001)
            threads.spawn(desc.wait, READ).raises(DeadlineExceeded)
        driving = threads.spawn(read_some, threads.open(c))
        threads.until_parked(readers=1)
        threads.sleep(0.005)
        desc.close()
        a.close()
        b.setblocking(True)
        b.settimeout(LONG)
        assert b.recv(1) == b""
        d.send(b"x")
        driving.result()


class Watcher:
    """Somebody who sleeps on a poller's descriptor, elsewhere."""

    def __init__(self) -> None:
        self.woken: list[bool] = []

    def wake(self) -> None:
        self.woken.append(True)


@pytest.mark.rule(8)
def test_a_poller_that_closes_wakes_its_watchers_once_and_keeps_none_alive(backend: str) -> None:
    poller = Poller(backend)
    watcher, left, forgotten = Watcher(), Watcher(), Watcher()
    for each in (watcher, watcher, left, forgotten):
        poller.add_watcher(each)
    poller.remove_watcher(left)
    poller.remove_watcher(left)
    gone = weakref.ref(forgotten)
    del forgotten, each
    gc.collect()
    assert gone() is None
    poller.close()
    assert watcher.woken == [True] and left.woken == []


@pytest.mark.rule(8)
def test_a_watcher_that_raises_keeps_no_other_from_being_woken(backend: str) -> None:
    class Faulty(Watcher):
        def wake(self) -> None:
            super().wake()
            raise ZeroDivisionError

    poller = Poller(backend)
    watchers = [kind() for kind in (Watcher, Faulty) * 10]  # in whatever order they come
    for each in watchers:
        poller.add_watcher(each)
    with pytest.raises(ZeroDivisionError):
        poller.close()
    assert all(each.woken == [True] for each in watchers)
