"""A byte bounced between two greenlets over a socket pair: the price of a wait that waits.

Both contestants run the same loop, in two shapes: try to read and wait if that would block, or
wait and then read.
"""

from benchmarks.model import Bound, Case, Python, faster

TRIPS = 20_000  # of one round, over all its pairs


def greenlets(pairs: int, loop: str, bound: Bound | None = None) -> Case:
    args: dict[str, int | str] = {"pairs": pairs, "trips": TRIPS // pairs, "loop": loop}
    return Case(
        f"greenlets, {pairs:,} pair{'s' * (pairs > 1)}, {loop}, round trip",
        "gevent wait_read",
        Python("netpoll_green", "ping_pong", args),
        Python("gevent_wait", "ping_pong", args),
        bound,
    )


ROWS = [
    greenlets(1, "read first"),
    greenlets(100, "read first", faster(2)),
    greenlets(1000, "read first"),
    greenlets(1, "wait first"),
    greenlets(100, "wait first", faster(2)),
    greenlets(1000, "wait first"),
]
