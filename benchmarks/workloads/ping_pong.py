"""A byte bounced between two greenlets over a socket pair: the price of a wait that waits.

Both contestants run the same loop: try to read, wait if that would block, read, write.
"""

from benchmarks.model import Bound, Case, Python, faster

TRIPS = 20_000  # of one round, over all its pairs


def pairs(count: int, bound: Bound | None = None) -> Case:
    args = {"pairs": count, "trips": TRIPS // count}
    return Case(
        f"greenlets, {count:,} pair{'s' * (count > 1)}, a round trip",
        "gevent wait_read",
        Python("netpoll_green", "ping_pong", args),
        Python("gevent_wait", "ping_pong", args),
        bound,
    )


ROWS = [pairs(1), pairs(100, faster(2)), pairs(1000)]
