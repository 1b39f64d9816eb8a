"""Out of descriptors or memory is an exception; nothing is half done, and later all works again."""

from __future__ import annotations

from textwrap import dedent

import pytest
from support import check_python, needs_fileno, needs_greenlet, needs_rlimit, not_on_libkqueue

pytestmark = [needs_rlimit, pytest.mark.rule(17)]

COMMON = """
import errno, gc, os, resource, socket, sys, threading, time
import netpoll
from netpoll import READ, WRITE, Poller

def count():
    return len(os.listdir("/proc/self/fd"))

def limit_descriptors(spare):
    '''Exactly so many more may be opened.'''
    held = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
    try:
        while True:
            held.append(os.dup(0))
    except OSError as error:
        assert error.errno == errno.EMFILE
    for _ in range(spare):
        os.close(held.pop())
    def lift():
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in held:
            os.close(fd)
    return lift

endless = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)

def limit_memory(spare):
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + spare, resource.RLIM_INFINITY))

def lift_memory():
    while True:
        try:
            return resource.setrlimit(resource.RLIMIT_AS, endless)
        except MemoryError:  # for its arguments
            pass
"""


def run(script: str, backend: str, **numbers: int) -> None:
    given = "".join(f"{name} = {number}\n" for name, number in numbers.items())
    assert check_python(COMMON + given + dedent(script), backend=backend, limit=40) == "ok\n"


@not_on_libkqueue("misreports a lack of descriptors")
def test_a_poller_without_descriptors_to_spare(backend: str) -> None:
    """Whichever of its descriptors fails, those made before it are given back."""
    run(
        """
        Poller().close()
        before = count()
        for spare in range(5):
            lift = limit_descriptors(spare)
            try:
                Poller().close()
            except OSError as error:
                assert error.errno == errno.EMFILE, error
            else:
                assert spare > 0
            lift()
            assert count() == before
        Poller().close()
        print("ok")
        """,
        backend,
    )


@needs_fileno
def test_fileno_without_descriptors_to_spare(backend: str) -> None:
    """What nesting needs may be made late; without it deadlines still work for those who wait."""
    run(
        """
        a, b = socket.socketpair()
        poller = Poller()
        desc = poller.open(a)
        lift = limit_descriptors(0)
        try:
            poller.fileno()
        except OSError as error:
            assert error.errno == errno.EMFILE, error
        desc.set_deadline(0.01)
        try:
            desc.wait(READ)
            raise AssertionError
        except netpoll.DeadlineExceeded:
            pass
        lift()
        assert poller.fileno() >= 0
        desc.close(); poller.close()
        print("ok")
        """,
        backend,
    )


def test_waiting_needs_no_descriptors(backend: str) -> None:
    run(
        """
        pairs = [socket.socketpair() for _ in range(20)]
        poller = Poller()
        lift = limit_descriptors(0)
        descs = [poller.open(a) for a, b in pairs]
        threads = [threading.Thread(target=desc.wait, args=(READ,)) for desc in descs]
        for thread in threads:
            thread.start()
        for a, b in pairs:
            b.send(b"x")
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        for desc in descs:
            desc.close()
        poller.wake()
        poller.poll(None)
        lift()
        poller.close()
        print("ok")
        """,
        backend,
    )


@needs_greenlet
def test_a_hub_without_descriptors_to_spare(backend: str) -> None:
    run(
        """
        from netpoll import green
        lift = limit_descriptors(0)
        try:
            green.run(green.sleep, 0.01)
        except OSError as error:
            assert error.errno == errno.EMFILE, error
        else:
            raise AssertionError
        lift()
        green.run(green.sleep, 0.01)
        print("ok")
        """,
        backend,
    )


@not_on_libkqueue("does not survive a lack of memory")
@pytest.mark.parametrize("spare", [1 << 16, 1 << 20], ids=["64 KiB", "1 MiB"])
def test_open_without_memory_to_spare(backend: str, spare: int) -> None:
    """Open descriptors until the address space is full; then everything works again.

    (While it is full, the interpreter itself may fail anywhere.)
    """
    run(
        """
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        room = min(hard, 20000)
        resource.setrlimit(resource.RLIMIT_NOFILE, (room, hard))
        a, b = socket.socketpair()
        c, d = socket.socketpair()
        poller = Poller()
        first = poller.open(a)
        copies = [os.dup(c.fileno()) for _ in range(room - 100)]
        descs = [None] * len(copies)
        failed = None
        # In Python, the end of what is half made is a callback, which takes memory.
        allowed = {0, 1} if netpoll._engine.PURE else {0}
        sys.unraisablehook = lambda _: None
        limit_memory(spare)
        try:
            try:
                for i, fd in enumerate(copies):
                    descs[i] = poller.open(fd)
            finally:
                lift_memory()
        except MemoryError:
            failed = "MemoryError"
        except OSError as error:  # its traceback holds the half-made object
            assert error.errno == errno.ENOMEM, error
            failed = "ENOMEM"
        opened = len(descs) - descs.count(None)
        lost = poller.stats().open - 1 - opened
        assert lost in allowed, (poller.stats(), opened, failed)
        for desc in descs:
            if desc is not None:
                desc.close()
        b.send(b"x")
        first.set_deadline(10)
        first.wait(READ)
        free = copies[opened + lost :] if lost else copies
        again = [poller.open(fd) for fd in free[:3000]]
        for desc in again:
            desc.set_deadline(10)
        b.send(b"y")
        first.reset(READ)
        assert a.recv(10)
        for desc in (first, *again):
            desc.close()
        assert poller.stats().open == lost
        poller.close()
        assert failed or opened == len(copies)
        print("ok")
        """,
        backend,
        spare=spare,
    )


def test_deadlines_without_memory_to_spare(backend: str) -> None:
    """A deadline that finds no room in the heap is refused and leaves the old one as it was."""
    run(
        """
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        room = min(hard, 20000)
        resource.setrlimit(resource.RLIMIT_NOFILE, (room, hard))
        a, b = socket.socketpair()
        poller = Poller()
        copies = [os.dup(a.fileno()) for _ in range(room - 100)]
        descs = [poller.open(fd) for fd in copies]
        plan = [(desc, 1000 + i, 2000 + i) for i, desc in enumerate(descs)]
        limit_memory(0)
        for desc, soon, late in plan:
            try:
                desc.set_deadline(soon, READ)
                desc.set_deadline(late, WRITE)
            except (MemoryError, OSError):
                pass
        lift_memory()
        for desc, soon, late in plan:
            left = desc.deadline(READ)
            assert left is None or soon - 100 < left <= soon, left
            left = desc.deadline(WRITE)
            assert left is None or late - 100 < left <= late, left
        for i, desc in enumerate(descs):
            desc.set_deadline(1000 + i)
            left = desc.deadline(READ)
            assert 900 + i < left <= 1000 + i, left
        assert 900 < poller.next_deadline() <= 1000
        for desc in descs:
            desc.close()
        assert poller.next_deadline() is None
        poller.close()
        print("ok")
        """,
        backend,
    )
