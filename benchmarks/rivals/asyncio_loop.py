"""asyncio, on its own loop or on uvloop's: streams, sock_recv and sock_sendall, protocols."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import Any

from benchmarks.bout import Bout, Server, Took, listening
from benchmarks.idle import idle_ends, idle_numbers, imaginary_numbers, resident_bytes
from benchmarks.pairs import ROOM, TURNS, Gate, Pair, Timed, connected_pairs, take_out


def new_loop(name: str) -> asyncio.AbstractEventLoop:
    if name == "uvloop":
        import uvloop

        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    else:
        loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


class Idler(asyncio.Protocol):
    """A connection on which nothing ever comes."""


def unexpected() -> None:
    raise RuntimeError("something came where nothing ever comes")


def ping_pong(
    loop: str,
    style: str,
    pairs: int,
    kind: str = "unix",
    *,
    idle: int = 0,
    imaginary: int = 0,
    deadline: bool = False,
) -> Bout:
    """`style`: streams, sock (sock_recv, sock_sendall), protocol; only the last has deadlines."""
    assert style == "protocol" or not deadline
    event_loop = new_loop(loop)
    play = {"streams": streams, "sock": socks, "protocol": protocols}[style]
    for end in idle_ends(idle):
        event_loop.run_until_complete(event_loop.create_connection(Idler, sock=end))
    for number in imaginary_numbers(imaginary):
        event_loop.add_reader(number, unexpected)
    run = play(event_loop, connected_pairs(pairs, kind), deadline)
    return Bout(lambda trips: event_loop.run_until_complete(run(trips)), pairs)


Run = Callable[[int], Any]


# --- sock_recv and sock_sendall -------------------------------------------------------------------


def socks(loop: asyncio.AbstractEventLoop, pairs: list[Pair], deadline: bool) -> Run:
    async def bounce(end: socket.socket, gate: Gate, trips: int) -> None:
        gate.arrive()
        recv, sendall = loop.sock_recv, loop.sock_sendall
        for _ in range(trips):
            await recv(end, ROOM)
            await sendall(end, b"x")
        gate.done(trips)

    async def run(trips: int) -> Took:
        gate = Gate(2 * len(pairs), trips)
        playing = [loop.create_task(bounce(end, gate, trips)) for pair in pairs for end in pair]
        while not gate.everybody_is_here:
            await asyncio.sleep(0.005)
        gate.start(pairs)
        await asyncio.gather(*playing)
        took = gate.stop()
        take_out([first.fileno() for first, _ in pairs])
        return took

    return run


# --- streams --------------------------------------------------------------------------------------

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def streams(loop: asyncio.AbstractEventLoop, pairs: list[Pair], deadline: bool) -> Run:
    async def bounce(stream: Stream, gate: Gate, trips: int) -> None:
        gate.arrive()
        reader, writer = stream
        for _ in range(trips):
            await reader.read(ROOM)
            writer.write(b"x")
            await writer.drain()
        gate.done(trips)

    async def wrap(pair: Pair) -> tuple[Stream, Stream]:
        first, second = pair
        return (
            await asyncio.open_connection(sock=first),
            await asyncio.open_connection(sock=second),
        )

    ends = [loop.run_until_complete(wrap(pair)) for pair in pairs]

    async def run(trips: int) -> Took:
        gate = Gate(2 * len(ends), trips)
        playing = [loop.create_task(bounce(end, gate, trips)) for pair in ends for end in pair]
        while not gate.everybody_is_here:
            await asyncio.sleep(0.005)
        gate.start(pairs)
        await asyncio.gather(*playing)
        took = gate.stop()
        for (reader, _), _ in ends:
            left = await reader.read(16)
            if left != b"x":
                raise RuntimeError(f"{left!r} was left over, not one byte")
        return took

    return run


# --- protocols ------------------------------------------------------------------------------------


class Bouncer(asyncio.Protocol):
    """Writes a byte for each that it gets, so many times; keeps what comes after."""

    def __init__(self) -> None:
        self.trips = 0
        self.left = 0
        self.finished: Callable[[], None]

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.write = transport.write

    def begin(self, trips: int, finished: Callable[[], None]) -> None:
        self.trips = trips
        self.finished = finished

    def data_received(self, data: bytes) -> None:
        if self.trips:
            self.trips -= 1
            self.write(b"x")
            if not self.trips:
                self.finished()
        else:
            self.left += len(data)


class BouncerByDeadline(Bouncer):
    """With a timer that each byte moves."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.call_later = asyncio.get_running_loop().call_later
        self.timer = self.call_later(60.0, transport.abort)

    def data_received(self, data: bytes) -> None:
        self.timer.cancel()
        self.timer = self.call_later(60.0, self.transport.abort)
        super().data_received(data)


