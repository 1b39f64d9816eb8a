"""psycopg2 on netpoll: cooperative in greenlets, interruptible in threads, with deadlines.

    from netpoll.adapters import psycopg2 as on_netpoll

    on_netpoll.install()                              # for all connections of the process
    conn = psycopg2.connect("dbname=test")
    on_netpoll.set_deadline(conn, 2.0)                # an instant, for all that follows
    conn.cursor().execute("SELECT pg_sleep(60)")      # DeadlineExceeded after two seconds

In a thread with a hub of `netpoll.green` a wait for the server parks the greenlet, elsewhere the
thread.  A wait that is cut off closes the connection: psycopg2 sees to that.
"""

from __future__ import annotations

import time
import weakref
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2 import extensions

import netpoll
from netpoll import READ, WRITE, ClosedError, PollDesc
from netpoll.adapters.level import wait_level

__all__ = ["install", "interrupt", "set_deadline", "uninstall", "wait"]


@dataclass
class _State:
    until: float | None = None  #: the deadline, on the monotonic clock
    desc: PollDesc | None = None  #: during a wait
    interrupted: bool = False


_states: weakref.WeakKeyDictionary[Any, _State] = weakref.WeakKeyDictionary()


def install() -> None:
    """Let every connection of the process wait here: `psycopg2.extensions.set_wait_callback`."""
    extensions.set_wait_callback(wait)


def uninstall() -> None:
    """Let connections block their threads again."""
    extensions.set_wait_callback(None)


def set_deadline(conn: Any, timeout: float | None) -> None:
    """Until when the server may take, for present and later queries.  From any thread.

    :param timeout: seconds from now; None: as long as it likes; 0 or less: it is over at once.
    """
    state = _states.setdefault(conn, _State())
    state.until = None if timeout is None else time.monotonic() + timeout
    desc = state.desc
    if desc is not None:
        with suppress(ClosedError):  # the wait has just ended
            desc.set_deadline(timeout)


def interrupt(conn: Any) -> None:
    """End a query that another waits for, and those to come, with ClosedError."""
    state = _states.setdefault(conn, _State())
    state.interrupted = True
    desc = state.desc
    if desc is not None:
        desc.unblock()


def wait(conn: Any) -> None:
    """The wait callback; called by psycopg2.

    :raises DeadlineExceeded, ClosedError: the wait was cut off; psycopg2 closes the connection.
    """
    state = _states.setdefault(conn, _State())
    while (mode := _wanted(conn)) is not None:
        # The number may change while it connects, and is closed without a word: so open it anew.
        with netpoll.open(conn.fileno()) as desc:
            state.desc = desc
            try:
                if state.until is not None:
                    desc.set_deadline(state.until - time.monotonic())
                if state.interrupted:
                    desc.unblock()
                wait_level(desc, mode)
            finally:
                state.desc = None


def _wanted(conn: Any) -> int | None:
    state = conn.poll()
    if state == extensions.POLL_OK:
        return None
    if state == extensions.POLL_READ:
        return READ
    if state == extensions.POLL_WRITE:
        return WRITE
    raise psycopg2.OperationalError(f"bad state from poll: {state}")
