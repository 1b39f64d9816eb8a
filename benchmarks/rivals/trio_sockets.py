"""trio's sockets, its lowest level, in tasks of one nursery."""

from __future__ import annotations

import queue
import socket as standard
import threading
from contextlib import suppress
from time import perf_counter

import trio
from trio import socket

from benchmarks.bout import Bout, Server, Took, listening
from benchmarks.idle import idle_ends, idle_numbers, imaginary_numbers, resident_bytes
from benchmarks.pairs import ROOM, TURNS, Gate, Timed, connected_pairs, take_out


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


Ends = list[tuple[socket.SocketType, socket.SocketType]]


def adopted(pairs: int, kind: str = "unix") -> Ends:
    adopt = socket.from_stdlib_socket
    return [(adopt(first), adopt(second)) for first, second in connected_pairs(pairs, kind)]


async def play(ends: Ends, trips: int, deadline: bool = False) -> Took:
    loop = bounce_by_deadline if deadline else bounce
    gate = Gate(2 * len(ends), trips)
    async with trio.open_nursery() as nursery:
        for pair in ends:
            for end in pair:
                nursery.start_soon(loop, end, gate, trips)
        while not gate.everybody_is_here:
            await trio.sleep(0.005)
        gate.start(ends)
    took = gate.stop()
    take_out([first.fileno() for first, _ in ends])
    return took


def ping_pong(pairs: int, kind: str = "unix", idle: int = 0, deadline: bool = False) -> Bout:
    """Two tasks a pair. A deadline is a cancel scope's, moved."""
    ends = adopted(pairs, kind)
    idlers = [socket.from_stdlib_socket(end) for end in idle_ends(idle)]

    async def run(trips: int) -> Took:
        async with trio.open_nursery() as nursery:
            for end in idlers:
                nursery.start_soon(end.recv, 1)
            took = await play(ends, trips, deadline)
            nursery.cancel_scope.cancel()
        return took

    return Bout(lambda trips: trio.run(run, trips), pairs)


def ping_pong_among(pairs: int, imaginary: int) -> Bout:
    """The same among so many tasks, parked once: trio runs on in a thread of its own."""
    ends = adopted(pairs)
    running: queue.SimpleQueue[trio.lowlevel.TrioToken] = queue.SimpleQueue()

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            for number in imaginary_numbers(imaginary):
                nursery.start_soon(trio.lowlevel.wait_readable, number)
            running.put(trio.lowlevel.current_trio_token())
            await trio.sleep_forever()

    threading.Thread(target=trio.run, args=(run,), daemon=True).start()
    token = running.get()
    return Bout(lambda trips: trio.from_thread.run(play, ends, trips, trio_token=token), pairs)


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


async def take(gate: Gate, turns: int) -> None:
    sleep = trio.sleep
    for _ in range(turns):
        await sleep(0)
    gate.done(turns)


def turns(tasks: int) -> Bout:
    """Tasks that do nothing but let the others run."""

    async def run(times: int) -> float:
        with Timed(tasks, times * TURNS // tasks) as gate:
            async with trio.open_nursery() as nursery:
                for _ in range(tasks):
                    nursery.start_soon(take, gate, times * TURNS // tasks)
        return gate.elapsed

    return Bout(lambda times: trio.run(run, times), TURNS)


def spawn(tasks: int) -> Bout:
    """A nursery of so many, that do next to nothing."""

    async def work(gate: Gate) -> None:
        gate.done(1)

    async def run(times: int) -> float:
        with Timed(times * tasks, 1) as gate:
            for _ in range(times):
                async with trio.open_nursery() as nursery:
                    for _ in range(tasks):
                        nursery.start_soon(work, gate)
        return gate.elapsed

    return Bout(lambda times: trio.run(run, times), tasks)
