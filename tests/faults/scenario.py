"""What Python does with netpoll, with the n-th call of one function failing, for every n.

    scenario.py CALL:ERRNO...

Run by faults.py, under tests/faults/inject.c.  After each fault: nothing but MemoryError or the
OSError of the call that failed came out; the poller works; nothing is left registered; no
descriptor is left, and the same fault made again and again leaves no memory behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import faulthandler
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import netpoll
from netpoll import READ, WRITE, DeadlineExceeded, Poller, green
from netpoll import socket as np_socket

FAR = 60
TRIES = 6
#: greenlet ends the process when there is no memory to copy a stack to.
ENDS_GREENLET = ("malloc", "realloc")
ALLOCATIONS = ("malloc", "calloc", "realloc")
LIMIT = 1200  # seconds for all faults of one kind, on a busy machine: nothing hangs
WARM = 1000  # the interpreter keeps objects of each kind for later, up to a bound

injector = ctypes.CDLL(None)
injector.fault_arm.argtypes = [ctypes.c_long]
injector.fault_arm.restype = None
injector.fault_blocks.restype = ctypes.c_long


def is_fault(error: BaseException) -> bool:
    wanted = int(os.environ["FAULT_ERRNO"])
    if isinstance(error, SystemError):  # CPython 3.11's word for no memory for a frame
        return wanted == errno.ENOMEM and "without exception set" in str(error)
    if isinstance(error, MemoryError):
        return wanted == errno.ENOMEM
    return isinstance(error, OSError) and error.errno == wanted


def pair_of(kind: object) -> tuple[socket.socket, socket.socket]:
    a, b = kind.socketpair()  # type: ignore[attr-defined]
    a.setblocking(False)
    b.setblocking(False)
    return a, b


def drained(sock: socket.socket) -> None:
    try:
        while sock.recv(100):
            pass
    except BlockingIOError:
        pass


# --- what is done ---------------------------------------------------------------------------------


def use_a_poller(poller: Poller, a: socket.socket, b: socket.socket) -> None:
    with poller.open(a) as desc:
        desc.set_deadline(FAR)
        b.send(b"x")
        desc.wait(READ)
        drained(a)
        desc.reset(READ)
        poller.poll(0)
        if desc.park(READ, desc):
            b.send(b"x")
            while poller.poll(0.001) != [desc]:
                pass
            desc.resume(READ)
        drained(a)
        desc.set_deadline(0.0001, READ)
        try:
            while True:
                desc.wait(READ)
        except DeadlineExceeded:
            pass
        poller.fileno()
        poller.wake()
        poller.poll(None)
        repr(desc), poller.stats(), poller.next_deadline()


def follow(poller: Poller, a: socket.socket, b: socket.socket) -> None:
    """Another thread drives; see `Driver`."""
    with poller.open(a) as desc:
        desc.set_deadline(0.001, READ)
        try:
            while True:
                desc.wait(READ)
        except DeadlineExceeded:
            pass


def use_a_hub(poller: Poller, a: socket.socket, b: socket.socket) -> None:
    """Who fails evicts the other, which would wait for ever."""
    failed: list[BaseException] = []
    waits: list[netpoll.PollDesc] = []

    def echo() -> None:
        try:
            with netpoll.open(b) as desc:
                desc.wait(READ)
                b.send(b.recv(10))
        except BaseException as error:
            failed.append(error.with_traceback(None))
            for desc in waits:
                desc.unblock()

    def main() -> None:
        greenlet = green.spawn(echo)
        try:
            with netpoll.open(a) as desc:
                waits.append(desc)
                a.send(b"x")
                desc.set_deadline(FAR, READ)
                desc.wait(READ)
            green.sleep(0.0001)
        finally:
            greenlet.kill()

    drained(a)
    drained(b)
    try:
        green.run(main)
    except netpoll.ClosedError:
        raise failed[0] from None


def use_sockets(poller: Poller, a: socket.socket, b: socket.socket) -> None:
    """Here `a` is a socket of netpoll.socket."""
    drained(a)
    a.settimeout(0.0005)
    with contextlib.suppress(TimeoutError):
        a.recv(10)
    b.send(b"xy")
    a.recv(1)
    a.set_deadline(FAR)  # type: ignore[attr-defined]
    a.recv(1)


STEPS: dict[str, Callable[[Poller, socket.socket, socket.socket], None]] = {
    "poller": use_a_poller,
    "follower": follow,
    "hub": use_a_hub,
    "socket": use_sockets,
}


# --- one run, and what is looked at afterwards ----------------------------------------------------


class Driver:
    """A thread that waits on the poller, so that whoever comes later only follows."""

    def __init__(self, poller: Poller) -> None:
        self.pair = pair_of(socket)
        self.desc = poller.open(self.pair[0])
        self.thread = threading.Thread(target=self.drive)
        self.thread.start()
        while not poller.stats().parked_readers:
            pass

    def drive(self) -> None:
        try:
            self.desc.wait(READ)
        except netpoll.ClosedError:
            pass

    def stop(self) -> None:
        self.desc.close()
        self.thread.join()
        for sock in self.pair:
            sock.close()


def disarm() -> None:
    try:
        injector.fault_arm(0)
    except (MemoryError, ctypes.ArgumentError):  # its own call was the one
        injector.fault_arm(0)


def with_fault(n: int, step: Callable[..., None], *args: object) -> BaseException | None:
    try:
        injector.fault_arm(n)
        step(*args)
    except BaseException as error:
        disarm()
        return error.with_traceback(None)
    disarm()
    return None


def still_works(poller: Poller, a: socket.socket, b: socket.socket) -> None:
    drained(a)
    with poller.open(a) as desc:
        b.send(b"x")
        desc.wait(READ)
        desc.wait(WRITE)
        drained(a)


hub_thread = ThreadPoolExecutor(1)  # a thread that has run a hub keeps it, and waits through it


def one_run(name: str, backend: str, n: int) -> bool:
    """False if no call was left to fail."""
    if name == "hub":
        return hub_thread.submit(play, name, backend, n).result()
    return play(name, backend, n)


def play(name: str, backend: str, n: int) -> bool:
    a, b = pair_of(np_socket if name == "socket" else socket)
    poller = Poller(backend)
    driver = Driver(poller) if name == "follower" else None
    mine = 1 if driver else 0
    error = with_fault(n, STEPS[name], poller, a, b)
    hit = bool(injector.fault_hit())
    if error is not None and not is_fault(error):
        raise AssertionError(f"{name}, {backend}, call {n}: {error!r}")
    del error
    gc.collect()
    a.setblocking(False)
    still_works(poller, a, b)
    left = poller.stats()
    assert (left.open, left.parked_readers) == (mine, mine), f"{name}, {backend}, {n}: {left}"
    if driver:
        driver.stop()
    poller.close()
    a.close()
    b.close()
    default = netpoll.default_poller().stats()
    assert default.open == 0, f"{name}, {backend}, {n}: {default}"
    return hit


def descriptors() -> set[str]:
    """Each with what it is; the one that lists the others is gone by then."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}")
    return found


