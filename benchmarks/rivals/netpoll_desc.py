"""netpoll's descriptors themselves: what they cost, and greenlets around os.read and os.write."""

from __future__ import annotations

import os
from collections.abc import Sequence
from time import perf_counter

import netpoll
from netpoll import READ, PollDesc, Poller, green

from benchmarks.bout import Bout, Took
from benchmarks.idle import IMAGINARY, resident_bytes
from benchmarks.pairs import ROOM, Gate, connected_pairs, let_in, take_out


def read_first(fd: int, desc: PollDesc, gate: Gate, trips: int) -> None:
    """The loop for all seasons: whatever has come already is read without a wait."""
    gate.arrive()
    for _ in range(trips):
        desc.reset(READ)
        while True:
            try:
                os.read(fd, ROOM)
                break
            except BlockingIOError:
                desc.wait(READ)
        os.write(fd, b"x")
    gate.done(trips)


def ping_pong(pairs: int, kind: str = "unix") -> Bout:
    """Two greenlets a pair."""
    connected = connected_pairs(pairs, kind)
    green.get_hub()  # so that the descriptors below are opened on its poller
    ends = [(end.fileno(), netpoll.open(end)) for pair in connected for end in pair]

    def play(trips: int) -> Took:
        gate = Gate(2 * pairs, trips)
        playing = [green.spawn(read_first, fd, desc, gate, trips) for fd, desc in ends]
        while not gate.everybody_is_here:
            green.sleep(0.005)
        gate.start(connected)
        for player in playing:
            player.join()
        took = gate.stop()
        take_out([first.fileno() for first, _ in connected])
        return took

    return Bout(lambda trips: green.run(play, trips), pairs)


def ready(descriptors: int) -> Bout:
    """`reset` and `wait` of descriptors whose notification comes between the two."""
    poller = Poller()
    pairs = connected_pairs(descriptors)
    opened = [poller.open(first) for first, _ in pairs]
    seconds = [second.fileno() for _, second in pairs]

    def one_round() -> float:
        let_in(seconds)
        start = perf_counter()
        for desc in opened:
            desc.reset(READ)
        reset = perf_counter()
        for _ in opened:
            poller.poll(0)  # whatever the size of its batches, this collects everything
        collected = perf_counter()
        for desc in opened:
            desc.wait(READ)
        end = perf_counter()
        take_out([first.fileno() for first, _ in pairs])
        return end - collected + reset - start

    return Bout(lambda times: sum(one_round() for _ in range(times)), descriptors)


def open_close(calls: int = 1000) -> Bout:
    poller = Poller()
    pair = connected_pairs(1)[0]

    def open_and_close(times: int) -> float:
        fd = pair[0].fileno()
        start = perf_counter()
        for _ in range(times * calls):
            poller.open(fd).close()
        return perf_counter() - start

    return Bout(open_and_close, calls)


# --- moving deadlines -----------------------------------------------------------------------------


def live_deadlines(poller: Poller, count: int) -> list[PollDesc]:
    """So many descriptors, each with a deadline of its own, an hour or more away."""
    opened = [poller.open(IMAGINARY + number) for number in range(count)]
    for number, desc in enumerate(opened):
        desc.set_deadline(3600 + number / 1000, READ)
    return opened


def move(turns: Sequence[PollDesc], times: int) -> float:
    start = perf_counter()
    for _ in range(times):
        for desc in turns:
            desc.set_deadline(7200.0, READ)
    return perf_counter() - start


def move_one(live: int, calls: int = 1000) -> Bout:
    """Move one deadline forward again and again, so many being alive."""
    opened = live_deadlines(Poller(), live)
    turns = [opened[live // 2]] * calls
    return Bout(lambda times: move(turns, times), calls)


def move_each(live: int, calls: int = 1_000_000) -> Bout:
    """Move each of the live deadlines in turn."""
    opened = live_deadlines(Poller(), live)
    turns = opened * (calls // live or 1)
    return Bout(lambda times: move(turns, times), len(turns))


# --- memory ---------------------------------------------------------------------------------------


def idle(count: int) -> dict[str, float]:
    """The memory of an open descriptor with a deadline, its Python object included."""
    poller = Poller()
    before = resident_bytes()
    opened = live_deadlines(poller, count)
    values = {"bytes": (resident_bytes() - before) / count}
    assert len(opened) == count
    return values
