"""A byte bounced between two threads, which share a core or have one each.

Over a socketpair each read of one end is an edge "writable" for the other, as AF_UNIX reports the
room it makes whether anybody lacked room or not. netpoll registers for both modes, once, so the
thread that drives comes back for it, which on one core is two more switches a round trip. TCP
reports room only to those who have run out of it; the bound is for TCP.
"""

from benchmarks.model import Bound, Case, Python, at_most

#: No slower, as far as can be told here: two runs of one and the same program differ by as much.
NO_SLOWER = at_most(1.05)


def two_threads(where: str, cores: int, kind: str, bound: Bound | None = None) -> Case:
    args: dict[str, int | str] = {"pairs": 1, "trips": 10_000, "cores": cores, "kind": kind}
    return Case(
        f"two threads {where}, {kind}, round trip",
        "sockets with settimeout",
        Python("netpoll_threads", "ping_pong", args),
        Python("standard", "ping_pong", args),
        bound,
    )


ROWS = [
    two_threads("on one core", 1, "tcp", NO_SLOWER),
    two_threads("on two cores", 2, "tcp", NO_SLOWER),
    two_threads("on one core", 1, "unix"),
    two_threads("on two cores", 2, "unix"),
]
