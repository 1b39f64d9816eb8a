"""A greenlet whose operations never have to wait, or may not, gives others a turn now and then."""

from __future__ import annotations

import os
import selectors
import socket as std
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from queue import Empty, Full
from typing import Any

import pytest
from netpoll import READ, green, patch, socket, subprocess, sync
from netpoll import select as our_select
from netpoll._patch import waits
from netpoll.adapters.level import is_ready, wait_level
from netpoll.adapters.selectors import PollerSelector
from support import LONG, WINDOWS, Stage, ThreadTask, check_python, needs_fork

pytestmark = [
    pytest.mark.skipif(WINDOWS, reason="pipes are pollable on POSIX only"),
    pytest.mark.rule(19),
]

#: Between two turns of another greenlet, at most; the budgets are below that.
MOST = 500

Build = Callable[[Stage, ExitStack], Callable[[], object]]


def _with_pair(operate: Callable[[Any, Any], object]) -> Build:
    def build(stage: Stage, stack: ExitStack) -> Callable[[], object]:
        a, b = socket.socketpair()
        stack.enter_context(a)
        stack.enter_context(b)
        b.send(b"x")  # which is never read, but peeked at
        return lambda: operate(a, b)

    return build


def _exchange(send: Callable[[Any], object], receive: Callable[[Any], object]) -> Build:
    def operate(a: Any, b: Any) -> None:
        send(b)
        receive(a)

    return _with_pair(operate)


def _accept(stage: Stage, stack: ExitStack) -> Callable[[], object]:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    address = listener.getsockname()

    def operate() -> None:
        with std.create_connection(address), listener.accept()[0]:
            pass

    return operate


def _connect(stage: Stage, stack: ExitStack) -> Callable[[], object]:
    path = b"\0netpoll" + os.urandom(8)
    listener = stack.enter_context(std.socket(std.AF_UNIX))
    listener.bind(path)
    listener.listen(100)

    def operate() -> None:
        with socket.socket(std.AF_UNIX) as sock:
            sock.connect(path)
        listener.accept()[0].close()

    return operate


def _wait(stage: Stage, stack: ExitStack) -> Callable[[], object]:
    desc = _readable(stage, stack)

    def operate() -> None:
        desc.close()
        again = stage.open(desc.fd)  # whose first event tells that it is readable
        again.wait(READ)
        again.close()

    return operate


def _wait_level(stage: Stage, stack: ExitStack) -> Callable[[], object]:
    desc = _readable(stage, stack)
    return lambda: wait_level(desc, READ)


def _readable(stage: Stage, stack: ExitStack) -> Any:
    reader, writer = os.pipe()
    stack.callback(os.close, reader)
    stack.callback(os.close, writer)
    os.write(writer, b"x")
    return stage.open(reader)


def _select_by(make: Callable[[], Any], timeout: float | None) -> Build:
    def build(stage: Stage, stack: ExitStack) -> Callable[[], object]:
        selector = stack.enter_context(make())
        selector.register(_readable(stage, stack).fd, selectors.EVENT_READ)
        return lambda: selector.select(timeout)

    return build


def _select(stage: Stage, stack: ExitStack) -> Callable[[], object]:
    number = _readable(stage, stack).fd
    return lambda: our_select.select([number], [], [])


def _queue(make: Callable[[], Any]) -> Build:
    def build(stage: Stage, stack: ExitStack) -> Callable[[], object]:
        queue = make()

        def operate() -> None:
            queue.put(1)
            queue.get()

        return operate

    return build


def _nothing_selected(stage: Stage, stack: ExitStack) -> Callable[[], object]:
    selector = stack.enter_context(patch.Selector())
    return lambda: selector.select(0)


def _file(stage: Stage, stack: ExitStack) -> Callable[[], object]:
    a, b = socket.socketpair()
    stack.enter_context(a)
    stack.enter_context(b)
    reader = stack.enter_context(a.makefile("rb", 0))
    writer = stack.enter_context(b.makefile("wb", 0))

    def operate() -> None:
        writer.write(b"x")
        reader.read(1)

    return operate


def _in_vain(make: Callable[[], Any], attempt: Callable[[Any], object]) -> Build:
    """What may not wait, and would have to."""

    def build(stage: Stage, stack: ExitStack) -> Callable[[], object]:
        made = make()

        def operate() -> None:
            with suppress(BlockingIOError, Empty, Full, TimeoutError, subprocess.TimeoutExpired):
                assert not attempt(made)

        return operate

    return build


