"""netpoll on its greenlet hub, reading and writing with os.read and os.write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter

import netpoll
from netpoll import green

from benchmarks.model import Round
from benchmarks.pairs import Pair, connected_pairs, let_in, take_out
from benchmarks.rivals.netpoll_loop import LOOPS


def ping_pong(pairs: int, trips: int, loop: str) -> Round:
    """Two greenlets a pair."""
    connected = connected_pairs(pairs)
    green.get_hub()  # so that the descriptors below are opened on its poller
    ends = [(end.fileno(), netpoll.open(end)) for pair in connected for end in pair]
    players = [partial(LOOPS[loop], fd, desc, trips) for fd, desc in ends]
    return lambda: green.run(play, connected, players) / (pairs * trips)


def play(pairs: list[Pair], players: Sequence[Callable[[], None]]) -> float:
    playing = [green.spawn(player) for player in players]
    green.sleep(0.05)  # all are parked now
    start = perf_counter()
    let_in(pairs)
    for player in playing:
        player.join()
    elapsed = perf_counter() - start
    take_out(pairs)
    return elapsed
