"""The C core without Python, beside bare epoll where epoll has the operation."""

from benchmarks.model import C, Case, at_most

MILLION = 1_000_000
PRELOAD = "imaginary"  # so many descriptors are not to be had

ROWS = [
    Case(
        "C: reset+wait, ready",
        "poll(2)",
        C("core", "ready", 1000),
        C("epoll", "ready", 1000),
    ),
    Case(
        "C: set_deadline, 1,000,000 live, moving one",
        "itself, 1 live",
        C("core", "move_one", MILLION, PRELOAD),
        C("core", "move_one", 1, PRELOAD),
        at_most(1.5),
    ),
    Case(
        "C: set_deadline, 1,000,000 live, moving each",
        "itself, 1 live",
        C("core", "move_each", MILLION, PRELOAD),
        C("core", "move_each", 1, PRELOAD),
        at_most(1.5),
    ),
    Case("C: open+close", "epoll_ctl add+del", C("core", "open_close"), C("epoll", "open_close")),
    *(
        Case(
            f"C: tokens, {pairs:,} pair{'s' * (pairs > 1)}, round trip",
            "bare epoll",
            C("core", "ping_pong", pairs),
            C("epoll", "ping_pong", pairs),
        )
        for pairs in (1, 100, 1000)
    ),
]