def protocols(loop: asyncio.AbstractEventLoop, pairs: list[Pair], deadline: bool) -> Run:
    make = BouncerByDeadline if deadline else Bouncer

    def wrap(end: socket.socket) -> Any:
        return loop.run_until_complete(loop.create_connection(make, sock=end))[1]

    ends = [(wrap(first), wrap(second)) for first, second in pairs]

    async def run(trips: int) -> Took:
        gate = Gate(2 * len(ends), trips, queued=True)
        over = loop.create_future()

        def finished() -> None:
            gate.done(trips)
            if gate.everybody_is_done:
                over.set_result(None)

        for pair in ends:
            for end in pair:
                end.begin(trips, finished)
        gate.start(pairs)
        await over
        took = gate.stop()
        await asyncio.sleep(0.005)
        for first, second in ends:
            if (first.left, second.left) != (1, 0):
                raise RuntimeError(f"{first.left} and {second.left} bytes were left over")
            first.left = 0
        return took

    return run


# --- the rest -------------------------------------------------------------------------------------


def move_deadline(loop: str, calls: int = 1000) -> Bout:
    """A `call_later` cancelled and made anew."""
    event_loop = new_loop(loop)

    def nothing() -> None: ...

    async def move(times: int) -> float:
        call_later = event_loop.call_later
        timer = call_later(7200.0, nothing)
        start = perf_counter()
        for _ in range(times * calls):
            timer.cancel()
            timer = call_later(7200.0, nothing)
        return perf_counter() - start

    return Bout(lambda times: event_loop.run_until_complete(move(times)), calls)


def move_timeout(loop: str, calls: int = 1000) -> Bout:
    """`asyncio.timeout` rescheduled."""
    event_loop = new_loop(loop)

    async def move(times: int) -> float:
        async with asyncio.timeout(7200.0) as timeout:
            time = event_loop.time
            start = perf_counter()
            for _ in range(times * calls):
                timeout.reschedule(time() + 7200.0)
            return perf_counter() - start

    return Bout(lambda times: event_loop.run_until_complete(move(times)), calls)


class Echo(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self.write = transport.write

    def data_received(self, data: bytes) -> None:
        self.write(data)


async def echo_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
            del data  # its place is free for the next
    writer.close()


def echo(loop: str, style: str) -> Server:
    """Streams, or a protocol, the way of those who want its speed."""
    event_loop = new_loop(loop)
    listener = listening()

    async def serve() -> None:
        if style == "protocol":
            await event_loop.create_server(Echo, sock=listener.dup())
        else:
            await asyncio.start_server(echo_stream, sock=listener.dup())

    def serve_forever() -> None:
        event_loop.run_until_complete(serve())
        event_loop.run_forever()

    return Server(listener, serve_forever)


def idle(loop: str, count: int, parked: bool) -> dict[str, float]:
    """The memory of a connection: a protocol's, or a stream's with a task parked in its read."""
    event_loop = new_loop(loop)
    numbers = idle_numbers(count)
    tasks: set[asyncio.Task[bytes]] = set()

    async def fill() -> float:
        before = resident_bytes()
        for number in numbers:
            end = socket.socket(fileno=number)
            end.setblocking(False)
            if parked:
                reader, writer = await asyncio.open_connection(sock=end)
                tasks.add(event_loop.create_task(hold(reader, writer)))
            else:
                await event_loop.create_connection(Idler, sock=end)
        await asyncio.sleep(0.1)
        return (resident_bytes() - before) / count

    return {"bytes": event_loop.run_until_complete(fill())}


async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    try:
        return await reader.read(1)
    finally:
        writer.close()


async def take(gate: Gate, turns: int) -> None:
    sleep = asyncio.sleep
    for _ in range(turns):
        await sleep(0)
    gate.done(turns)


def turns(loop: str, tasks: int) -> Bout:
    """Tasks that do nothing but let the others run."""
    event_loop = new_loop(loop)

    async def run(times: int) -> float:
        with Timed(tasks, times * TURNS // tasks) as gate:
            await asyncio.gather(*(take(gate, times * TURNS // tasks) for _ in range(tasks)))
        return gate.elapsed

    return Bout(lambda times: event_loop.run_until_complete(run(times)), TURNS)


def spawn(loop: str, tasks: int) -> Bout:
    """So many at a time are created, do next to nothing, and are awaited."""
    event_loop = new_loop(loop)

    async def work(gate: Gate) -> None:
        gate.done(1)

    async def run(times: int) -> float:
        with Timed(times * tasks, 1) as gate:
            for _ in range(times):
                for child in [event_loop.create_task(work(gate)) for _ in range(tasks)]:
                    await child
        return gate.elapsed

    return Bout(lambda times: event_loop.run_until_complete(run(times)), tasks)
