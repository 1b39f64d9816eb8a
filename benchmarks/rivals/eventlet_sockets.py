"""eventlet's green sockets, on its epoll hub."""

from __future__ import annotations

import socket as standard
import warnings
from contextlib import suppress
from time import perf_counter

warnings.simplefilter("ignore")  # it announces that it is deprecated

import eventlet  # noqa: E402
from eventlet.greenio import GreenSocket  # noqa: E402
from eventlet.hubs import trampoline  # noqa: E402

from benchmarks.bout import Bout, Server, Took, listening  # noqa: E402
from benchmarks.idle import (  # noqa: E402
    idle_ends,
    idle_numbers,
    imaginary_numbers,
    resident_bytes,
)
from benchmarks.pairs import ROOM, TURNS, Gate, Timed, connected_pairs, take_out  # noqa: E402


def bounce(end: GreenSocket, gate: Gate, trips: int) -> None:
    gate.arrive()
    recv, send = end.recv, end.send
    for _ in range(trips):
        recv(ROOM)
        send(b"x")
    gate.done(trips)


def ping_pong(
    pairs: int, kind: str = "unix", idle: int = 0, imaginary: int = 0, deadline: bool = False
) -> Bout:
    """Two greenlets a pair. A deadline for each receive is what a timeout of the socket makes."""
    ends = [
        (GreenSocket(first), GreenSocket(second)) for first, second in connected_pairs(pairs, kind)
    ]
    for pair in ends:
        for end in pair:
            end.settimeout(60.0 if deadline else None)
    idlers = [GreenSocket(end) for end in idle_ends(idle)]
    parked = [eventlet.spawn(receive, idler) for idler in idlers]
    parked += [
        eventlet.spawn(trampoline, number, read=True) for number in imaginary_numbers(imaginary)
    ]

    def run(trips: int) -> Took:
        gate = Gate(2 * pairs, trips)
        playing = [eventlet.spawn(bounce, end, gate, trips) for pair in ends for end in pair]
        while not gate.everybody_is_here:
            eventlet.sleep(0.005)
        gate.start(ends)
        for player in playing:
            player.wait()
        took = gate.stop()
        assert not any(waiter.dead for waiter in parked)
        take_out([first.fileno() for first, _ in ends])
        return took

    return Bout(run, pairs)


def receive(end: GreenSocket) -> bytes:
    end.settimeout(None)
    data: bytes = end.recv(1)
    return data


def move_deadline(calls: int = 1000) -> Bout:
    """A fresh `eventlet.Timeout` started and cancelled."""

    def move(times: int) -> float:
        start = perf_counter()
        for _ in range(times * calls):
            eventlet.Timeout(7200.0).cancel()
        return perf_counter() - start

    return Bout(move, calls)


def echo() -> Server:
    """A greenlet a connection."""
    listener = listening()

    def serve_one(sock: GreenSocket) -> None:
        sock.setsockopt(standard.IPPROTO_TCP, standard.TCP_NODELAY, 1)
        recv, sendall = sock.recv, sock.sendall
        with suppress(OSError):
            while data := recv(65536):
                sendall(data)
                del data  # its place is free for the next
        sock.close()

    def serve() -> None:
        server = GreenSocket(listener)
        while True:
            sock, _ = server.accept()
            eventlet.spawn_n(serve_one, sock)

    return Server(listener, serve)


def idle(count: int, parked: bool) -> dict[str, float]:
    """The memory of a socket, alone or with a greenlet parked in its receive."""
    eventlet.sleep(0)
    numbers = idle_numbers(count)
    before = resident_bytes()
    ends = [GreenSocket(standard.socket(fileno=number)) for number in numbers]
    if parked:
        waiting = [eventlet.spawn(receive, end) for end in ends]
        eventlet.sleep(0.1)
        assert not any(waiter.dead for waiter in waiting)
    return {"bytes": (resident_bytes() - before) / count}


def take(gate: Gate, turns: int) -> None:
    sleep = eventlet.sleep
    for _ in range(turns):
        sleep(0)
    gate.done(turns)


def turns(tasks: int) -> Bout:
    """Greenlets that do nothing but let the others run."""

    def run(times: int) -> float:
        with Timed(tasks, times * TURNS // tasks) as gate:
            playing = [eventlet.spawn(take, gate, times * TURNS // tasks) for _ in range(tasks)]
            for player in playing:
                player.wait()
        return gate.elapsed

    return Bout(run, TURNS)


def spawn(tasks: int) -> Bout:
    """So many at a time are spawned, do next to nothing, and are waited for."""

    def run(times: int) -> float:
        with Timed(times * tasks, 1) as gate:
            for _ in range(times):
                for child in [eventlet.spawn(gate.done, 1) for _ in range(tasks)]:
                    child.wait()
        return gate.elapsed

    return Bout(run, tasks)
