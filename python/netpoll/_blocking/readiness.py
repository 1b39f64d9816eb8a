"""Waiting for a number that is registered for this one wait."""

from __future__ import annotations

import time

from netpoll import _api
from netpoll._api import READ, PollDesc
from netpoll._engine import DescBase
from netpoll._errors import DeadlineExceeded

__all__ = ["wait_readable"]


def wait_readable(number: int, until: float | None, waits: set[PollDesc] | None = None) -> bool:
    """Until it can be read, or an instant of `time.monotonic`; None: for ever.

    :param number: not registered with the poller by others.
    :param waits: has the descriptor meanwhile; to close that ends the wait.
    :returns: False: the instant has come first.
    :raises ClosedError: the descriptor is closed, or the poller.
    """
    waits = set() if waits is None else waits
    with _api.open(number) as desc:
        if until is not None:
            desc.set_deadline(until - time.monotonic(), READ)
        waits.add(desc)
        try:
            DescBase.wait(desc, READ)  # nothing is read, so its mode is not for the debug mode
        except DeadlineExceeded:
            return False
        finally:
            waits.discard(desc)
    return True
