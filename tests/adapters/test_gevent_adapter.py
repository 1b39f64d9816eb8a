"""What only gevent has: kill, Timeout, its own sockets beside, fork."""

from __future__ import annotations

import sys
import threading

import pytest
from netpoll import READ, ClosedError, DeadlineExceeded, Poller
from netpoll.adapters._nest import deliver_ready
from support import LONG, Sockets, check_python, needs_fork, until

gevent = pytest.importorskip("gevent")

from gevent import socket as gevent_socket  # noqa: E402
from netpoll.adapters.gevent import wait  # noqa: E402

pytestmark = pytest.mark.usefixtures("watched")


@pytest.fixture(autouse=True)
def _no_hub_left() -> object:
    """The test's thread has a hub only as long as the test lasts."""
    yield
    gevent.get_hub().destroy(destroy_loop=True)


@pytest.mark.rule(1)
def test_a_timeout_of_gevent_withdraws_the_wait(poller: Poller, sockets: Sockets) -> None:
    a, b = sockets.pair()
    with poller.open(a) as desc:
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
            wait(desc, READ)
        assert not poller.stats().parked_readers
        b.send(b"x")
        with gevent.Timeout(LONG):
            wait(desc, READ)


@pytest.mark.rule(1)
def test_a_greenlet_killed_between_its_notification_and_its_turn_leaves_it_to_the_next(
    poller: Poller, sockets: Sockets
) -> None:
    a, b = sockets.pair()
    with poller.open(a) as desc, gevent.Timeout(LONG):
        greenlet = gevent.spawn(wait, desc, READ)
        gevent.sleep(0)
        assert poller.stats().parked_readers
        greenlet.kill(block=False)
        b.send(b"x")
        deliver_ready(poller)
        until(lambda: not poller.stats().parked_readers, "the token is out, after the kill")
        greenlet.join()
        assert isinstance(greenlet.value, gevent.GreenletExit)
        wait(desc, READ)


def test_it_waits_in_a_process_that_is_patched(watched: str) -> None:
    check_python(
        """
        from gevent import monkey
        monkey.patch_all()
        import socket, sys, threading
        import gevent, netpoll
        from netpoll import READ
        from netpoll.adapters import _nest
        from netpoll.adapters.gevent import wait

        if sys.argv[1] == "thread":
            _nest.has_descriptor = lambda poller: False
        a, b = socket.socketpair()
        with a, b, netpoll.open(a) as desc:
            gevent.spawn_later(0.01, b.send, b"x")
            wait(desc, READ)
            assert a.recv(1) == b"x"
            desc.reset(READ)
            desc.set_deadline(0.01, READ)
            try:
                wait(desc, READ)
            except netpoll.DeadlineExceeded:
                desc.set_deadline(None)
            threading.Timer(0.01, desc.close).start()
            try:
                wait(desc, READ)
            except netpoll.ClosedError:
                pass
        try:
            import netpoll.socket
        except ImportError as error:
            assert "gevent" in str(error), error
        else:
            raise AssertionError("it would be made of gevent's sockets")
        """,
        watched,
    )


def test_its_own_sockets_and_deadlines_work_beside(poller: Poller, sockets: Sockets) -> None:
    a, b = sockets.pair()
    ours, theirs = gevent_socket.socketpair()
    with ours, theirs, poller.open(a) as desc, gevent.Timeout(LONG):
        beside = gevent.spawn(ours.recv, 1)
        desc.set_deadline(0.01)
        with pytest.raises(DeadlineExceeded):
            wait(desc, READ)
        theirs.send(b"x")
        assert beside.get() == b"x"
        desc.set_deadline(None)
        gevent.spawn_later(0.01, b.send, b"x")
        wait(desc, READ)


def test_the_poller_closed_by_a_greenlet_of_the_same_hub(poller: Poller, sockets: Sockets) -> None:
    desc = poller.open(sockets.pair()[0])
    gevent.spawn(poller.close)
    with gevent.Timeout(LONG), pytest.raises(ClosedError):
        wait(desc, READ)


def test_a_hub_with_nothing_else_to_do_waits(poller: Poller, sockets: Sockets) -> None:
    """gevent raises LoopExit where it sees nothing that could ever wake it."""
    with poller.open(sockets.pair()[0]) as desc:
        desc.set_deadline(0.01)
        with pytest.raises(DeadlineExceeded):
            wait(desc, READ)
    with pytest.raises(gevent.exceptions.LoopExit):
        gevent.get_hub().switch()


def test_waits_end_in_a_hub_that_is_not_the_threads_first(poller: Poller, sockets: Sockets) -> None:
    a, b = sockets.pair()
    with poller.open(a) as desc, gevent.Timeout(LONG):
        b.send(b"x")
        wait(desc, READ)
    gevent.get_hub().destroy(destroy_loop=True)
    with poller.open(a) as desc, gevent.Timeout(LONG):
        a.recv(1)
        gevent.spawn_later(0.01, b.send, b"y")
        wait(desc, READ)


@needs_fork
@pytest.mark.rule(14)
def test_waits_go_on_in_a_forked_child_as_in_the_parent(backend: str) -> None:
    check_python(
        """
        import os, socket
        import gevent, gevent.os
        from netpoll import READ, Poller
        from netpoll.adapters.gevent import wait

        a, b = socket.socketpair()
        with Poller() as poller, poller.open(a) as desc, gevent.Timeout(15):
            waiting = gevent.spawn(wait, desc, READ)
            gevent.sleep(0)
            assert poller.stats().parked_readers
            child = gevent.os.fork()
            if child == 0:
                try:
                    b.send(b"c")
                    waiting.get()
                    assert a.recv(1) == b"c"
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            desc.set_deadline(15)
            gevent.sleep(0.01)
            b.send(b"p")
            waiting.get()
            assert a.recv(1) == b"p"
        a.close()
        b.close()
        """,
        backend=backend,
    )


@pytest.mark.allow_leak("gevent keeps what the hub of such a thread has open")
def test_a_greenlet_whose_thread_has_ended_keeps_nobody_out(
    poller: Poller, sockets: Sockets
) -> None:
    """Its hub was not destroyed, and nothing can run there any more."""
    a, b = sockets.pair()

    def leave_it_waiting() -> None:
        gevent.spawn(wait, desc, READ)
        gevent.sleep(0)

    with poller.open(a) as desc, gevent.Timeout(LONG):
        thread = threading.Thread(target=leave_it_waiting)
        thread.start()
        thread.join(LONG)
        assert poller.stats().parked_readers == 1
        until(lambda: thread.ident not in sys._current_frames(), "it is gone")
        b.send(b"x")
        wait(desc, READ)
