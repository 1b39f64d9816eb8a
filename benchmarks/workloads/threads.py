"""A byte bounced between two threads."""

from benchmarks.model import Case, Python, at_most

ARGS = {"pairs": 1, "trips": 10_000}

ROWS = [
    Case(
        "two threads, a round trip",
        "sockets with settimeout",
        Python("netpoll_threads", "ping_pong", ARGS),
        Python("standard", "ping_pong", ARGS),
        at_most(1.0),
    ),
]