def leaves_nothing(name: str, backend: str, n: int) -> bool:
    """Caches fill at first, so memory may grow once or twice, but not each time."""
    grown = []
    for _ in range(TRIES):
        fds, blocks = descriptors(), injector.fault_blocks()
        hit = one_run(name, backend, n)
        gc.collect()
        left = descriptors() - fds
        assert not left, f"{name}, {backend}, call {n}: descriptors left: {left}"
        grown.append(injector.fault_blocks() - blocks)
        if grown[-1] <= 0:
            return hit
    raise AssertionError(f"{name}, {backend}, call {n}: memory grew each time: {grown}")


def inject(call: str, number: int, backend: str) -> int:
    """The interposer reads the environment at each call."""
    os.environ["FAULT_CALL"], os.environ["FAULT_ERRNO"] = call, str(number)
    faults = 0
    for name in STEPS:
        if name == "hub" and call in ENDS_GREENLET:
            continue
        if name == "socket" and call in ALLOCATIONS and netpoll._engine.PURE:
            continue  # its locks are taken and given back in Python (docs/proof.md)
        n = 1
        while leaves_nothing(name, backend, n):
            n += 1
        faults += n - 1
    return faults


def main() -> None:
    faulthandler.enable()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    kinds = [kind.split(":") for kind in sys.argv[1:]]
    for backend in netpoll.backends():
        os.environ["NETPOLL_BACKEND"] = backend  # a hub takes it
        faulthandler.dump_traceback_later(LIMIT, exit=True)
        for name in STEPS:
            for _ in range(WARM):
                one_run(name, backend, 0)
        for call, number in kinds:
            faulthandler.dump_traceback_later(LIMIT, exit=True)
            print(backend, call, number, inject(call, int(number), backend), flush=True)


if __name__ == "__main__":
    main()
