"""A byte bounced between two threads, which share a core or have one each."""

from benchmarks.model import Case, Python, at_most


def two_threads(where: str, cores: int) -> Case:
    args: dict[str, int | str] = {"pairs": 1, "trips": 10_000, "cores": cores}
    return Case(
        f"two threads {where}, round trip",
        "sockets with settimeout",
        Python("netpoll_threads", "ping_pong", args),
        Python("standard", "ping_pong", args),
        at_most(1.0),
    )


ROWS = [two_threads("on one core", 1), two_threads("on two cores", 2)]
