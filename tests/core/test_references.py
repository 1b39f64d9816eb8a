"""No call keeps what it was given, made or raised: each is made again and again, with what it is
given made anew, and the number of blocks of memory does not grow.  Most of the calls fail, as it is
the way out of an error that forgets a reference.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import math
import os
import socket as std
import sys
from collections.abc import Callable, Iterator
from typing import Any

import netpoll
import pytest
from netpoll import READ, WRITE, Poller, socket, sync
from netpoll.socket import MSG_PEEK, MSG_TRUNC
from support import HAS_GREENLET, WINDOWS, ThreadTask, needs_counts

pytestmark = [needs_counts, pytest.mark.rule(17)]

#: So many calls leave less than so many blocks: in one of the rounds, as CPython has lists of free
#: objects that fill up again whenever its collector has emptied them.
TIMES, SLACK, ROUNDS = 60, 20, 40
ALWAYS: list[object] = [Poller, netpoll.PollDesc, socket.socket]
if sys.version_info < (3, 12):  # from then on they are immortal, and their counts mean nothing
    ALWAYS += [None, True, False, b"", (), errno.EAGAIN]
ALWAYS += [sync.Lock, sync.RLock, sync.SimpleQueue, sync.Condition, sync.Semaphore, sync.local]
if HAS_GREENLET:
    from netpoll import green

    ALWAYS += [green.timeout, green.Group, green.Greenlet]
Call = Callable[[Any], object]


class Key:
    """Something that nobody else has."""


def _word() -> str:
    return "x" * 50


@contextlib.contextmanager
def nothing() -> Iterator[None]:
    yield


# --- pollers --------------------------------------------------------------------------------------


@contextlib.contextmanager
def a_poller() -> Iterator[Poller]:
    with Poller() as poller:
        yield poller


@contextlib.contextmanager
def a_desc() -> Iterator[Any]:
    a, b = std.socketpair()
    with a, b, Poller() as poller, poller.open(a) as desc:
        yield desc


@contextlib.contextmanager
def an_expired_desc() -> Iterator[Any]:
    with a_desc() as desc:
        desc.set_deadline(0)
        yield desc


@contextlib.contextmanager
def a_closed_desc() -> Iterator[Any]:
    with a_desc() as desc:
        desc.close()
        yield desc


def _parks_and_comes_out(desc: Any) -> None:
    desc.park(WRITE, Key())
    desc.poller.poll(0)
    desc.reset(WRITE)


def _parks_twice(desc: Any) -> None:
    desc.park(READ, Key())
    try:
        desc.park(READ, Key())
    finally:
        desc.cancel(READ)


def _parks_until_a_deadline(desc: Any) -> None:
    desc.park(READ, Key())
    desc.set_deadline(0)
    assert len(desc.poller.poll(0)) == 1
    desc.set_deadline(None)
    assert not desc.resume(READ)


POLLERS: list[tuple[Any, Call]] = [
    (a_poller, lambda p: Poller(_word())),
    (a_poller, lambda p: p.open(-1)),
    (a_poller, lambda p: p.open(_word())),
    (a_poller, lambda p: p.open(1 << 70)),
    (a_poller, lambda p: p.poll(_word())),
    (a_poller, lambda p: p.poll(math.nan)),
    (a_poller, lambda p: p.poll(0)),
    (a_poller, lambda p: (p.wake(), p.poll(None))),
    (a_poller, lambda p: (p.stats(), repr(p), p.next_deadline(), p.backend)),
    (a_poller, lambda p: p.is_poll_descriptor(_word())),
    (a_desc, lambda d: d.poller.open(d.fd)),
    (a_desc, lambda d: d.wait(3)),
    (a_desc, lambda d: d.wait(Key())),
    (a_desc, lambda d: d.set_deadline(math.nan)),
    (a_desc, lambda d: d.set_deadline(_word())),
    (a_desc, lambda d: d.set_deadline(10**400)),
    (a_desc, lambda d: d.set_deadline(-(10**400), READ) or d.set_deadline(None)),
    (a_desc, lambda d: d.set_deadline(1.5, 7)),
    (a_desc, lambda d: (d.set_deadline(100.5), d.deadline(READ), repr(d))),
    (a_desc, lambda d: d.set_deadline(None)),
    (a_desc, lambda d: d.resume(READ)),
    (a_desc, lambda d: (d.park(READ, Key()), d.cancel(READ))),
    (a_desc, _parks_twice),
    (a_desc, _parks_and_comes_out),
    (a_desc, _parks_until_a_deadline),
    (an_expired_desc, lambda d: d.wait(READ)),
    (an_expired_desc, lambda d: d.reset(WRITE)),
    (an_expired_desc, lambda d: d.park(READ, Key())),
    (a_closed_desc, lambda d: d.wait(READ)),
    (a_closed_desc, lambda d: d.wait_canceled(READ)),
    (a_closed_desc, lambda d: d.park(READ, Key())),
    (a_closed_desc, lambda d: d.set_deadline(1)),
]

# --- sockets --------------------------------------------------------------------------------------


@contextlib.contextmanager
def a_pair() -> Iterator[Any]:
    a, b = socket.socketpair()
    with a, b:
        a.settimeout(0)
        yield a, b


@contextlib.contextmanager
def a_pair_with_a_timeout() -> Iterator[Any]:
    with a_pair() as (a, b):
        a.settimeout(0.0001)
        yield a, b


@contextlib.contextmanager
def a_late_pair() -> Iterator[Any]:
    a, b = socket.socketpair()
    with a, b:
        a.set_deadline(0)
        yield a, b


@contextlib.contextmanager
def a_pair_of_which_one_is_closed() -> Iterator[Any]:
    a, b = socket.socketpair()
    with a, b:
        a.settimeout(1)
        b.close()
        yield a, b


def _datagrams(family: int, host: str) -> Any:
    @contextlib.contextmanager
    def scene() -> Iterator[Any]:
        with socket.socket(family, std.SOCK_DGRAM) as a:
            try:
                a.bind((host, 0))
            except OSError as error:
                pytest.skip(f"no {host} here: {error}")
            a.settimeout(5)
            yield a

    return scene


@contextlib.contextmanager
def a_pipe() -> Iterator[Any]:
    reader, writer = os.pipe()
    with netpoll.File(reader) as a, netpoll.File(writer, "w") as b:
        yield a, b


@contextlib.contextmanager
def a_late_pipe() -> Iterator[Any]:
    with a_pipe() as (a, b):
        a.set_deadline(0)
        yield a, b


@contextlib.contextmanager
def a_pipe_without_a_reader() -> Iterator[Any]:
    with a_pipe() as (a, b):
        a.close()
        yield a, b


@contextlib.contextmanager
def a_unix_socket() -> Iterator[Any]:
    with socket.socket(std.AF_UNIX, std.SOCK_DGRAM) as a:
        yield a


@contextlib.contextmanager
def a_listener() -> Iterator[Any]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        yield listener


def _accepts(listener: Any) -> None:
    with std.create_connection(listener.getsockname()):
        while True:
            with contextlib.suppress(BlockingIOError):
                connection, _ = listener.accept()
                break
        connection.close()


def _connects_in_vain(listener: Any) -> None:
    with socket.socket() as client, socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        client.connect(other.getsockname())


def _fails_and_is_closed(unused: object) -> None:
    with a_late_pair() as (a, _), contextlib.suppress(netpoll.DeadlineExceeded):
        a.send(b"x")
    a.recv(1)


def _sends_and_receives(pair: Any, size: int, flags: int = 0) -> None:
    a, b = pair
    b.sendall(bytes(size))
    while flags and not a.recv(size, flags):
        pass
    while size > 0:
        size -= len(a.recv(size))


def _is_given_a_bytearray(call: Callable[[Any, bytearray], object]) -> Call:
    def then(pair: Any) -> None:
        given = bytearray(100)
        try:
            call(pair[0], given)
        finally:
            given.append(1)  # nobody holds it
            pair[1].settimeout(0)
            with contextlib.suppress(BlockingIOError, OSError):
                pair[1].recv(1000)

    return then


def _sends_to(*address: Any) -> Call:
    def call(a: Any) -> None:
        a.sendto(bytes(10), address if len(address) > 1 else address[0])

    return call


def _to_itself(call: Callable[[Any], object]) -> Call:
    def then(a: Any) -> None:
        a.sendto(bytes(300), a.getsockname())
        call(a)

    return then


inet, inet6 = _datagrams(std.AF_INET, "127.0.0.1"), _datagrams(std.AF_INET6, "::1")

SOCKETS: list[tuple[Any, Call]] = [
    (a_pair, lambda s: s[0].recv(1000)),
    (a_pair, lambda s: s[0].recv(100_000)),
    (a_pair, lambda s: s[0].recv(-1)),
    (a_pair, lambda s: s[0].recv(_word())),
    (a_pair, lambda s: s[0].recv(1, 1 << 40)),
    (a_pair, lambda s: s[0].recv_into(bytearray(10), 11)),
    (a_pair, lambda s: s[0].recv_into(bytearray(10), nbytes=-1)),
    (a_pair, lambda s: s[0].recv_into(bytes(10))),
    (a_pair, lambda s: s[0].recv_into(bytearray(10), 1, 0, nbytes=2)),
    (a_pair, lambda s: s[0].recv_into(bytearray(10), size=2)),
    (a_pair, lambda s: s[0].recv_into(bytearray(10))),
    (a_pair, lambda s: s[0].recvfrom(100)),
    (a_pair, lambda s: s[0].recvfrom_into(bytearray(100))),
    (a_pair, lambda s: s[0].recvmsg(100)),
    (a_pair, lambda s: s[0].send(_word())),
    (a_pair, lambda s: s[0].send(Key())),
    (a_pair, lambda s: s[0].sendall(Key())),
    (a_pair, lambda s: s[0].sendmsg([Key()])),
    (a_pair, lambda s: s[0].settimeout(-1.5)),
    (a_pair, lambda s: s[0].settimeout(_word())),
    (a_pair, lambda s: s[0].set_deadline(math.nan)),
    (a_pair, lambda s: _sends_and_receives(s, 10)),
    (a_pair, lambda s: _sends_and_receives(s, 10_000)),
    (a_pair, lambda s: _sends_and_receives(s, 100_000)),
    (a_pair, lambda s: _sends_and_receives(s, 300, MSG_PEEK)),
    (a_pair, _is_given_a_bytearray(lambda a, given: a.send(given))),
    (a_pair, _is_given_a_bytearray(lambda a, given: a.sendall(given))),
    (a_pair, _is_given_a_bytearray(lambda a, given: a.sendall(given, _word()))),
    (a_pair, _is_given_a_bytearray(lambda a, given: a.recv_into(given))),
    (nothing, _fails_and_is_closed),
    (a_pair_with_a_timeout, lambda s: s[0].recv(1000)),
    (a_pair_with_a_timeout, lambda s: s[0].recv(100_000)),
    (a_pair_with_a_timeout, lambda s: s[0].recvmsg(10)),
    (a_pair_with_a_timeout, lambda s: s[0].recvfrom(10)),
    (a_late_pair, lambda s: s[0].recv(1000)),
    (a_late_pair, lambda s: s[0].send(bytes(10))),
    (a_late_pair, lambda s: s[0].recvmsg(10)),
    (a_late_pair, _is_given_a_bytearray(lambda a, given: a.sendall(given))),
    (a_late_pair, _is_given_a_bytearray(lambda a, given: a.recv_into(given))),
    (a_pair_of_which_one_is_closed, lambda s: s[0].sendall(bytes(10))),
    (a_pair_of_which_one_is_closed, lambda s: s[0].recv(1000)),
    (a_pair_of_which_one_is_closed, lambda s: s[1].recv(1000)),
    (a_pair_of_which_one_is_closed, lambda s: s[1].sendall(bytes(10))),
    (a_pair_of_which_one_is_closed, lambda s: s[1].sendmsg([bytes(10)])),
    (a_listener, lambda s: s.accept()),
    (a_listener, _accepts),
    (a_listener, _connects_in_vain),
    (a_listener, lambda s: socket.create_connection(s.getsockname(), timeout=-1.5)),
    (inet, _to_itself(lambda a: a.recvfrom(100))),
    (inet, _to_itself(lambda a: a.recvfrom_into(bytearray(100)))),
    (inet, _to_itself(lambda a: a.recv(100, MSG_TRUNC))),
    (inet, _to_itself(lambda a: a.recvmsg(100))),
    (inet, _sends_to("127.0.0.1", _word())),
    (inet, _sends_to("127.0.0.1", 1 << 17)),
    (inet, _sends_to(_word())),
    (inet, _sends_to(("127.0.0.1", 1 << 90))),
    (inet, _sends_to(("127.0.0.1\0", 9))),
    (inet6, _to_itself(lambda a: a.recvfrom(100))),
    (inet6, _sends_to("::1", 9, 1 << 20)),
    (inet6, _sends_to("::1", 9, 0, 1 << 40)),
]
if not WINDOWS:
    SOCKETS += [
        (a_late_pipe, lambda p: p[0].read(10)),
        (a_late_pipe, lambda p: p[0].readinto(bytearray(10))),
        (a_pipe, lambda p: p[0].read(_word())),
        (a_pipe, lambda p: p[1].write(_word())),
        (a_pipe, lambda p: (p[1].write(bytes(10)), p[0].read(10))),
        (a_pipe_without_a_reader, lambda p: p[1].write(bytes(10))),
        (a_unix_socket, _sends_to("/nowhere/" + "x" * 200)),
        (a_unix_socket, _sends_to("/nowhere/at all")),
        (a_unix_socket, _sends_to(b"/nowhere/at all")),
        (a_unix_socket, _sends_to(bytearray(b"/nowhere/at all"))),
        (a_unix_socket, _sends_to("\ud800")),
        (a_unix_socket, lambda s: s.connect("/nowhere/at all")),
    ]

# --- locks and queues -----------------------------------------------------------------------------


class Refuses:
    """A lock that cannot be acquired again."""

    held = False

    def acquire(self, blocking: bool = True) -> bool:
        if not blocking:
            return not self.held
        raise ValueError(Key())

    def release(self) -> None:
        self.held = False


@contextlib.contextmanager
def a_held_lock() -> Iterator[Any]:
    lock = sync.Lock()
    with lock:
        yield lock


@contextlib.contextmanager
def a_held_condition() -> Iterator[Any]:
    condition = sync.Condition()
    with condition:
        yield condition


@contextlib.contextmanager
def a_queue() -> Iterator[Any]:
    yield sync.SimpleQueue()


def _waits_with_a_lock_that_refuses(unused: object) -> None:
    lock = Refuses()
    lock.held = True
    sync.Condition(lock).wait(0)


def _raises() -> None:
    raise ValueError(Key())


def _fills(queue: Any) -> None:
    for _ in range(40):
        queue.put(Key())
    queue.get()
    for _ in range(39):
        queue.get()


def _leaves_items(unused: object) -> None:
    queue: sync.SimpleQueue[object] = sync.SimpleQueue()
    for _ in range(20):
        queue.put(Key())


def _has_locals(unused: object) -> None:
    place = sync.local()
    place.x = Key()
    del place.x
    place.y = Key()
    getattr(place, _word())


SYNC: list[tuple[Any, Call]] = [
    (nothing, lambda _: sync.Lock().release()),
    (nothing, lambda _: sync.Lock(Key())),  # type: ignore[call-arg]
    (nothing, lambda _: sync.Lock().acquire(Key(), math.nan)),  # type: ignore[arg-type]
    (nothing, lambda _: sync.Lock().acquire(wait=Key())),  # type: ignore[call-arg]
    (nothing, lambda _: sync.RLock().release()),
    (nothing, lambda _: repr(sync.RLock()) + repr(sync.Lock())),
    (nothing, lambda _: sync.Semaphore(-1)),
    (nothing, lambda _: sync.Condition().wait()),
    (nothing, lambda _: sync.Condition().notify(Key())),  # type: ignore[arg-type]
    (nothing, _waits_with_a_lock_that_refuses),
    (nothing, _leaves_items),
    (nothing, _has_locals),
    (nothing, lambda _: [lock() for lock in (sync.Lock().acquire, sync.RLock().acquire)]),
    (a_held_lock, lambda lock: (lock.release(), lock.acquire(), lock.locked())),
    (a_held_lock, lambda lock: lock.acquire(False)),
    (a_held_lock, lambda lock: lock.acquire(timeout=0.0001)),
    (a_held_lock, lambda lock: lock.acquire(False, 1)),
    (a_held_lock, lambda lock: lock.acquire(timeout=_word())),
    (a_held_condition, lambda c: c.wait(0)),
    (a_held_condition, lambda c: c.wait(_word())),
    (a_held_condition, lambda c: c.wait_for(_raises)),
    (a_held_condition, lambda c: c.notify_after(Key, Key)),
    (a_held_condition, lambda c: c.notify_after(Key, _raises)),
    (a_queue, lambda q: q.get(False)),
    (a_queue, lambda q: q.get(timeout=-1)),
    (a_queue, lambda q: q.get(timeout=_word())),
    (a_queue, lambda q: q.put()),
    (a_queue, lambda q: (q.put(Key()), q.get())),
    (a_queue, _fills),
]

# --- greenlets ------------------------------------------------------------------------------------


def _in_a_hub(call: Callable[[Any], object]) -> Call:
    return lambda green: green.run(call, green)


def _times_out(green: Any) -> None:
    with green.timeout(0.0001):
        green.sleep(10)


def _kills(green: Any) -> None:
    sleeper = green.spawn(green.sleep, 10)
    green.sleep(0)
    sleeper.kill(ValueError(Key()))
    sleeper.kill(ValueError(Key()))  # instead
    sleeper.get()


def _is_renamed(green: Any) -> None:
    sleeper = green.spawn(green.sleep, 0)
    sleeper.name = _word()
    sleeper.name = _word()
    sleeper.name = Key()


def _groups(green: Any) -> None:
    with green.Group() as group:
        group.spawn(Key)
        group.spawn(_raises)


@contextlib.contextmanager
def a_hub() -> Iterator[Any]:
    yield pytest.importorskip("netpoll.green")


GREEN: list[tuple[Any, Call]] = [
    (a_hub, lambda green: green.run(_raises)),
    (a_hub, _in_a_hub(lambda green: green.spawn(Key).get())),
    (a_hub, _in_a_hub(lambda green: green.spawn(_raises).get())),
    (a_hub, _in_a_hub(lambda green: green.spawn(Key, Key(), name=Key()).get())),
    (a_hub, _in_a_hub(lambda green: green.sleep(math.nan))),
    (a_hub, _in_a_hub(lambda green: green.sleep(_word()))),
    (a_hub, _in_a_hub(lambda green: green.timeout(_word()))),
    (a_hub, _in_a_hub(lambda green: green.call_in_thread(Key))),
    (a_hub, _in_a_hub(lambda green: green.call_in_thread(_raises))),
    (a_hub, _in_a_hub(_times_out)),
    (a_hub, _in_a_hub(_kills)),
    (a_hub, _in_a_hub(_is_renamed)),
    (a_hub, _in_a_hub(_groups)),
]


def _is_balanced(call: Call, given: object) -> bool:
    """After many calls there are as many blocks, and references to what is always there.

    Cycles do not count: an error whose traceback has the frame that has what raised it is one.
    """
    gc.collect()
    blocks, *references = sys.getallocatedblocks(), *map(sys.getrefcount, ALWAYS)
    for _ in range(TIMES):
        with contextlib.suppress(Exception):
            call(given)
    gc.collect()
    after = map(sys.getrefcount, ALWAYS)
    return sys.getallocatedblocks() - blocks < SLACK and all(
        abs(now - before) < SLACK for now, before in zip(after, references, strict=True)
    )


def _params(name: str, table: list[tuple[Any, Call]]) -> list[Any]:
    marks = [pytest.mark.allow_leak("a hub's poller")] if table is GREEN else []
    return [
        pytest.param(scene, call, id=f"{name}-{number}-{scene.__name__}", marks=marks)
        for number, (scene, call) in enumerate(table)
    ]


CASES = [
    *_params("poller", POLLERS),
    *_params("socket", SOCKETS),
    *_params("sync", SYNC),
    *_params("green", GREEN),
]


@pytest.mark.filterwarnings("ignore")  # else pytest keeps each
@pytest.mark.parametrize(("scene", "call"), CASES)
def test_nothing_is_kept(scene: Any, call: Call) -> None:
    with scene() as given:
        in_thread = ThreadTask(  # whose hub ends with it
            "the scene", lambda: any(_is_balanced(call, given) for _ in range(ROUNDS)), ()
        )
        assert in_thread.result()
