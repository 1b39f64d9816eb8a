"""Moving deadlines forward, which a server does at every message.

A million live deadlines must be no slower to move than one.
"""

from benchmarks.model import Case, Python, at_most

CALLS = 200_000
MILLION = 1_000_000
PRELOAD = "imaginary"  # so many descriptors are not to be had

ROWS = [
    Case(
        "set_deadline, moved forward",
        "gevent.Timeout",
        Python("netpoll_deadlines", "move_one", {"live": 1, "calls": CALLS}, PRELOAD),
        Python("gevent_wait", "move_timeout", {"calls": CALLS}),
    ),
    Case(
        "set_deadline, moved forward",
        "socket.settimeout",
        Python("netpoll_deadlines", "move_one", {"live": 1, "calls": CALLS}, PRELOAD),
        Python("standard", "move_timeout", {"calls": CALLS}),
    ),
    Case(
        "set_deadline, 1,000,000 live, moving one",
        "itself, 1 live",
        Python("netpoll_deadlines", "move_one", {"live": MILLION, "calls": CALLS}, PRELOAD),
        Python("netpoll_deadlines", "move_one", {"live": 1, "calls": CALLS}, PRELOAD),
        at_most(1.5),
    ),
    Case(
        "set_deadline, 1,000,000 live, moving each",
        "itself, 1 live",
        Python("netpoll_deadlines", "move_each", {"live": MILLION, "calls": MILLION}, PRELOAD),
        Python("netpoll_deadlines", "move_each", {"live": 1, "calls": MILLION}, PRELOAD),
        at_most(1.5),
    ),
]
