"""netpoll on its greenlet hub, reading and writing with os.read and os.write."""

from __future__ import annotations

from time import perf_counter

import netpoll
from netpoll import PollDesc, green

from benchmarks.model import Round
from benchmarks.pairs import Pair, connected_pairs, let_in, take_out
from benchmarks.rivals.netpoll_loop import bounce


def ping_pong(pairs: int, trips: int) -> Round:
    """Two greenlets a pair."""
    connected = connected_pairs(pairs)
    green.get_hub()  # so that the descriptors below are opened on its poller
    ends = [(end.fileno(), netpoll.open(end)) for pair in connected for end in pair]
    return lambda: green.run(play, connected, ends, trips) / (pairs * trips)


def play(pairs: list[Pair], ends: list[tuple[int, PollDesc]], trips: int) -> float:
    players = [green.spawn(bounce, fd, desc, trips) for fd, desc in ends]
    green.sleep(0.05)  # all are parked now
    start = perf_counter()
    let_in(pairs)
    for player in players:
        player.join()
    elapsed = perf_counter() - start
    take_out(pairs)
    return elapsed
