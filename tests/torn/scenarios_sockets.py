"""Sockets, in a hub and in threads without one."""

from __future__ import annotations

import os
import socket as std
import tempfile
from typing import Any

from netpoll import ClosedError, DeadlineExceeded, green
from netpoll import socket as np_socket
from world import Act, World, demand, demand_error, with_both, with_greenlets

BIG = 200_000  # bytes: more than the buffers of a pair take


def ended(call: Any, *args: Any) -> None:
    """For actors whose operation is ended by others."""
    try:
        call(*args)
    except OSError:
        pass


# --- receiving and sending ------------------------------------------------------------------------


@with_both
def recv(world: World) -> Act:
    ours, peer = world.pair()
    world.soon(peer.send, b"hello")

    def act() -> None:
        demand(ours.recv(100) == b"hello", "recv gave something else")

    return act


@with_both
def recv_what_is_there(world: World) -> Act:
    ours, peer = world.pair()
    peer.send(b"hello")

    def act() -> None:
        demand(ours.recv(3) == b"hel", "recv gave something else")
        demand(ours.recv_into(bytearray(3)) == 2, "recv_into gave something else")

    return act


@with_both
def recv_all_of_it(world: World) -> Act:
    ours, peer = world.pair()
    world.soon(peer.send, b"h")
    world.soon(peer.send, b"ello")
    world.release(peer.send, b"12345")

    def act() -> None:
        demand(len(ours.recv(5, std.MSG_WAITALL)) == 5, "recv gave less")

    return act


@with_both
def recvfrom(world: World) -> Act:
    ours, peer = world.pair(std.SOCK_DGRAM)
    world.soon(peer.send, b"hello")

    def act() -> None:
        demand(ours.recvfrom(100)[0] == b"hello", "recvfrom gave something else")

    return act


@with_both
def recvmsg(world: World) -> Act:
    ours, peer = world.pair()
    world.soon(peer.send, b"hello")

    def act() -> None:
        demand(ours.recvmsg(100)[0] == b"hello", "recvmsg gave something else")

    return act


@with_both
def send(world: World) -> Act:
    ours, _ = world.pair()

    def act() -> None:
        ours.send(b"hello")
        ours.sendmsg([b"hel", b"lo"])

    return act


@with_both
def sendall(world: World) -> Act:
    """More than the buffers take."""
    ours, peer = world.pair()

    def drain() -> None:
        while b"!" not in peer.recv(1 << 20):
            pass

    world.thread(drain)
    world.release(ours.sendall, b"!")

    def act() -> None:
        ours.sendall(bytes(BIG))

    return act


@with_both
def sendto(world: World) -> Act:
    ours = world.ours(np_socket.socket(std.AF_INET, std.SOCK_DGRAM))
    peer = world.theirs(std.socket(std.AF_INET, std.SOCK_DGRAM))
    peer.bind(("127.0.0.1", 0))

    def act() -> None:
        ours.sendto(b"hello", peer.getsockname())

    return act


@with_both
def sendfile(world: World) -> Act:
    ours, _ = world.pair()

    def act() -> None:
        with tempfile.TemporaryFile() as file:
            file.write(b"hello")
            file.seek(0)
            demand(ours.sendfile(file) == 5, "sendfile sent less")

    return act


@with_both
def read_a_line(world: World) -> Act:
    ours, peer = world.pair()
    world.soon(peer.send, b"hello\n")

    def act() -> None:
        with ours.makefile("rb") as file:
            demand(file.readline() == b"hello\n", "readline gave something else")

    return act


# --- limits ---------------------------------------------------------------------------------------


@with_both
def recv_until_the_timeout(world: World) -> Act:
    ours, _ = world.pair()

    def act() -> None:
        ours.settimeout(0.0005)
        demand_error(TimeoutError, ours.recv, 1)

    return act


@with_both
def recv_until_the_deadline(world: World) -> Act:
    ours, _ = world.pair()

    def act() -> None:
        ours.set_deadline(0.0005)
        demand_error(DeadlineExceeded, ours.recv, 1)
        ours.set_deadline(None)

    return act


@with_both
def move_the_deadline_of_another(world: World) -> Act:
    ours, _ = world.pair()
    world.actor(ended, ours.recv, 1)
    world.release(ours.set_deadline, 0)

    def act() -> None:
        ours.set_read_deadline(1000)
        ours.set_read_deadline(0.0003)

    return act


@with_both
def try_without_waiting(world: World) -> Act:
    ours, _ = world.pair()

    def act() -> None:
        ours.setblocking(False)
        demand_error(BlockingIOError, ours.recv, 1)

    return act


# --- taking turns ---------------------------------------------------------------------------------


@with_both
def queue_behind_another(world: World) -> Act:
    ours, peer = world.pair()
    world.actor(ours.recv, 1)
    world.soon(peer.send, b"ab")
    world.release(peer.send, b"cd")

    def act() -> None:
        ours.recv(1)

    return act


@with_both
def have_another_behind(world: World) -> Act:
    ours, peer = world.pair()
    world.soon(ours.recv, 1)
    world.soon(peer.send, b"ab")
    world.release(peer.send, b"cd")

    def act() -> None:
        ours.recv(1)

    return act


@with_both
def queue_until_the_timeout(world: World) -> Act:
    ours, peer = world.pair()
    world.actor(ours.recv, 1)
    world.release(peer.send, b"a")

    def act() -> None:
        ours.settimeout(0.0005)
        demand_error(TimeoutError, ours.recv, 1)

    return act


