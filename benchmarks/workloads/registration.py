"""Opening and closing, beside the bare system calls that it must contain."""

from benchmarks.model import Case, Python, at_most

CALLS: dict[str, int | str] = {"calls": 50_000}

ROWS = [
    Case(
        "open+close",
        "select.epoll register+unreg.",
        Python("netpoll_threads", "open_close", CALLS),
        Python("standard", "register_unregister", CALLS),
        at_most(1.5),
    ),
]