def _held(make: Callable[[], Any]) -> Callable[[], Any]:
    def build() -> Any:
        lock = make()
        ThreadTask("holder", lock.acquire, ()).result()
        return lock

    return build


def _full() -> Any:
    queue: Any = sync.Queue(1)
    queue.put(1)
    return queue


def _never_notified(stage: Stage, stack: ExitStack) -> Callable[[], object]:
    condition = sync.Condition()
    stack.enter_context(condition)
    return lambda: condition.wait(0)


def _on_silent(attempt: Callable[[Any], object]) -> Build:
    """On a socket that never waits, and to which nothing comes."""

    def build(stage: Stage, stack: ExitStack) -> Callable[[], object]:
        pair = socket.socketpair()
        for one in pair:
            stack.enter_context(one)
        pair[0].settimeout(0)

        def operate() -> None:
            with suppress(BlockingIOError):
                assert not attempt(pair[0])

        return operate

    return build


def _without_waiting(stage: Stage, stack: ExitStack) -> Callable[[], object]:
    a, b = socket.socketpair()
    for one in (a, b):
        stack.enter_context(one)
        one.settimeout(0)

    def operate() -> None:
        b.send(b"x")
        a.recv(1)

    return operate


def _of_silent_desc(attempt: Callable[[Any], object]) -> Build:
    def build(stage: Stage, stack: ExitStack) -> Callable[[], object]:
        reader, writer = os.pipe()
        stack.callback(os.close, reader)
        stack.callback(os.close, writer)
        desc = stage.open(reader)
        return lambda: attempt(desc)

    return build


def _of_child(attempt: Callable[[Any], object]) -> Build:
    def build(stage: Stage, stack: ExitStack) -> Callable[[], object]:
        command = [sys.executable, "-c", "input()"]
        child = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE))

        def operate() -> None:
            with suppress(subprocess.TimeoutExpired):
                attempt(child)

        return operate

    return build


def _of_thread(stage: Stage, stack: ExitStack) -> Callable[[], object]:
    end = sync.Event()
    task = ThreadTask("joined", end.wait, ())
    stack.callback(task.result)
    stack.callback(end.set)
    return lambda: waits.join(task._thread, 0)


def _of_greenlet(attempt: Callable[[Any], object]) -> Build:
    def build(stage: Stage, stack: ExitStack) -> Callable[[], object]:
        sleeper = green.spawn(green.sleep, LONG)
        stack.callback(sleeper.kill)

        def operate() -> None:
            with suppress(TimeoutError):
                attempt(sleeper)

        return operate

    return build


def _adapted(timeout: float) -> Build:
    def build(stage: Stage, stack: ExitStack) -> Callable[[], object]:
        selector = stack.enter_context(PollerSelector())
        selector.register(_readable(stage, stack).fd, selectors.EVENT_READ)
        return lambda: selector.select(timeout)

    return build


def _ended_child(stage: Stage, stack: ExitStack) -> Callable[[], object]:
    child = stack.enter_context(subprocess.Popen([sys.executable, "-c", ""]))
    child.wait()
    return child.wait


#: These may not wait.
ATTEMPTS: dict[str, Build] = {
    "Lock.acquire(False)": _in_vain(_held(sync.Lock), lambda lock: lock.acquire(False)),
    "Lock.acquire(timeout=0)": _in_vain(_held(sync.Lock), lambda lock: lock.acquire(timeout=0)),
    "RLock.acquire(False)": _in_vain(_held(sync.RLock), lambda lock: lock.acquire(False)),
    "Semaphore.acquire(False)": _in_vain(lambda: sync.Semaphore(0), lambda s: s.acquire(False)),
    "Event.wait(0)": _in_vain(sync.Event, lambda event: event.wait(0)),
    "Condition.wait(0)": _never_notified,
    "SimpleQueue.get_nowait": _in_vain(sync.SimpleQueue, lambda queue: queue.get_nowait()),
    "SimpleQueue.get(timeout=0)": _in_vain(sync.SimpleQueue, lambda queue: queue.get(timeout=0)),
    "Queue.get_nowait": _in_vain(sync.Queue, lambda queue: queue.get_nowait()),
    "Queue.put_nowait": _in_vain(_full, lambda queue: queue.put_nowait(2)),
    "recv that does not wait": _on_silent(lambda a: a.recv(1)),
    "recv with MSG_DONTWAIT": _with_pair(lambda a, b: a.recv(1, std.MSG_PEEK | std.MSG_DONTWAIT)),
    "recvmsg that does not wait": _on_silent(lambda a: a.recvmsg(1)),
    "send and recv that do not wait": _without_waiting,
    "select(0)": _on_silent(lambda a: any(our_select.select([a], [], [], 0))),
    "PollerSelector.select(0)": _adapted(0),
    "is_ready": _of_silent_desc(lambda desc: is_ready(desc, READ)),
    "Popen.poll": _of_child(lambda child: child.poll()),
    "Popen.wait(0)": _of_child(lambda child: child.wait(0)),
    "waitpid(WNOHANG)": _of_child(lambda child: waits.waitpid(child.pid, os.WNOHANG)),
    "Thread.join(0)": _of_thread,
    "Greenlet.join(0)": _of_greenlet(lambda sleeper: sleeper.join(0)),
    "Greenlet.get(0)": _of_greenlet(lambda sleeper: sleeper.get(0)),
}

