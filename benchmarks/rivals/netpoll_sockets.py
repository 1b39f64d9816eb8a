"""netpoll.socket in greenlets; in threads it is in standard.py."""

from __future__ import annotations

import os
import socket as standard
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import perf_counter, process_time

import netpoll
from netpoll import READ, green, socket

from benchmarks.bout import Bout, Server, Took, listening
from benchmarks.idle import idle_ends, idle_numbers, imaginary_numbers, resident_bytes
from benchmarks.pairs import ROOM, Gate, connected_pairs, take_out


def adopt(end: standard.socket) -> socket.socket:
    """The same descriptor as one of netpoll's sockets."""
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


def bounce_by_deadline(end: socket.socket, gate: Gate, trips: int) -> None:
    gate.arrive()
    recv, send, set_read_deadline = end.recv, end.send, end.set_read_deadline
    for _ in range(trips):
        set_read_deadline(60.0)
        recv(ROOM)
        send(b"x")
    gate.done(trips)


def ping_pong(
    pairs: int,
    kind: str = "unix",
    *,
    idle: int = 0,
    imaginary: int = 0,
    parked: bool = False,
    deadline: bool = False,
) -> Bout:
    """Two greenlets a pair. `idle` more are parked in a receive of their own; `imaginary`
    descriptors are open, each with a deadline, and with a greenlet in its wait if `parked`."""
    green.get_hub()  # so that all descriptors are opened on its poller
    ends = [(adopt(first), adopt(second)) for first, second in connected_pairs(pairs, kind)]
    idlers = [adopt(end) for end in idle_ends(idle)]
    opened = [netpoll.open(number) for number in imaginary_numbers(imaginary)]
    for number, desc in enumerate(opened):
        desc.set_deadline(3600 + number / 1000)
    loop = bounce_by_deadline if deadline else bounce
    waits: list[Callable[[], object]] = [partial(idler.recv, 1) for idler in idlers]
    waits += [partial(desc.wait, READ) for desc in opened if parked]
    waiting: list[green.Greenlet[object]] = []

    def play(trips: int) -> Took:
        if not waiting:
            waiting.extend(map(green.spawn, waits))
        gate = Gate(2 * pairs, trips)
        playing = [green.spawn(loop, end, gate, trips) for pair in ends for end in pair]
        while not gate.everybody_is_here:
            green.sleep(0.005)
        gate.start(ends)
        for player in playing:
            player.join()
        took = gate.stop()
        assert len(opened) == imaginary and not any(waiter.dead for waiter in waiting)
        take_out([first.fileno() for first, _ in ends])
        return took

    return Bout(lambda trips: green.run(play, trips), pairs)


def ping_pong_hubs(hubs: int, pairs: int) -> Bout:
    """So many hubs, each in a thread that is tied to a core of its own, and with so many pairs."""
    cpus = sorted(os.sched_getaffinity(0))
    line = threading.Barrier(hubs + 1)

    def play(trips: int) -> None:
        green.get_hub()
        ends = [(adopt(first), adopt(second)) for first, second in connected_pairs(pairs)]
        gate = Gate(2 * pairs, trips)
        playing = [green.spawn(bounce, end, gate, trips) for pair in ends for end in pair]
        while not gate.everybody_is_here:
            green.sleep(0.005)
        line.wait()
        gate.start(ends)
        for player in playing:
            player.join()
        gate.stop()
        line.wait()
        take_out([first.fileno() for first, _ in ends])

    def in_thread(trips: int, core: int) -> None:
        os.sched_setaffinity(0, {core})  # of this thread
        green.run(play, trips)

    def run(trips: int) -> Took:
        threads = [threading.Thread(target=in_thread, args=(trips, core)) for core in cpus[:hubs]]
        for thread in threads:
            thread.start()
        line.wait()
        cpu, start = process_time(), perf_counter()
        line.wait()
        took = Took(perf_counter() - start, process_time() - cpu)
        for thread in threads:
            thread.join()
        return took

    return Bout(run, hubs * pairs)


def move_deadline(calls: int = 1000) -> Bout:
    """The read deadline of a socket, moved forward again and again."""
    first, second = (adopt(end) for end in connected_pairs(1)[0])

    def move(times: int) -> float:
        set_read_deadline = first.set_read_deadline
        start = perf_counter()
        for _ in range(times * calls):
            set_read_deadline(7200.0)
        elapsed = perf_counter() - start
        assert second.fileno() >= 0
        return elapsed

    return Bout(move, calls)


def echo() -> Server:
    """A greenlet a connection."""
    listener = listening()

    def serve_one(sock: socket.socket) -> None:
        with sock:
            recv, sendall = sock.recv, sock.sendall
            with suppress(OSError):
                while data := recv(65536):
                    sendall(data)
                    del data  # its place is free for the next

    def serve() -> None:
        server = adopt(listener)
        while True:
            sock, _ = server.accept()
            sock.setsockopt(standard.IPPROTO_TCP, standard.TCP_NODELAY, 1)
            green.spawn(serve_one, sock)

    return Server(listener, lambda: green.run(serve))


def idle(count: int, parked: bool) -> dict[str, float]:
    """The memory of an open socket, alone or with a greenlet parked in its receive."""
    green.get_hub()
    numbers = idle_numbers(count)

    def fill() -> float:
        before = resident_bytes()
        ends = [socket.socket(fileno=number) for number in numbers]
        for end in ends:
            end.settimeout(None)
            end.set_read_deadline(3600.0)
        if parked:
            waiting = [green.spawn(end.recv, 1) for end in ends]
            green.sleep(0.1)
            assert not any(waiter.dead for waiter in waiting)
        return (resident_bytes() - before) / count

    return {"bytes": green.run(fill)}
