"""What peers can do to a process by choosing when their descriptors are ready: SECURITY.md."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Iterator

import pytest
from netpoll import READ, WRITE, ClosedError, DeadlineExceeded, PollDesc, Poller
from support import (
    LONG,
    Sockets,
    Stage,
    check_python,
    drain,
    needs_fd_list,
    needs_pipe,
    not_on,
    not_on_libkqueue,
    read_some,
    turns,
    write_some,
)

pytestmark = pytest.mark.rule(17)

BATCH = 128  # events that one look at the kernel takes
CLOCK_END = 2**63 / 1e9  # seconds


# --- floods ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def flood(stage: Stage, sockets: Sockets, descriptors: int) -> Iterator[None]:
    """Peers that send without an end, and actors of ours that read it."""
    pairs = [sockets.pair() for _ in range(descriptors)]
    over = threading.Event()

    def send() -> None:
        while not over.is_set():
            for _, peer in pairs:
                with contextlib.suppress(BlockingIOError):
                    peer.send(b"flood" * 100)

    def serve(desc: PollDesc) -> None:
        with contextlib.suppress(ClosedError):
            while True:
                desc.wait(READ)
                drain(desc.fd)

    descs = [stage.open(sock) for sock, _ in pairs]
    servants = [stage.spawn(serve, desc) for desc in descs]
    sender = stage.thread(send)
    try:
        yield
    finally:
        over.set()
        for desc in descs:
            desc.unblock()
        for task in (sender, *servants):
            task.result()


def test_a_flood_does_not_starve_another_descriptor(stage: Stage, sockets: Sockets) -> None:
    a, b = sockets.pair()
    desc, peer = stage.open(a), stage.open(b)
    rounds = turns(20)

    def echo() -> None:
        for _ in range(rounds):
            write_some(desc, read_some(desc))

    with flood(stage, sockets, 20):
        servant = stage.spawn(echo)
        peer.set_deadline(LONG)
        for _ in range(rounds):
            write_some(peer, b"x")
            assert read_some(peer) == b"x"
        servant.result()


def test_a_flood_does_not_starve_deadlines(stage: Stage, sockets: Sockets) -> None:
    desc = stage.open(sockets.pair()[0])

    def meet() -> None:
        for _ in range(turns(10)):
            desc.set_deadline(0.005, READ)
            with pytest.raises(DeadlineExceeded):
                desc.wait(READ)

    with flood(stage, sockets, 20):
        stage.spawn(meet).result()


@not_on_libkqueue("loses events when more than half a batch is ready")
def test_more_events_than_one_look_takes_leave_each_its_turn(
    poller: Poller, sockets: Sockets
) -> None:
    """Whatever comes out is ready again at once; the one that is ready only once comes out soon."""
    pairs = [sockets.pair() for _ in range(3 * BATCH)]
    with contextlib.ExitStack() as stack:
        peers = {stack.enter_context(poller.open(sock)): peer for sock, peer in pairs}
        victim = list(peers)[-1]
        for desc, peer in peers.items():
            assert desc.park(READ, desc)
            peer.send(b"x")
        looks = 0
        while victim not in (tokens := poller.poll(0)):
            looks += 1
            assert looks < 8, "the flood goes first again and again"
            for desc in tokens:
                assert desc.resume(READ)
                drain(desc.fd)
                while not desc.park(READ, desc):
                    pass
                peers[desc].send(b"x")
        assert victim.resume(READ)


@pytest.mark.parametrize("actors", ["poll", "hub"])
@needs_fd_list
def test_memory_does_not_grow_with_what_peers_do(backend: str, actors: str) -> None:
    """Events that nobody waits for, deadlines moved, wake-ups, connections that come and go."""
    check_python(
        """
        import os, socket, sys, time
        from netpoll import READ, WRITE, Poller, green

        def memory():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

        def abuse(poller, rounds):
            a, b = socket.socketpair()
            a.setblocking(False)
            desc = poller.open(a)
            for i in range(rounds):
                b.send(b"x")
                poller.poll(0)
                a.recv(10)
                for modes in (READ, WRITE, READ | WRITE):
                    desc.set_deadline(1000 - i / 1000, modes)
                poller.wake()
                passing, peer = socket.socketpair()
                with passing, peer, poller.open(passing) as brief:
                    brief.set_deadline(500 + i)
                    brief.park(READ, i)
                    peer.send(b"x")
            desc.close()
            a.close()
            b.close()

        def both(poller):
            abuse(poller, 3000)
            before = memory()
            abuse(poller, 10000)
            grown = memory() - before
            assert grown < 1 << 20, f"{grown} bytes"

        if sys.argv[1] == "hub":
            green.run(lambda: both(green.get_hub().poller))
        else:
            both(Poller())
        """,
        actors,
        backend=backend,
        limit=60,
    )


# --- deadlines chosen from what a peer sent -------------------------------------------------------

NEVER = [math.inf, 1e300, 10**400, CLOCK_END, math.nextafter(CLOCK_END, 0), CLOCK_END - 1, 9e9]
PAST = [-math.inf, -1e300, -(10**400), -CLOCK_END, -CLOCK_END - 1, -1e-300, 0, -0.0]


@pytest.mark.parametrize("timeout", NEVER, ids=lambda value: repr(value)[:24])
def test_a_deadline_at_the_end_of_the_clock_is_not_early(
    stage: Stage, sockets: Sockets, timeout: float
) -> None:
    a, b = sockets.pair()
    desc = stage.open(a)
    desc.set_deadline(timeout)
    left = desc.deadline(READ)
    assert left is None or left > 8e9
    first = stage.poller.next_deadline()
    assert first is None or first > 8e9
    waiter = stage.spawn(desc.wait, READ)
    stage.until_parked(readers=1)
    stage.stays_blocked(waiter)
    b.send(b"x")
    waiter.result()


@pytest.mark.parametrize("timeout", PAST, ids=lambda value: repr(value)[:24])
def test_a_deadline_before_the_beginning_of_the_clock_has_passed(
    poller: Poller, sockets: Sockets, timeout: float
) -> None:
    with poller.open(sockets.pair()[0]) as desc:
        desc.set_deadline(timeout)
        for mode in (READ, WRITE):
            with pytest.raises(DeadlineExceeded):
                desc.wait(mode)


# --- a number that becomes another file's ---------------------------------------------------------


@needs_pipe
@not_on("kqueue", "the number's old file is forgotten by the kernel with its last duplicate only")
def test_a_number_that_another_file_got_under_its_waiter(stage: Stage, sockets: Sockets) -> None:
    """The waiter is evicted when the number is opened anew, and what the old file's peer does
    afterwards reaches nobody."""
    old, old_peer = sockets.pair()
    new, new_peer = sockets.pair()
    kept = os.dup(old.fileno())  # so that the old file, and what watches it, live on
    sockets.keep_fd(kept)
    first = stage.open(old)
    waiter = stage.spawn(first.wait, READ)
    stage.until_parked(readers=1)
    os.dup2(new.fileno(), old.fileno())
    second = stage.open(old)
    with pytest.raises(ClosedError):
        waiter.result()
    stage.settle()
    second.reset(READ)
    reader = stage.spawn(second.wait, READ)
    stage.until_parked(readers=1)
    end = time.monotonic() + 0.05
    while time.monotonic() < end:
        old_peer.send(b"x")
        stage.sleep(0.001)
    stage.stays_blocked(reader)
    new_peer.send(b"y")
    reader.result()
    assert os.read(second.fd, 10) == b"y"