OPERATIONS: dict[str, Build] = {
    **ATTEMPTS,
    "PollerSelector": _adapted(1),
    "recv": _exchange(lambda b: b.send(b"x"), lambda a: a.recv(1)),
    "recv a peek": _with_pair(lambda a, b: a.recv(1, std.MSG_PEEK)),
    "recvmsg": _exchange(lambda b: b.sendmsg([b"x"]), lambda a: a.recvmsg(1)),
    "recvfrom": _exchange(lambda b: b.sendall(b"x"), lambda a: a.recvfrom(1)),
    "recv_into": _exchange(lambda b: b.send(b"x"), lambda a: a.recv_into(bytearray(1))),
    "recv of nothing": _with_pair(lambda a, b: a.recv(0)),
    "recv_into nothing": _with_pair(lambda a, b: a.recv_into(bytearray(0))),
    "getaddrinfo of a number": lambda *_: lambda: socket.getaddrinfo("127.0.0.1", 80),
    "getaddrinfo of a name in the hosts file": lambda *_: (
        lambda: socket.getaddrinfo("localhost", 80)
    ),
    "gethostbyname of a number": lambda *_: lambda: socket.gethostbyname("127.0.0.1"),
    "gethostbyname_ex of a number": lambda *_: lambda: socket.gethostbyname_ex("127.0.0.1"),
    "getnameinfo of numbers": lambda *_: (
        lambda: socket.getnameinfo(("127.0.0.1", 80), std.NI_NUMERICHOST | std.NI_NUMERICSERV)
    ),
    "Popen.wait of a child that has ended": _ended_child,
    "files": _file,
    "accept": _accept,
    "connect": _connect,
    "PollDesc.wait": _wait,
    "wait_level": _wait_level,
    "patch.Selector": _select_by(patch.Selector, None),
    "patch.Selector with a timeout": _select_by(patch.Selector, 1),
    "patch.Selector that does not wait": _nothing_selected,
    "select": _select,
    "sync.LifoQueue": _queue(sync.LifoQueue),
    "sync.Queue": _queue(sync.Queue),
}


@contextmanager
def _ticks(stage: Stage) -> Iterator[list[int]]:
    """How often another greenlet has run."""
    ran = [0]
    going = [True]

    def tick() -> None:
        while going:
            ran[0] += 1
            stage.sleep(0)

    task = stage.spawn(tick)
    try:
        yield ran
    finally:
        going.clear()
        task.result()


@pytest.mark.parametrize("name", OPERATIONS)
def test_others_run_meanwhile(greenlets: Stage, name: str) -> None:
    with ExitStack() as stack:
        operate = OPERATIONS[name](greenlets, stack)
        with _ticks(greenlets) as ran:
            for _ in range(MOST):
                operate()
            assert ran[0] > 0


def test_a_lock_that_is_tried_again_and_again_is_released(greenlets: Stage) -> None:
    lock = sync.Lock()

    def hold() -> None:
        with lock:
            greenlets.sleep(0.001)

    holder = greenlets.spawn(hold)
    greenlets.sleep(0)
    while not lock.acquire(False):
        pass
    lock.release()
    holder.result()


