"""What is closed, unregistered or cancelled is freed at once: no cycle of ours keeps it until the
collector runs.
"""

from __future__ import annotations

import contextlib
import gc
import os
import socket as std
import subprocess as std_subprocess
import threading
import weakref
from collections.abc import Callable
from typing import Any

import netpoll
import pytest
from netpoll import READ, WRITE, DeadlineExceeded, Poller, patch, socket, subprocess, sync
from netpoll import select as our_select
from netpoll.adapters.selectors import PollerSelector
from support import HAS_GREENLET, WINDOWS, ThreadTask, needs_counts, needs_greenlet

if HAS_GREENLET:
    from netpoll import green

pytestmark = [needs_counts, pytest.mark.skipif(WINDOWS, reason="pipes are pollable on POSIX only")]


class Kept:
    """What a user hands over; it must be gone when its owner is."""


Scene = Callable[[Kept], object]


def _selector(steps: Callable[[Any, Any, Any], object], make: Any = PollerSelector) -> Scene:
    def scene(kept: Kept) -> None:
        a, b = socket.socketpair()
        selector = make()
        selector.register(a, READ | WRITE, kept)
        steps(selector, a, b)
        selector.close()
        a.close()
        b.close()

    return scene


def _fires(selector: Any, a: Any, b: Any) -> None:
    b.send(b"x")
    assert selector.select(1)


def _fires_and_is_unregistered(selector: Any, a: Any, b: Any) -> None:
    _fires(selector, a, b)
    selector.unregister(a)


def _is_unregistered(selector: Any, a: Any, b: Any) -> None:
    selector.unregister(a)


def _is_modified(selector: Any, a: Any, b: Any) -> None:
    _fires(selector, a, b)
    selector.modify(a, READ)
    _fires_and_is_unregistered(selector, a, b)


def token_that_refers_to_its_descriptor(kept: Kept) -> None:
    with Poller() as poller:
        reader, writer = os.pipe()
        desc = poller.open(reader)
        desc.park(READ, (desc, kept))
        os.write(writer, b"x")
        poller.poll(1)
        desc.close()
    os.close(reader)
    os.close(writer)


def token_that_is_cancelled(kept: Kept) -> None:
    with Poller() as poller:
        reader, writer = os.pipe()
        desc = poller.open(reader)
        desc.park(READ, (desc, kept))
        desc.cancel(READ)
        desc.close()
    os.close(reader)
    os.close(writer)


def token_of_a_descriptor_that_is_closed(kept: Kept) -> None:
    with Poller() as poller:
        reader, writer = os.pipe()
        desc = poller.open(reader)
        desc.park(READ, (desc, kept))
        desc.close()
        poller.poll(0)
    os.close(reader)
    os.close(writer)


def wait_that_runs_out_of_time(kept: Kept) -> None:
    reader, writer = os.pipe()
    with netpoll.open(reader) as desc:
        desc.set_deadline(0.001)
        with contextlib.suppress(DeadlineExceeded):
            desc.wait(READ)
    os.close(reader)
    os.close(writer)


def operations_of_sockets(kept: Kept) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    a = socket.create_connection(listener.getsockname())
    b, _ = listener.accept()
    b.send(b"x")
    a.recv(1)
    a.settimeout(0.001)
    for failing in (a.recv, a.recvmsg, lambda n: a.recv_into(bytearray(n)), a.recvfrom):
        with contextlib.suppress(TimeoutError):
            failing(1)
    with contextlib.suppress(BlockingIOError):
        a.recv(1, std.MSG_DONTWAIT)
    a.settimeout(None)
    a.setsockopt(std.SOL_SOCKET, std.SO_RCVTIMEO, b"\0" * 8 + (1000).to_bytes(8, "little"))
    with contextlib.suppress(BlockingIOError):
        a.recv(1)
    with a.makefile("rwb") as file:
        file.write(b"x")
    for sock in (a, b, listener):
        sock.close()


