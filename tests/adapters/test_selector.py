"""PollerSelector beyond what CPython's tests ask: levels, signals, other threads, servers on it."""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from selectors import EVENT_READ, EVENT_WRITE

import pytest
from netpoll import ClosedError, green
from netpoll.adapters._nest import has_descriptor
from netpoll.adapters.selectors import PollerSelector, _Entry
from support import (
    LONG,
    PAUSE,
    WINDOWS,
    Sockets,
    Stage,
    ThreadTask,
    drain,
    fill,
    needs_pipe,
    needs_sigint,
    not_on_libkqueue,
    turns,
    until,
)


@pytest.fixture
def selector(backend: str) -> Iterator[PollerSelector]:
    with PollerSelector(backend) as selector:
        yield selector


def ready(selector: PollerSelector, timeout: float | None = 0) -> dict[object, int]:
    return {key.data: events for key, events in selector.select(timeout)}


# --- level ----------------------------------------------------------------------------------------


def test_what_is_left_is_reported_again_and_what_is_taken_is_not(
    selector: PollerSelector, sockets: Sockets
) -> None:
    a, b = sockets.pair()
    selector.register(a, EVENT_READ, "a")
    b.send(b"xyz")
    for _ in range(3):
        assert ready(selector, LONG) == {"a": EVENT_READ}
        a.recv(1)
    for _ in range(3):
        assert ready(selector) == {}
    b.send(b"x")
    assert ready(selector, LONG) == {"a": EVENT_READ}
    a.recv(1)
    assert ready(selector, PAUSE) == {}


def test_data_taken_before_the_selector_looked_is_not_reported(
    selector: PollerSelector, sockets: Sockets
) -> None:
    """A server whose listener blocks would hang in accept."""
    a, b = sockets.pair()
    selector.register(a, EVENT_READ)
    selector.select(0)
    for _ in range(3):
        b.send(b"x")
        a.recv(1)
        assert ready(selector) == {}


def test_a_mode_that_is_wanted_again_is_reported_without_any_news(
    selector: PollerSelector, sockets: Sockets
) -> None:
    a, _ = sockets.pair()
    selector.register(a, EVENT_READ | EVENT_WRITE, "a")
    assert ready(selector, LONG) == {"a": EVENT_WRITE}
    for _ in range(3):
        selector.modify(a, EVENT_READ, "a")
        assert ready(selector) == {}
        selector.modify(a, EVENT_READ | EVENT_WRITE, "a")
        assert ready(selector, LONG) == {"a": EVENT_WRITE}


def test_writable_is_reported_while_it_is_so(selector: PollerSelector, sockets: Sockets) -> None:
    a, b = sockets.pair()
    selector.register(a, EVENT_WRITE, "a")
    for _ in range(3):
        assert ready(selector, LONG) == {"a": EVENT_WRITE}
    fill(a.fileno())
    assert ready(selector) == {}
    drain(b.fileno())
    assert ready(selector, LONG) == {"a": EVENT_WRITE}


def test_the_end_of_a_connection_is_reported_until_it_is_unregistered(
    selector: PollerSelector, sockets: Sockets
) -> None:
    a, b = sockets.pair()
    selector.register(a, EVENT_READ, "a")
    b.close()
    for _ in range(3):
        assert ready(selector, LONG) == {"a": EVENT_READ}
        assert a.recv(1) == b""
    selector.unregister(a)
    assert ready(selector) == {}


@needs_pipe
def test_an_error_alone_is_reported_while_it_lasts(
    selector: PollerSelector, sockets: Sockets
) -> None:
    """A full pipe that nobody reads any more: what epoll's selector says of it."""
    reader, writer = sockets.pipe()
    fill(writer)
    selector.register(writer, EVENT_READ | EVENT_WRITE, "pipe")
    assert ready(selector) == {}
    os.close(reader)
    for _ in range(3):
        assert ready(selector, LONG) == {"pipe": EVENT_READ | EVENT_WRITE}


def test_a_registration_of_the_same_number_is_another_one(
    selector: PollerSelector, sockets: Sockets
) -> None:
    a, b = socket.socketpair()
    number = a.fileno()
    selector.register(a, EVENT_READ, "old")
    b.send(b"x")
    assert ready(selector, LONG) == {"old": EVENT_READ}
    selector.unregister(a)
    a.close()
    b.close()
    c, d = sockets.pair()
    if not WINDOWS and c.fileno() != number:
        os.dup2(c.fileno(), number)
        c = sockets.keep(socket.socket(fileno=number))
    selector.register(c, EVENT_READ, "new")
    assert ready(selector) == {}
    d.send(b"x")
    assert ready(selector, LONG) == {"new": EVENT_READ}


