"""A greenlet whose operations never have to wait gives others a turn, within a budget."""

from __future__ import annotations

import os
import selectors
import socket as std
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from netpoll import READ, patch, socket, sync
from netpoll import select as our_select
from netpoll.adapters.level import wait_level
from support import WINDOWS, Stage

pytestmark = pytest.mark.skipif(WINDOWS, reason="pipes are pollable on POSIX only")

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


OPERATIONS: dict[str, Build] = {
    "recv": _exchange(lambda b: b.send(b"x"), lambda a: a.recv(1)),
    "recv a peek": _with_pair(lambda a, b: a.recv(1, std.MSG_PEEK)),
    "recvmsg": _exchange(lambda b: b.sendmsg([b"x"]), lambda a: a.recvmsg(1)),
    "recvfrom": _exchange(lambda b: b.sendall(b"x"), lambda a: a.recvfrom(1)),
    "recv_into": _exchange(lambda b: b.send(b"x"), lambda a: a.recv_into(bytearray(1))),
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