def sends_in_parts(kept: Kept) -> None:
    a, b = socket.socketpair()

    def drain() -> None:
        while b.recv(1 << 20):
            pass

    thread = threading.Thread(target=drain)
    thread.start()
    a.send(bytes(2_000_000))
    a.sendmsg([bytes(2_000_000)])
    a.close()
    thread.join()
    b.close()


def connection_that_is_refused(kept: Kept) -> None:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", 1))


def tls_that_fails(kept: Kept) -> None:
    from netpoll import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    a, b = socket.socketpair()
    a.settimeout(0)
    sock = context.wrap_socket(a, server_hostname="localhost", do_handshake_on_connect=False)
    for call in (sock.do_handshake, lambda: sock.send(b"x"), lambda: sock.recv(1)):
        with contextlib.suppress(OSError):
            call()
    sock.settimeout(0.001)
    with contextlib.suppress(OSError):
        sock.do_handshake()
    b.close()
    sock.settimeout(None)
    with contextlib.suppress(OSError):
        sock.do_handshake()
    sock.close()


def locks_and_queues(kept: Kept) -> None:
    with sync.Lock(), sync.RLock():
        pass
    event, condition, semaphore = sync.Event(), sync.Condition(), sync.Semaphore()
    event.wait(0.001)
    with condition:
        condition.wait(0.001)
    semaphore.acquire()
    semaphore.acquire(timeout=0.001)
    for queue in (sync.LifoQueue(), sync.Queue()):
        queue.put(kept)
        queue.get()
        with contextlib.suppress(Exception):
            queue.get(timeout=0.001)
    sync.local().kept = kept


def select_and_poll(kept: Kept) -> None:
    a, b = socket.socketpair()
    with a, b:
        our_select.select([a], [], [], 0.001)
        poll = our_select.poll()
        poll.register(a, 1)
        poll.poll(1)


# --- greenlets that end ---------------------------------------------------------------------------


def _fail(kept: Kept) -> None:
    raise ValueError


def _wait(kept: Kept) -> None:
    from netpoll import green

    green.sleep(10)


def _wait_again(kept: Kept) -> None:
    try:
        _wait(kept)
    finally:
        sync.Event().wait(0.001)


def greenlet_whose_error_is_collected(kept: Kept) -> None:
    from netpoll import green

    task = green.spawn(_fail, kept)
    with contextlib.suppress(ValueError):
        task.get()
    del task  # the error refers to this frame


def _killed(function: Callable[[Kept], None]) -> Scene:
    def scene(kept: Kept) -> None:
        from netpoll import green

        task = green.spawn(function, kept)
        green.sleep(0)
        task.kill()
        task.get()

    return scene


def _get_from_a_queue(kept: Kept) -> None:
    sync.Queue[int]().get()


def _wait_for_a_condition(kept: Kept) -> None:
    condition = sync.Condition()
    with condition:
        condition.wait()


def _receive(kept: Kept) -> None:
    a, b = socket.socketpair()
    with a, b:
        a.recv(1)


def _fail_after_a_timeout(kept: Kept) -> None:
    from netpoll import green

    try:
        with green.timeout(0.001):
            _wait(kept)
    except TimeoutError:
        _wait(kept)


def greenlet_that_is_killed_by_an_error(kept: Kept) -> None:
    from netpoll import green

    task = green.spawn(_wait, kept)
    green.sleep(0)
    task.kill(ValueError())
    with contextlib.suppress(ValueError):
        task.get()
    del task


def greenlet_that_does_not_end_in_time(kept: Kept) -> None:
    from netpoll import green

    task = green.spawn(_wait, kept)
    with contextlib.suppress(TimeoutError):
        task.get(0.001)
    task.kill()
    task.join()


def greenlet_that_never_starts(kept: Kept) -> None:
    from netpoll import green

    task = green.spawn(_wait, kept)
    task.kill()
    task.join()


def join_that_is_killed(kept: Kept) -> None:
    from netpoll import green

    task = green.spawn(_wait, kept)
    joining = green.spawn(task.join)
    green.sleep(0)
    for one in (joining, task):
        one.kill()
        one.join()