# --- more than a batch, more than select ----------------------------------------------------------


@not_on_libkqueue("loses events when more than half a batch is ready")
def test_more_than_five_hundred_and_twelve_sockets(
    selector: PollerSelector, sockets: Sockets
) -> None:
    """What select takes on Windows; all of those that are ready come in one report."""
    pairs = [sockets.pair() for _ in range(700)]
    for i, (a, _) in enumerate(pairs):
        selector.register(a, EVENT_READ, i)
    assert ready(selector) == {}
    for _, b in pairs:
        b.send(b"x")
    found: dict[object, int] = {}
    end = time.monotonic() + LONG
    while len(found) < 700 and time.monotonic() < end:
        found |= ready(selector, 1)
    assert sorted(found) == list(range(700))
    for a, _ in pairs:
        a.recv(1)
    assert ready(selector) == {}


# --- threads and signals --------------------------------------------------------------------------


def test_what_another_thread_registers_counts_at_once(
    selector: PollerSelector, sockets: Sockets
) -> None:
    a, b = sockets.pair()
    b.send(b"x")
    for _ in range(20):
        selecting = ThreadTask("select", ready, (selector, LONG))
        selector.register(a, EVENT_READ, "a")
        assert selecting.result() == {"a": EVENT_READ}
        selector.unregister(a)


def test_what_another_thread_modifies_counts_at_once(
    selector: PollerSelector, sockets: Sockets
) -> None:
    a, _ = sockets.pair()
    selector.register(a, EVENT_WRITE, "a")
    assert ready(selector, LONG)
    for _ in range(20):
        selector.modify(a, EVENT_READ, "a")
        selecting = ThreadTask("select", ready, (selector, LONG))
        time.sleep(0.001)
        selector.modify(a, EVENT_WRITE, "a")
        assert selecting.result() == {"a": EVENT_WRITE}


def test_what_another_thread_unregisters_is_passed_over(
    selector: PollerSelector, sockets: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it does so just as select looks at it."""
    (a, b), (c, d) = sockets.pair(), sockets.pair()
    for sock, name in ((a, "a"), (c, "c")):
        selector.register(sock, EVENT_READ, name)
    for sock in (b, d):
        sock.send(b"x")
    assert ready(selector, LONG) == {"a": EVENT_READ, "c": EVENT_READ}
    park = _Entry.park

    def unregistered_before(entry: _Entry, modes: int) -> int:
        if entry.key.data == "a":
            ThreadTask("unregister", selector.unregister, (a,)).result()
        return park(entry, modes)

    monkeypatch.setattr(_Entry, "park", unregistered_before)
    assert ready(selector, LONG) == {"c": EVENT_READ}


def test_threads_may_register_and_unregister_all_the_time(
    selector: PollerSelector, sockets: Sockets
) -> None:
    pairs = [sockets.pair() for _ in range(8)]
    stopped = threading.Event()

    def change(mine: list[tuple[socket.socket, socket.socket]]) -> None:
        while not stopped.is_set():
            for here, there in mine:
                selector.register(here, EVENT_READ | EVENT_WRITE, "other")
                there.send(b"x")
            for here, _ in mine:
                selector.modify(here, EVENT_READ, "other")
            for here, _ in mine:
                selector.unregister(here)
                here.recv(100)

    a, b = sockets.pair()
    selector.register(a, EVENT_READ, "ours")
    changing = [ThreadTask("change", change, (pairs[i::2],)) for i in range(2)]
    for _ in range(turns(300)):
        b.send(b"x")
        until(lambda: ready(selector, 0.1).get("ours"), "it is reported")
        a.recv(1)
    stopped.set()
    for task in changing:
        task.result()


class Interrupted(Exception):
    pass


@needs_sigint
@pytest.mark.rule(13)
def test_a_signal_handler_that_raises_loses_nothing(
    selector: PollerSelector, sockets: Sockets
) -> None:
    """Whatever a handler cut off, the next select reports what is ready."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    pairs = [sockets.pair() for _ in range(20)]
    for i, (a, _) in enumerate(pairs):
        selector.register(a, EVENT_READ, i)
    before = signal.signal(signal.SIGALRM, interrupt)
    interruptions = 0
    try:
        for turn in range(300):
            for _, b in pairs:
                b.send(b"x")
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-6 + (turn % 60) * 2e-6)
                selector.select(LONG)
                time.sleep(0.001)
            except Interrupted:
                interruptions += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            found = ready(selector, LONG)
            assert sorted(found) == list(range(20)), (turn, found)
            for a, _ in pairs:
                a.recv(1)
            assert ready(selector) == {}
    except Interrupted:
        pytest.fail("the timer was late")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert interruptions