@with_greenlets
def kill_one_that_queues(world: World) -> Act:
    ours, peer = world.pair()
    world.actor(ours.recv, 1)
    victim = green.spawn(ours.recv, 1)
    green.sleep(0)
    world.release(victim.kill)
    world.release(peer.send, b"ab")

    def act() -> None:
        victim.kill()
        victim.join()

    return act


# --- connections ----------------------------------------------------------------------------------


def listener(world: World) -> Any:
    sock = world.ours(np_socket.socket())
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock


def connect_to(world: World, ours: Any) -> None:
    world.theirs(std.create_connection(ours.getsockname()))


@with_both
def accept(world: World) -> Act:
    ours = listener(world)
    world.soon(connect_to, world, ours)

    def act() -> None:
        connection, _ = ours.accept()
        connection.close()

    return act


@with_both
def accept_of_a_unix_socket(world: World) -> Act:
    """Another family, another way."""
    ours = world.ours(np_socket.socket(std.AF_UNIX))
    ours.bind(b"\0" + os.urandom(8).hex().encode())
    ours.listen()
    peer = world.theirs(std.socket(std.AF_UNIX))
    peer.connect(ours.getsockname())

    def act() -> None:
        connection, _ = ours.accept()
        connection.close()

    return act


@with_both
def connect(world: World) -> Act:
    server = world.theirs(std.create_server(("127.0.0.1", 0)))
    ours = world.ours(np_socket.socket())

    def act() -> None:
        ours.connect(server.getsockname())

    return act


@with_both
def connect_in_vain(world: World) -> Act:
    ours = world.ours(np_socket.socket())
    with std.socket() as refused:
        refused.bind(("127.0.0.1", 0))
        address = refused.getsockname()

    def act() -> None:
        demand(ours.connect_ex(address) != 0, "connected")

    return act


@with_both
def connect_and_wait(world: World) -> Act:
    """The backlog of a UNIX socket is full."""
    server = world.theirs(std.socket(std.AF_UNIX))
    server.bind(b"\0" + os.urandom(8).hex().encode())
    server.listen(0)
    first = world.theirs(std.socket(std.AF_UNIX))
    first.connect(server.getsockname())
    ours = world.ours(np_socket.socket(std.AF_UNIX))

    def accept() -> None:
        world.theirs(server.accept()[0])

    world.soon(accept)

    def act() -> None:
        ours.connect(server.getsockname())

    return act


@with_both
def create_connection(world: World) -> Act:
    server = world.theirs(std.create_server(("127.0.0.1", 0)))

    def act() -> None:
        np_socket.create_connection(server.getsockname()).close()

    return act


@with_both
def create_server(world: World) -> Act:
    def act() -> None:
        np_socket.create_server(("127.0.0.1", 0)).close()

    return act


@with_both
def make_a_pair(world: World) -> Act:
    def act() -> None:
        for sock in np_socket.socketpair():
            sock.close()

    return act


@with_both
def make_one_of_a_number(world: World) -> Act:
    """The number is the socket's from then on, and before that ours."""
    number = std.socket().detach()
    made: list[Any] = []

    def end() -> None:
        if made:
            made[0].close()
        else:  # nobody can say whose it is
            world.close_somehow(number)

    world.check(end)

    def act() -> None:
        made.append(np_socket.socket(fileno=number))

    return act


@with_both
def make_a_duplicate(world: World) -> Act:
    ours, _ = world.pair()

    def act() -> None:
        ours.dup().close()

    return act


# --- the end --------------------------------------------------------------------------------------


@with_both
def close(world: World) -> Act:
    ours, _ = world.pair(usable=False)

    def act() -> None:
        ours.close()

    return act


@with_both
def close_and_drop(world: World) -> Act:
    """Nobody closes it once more."""
    socks = [np_socket.socket()]

    def act() -> None:
        socks.pop().close()

    return act


@with_both
def leave_a_block(world: World) -> Act:
    socks = [np_socket.socket()]

    def act() -> None:
        with socks.pop():
            pass

    return act


@with_both
def close_under_another(world: World) -> Act:
    ours, _ = world.pair(usable=False)
    world.actor(ended, ours.recv, 1)
    world.release(ours.close)

    def act() -> None:
        ours.close()

    return act


@with_both
def close_under_several(world: World) -> Act:
    ours, _ = world.pair(usable=False)
    for _ in range(3):
        world.actor(ended, ours.recv, 1)
    world.release(ours.close)

    def act() -> None:
        ours.close()

    return act


@with_both
def be_closed_meanwhile(world: World) -> Act:
    ours, _ = world.pair(usable=False)
    world.soon(ours.close)

    def act() -> None:
        demand_error(ClosedError, ours.recv, 1)

    return act


@with_both
def shutdown(world: World) -> Act:
    ours, _ = world.pair(usable=False)
    world.actor(ended, ours.recv, 1)
    world.release(ended, ours.shutdown, std.SHUT_RDWR)

    def act() -> None:
        ours.shutdown(std.SHUT_RDWR)

    return act


@with_both
def detach(world: World) -> Act:
    """The number is the socket's, or nobody's."""
    ours, _ = world.pair(usable=False)
    number = ours.fileno()

    def end() -> None:
        if ours.fileno() == -1:
            os.close(number)

    world.check(end)

    def act() -> None:
        ours.detach()

    return act


@with_both
def detach_under_another(world: World) -> Act:
    ours, _ = world.pair(usable=False)
    number = ours.fileno()
    world.actor(ended, ours.recv, 1)
    world.release(ours.detach)
    world.check(os.close, number)

    def act() -> None:
        ours.detach()

    return act