def function_that_fails_in_run(kept: Kept) -> None:
    from netpoll import green

    with contextlib.suppress(ValueError):
        green.run(_fail, kept)


def call_in_a_thread_that_fails(kept: Kept) -> None:
    from netpoll import green

    with contextlib.suppress(ValueError):
        green.call_in_thread(_fail, kept)


def timeouts(kept: Kept) -> None:
    from netpoll import green

    for inner, outer in ((0.001, 10), (10, 0.001)):
        with (
            contextlib.suppress(TimeoutError),
            green.timeout(outer),
            green.timeout(inner),
        ):
            _wait(kept)


def groups(kept: Kept) -> None:
    from netpoll import green

    for function in (_fail, _wait):
        with contextlib.suppress(ValueError), green.Group() as group:
            group.spawn(function, kept)
            green.sleep(0)
            _fail(kept)
        del group


GREEN_SCENES: dict[str, Scene] = {
    f"{function.__name__} is killed": _killed(function)
    for function in (
        _wait,
        _wait_again,
        _get_from_a_queue,
        _wait_for_a_condition,
        _receive,
        _fail_after_a_timeout,
    )
}
GREEN_SCENES |= {
    scene.__name__: scene
    for scene in (
        greenlet_whose_error_is_collected,
        greenlet_that_is_killed_by_an_error,
        greenlet_that_does_not_end_in_time,
        greenlet_that_never_starts,
        join_that_is_killed,
        function_that_fails_in_run,
        call_in_a_thread_that_fails,
        timeouts,
        groups,
    )
}


SCENES: dict[str, Scene] = {
    "a selector": _selector(_fires_and_is_unregistered),
    "a selector that never fired": _selector(_is_unregistered),
    "a selector that was closed": _selector(_fires),
    "a selector that was modified": _selector(_is_modified),
    "a selector of patch": _selector(_fires_and_is_unregistered, patch.Selector),
}
SCENES |= {
    scene.__name__: scene
    for scene in (
        token_that_refers_to_its_descriptor,
        token_that_is_cancelled,
        token_of_a_descriptor_that_is_closed,
        wait_that_runs_out_of_time,
        operations_of_sockets,
        sends_in_parts,
        connection_that_is_refused,
        tls_that_fails,
        locks_and_queues,
        select_and_poll,
    )
}


# --- in a hub -------------------------------------------------------------------------------------


def _fails(kept: Kept) -> None:
    raise ValueError(kept)


def greenlets_that_end(kept: Kept) -> None:
    green.spawn(id, kept).join()
    green.spawn(id, kept).get()
    late = green.spawn(lambda kept: green.sleep(0.01), kept)
    with contextlib.suppress(TimeoutError):
        late.get(0.001)
    late.join()


def greenlets_that_fail(kept: Kept) -> None:
    """Nobody else holds the greenlet: a caller whose frame does, and the error's traceback has,
    makes a cycle of its own."""
    with contextlib.suppress(ValueError):
        green.spawn(_fails, kept).get()
    with contextlib.suppress(ValueError):
        green.run(_fails, kept)
    with contextlib.suppress(ValueError):
        green.call_in_thread(_fails, kept)


def greenlets_that_are_killed(kept: Kept) -> None:
    lock, queue, event = sync.Lock(), sync.Queue(), sync.Event()
    lock.acquire()
    a, b = socket.socketpair()
    for wait in (lock.acquire, queue.get, event.wait, a.recv, green.sleep):
        task = green.spawn(lambda kept, wait: wait(1000), kept, wait)
        green.sleep(0)
        task.kill()
        task.join()
    a.close()
    b.close()
    task = green.spawn(green.sleep, kept)  # it never starts
    task.kill()
    task.join()


def greenlet_that_a_thread_kills(kept: Kept) -> None:
    task = green.spawn(lambda kept: green.sleep(1000), kept)
    green.sleep(0)
    thread = threading.Thread(target=task.kill)
    thread.start()
    task.join()
    thread.join()