@pytest.mark.rule(18)
@pytest.mark.parametrize("end", ["kill", "timeout"])
def test_what_ends_one_that_gives_way_loses_nothing(greenlets: Stage, end: str) -> None:
    lock, semaphore, queue = sync.Lock(), sync.Semaphore(3), sync.SimpleQueue[int]()
    for item in range(10 * MOST):
        queue.put(item)
    taken: list[int] = []

    def take() -> None:
        with suppress(TimeoutError), green.timeout(0.001 if end == "timeout" else None):
            while True:
                if lock.acquire(False):
                    lock.release()
                if semaphore.acquire(False):
                    semaphore.release()
                for item in iter(queue.get_nowait, None):
                    taken.append(item)
                    queue.put(item)
                    break

    for _ in range(3):
        taker = green.spawn(take)
        while not taken:
            green.sleep(0)
        if end == "kill":
            taker.kill()
        taker.join(LONG)
        assert taker.dead
        assert not lock.locked()
        assert semaphore._value == 3
        assert queue.qsize() == 10 * MOST
        taken.clear()


def test_others_do_not_run_while_the_hub_ends(greenlets: Stage) -> None:
    """What waits as its thread ends is left behind; what may not wait does not."""
    reached: list[str] = []

    def clean_up() -> None:
        lock = sync.Lock()
        try:
            green.sleep(LONG)
        finally:
            for _ in range(MOST):
                lock.acquire(False)
            reached.append("the end")

    def begin() -> None:
        green.spawn(clean_up)
        green.spawn(clean_up)
        green.sleep(0)

    ThreadTask("a hub that ends", begin, ()).result()
    assert reached == ["the end", "the end"]


INTERRUPTED = """
import functools, os, signal, sys, threading, weakref
from netpoll import Sema, green, sync

lock, sema, ran = sync.Lock(), Sema(), []
lock.acquire()

def tick():
    while True:
        ran.append(None)
        green.sleep(0)

def spin():
    before = len(ran)
    for _ in range(100):
        assert not {attempt}
    assert len(ran) == before, "others have run"
    print("spun")

{define}

def interrupted():
    ticker = green.spawn(tick)
    green.sleep(0)
    for _ in range(250):
        lock.acquire(False)
    assert len(ran) > 1
    {interrupt}
    ticker.kill()

green.run(interrupted)
"""

_RAISE = "signal.raise_signal(signal.SIGUSR1)"
#: Where others are not expected to run: what is defined before, and what comes there.
INTERRUPTIONS = {
    "a handler": ("signal.signal(signal.SIGUSR1, lambda number, frame: spin())", _RAISE),
    "a handler that takes anything": ("signal.signal(signal.SIGUSR1, lambda *_: spin())", _RAISE),
    "a handler that is a method": (
        """
class Handler:
    def handle(self, number, frame):
        spin()
signal.signal(signal.SIGUSR1, Handler().handle)
""",
        _RAISE,
    ),
    "a handler that is an object": (
        """
class Handler:
    def __call__(self, number, frame):
        spin()
signal.signal(signal.SIGUSR1, functools.partial(Handler()))
""",
        _RAISE,
    ),
    "a finalizer": (
        """
class Thing:
    def __del__(self):
        spin()
""",
        "Thing()",
    ),
    "a finalizer of weakref's": (
        """
class Thing:
    pass
""",
        "weakref.finalize(Thing(), spin)",
    ),
    "a hook of a fork": (
        "os.register_at_fork(after_in_child=spin)",
        """child = os.fork()
    if not child:
        sys.stdout.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0""",
    ),
}


@needs_fork
@pytest.mark.parametrize("attempt", ["lock.acquire(False)", "sema.acquire(0)"])
@pytest.mark.parametrize("where", INTERRUPTIONS)
def test_others_do_not_run_in_the_midst_of_what_is_interrupted(where: str, attempt: str) -> None:
    define, interrupt = INTERRUPTIONS[where]
    script = INTERRUPTED.replace("{define}", define).replace("{interrupt}", interrupt)
    assert check_python(script.replace("{attempt}", attempt)).split() == ["spun"]


def test_what_may_not_wait_is_tried_in_the_hub_too() -> None:
    """By a handler that runs while all greenlets wait; and by a trace function."""
    check_python("""
import queue
import signal
import greenlet
from netpoll import green, sync

lock, items = sync.Lock(), sync.SimpleQueue()
lock.acquire()
calls = [0]

def spin(*unused):
    calls[0] += 1
    for _ in range(500):
        assert not lock.acquire(False)
        try:
            items.get_nowait()
        except queue.Empty:
            pass
        with sync.Lock():
            pass

signal.signal(signal.SIGALRM, spin)
signal.setitimer(signal.ITIMER_REAL, 0.05)
green.run(green.sleep, 0.2)
assert calls == [1]

def rest():
    green.spawn(green.sleep, 0)
    greenlet.settrace(spin)
    green.sleep(0)
    greenlet.settrace(None)

green.run(rest)
assert calls[0] > 1
""")
