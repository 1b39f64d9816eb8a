"""gevent: its sockets, its StreamServer, and `wait_read` around os.read and os.write."""

from __future__ import annotations

import os
import socket as standard
from contextlib import suppress
from time import perf_counter

import gevent
from gevent import socket
from gevent.server import StreamServer
from gevent.socket import wait_read

from benchmarks.bout import Bout, Server, Took, listening
from benchmarks.idle import idle_ends, idle_numbers, imaginary_numbers, resident_bytes
from benchmarks.pairs import ROOM, TURNS, Gate, Timed, connected_pairs, let_in, take_out


def adopt(end: standard.socket) -> socket.socket:
    adopted = socket.socket(fileno=end.detach())
    adopted.settimeout(None)
    return adopted


def bounce(end: socket.socket, gate: Gate, trips: int) -> None:
    gate.arrive()
    recv, send = end.recv, end.send
    for _ in range(trips):
        recv(ROOM)
        send(b"x")
    gate.done(trips)


def read_first(fd: int, gate: Gate, trips: int) -> None:
    gate.arrive()
    for _ in range(trips):
        while True:
            try:
                os.read(fd, ROOM)
                break
            except BlockingIOError:
                wait_read(fd)
        os.write(fd, b"x")
    gate.done(trips)


def play(ends: list, spawn_player: object, gate: Gate) -> Took:
    playing = [spawn_player(end, gate) for pair in ends for end in pair]
    while not gate.everybody_is_here:
        gevent.sleep(0.005)
    gate.start(ends)
    gevent.joinall(playing)
    took = gate.stop()
    take_out([first.fileno() for first, _ in ends])
    return took


def ping_pong(
    pairs: int, kind: str = "unix", idle: int = 0, imaginary: int = 0, deadline: bool = False
) -> Bout:
    """Two greenlets a pair. A deadline for each receive is what a timeout of the socket makes."""
    ends = [(adopt(first), adopt(second)) for first, second in connected_pairs(pairs, kind)]
    if deadline:
        for pair in ends:
            for end in pair:
                end.settimeout(60.0)
    idlers = [adopt(end) for end in idle_ends(idle)]
    parked = [gevent.spawn(idler.recv, 1) for idler in idlers]
    parked += [gevent.spawn(wait_read, number) for number in imaginary_numbers(imaginary)]

    def run(trips: int) -> Took:
        gate = Gate(2 * pairs, trips)
        took = play(ends, lambda end, gate: gevent.spawn(bounce, end, gate, trips), gate)
        assert not any(waiter.dead for waiter in parked)
        return took

    return Bout(run, pairs)


def ping_pong_wait_read(pairs: int, kind: str = "unix") -> Bout:
    """Two greenlets a pair, on os.read, os.write and wait_read."""
    ends = connected_pairs(pairs, kind)

    def run(trips: int) -> Took:
        gate = Gate(2 * pairs, trips)
        return play(
            ends, lambda end, gate: gevent.spawn(read_first, end.fileno(), gate, trips), gate
        )

    return Bout(run, pairs)


def ready(descriptors: int) -> Bout:
    """`wait_read` of descriptors that are readable."""
    pairs = connected_pairs(descriptors)
    firsts = [first.fileno() for first, _ in pairs]
    seconds = [second.fileno() for _, second in pairs]

    def one_round() -> float:
        let_in(seconds)
        start = perf_counter()
        for fd in firsts:
            wait_read(fd)
        elapsed = perf_counter() - start
        take_out([first.fileno() for first, _ in pairs])
        return elapsed

    return Bout(lambda times: sum(one_round() for _ in range(times)), descriptors)


def move_deadline(calls: int = 1000) -> Bout:
    """A fresh `gevent.Timeout` started and closed, which is how gevent moves a deadline."""

    def move(times: int) -> float:
        start = perf_counter()
        for _ in range(times * calls):
            timeout = gevent.Timeout(7200.0)
            timeout.start()
            timeout.close()
        return perf_counter() - start

    return Bout(move, calls)


def echo() -> Server:
    """A StreamServer, which accepts many connections at once."""
    listener = listening()

    def serve_one(sock: socket.socket, address: object) -> None:
        with sock:
            sock.setsockopt(standard.IPPROTO_TCP, standard.TCP_NODELAY, 1)
            recv, sendall = sock.recv, sock.sendall
            with suppress(OSError):
                while data := recv(65536):
                    sendall(data)
                    del data  # its place is free for the next

    server = StreamServer(adopt(listener.dup()), serve_one)
    return Server(listener, server.serve_forever)


def idle(count: int, parked: bool) -> dict[str, float]:
    """The memory of a socket, alone or with a greenlet parked in its receive."""
    gevent.get_hub()
    numbers = idle_numbers(count)
    before = resident_bytes()
    ends = [socket.socket(fileno=number) for number in numbers]
    if parked:
        waiting = [gevent.spawn(end.recv, 1) for end in ends]
        gevent.sleep(0.1)
        assert not any(waiter.dead for waiter in waiting)
    return {"bytes": (resident_bytes() - before) / count}


def take(gate: Gate, turns: int) -> None:
    sleep = gevent.sleep
    for _ in range(turns):
        sleep(0)
    gate.done(turns)


def turns(tasks: int) -> Bout:
    """Greenlets that do nothing but let the others run."""

    def run(times: int) -> float:
        with Timed(tasks, times * TURNS // tasks) as gate:
            gevent.joinall([gevent.spawn(take, gate, times * TURNS // tasks) for _ in range(tasks)])
        return gate.elapsed

    return Bout(run, TURNS)


def spawn(tasks: int) -> Bout:
    """So many at a time are spawned, do next to nothing, and are joined."""

    def run(times: int) -> float:
        with Timed(times * tasks, 1) as gate:
            for _ in range(times):
                for child in [gevent.spawn(gate.done, 1) for _ in range(tasks)]:
                    child.join()
        return gate.elapsed

    return Bout(run, tasks)