# --- what runs on it ------------------------------------------------------------------------------


class Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(self.rfile.readline())


def test_socketserver_runs_on_it(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its listener blocks: a report that is not true would hang it in accept."""
    monkeypatch.setattr(socketserver, "_ServerSelector", lambda: PollerSelector(backend))
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = False
        serving = ThreadTask("server", server.serve_forever, (0.05,))
        for i in range(20):
            with socket.create_connection(server.server_address) as client:
                client.sendall(b"%d\n" % i)
                assert client.makefile("rb").readline() == b"%d\n" % i
        server.shutdown()
        serving.result()


@not_on_libkqueue("loses events when more than half a batch is ready")
def test_asyncio_runs_on_it(backend: str) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def talk(port: int, size: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        data = os.urandom(size)
        writer.write(data)  # more than the kernel takes at once: reading and writing in turns
        writer.write_eof()
        assert await reader.read(-1) == data
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await asyncio.wait_for(
            asyncio.gather(*(talk(port, 3 << 20 if i < 3 else 1000) for i in range(50))), 4 * LONG
        )
        server.close()
        await server.wait_closed()

    loop = asyncio.SelectorEventLoop(PollerSelector(backend))
    try:
        loop.run_until_complete(main())
        loop.run_until_complete(asyncio.sleep(0.01))
    finally:
        loop.close()


def test_it_is_a_selector(selector: PollerSelector) -> None:
    assert isinstance(selector, selectors.BaseSelector)


# --- in a hub -------------------------------------------------------------------------------------


def _has_no_descriptor(selector: PollerSelector) -> bool:
    return not has_descriptor(selector._poller)


def test_others_run_while_it_waits(
    greenlets: Stage, selector: PollerSelector, sockets: Sockets
) -> None:
    if _has_no_descriptor(selector):
        pytest.skip("nothing tells when to poll")
    a, b = sockets.pair()
    selector.register(a, EVENT_READ, "a")
    waiting = greenlets.spawn(ready, selector, LONG)
    greenlets.sleep(PAUSE)
    assert not waiting.done
    b.send(b"x")
    assert waiting.result() == {"a": EVENT_READ}
    a.recv(1)
    assert ready(selector, 0.001) == {}


def test_what_another_greenlet_changes_counts_at_once(
    greenlets: Stage, selector: PollerSelector, sockets: Sockets
) -> None:
    if _has_no_descriptor(selector):
        pytest.skip("nothing tells when to poll")
    (a, _), (c, d) = sockets.pair(), sockets.pair()
    selector.register(a, EVENT_READ, "a")
    d.send(b"x")
    waiting = greenlets.spawn(ready, selector, LONG)
    greenlets.sleep(PAUSE)
    selector.register(c, EVENT_READ, "c")
    assert waiting.result() == {"c": EVENT_READ}
    waiting = greenlets.spawn(ready, selector, LONG)
    c.recv(1)
    greenlets.sleep(PAUSE)
    selector.close()
    waiting.raises(ClosedError)


def test_a_loop_of_asyncio_in_a_greenlet_lets_others_run(
    greenlets: Stage, selector: PollerSelector
) -> None:
    if _has_no_descriptor(selector):
        pytest.skip("nothing tells when to poll")
    ran = 0

    def run() -> None:
        nonlocal ran
        while True:
            ran += 1
            green.sleep(0)

    other = green.spawn(run)
    loop = asyncio.SelectorEventLoop(selector)
    loop.run_until_complete(asyncio.sleep(PAUSE))
    assert ran > 2
    ran = 0

    async def spin() -> None:
        for _ in range(500):
            await asyncio.sleep(0)

    loop.run_until_complete(spin())
    assert ran > 2
    other.kill()
    loop.close()