def limits_and_groups(kept: Kept) -> None:
    with contextlib.suppress(TimeoutError), green.timeout(0.001):
        green.sleep(1000)
    with green.timeout(10), green.Group() as group:
        group.spawn(id, kept)
    with contextlib.suppress(ValueError), green.Group() as group:
        group.spawn(_fails, kept)
        group.spawn(green.sleep, 1000)


def children(kept: Kept) -> None:
    subprocess.run(["true"], capture_output=True, check=True)
    with contextlib.suppress(std_subprocess.TimeoutExpired):
        subprocess.run(["sleep", "10"], timeout=0.001, check=True)
    with contextlib.suppress(OSError):
        subprocess.Popen(["/not/there"], stdin=std_subprocess.PIPE)


def _hub_of_a_thread(run: Callable[[Kept], object]) -> Scene:
    def scene(kept: Kept) -> None:
        thread = threading.Thread(target=run, args=(kept,))
        thread.start()
        thread.join()

    return scene


def _greenlets_left_behind(kept: Kept) -> None:
    green.spawn(lambda kept: green.sleep(1000), kept)
    green.spawn(green.sleep, 1000)
    green.sleep(0)
    green.spawn(id, kept)  # it has not started


def _poller_closed(kept: Kept) -> None:
    green.get_hub().poller.close()
    green.sleep(0.001)


GREEN_SCENES |= {
    "a hub": _hub_of_a_thread(lambda kept: green.run(id, kept)),
    "a hub with greenlets": _hub_of_a_thread(_greenlets_left_behind),
    "a hub whose poller was closed": _hub_of_a_thread(_poller_closed),
}
GREEN_SCENES |= {
    scene.__name__: scene
    for scene in (
        greenlets_that_end,
        greenlets_that_fail,
        greenlets_that_are_killed,
        greenlet_that_a_thread_kills,
        limits_and_groups,
        children,
    )
}


def _garbage(scene: Scene) -> list[Any]:
    """What only the collector finds after the scene, which has been played before."""
    kept = Kept()
    alive = weakref.ref(kept)
    gc.collect()
    gc.disable()
    try:
        scene(kept)
        del kept
        assert alive() is None
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        return [type(thing) for thing in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("name", SCENES)
def test_it_is_freed_at_once(name: str) -> None:
    SCENES[name](Kept())
    assert _garbage(SCENES[name]) == []


@needs_greenlet
@pytest.mark.parametrize("name", SCENES | GREEN_SCENES)
def test_it_is_freed_at_once_in_a_hub(name: str) -> None:
    played = (SCENES | GREEN_SCENES)[name]

    def scene(kept: Kept) -> None:
        green.run(played, kept)

    def in_thread() -> list[str]:
        scene(Kept())
        return _garbage(scene)

    assert ThreadTask("a hub that stays", in_thread, ()).result() == []


#: Of classes that users may derive from.
MAKERS: dict[str, tuple[type, tuple[Any, ...]]] = {
    "Poller": (Poller, ()),
    "RLock": (sync.RLock, ()),
    "Condition": (sync.Condition, ()),
    "Event": (sync.Event, ()),
    "Semaphore": (sync.Semaphore, ()),
    "SimpleQueue": (sync.SimpleQueue, ()),
    "Queue": (sync.Queue, ()),
    "local": (sync.local, ()),
    "socket": (socket.socket, ()),
    "PollerSelector": (PollerSelector, ()),
}
if HAS_GREENLET:
    MAKERS |= {"timeout": (green.timeout, (1,)), "Group": (green.Group, ())}


@pytest.mark.parametrize("name", MAKERS)
def test_a_class_that_keeps_an_object_of_its_own_is_collected(name: str) -> None:
    base, args = MAKERS[name]
    derived: Any = type("Derived", (base,), {})
    derived.kept = derived(*args)
    if hasattr(derived.kept, "close"):
        derived.kept.close()
    alive = weakref.ref(derived)
    del derived
    gc.collect()
    assert alive() is None
