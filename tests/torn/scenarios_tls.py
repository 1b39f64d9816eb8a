"""TLS.  The peer is the standard library's, in a thread of its own."""

from __future__ import annotations

import socket as std
import ssl as std_ssl
from typing import Any

import trustme
from netpoll import green, ssl
from scenarios_sockets import BIG, ended, listener
from world import MARK, Act, World, demand, demand_error, with_both, with_greenlets

NAME = "localhost"


# Standard contexts, which make sockets of ours of ours.
_authority = trustme.CA()
SERVER = std_ssl.SSLContext(std_ssl.PROTOCOL_TLS_SERVER)
_authority.issue_cert(NAME).configure_cert(SERVER)
CLIENT = std_ssl.create_default_context()
_authority.configure_trust(CLIENT)


def wrap(sock: Any, **more: Any) -> Any:
    return CLIENT.wrap_socket(sock, server_hostname=NAME, **more)


def serve(world: World, peer: std.socket) -> Any:
    """The server's socket; in another thread it shakes hands."""
    sock = SERVER.wrap_socket(peer, server_side=True, do_handshake_on_connect=False)
    world.theirs(sock)
    world.thread(ended, sock.do_handshake)
    return sock


def tls(world: World) -> tuple[Any, Any]:
    """(ours, the peer), after the handshake."""
    plain, peer = world.pair(usable=False)
    peer = serve(world, peer)
    ours = world.ours(wrap(plain))
    world.join_threads()  # for one may not use it yet
    return ours, peer


def both_directions_work(world: World, ours: Any, peer: Any) -> None:
    ours.settimeout(world.patience)
    try:
        peer.sendall(MARK)
        read_until(ours, MARK)
        ours.sendall(MARK)
        read_until(peer, MARK)
    except OSError as error:
        demand(False, f"later: {error!r}")


def read_until(sock: Any, mark: bytes) -> None:
    received = b""
    while mark not in received:
        part = sock.recv(1 << 20)
        demand(part, "the end of the file")
        received = received[-100:] + part


@with_both
def shake_hands(world: World) -> Act:
    plain, peer = world.pair(usable=False)
    serve(world, peer)
    made: list[Any] = []
    world.release(lambda: [sock.close() for sock in (*made, plain)])

    def act() -> None:
        made.append(wrap(plain))

    return act


@with_both
def shake_hands_later(world: World) -> Act:
    """The socket stays whole: it may be tried once more, or closed."""
    plain, peer = world.pair(usable=False)
    serve(world, peer)
    ours = world.ours(wrap(plain, do_handshake_on_connect=False))
    world.release(ours.close)

    def act() -> None:
        ours.do_handshake()

    return act


@with_both
def connect_by_tls(world: World) -> Act:
    server = world.theirs(std.create_server(("127.0.0.1", 0)))

    def accept() -> None:
        serve(world, world.theirs(server.accept()[0]))

    world.thread(accept)
    sock = std.socket()
    ours = world.ours(
        ssl.SSLContext(std_ssl.PROTOCOL_TLS_CLIENT).wrap_socket(sock, server_hostname=NAME)
    )
    world.release(ours.close)
    world.release(lambda: ended(std.create_connection, server.getsockname()))

    def act() -> None:
        try:
            ours.connect(server.getsockname())
        except std_ssl.SSLError:  # the certificate, of which that context knows nothing
            pass

    return act


@with_both
def accept_by_tls(world: World) -> Act:
    plain = listener(world)
    ours = SERVER.wrap_socket(plain, server_side=True)
    world.ours(ours)

    def connect() -> None:
        ended(wrap, world.theirs(std.create_connection(address)))

    address = ours.getsockname()
    world.thread(ended, connect)
    world.release(ours.close)

    def act() -> None:
        connection, _ = ours.accept()
        connection.close()

    return act


@with_both
def tls_recv(world: World) -> Act:
    ours, peer = tls(world)
    world.soon(peer.send, b"hello")
    world.check(both_directions_work, world, ours, peer)

    def act() -> None:
        demand(ours.recv(100) == b"hello", "recv gave something else")

    return act


@with_both
def tls_recv_until_the_timeout(world: World) -> Act:
    ours, peer = tls(world)
    world.check(both_directions_work, world, ours, peer)

    def act() -> None:
        ours.settimeout(0.0005)
        demand_error(TimeoutError, ours.recv, 100)

    return act


@with_both
def tls_send(world: World) -> Act:
    """One that was cut off is done once more, as it must be."""
    ours, peer = tls(world)

    def once_more() -> None:
        ours.send(b"hello")
        both_directions_work(world, ours, peer)

    world.check(once_more)

    def act() -> None:
        ours.send(b"hello")

    return act


@with_both
def tls_send_and_wait(world: World) -> Act:
    ours, peer = tls(world)
    data = bytes(BIG)

    def drain() -> None:
        read_until(peer, b"the end")

    def once_more() -> None:
        ours.settimeout(world.patience)
        rest = ours._sslobj._cut  # what has to be written next, and nothing else
        ours.sendall(data[:16384] if rest is None else rest)

    world.thread(ended, drain)
    world.release(once_more)
    world.release(ours.sendall, b"the end")

    def act() -> None:
        ours.sendall(data)

    return act


@with_both
def tls_queue_behind_another(world: World) -> Act:
    ours, peer = tls(world)
    world.actor(ours.recv, 1)
    world.soon(peer.send, b"ab")
    world.release(peer.send, b"cd")
    world.check(both_directions_work, world, ours, peer)

    def act() -> None:
        ours.recv(1)

    return act


@with_both
def tls_send_beside_a_reader(world: World) -> Act:
    ours, peer = tls(world)
    world.actor(ours.recv, 1)
    world.release(peer.send, b"a")

    def once_more() -> None:
        ours.send(b"hello")
        both_directions_work(world, ours, peer)

    world.check(once_more)

    def act() -> None:
        ours.send(b"hello")

    return act


@with_both
def unwrap(world: World) -> Act:
    plain, peer = world.pair(usable=False)
    served = serve(world, peer)
    ours = world.ours(wrap(plain))
    world.join_threads()
    world.thread(ended, served.unwrap)
    world.release(ours.close)

    def act() -> None:
        ours.unwrap()

    return act


@with_both
def tls_close(world: World) -> Act:
    ours, _ = tls(world)
    world.actor(ended, ours.recv, 1)
    world.release(ours.close)

    def act() -> None:
        ours.close()

    return act


@with_both
def ask_tls(world: World) -> Act:
    """What does not wait."""
    ours, peer = tls(world)
    world.check(both_directions_work, world, ours, peer)

    def act() -> None:
        ours.version()
        ours.cipher()
        ours.getpeercert()
        ours.pending()

    return act


@with_greenlets
def kill_a_tls_reader(world: World) -> Act:
    ours, peer = tls(world)
    victim = green.spawn(ours.recv, 1)
    green.sleep(0)
    world.release(victim.kill)
    world.check(both_directions_work, world, ours, peer)

    def act() -> None:
        victim.kill()
        victim.join()

    return act
