"""A wait that need not wait: the cost of asking."""

from benchmarks.model import Case, Python

N: dict[str, int | str] = {"descriptors": 1000}

ROWS = [
    Case(
        "reset+wait, ready",
        "gevent wait_read",
        Python("netpoll_threads", "ready", N),
        Python("gevent_wait", "ready", N),
    ),
    Case(
        "reset+wait, ready",
        "select.poll().poll()",
        Python("netpoll_threads", "ready", N),
        Python("standard", "ready", N),
    ),
]
