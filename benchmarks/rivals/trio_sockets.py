"""trio's sockets, its lowest level, in tasks of one nursery."""

from __future__ import annotations

import socket as standard
from contextlib import suppress
from time import perf_counter

import trio
from trio import socket

from benchmarks.bout import Bout, Server, listening
from benchmarks.idle import idle_ends, idle_numbers, resident_bytes
from benchmarks.pairs import ROOM, Gate, connected_pairs, let_in, take_out


async def bounce(end: socket.SocketType, gate: Gate, trips: int) -> None:
    gate.arrive()
    recv, send = end.recv, end.send
    for _ in range(trips):
        await recv(ROOM)
        await send(b"x")
    gate.done(trips)


async def bounce_by_deadline(end: socket.SocketType, gate: Gate, trips: int) -> None:
    gate.arrive()
    recv, send, now = end.recv, end.send, trio.current_time
    with trio.CancelScope() as scope:
        for _ in range(trips):
            scope.deadline = now() + 60.0
            await recv(ROOM)
            await send(b"x")
    gate.done(trips)


def ping_pong(pairs: int, kind: str = "unix", idle: int = 0, deadline: bool = False) -> Bout:
    """Two tasks a pair. A deadline is a cancel scope's, moved."""
    adopt = socket.from_stdlib_socket
    ends = [(adopt(first), adopt(second)) for first, second in connected_pairs(pairs, kind)]
    idlers = [adopt(end) for end in idle_ends(idle)]
    loop = bounce_by_deadline if deadline else bounce

    async def run(trips: int) -> float:
        gate = Gate(2 * pairs, trips)
        async with trio.open_nursery() as idle_nursery:
            for end in idlers:
                idle_nursery.start_soon(end.recv, 1)
            async with trio.open_nursery() as nursery:
                for pair in ends:
                    for end in pair:
                        nursery.start_soon(loop, end, gate, trips)
                while not gate.everybody_is_here:
                    await trio.sleep(0.005)
                seconds = [second.fileno() for _, second in ends]
                let_in(seconds)
                start = perf_counter()
            elapsed = perf_counter() - start
            idle_nursery.cancel_scope.cancel()
        gate.check()
        take_out([first.fileno() for first, _ in ends])
        return elapsed

    return Bout(lambda trips: trio.run(run, trips), pairs)


def move_deadline(calls: int = 1000) -> Bout:
    """The deadline of a cancel scope, moved."""

    async def move(times: int) -> float:
        now = trio.current_time
        with trio.CancelScope() as scope:
            start = perf_counter()
            for _ in range(times * calls):
                scope.deadline = now() + 7200.0
            return perf_counter() - start

    return Bout(lambda times: trio.run(move, times), calls)


def echo() -> Server:
    """A task a connection."""
    listener = listening()

    async def serve_one(sock: socket.SocketType) -> None:
        with sock:
            recv, send = sock.recv, sock.send
            with suppress(OSError):
                while data := await recv(65536):
                    sent = await send(data)
                    while sent < len(data):
                        data = data[sent:]
                        sent = await send(data)
                    del data  # its place is free for the next

    async def serve() -> None:
        listener.setblocking(False)
        server = socket.from_stdlib_socket(listener.dup())
        async with trio.open_nursery() as nursery:
            while True:
                sock, _ = await server.accept()
                sock.setsockopt(standard.IPPROTO_TCP, standard.TCP_NODELAY, 1)
                nursery.start_soon(serve_one, sock)

    return Server(listener, lambda: trio.run(serve))


def idle(count: int, parked: bool) -> dict[str, float]:
    """The memory of a socket, alone or with a task parked in its receive."""
    numbers = idle_numbers(count)

    async def fill() -> float:
        async with trio.open_nursery() as nursery:
            before = resident_bytes()
            ends = [socket.from_stdlib_socket(standard.socket(fileno=number)) for number in numbers]
            if parked:
                for end in ends:
                    nursery.start_soon(end.recv, 1)
                await trio.sleep(0.1)
            value = (resident_bytes() - before) / count
            nursery.cancel_scope.cancel()
        return value

    return {"bytes": trio.run(fill)}
