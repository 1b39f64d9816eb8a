"""Objects that are dropped instead of closed: a warning, no leak, nobody else's state touched."""

from __future__ import annotations

import gc
import socket
import threading
import time
import warnings
import weakref

import pytest
from netpoll import READ, ClosedError, PollDesc, Poller
from support import (
    LONG,
    WINDOWS,
    Sockets,
    Stage,
    ThreadTask,
    open_fds,
    read_some,
    take_tokens,
    until,
)


@pytest.mark.rule(9, 17)
def test_a_descriptor_that_is_dropped_warns_and_closes(poller: Poller, sockets: Sockets) -> None:
    a, _ = sockets.pair()
    desc = poller.open(a)
    with pytest.warns(ResourceWarning, match=str(a.fileno())):
        del desc
        gc.collect()
    assert poller.stats().open == 0
    with poller.open(a):
        pass
    assert a.fileno() >= 0


@pytest.mark.rule(9, 17)
def test_a_poller_that_is_dropped_warns_and_closes(backend: str) -> None:
    before = open_fds()
    poller = Poller(backend)
    assert WINDOWS or open_fds() != before  # there, handles are not listed
    with pytest.warns(ResourceWarning):
        del poller
        gc.collect()
    assert open_fds() == before


@pytest.mark.rule(9)
def test_what_was_closed_does_not_warn(backend: str, sockets: Sockets) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        poller = Poller(backend)
        one, two = (poller.open(sockets.pair()[0]) for _ in range(2))
        one.close()
        poller.close()  # closes the other one, too
        del one, two, poller
        gc.collect()


@pytest.mark.rule(8, 9)
def test_a_descriptor_keeps_its_poller_alive(backend: str, sockets: Sockets) -> None:
    a, b = sockets.pair()
    desc = Poller(backend).open(a)
    gc.collect()
    b.send(b"x")
    desc.set_deadline(LONG)
    desc.wait(READ)
    desc.poller.close()
    assert desc.closed


@pytest.mark.rule(8, 17)
def test_a_wait_keeps_its_descriptor_alive(threads: Stage, sockets: Sockets) -> None:
    """The waiting call holds the only reference."""
    a, b = sockets.pair()
    poller = threads.poller
    with pytest.warns(ResourceWarning):  # from its start the thread inherits what is caught
        waiter = ThreadTask("the waiter", lambda: poller.open(a).wait(READ), ())
        threads.until_parked(readers=1)
        gc.collect()
        threads.stays_blocked(waiter, seconds=0.01)
        b.send(b"x")
        waiter.result()
        until(lambda: poller.stats().open == 0, "closed by its finalizer")


@pytest.mark.rule(8, 17)
def test_a_poll_keeps_its_poller_alive(backend: str) -> None:
    poller = Poller(backend)
    waker = poller.wake
    polling = ThreadTask("the poll", poller.poll, (None,))
    gc.collect()
    waker()
    assert polling.result() == []
    poller.close()


@pytest.mark.rule(17)
def test_cycles_through_tokens_are_collected(backend: str, sockets: Sockets) -> None:
    """poller -> parked token -> descriptor -> poller: nobody outside can reach it any more."""

    class Node:
        desc: PollDesc

    before = open_fds()
    node = Node()
    node.desc = Poller(backend).open(sockets.pair()[0])
    assert node.desc.park(READ, node)
    gone = weakref.ref(node)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del node
        for _ in range(3):
            gc.collect()
    assert gone() is None
    assert open_fds() - before <= {sock.fileno() for sock in sockets.all}


@pytest.mark.rule(17)
def test_cycles_through_attributes_are_collected(backend: str, sockets: Sockets) -> None:
    class Mine(Poller):
        desc: PollDesc

    poller = Mine(backend)
    poller.desc = poller.open(sockets.pair()[0])
    gone = weakref.ref(poller)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del poller
        for _ in range(3):
            gc.collect()
    assert gone() is None


@pytest.mark.rule(9)
def test_a_finalizer_that_closes_touches_only_its_own(stage: Stage, sockets: Sockets) -> None:
    """The number was closed and opened again before the finalizer comes to close it again."""
    a, b = sockets.pair()

    class Owner:
        def __init__(self, desc: PollDesc) -> None:
            self.desc = desc

        def __del__(self) -> None:
            self.desc.close()

    owner = Owner(stage.poller.open(a))
    owner.desc.close()
    desc = stage.open(a)
    waiter = stage.spawn(read_some, desc)
    stage.until_parked(readers=1)
    del owner
    gc.collect()
    stage.stays_blocked(waiter, seconds=0.01)
    b.send(b"x")
    assert waiter.result() == b"x"


@pytest.mark.rule(8, 9)
def test_a_finalizer_in_another_thread_ends_the_wait(threads: Stage, sockets: Sockets) -> None:
    desc = threads.open(sockets.pair()[0])

    class Owner:
        def __del__(self) -> None:
            desc.close()

    waiter = threads.spawn(desc.wait, READ)
    threads.until_parked(readers=1)
    threads.thread(lambda: Owner() and None).result()
    waiter.raises(ClosedError)


@pytest.mark.rule(9, 17)
def test_garbage_collections_in_the_middle_of_everything(threads: Stage, sockets: Sockets) -> None:
    """Dropped descriptors are finalized by whichever thread collects, inside any call."""
    stop = threading.Event()
    pairs = [sockets.pair() for _ in range(4)]

    def litter(i: int) -> int:
        a, b = pairs[i]
        count = 0
        while not stop.is_set():
            desc = _open_as_soon_as_it_is_free(threads.poller, a)
            cycle: list[object] = [desc]
            cycle.append(cycle)
            b.send(b"x")
            desc.set_deadline(LONG)
            desc.wait(READ)
            a.recv(10)
            del desc, cycle
            count += 1
        return count

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        litterers = [threads.spawn(litter, i) for i in range(4)]
        threads.sleep(0.7)
        stop.set()
        assert all(litterer.result() > 0 for litterer in litterers)
        gc.collect()
        until(lambda: threads.poller.stats().open == 0, "everything was collected")


def _open_as_soon_as_it_is_free(poller: Poller, sock: socket.socket) -> PollDesc:
    """The one before is garbage; another thread may be collecting it at this moment."""
    end = time.monotonic() + LONG
    while True:
        try:
            return poller.open(sock)
        except FileExistsError:
            assert time.monotonic() < end
            gc.collect()


@pytest.mark.rule(17)
def test_weak_references_work(poller: Poller, sockets: Sockets) -> None:
    with poller.open(sockets.pair()[0]) as desc:
        assert weakref.ref(desc)() is desc and weakref.ref(poller)() is poller
        assert {desc, poller} == {poller, desc}
        desc.park(READ, desc)
        desc.unblock()
        assert take_tokens(poller, 1) == [desc]
