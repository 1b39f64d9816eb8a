"""What blocks, in a thread of its own."""

from __future__ import annotations

import _socket
import os
import socket as std
import subprocess as std_subprocess
import time
from functools import partial
from typing import Any

import netpoll
from netpoll import green
from netpoll import select as np_select
from netpoll import socket as np_socket
from netpoll import subprocess as np_subprocess
from netpoll._whole import call
from world import Act, Torn, World, demand, with_both


@with_both
def call_in_thread(world: World) -> Act:
    def act() -> None:
        demand(green.call_in_thread(divmod, 7, 2) == (3, 1), "the result was another")

    def again() -> None:
        demand(green.call_in_thread(divmod, 7, 2) == (3, 1), "the pool does not work any more")

    world.check(again)
    return act


_REAL = _socket.getaddrinfo


def _answer_at_once() -> None:
    """Every name is this host; it takes a thread all the same."""

    def look_up(host: str, *rest: object) -> object:
        return _REAL("127.0.0.1" if host == "name.test" else host, *rest)  # type: ignore[arg-type]

    _socket.getaddrinfo = look_up  # type: ignore[assignment]


@with_both
def connect_to_a_name(world: World) -> Act:
    _answer_at_once()
    listener = world.theirs(std.create_server(("127.0.0.1", 0)))
    sock = world.ours(np_socket.socket())

    def act() -> None:
        sock.connect(("name.test", listener.getsockname()[1]))

    return act


@with_both
def create_connection_to_a_name(world: World) -> Act:
    _answer_at_once()
    listener = world.theirs(std.create_server(("127.0.0.1", 0)))
    world.ours_only()

    def act() -> None:
        np_socket.create_connection(("name.test", listener.getsockname()[1]), 5).close()

    return act


@with_both
def select_until_there_is_something(world: World) -> Act:
    ours, peer = world.pair()
    world.soon(peer.send, b"x")

    def act() -> None:
        demand(np_select.select([ours], [], []) == ([ours], [], []), "select found nothing")
        ours.recv(1)

    return act


@with_both
def poll_objects(world: World) -> Act:
    ours, peer = world.pair()
    poll = np_select.poll()
    poll.register(ours, np_select.POLLIN)
    world.soon(peer.send, b"x")

    def act() -> None:
        demand(poll.poll(5000), "poll found nothing")
        ours.recv(1)

    return act


@with_both
def epoll_objects(world: World) -> Act:
    ours, peer = world.pair()
    world.soon(peer.send, b"x")

    def act() -> None:
        with np_select.epoll() as epoll:
            epoll.register(ours, np_select.EPOLLIN)
            demand(epoll.poll(5), "epoll found nothing")
        ours.recv(1)

    return act


def _pipe(world: World) -> tuple[netpoll.File, netpoll.File]:
    r, w = os.pipe()
    files = netpoll.File(r), netpoll.File(w, "w")

    def works() -> None:
        files[1].write(b"<mark>")
        data = b""
        while not data.endswith(b"<mark>"):
            data += files[0].read(100)

    world.check(works)
    world.check(lambda: [file.close() for file in files])
    return files


@with_both
def file_read_and_write(world: World) -> Act:
    r, w = _pipe(world)
    world.soon(w.write, b"x")

    def act() -> None:
        demand(r.read(1) == b"x", "read gave something else")
        w.write(b"hello")
        demand(r.readinto(bytearray(5)) == 5, "readinto gave something else")

    return act


@with_both
def file_with_a_buffer(world: World) -> Act:
    r, w = os.pipe()
    reader = netpoll.fdopen(r, "rb")
    world.soon(os.write, w, b"hello\n")

    def act() -> None:
        demand(reader.readline() == b"hello\n", "readline gave something else")

    def close() -> None:
        reader.raw.close()
        os.close(w)

    world.check(close)
    return act


@with_both
def file_close(world: World) -> Act:
    r, w = os.pipe()
    file = netpoll.File(r)

    def act() -> None:
        file.close()

    def closed() -> None:
        file.close()
        demand(file.closed, "it is not closed")
        os.close(w)
        try:
            os.fstat(r)
        except OSError:
            return
        raise Torn("the number is open")

    world.check(closed)
    return act


def _no_child_is_left(world: World) -> None:
    """And none is that anybody has to wait for."""

    def check() -> None:
        limit = time.monotonic() + world.patience
        while True:
            std_subprocess._cleanup()  # type: ignore[attr-defined]  # of what was dropped
            try:
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            demand(time.monotonic() < limit, "a child is left")
            time.sleep(0.001)

    world.check(check)


@with_both
def start_a_child(world: World) -> Act:
    _no_child_is_left(world)
    null = std_subprocess.DEVNULL
    pipe = std_subprocess.PIPE
    children: list[Any] = []
    start = partial(np_subprocess.Popen, ["sleep", "0.005"], stdin=pipe, stdout=pipe, stderr=null)

    def act() -> None:
        children.extend(map(call, (start,)))

    def end() -> None:
        while children:
            with children.pop():
                pass

    world.release(end)

    return act


@with_both
def start_what_is_not_there(world: World) -> Act:
    _no_child_is_left(world)
    pipe = std_subprocess.PIPE

    def act() -> None:
        try:
            np_subprocess.Popen(["/not/there"], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        except FileNotFoundError:
            pass

    return act


@with_both
def run_a_child(world: World) -> Act:
    _no_child_is_left(world)
    world.ours_only()  # a child's end is noted by the standard class

    def act() -> None:
        try:
            np_subprocess.run(["sleep", "1000"], capture_output=True, timeout=0.005)
        except std_subprocess.TimeoutExpired:
            pass

    return act


@with_both
def wait_for_a_child(world: World) -> Act:
    child = np_subprocess.Popen(["sleep", "0.005"])
    world.ours_only()

    def act() -> None:
        demand(child.wait() == 0, "wait gave something else")

    world.check(child.wait)
    return act
