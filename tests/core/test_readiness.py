"""Edges are remembered, one a mode; a wait consumes it, a reset drops it; the modes are apart."""

from __future__ import annotations

import contextlib
import os

import pytest
from netpoll import READ, WRITE, DeadlineExceeded
from support import (
    PAUSE,
    WINDOWS,
    WINE,
    Sockets,
    Stage,
    blocked,
    drain,
    fill,
    needs_pipe,
    not_on_libkqueue,
    read_exactly,
    read_some,
    turns,
    write_all,
)


@pytest.mark.rule(1)
def test_a_waiter_wakes_when_its_mode_becomes_ready(
    stage: Stage, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(stage.open, sockets, mode)
    waiter = stage.spawn(desc.wait, mode)
    stage.stays_blocked(waiter)
    make_ready()
    waiter.result()


@pytest.mark.rule(1)
def test_readiness_from_before_the_open_is_noticed(stage: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    b.send(b"x")
    desc = stage.open(a)
    stage.wait(desc, READ)
    stage.wait(desc, WRITE)


@pytest.mark.rule(1)
def test_an_edge_from_before_the_wait_is_remembered(
    stage: Stage, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(stage.open, sockets, mode)
    make_ready()
    stage.settle()
    stage.wait(desc, mode)


@pytest.mark.rule(1)
def test_a_wait_consumes_the_notification(stage: Stage, sockets: Sockets, mode: int) -> None:
    if not stage.edge_triggered:
        pytest.skip("the backend is level-triggered: a second wait may return at once")
    desc, make_ready = blocked(stage.open, sockets, mode)
    make_ready()
    stage.wait(desc, mode)
    desc.set_deadline(PAUSE)
    stage.spawn(desc.wait, mode).raises(DeadlineExceeded)


@pytest.mark.rule(1)
def test_a_mode_holds_at_most_one_notification(stage: Stage, sockets: Sockets) -> None:
    if not stage.edge_triggered:
        pytest.skip("the backend is level-triggered: a second wait may return at once")
    a, b = sockets.pair()
    desc = stage.open(a)
    for _ in range(3):
        b.send(b"x")
        stage.settle()
    stage.wait(desc, READ)
    desc.set_deadline(PAUSE)
    stage.spawn(desc.wait, READ).raises(DeadlineExceeded)
    assert a.recv(100) == b"xxx"


@pytest.mark.rule(1)
def test_reset_drops_a_pending_notification(stage: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    desc = stage.open(a)
    b.send(b"x")
    stage.settle()
    assert a.recv(1) == b"x"
    desc.reset(READ)
    waiter = stage.spawn(desc.wait, READ)
    stage.stays_blocked(waiter)
    b.send(b"y")
    waiter.result()


@pytest.mark.rule(1, 2)
def test_reset_of_one_mode_leaves_the_other(stage: Stage, sockets: Sockets, mode: int) -> None:
    a, b = sockets.pair()
    b.send(b"x")
    desc = stage.open(a)
    stage.settle()
    desc.reset(READ + WRITE - mode)
    stage.wait(desc, mode)


@pytest.mark.rule(1)
def test_reset_of_a_descriptor_that_is_not_ready_does_nothing(
    stage: Stage, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(stage.open, sockets, mode)
    assert desc.reset(mode) is None
    make_ready()
    stage.wait(desc, mode)


@pytest.mark.rule(2)
def test_a_ready_writer_does_not_wake_the_reader(stage: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    desc = stage.open(a)
    reader = stage.spawn(desc.wait, READ)
    stage.wait(desc, WRITE)
    stage.stays_blocked(reader)
    b.send(b"x")
    reader.result()


@pytest.mark.rule(2)
def test_a_ready_reader_does_not_wake_the_writer(stage: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    fill(a.fileno())
    desc = stage.open(a)
    writer = stage.spawn(desc.wait, WRITE)
    b.send(b"x")
    stage.wait(desc, READ)
    stage.stays_blocked(writer)
    drain(b.fileno())
    writer.result()


@pytest.mark.rule(2)
def test_reader_and_writer_of_one_descriptor_wait_together(stage: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    fill(a.fileno())
    desc = stage.open(a)
    reader, writer = stage.spawn(desc.wait, READ), stage.spawn(desc.wait, WRITE)
    stage.until_parked(readers=1, writers=1)
    b.send(b"x")
    reader.result()
    b.close()
    writer.result()


@not_on_libkqueue("takes the socket error for itself")
@pytest.mark.rule(1)
def test_a_peer_that_closes_wakes_reader_and_writer(stage: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    fill(a.fileno())
    desc = stage.open(a)
    reader, writer = stage.spawn(read_some, desc), stage.spawn(desc.wait, WRITE)
    stage.until_parked(readers=1, writers=1)
    b.close()
    writer.result()
    if WINE:  # its polls use the error up
        with contextlib.suppress(ConnectionResetError):
            assert reader.result() == b""
    else:
        with pytest.raises(ConnectionResetError):  # it had not read what we had sent
            reader.result()
    with pytest.raises(ConnectionError if WINDOWS else BrokenPipeError):
        a.send(b"x")


@pytest.mark.rule(1)
def test_the_end_of_the_stream_wakes_the_reader(stage: Stage, sockets: Sockets) -> None:
    a, b = sockets.tcp()
    desc = stage.open(a)
    reader = stage.spawn(read_some, desc)
    stage.until_parked(readers=1)
    b.shutdown(1)
    assert reader.result() == b""


@needs_pipe
@pytest.mark.rule(1)
def test_pipes_wait_like_sockets(stage: Stage, sockets: Sockets) -> None:
    r, w = sockets.pipe()
    reading, writing = stage.open(r), stage.open(w)
    reader = stage.spawn(read_some, reading)
    stage.until_parked(readers=1)
    os.write(w, b"x")
    assert reader.result() == b"x"
    size = fill(w)
    writing.reset(WRITE)
    writer = stage.spawn(writing.wait, WRITE)
    stage.stays_blocked(writer)
    assert len(read_exactly(reading, size)) == size
    writer.result()


@pytest.mark.rule(1, 17)
def test_a_thousand_round_trips(stage: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    ping, pong = stage.open(a), stage.open(b)

    def echo() -> int:
        count = 0
        while data := read_some(pong):
            write_all(pong, data)
            count += 1
        return count

    questions = turns(1000)

    def ask() -> None:
        for i in range(questions):
            question = b"%04d" % i
            write_all(ping, question)
            assert read_exactly(ping, 4) == question
        a.shutdown(1)

    echoing, asking = stage.spawn(echo), stage.spawn(ask)
    asking.result()
    assert echoing.result() == questions


@pytest.mark.rule(1, 2, 17)
def test_streams_in_both_directions_lose_nothing(stage: Stage, sockets: Sockets) -> None:
    """Each end has a reader and a writer, and every buffer runs full and empty all the time."""
    size = 4 << 20
    ends = [stage.open(sock) for sock in sockets.tcp()]
    data = os.urandom(size)
    writers = [stage.spawn(write_all, end, data) for end in ends]
    readers = [stage.spawn(read_exactly, end, size) for end in ends]
    for reader in readers:
        assert reader.result(30) == data
    for writer in writers:
        writer.result()


@pytest.mark.rule(1)
def test_wait_canceled_ends_when_ready(stage: Stage, sockets: Sockets, mode: int) -> None:
    desc, make_ready = blocked(stage.open, sockets, mode)
    waiter = stage.spawn(desc.wait_canceled, mode)
    stage.stays_blocked(waiter)
    make_ready()
    waiter.result()


@pytest.mark.rule(1, 7)
def test_wait_canceled_ignores_deadline_and_unblock(
    stage: Stage, sockets: Sockets, mode: int
) -> None:
    desc, make_ready = blocked(stage.open, sockets, mode)
    desc.set_deadline(-1)
    waiter = stage.spawn(desc.wait_canceled, mode)
    stage.stays_blocked(waiter)
    desc.set_deadline(0.001)
    stage.stays_blocked(waiter)
    desc.unblock()
    stage.stays_blocked(waiter)
    make_ready()
    waiter.result()
