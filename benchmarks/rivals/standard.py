"""What the standard library offers: blocking sockets with settimeout, select.poll, select.epoll.

The blocking sockets are used by threads; netpoll's take their place in the same threads.
"""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from functools import partial
from time import perf_counter

from benchmarks.bout import Bout, Server, Took, listening
from benchmarks.idle import idle_numbers, resident_bytes
from benchmarks.pairs import ROOM, Gate, Timed, connected_pairs, let_in, play_in_threads, take_out


def bounce(end: socket.socket, gate: Gate, trips: int) -> None:
    gate.arrive()
    recv, send = end.recv, end.send
    for _ in range(trips):
        recv(ROOM)
        send(b"x")
    gate.done(trips)


def bounce_by_deadline(end: socket.socket, gate: Gate, trips: int) -> None:
    """By the timeout of each receive, or by netpoll's deadline."""
    gate.arrive()
    recv, send = end.recv, end.send
    move = getattr(end, "set_read_deadline", end.settimeout)
    for _ in range(trips):
        move(60.0)
        recv(ROOM)
        send(b"x")
    gate.done(trips)


def adopted(end: socket.socket, sockets: str) -> socket.socket:
    """The same descriptor as a socket of that module: standard or netpoll."""
    if sockets == "standard":
        return end
    from netpoll.socket import socket as netpoll_socket

    return netpoll_socket(fileno=end.detach())


def ping_pong_threads(
    pairs: int,
    kind: str = "unix",
    cores: int | None = None,
    deadline: bool = False,
    sockets: str = "standard",
    *,
    timeout: bool = True,
) -> Bout:
    """Two threads a pair, each operation with a timeout, or without."""
    ends = [
        (adopted(first, sockets), adopted(second, sockets))
        for first, second in connected_pairs(pairs, kind)
    ]
    for pair in ends:
        for end in pair:
            end.settimeout(60.0 if timeout else None)
    loop = bounce_by_deadline if deadline else bounce

    def play(trips: int) -> Took:
        gate = Gate(2 * pairs, trips)
        players = [partial(loop, end, gate, trips) for pair in ends for end in pair]
        return play_in_threads(ends, cores, players, gate)

    return Bout(play, pairs)


def ready(descriptors: int) -> Bout:
    """`poll(2)` of a readable descriptor: what a socket with a timeout does before it receives."""
    pairs = connected_pairs(descriptors)
    firsts = [first.fileno() for first, _ in pairs]
    seconds = [second.fileno() for _, second in pairs]
    pollers = []
    for fd in firsts:
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        pollers.append(poller)

    def one_round() -> float:
        let_in(seconds)
        start = perf_counter()
        for poller in pollers:
            poller.poll(1000)
        elapsed = perf_counter() - start
        take_out([first.fileno() for first, _ in pairs])
        return elapsed

    return Bout(lambda times: sum(one_round() for _ in range(times)), descriptors)


def move_deadline(calls: int = 1000) -> Bout:
    """`settimeout`, which only stores a number."""
    pair = connected_pairs(1)[0]

    def move(times: int) -> float:
        settimeout = pair[0].settimeout
        start = perf_counter()
        for _ in range(times * calls):
            settimeout(7200.0)
        return perf_counter() - start

    return Bout(move, calls)


def register_unregister(calls: int = 1000) -> Bout:
    """One descriptor put into and taken out of a `select.epoll`."""
    pair = connected_pairs(1)[0]
    epoll = select.epoll()
    events = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET

    def do(times: int) -> float:
        fd = pair[0].fileno()
        start = perf_counter()
        for _ in range(times * calls):
            epoll.register(fd, events)
            epoll.unregister(fd)
        return perf_counter() - start

    return Bout(do, calls)


def echo(sockets: str = "standard") -> Server:
    """A thread a connection, with a timeout."""
    listener = adopted(listening(), sockets)

    def serve_one(sock: socket.socket) -> None:
        with sock:
            sock.settimeout(60.0)
            recv, sendall = sock.recv, sock.sendall
            with suppress(OSError):
                while data := recv(65536):
                    sendall(data)
                    del data  # its place is free for the next

    def serve() -> None:
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve_one, args=(sock,), daemon=True).start()

    return Server(listener, serve)


def idle(count: int) -> dict[str, float]:
    """The memory of a socket."""
    numbers = idle_numbers(count)
    before = resident_bytes()
    ends = [socket.socket(fileno=number) for number in numbers]
    values = {"bytes": (resident_bytes() - before) / count}
    assert len(ends) == count
    return values


def spawn(tasks: int) -> Bout:
    """So many threads at a time are started, do next to nothing, and are joined."""

    def run(times: int) -> float:
        with Timed(times * tasks, 1) as gate:
            for _ in range(times):
                children = [threading.Thread(target=gate.done, args=(1,)) for _ in range(tasks)]
                for child in children:
                    child.start()
                for child in children:
                    child.join()
        return gate.elapsed

    return Bout(run, tasks)
