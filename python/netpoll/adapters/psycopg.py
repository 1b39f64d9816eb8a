"""psycopg 3 on netpoll: cooperative in greenlets, interruptible in threads, with deadlines.

    from netpoll.adapters.psycopg import Connection

    with Connection.connect("dbname=test") as conn:
        conn.set_deadline(2.0)                       # an instant, for all that follows
        conn.execute("SELECT pg_sleep(60)")          # DeadlineExceeded after two seconds

The class also serves `psycopg_pool.ConnectionPool(connection_class=Connection)`.  In a thread with
a hub of `netpoll.green` a wait for the server parks the greenlet, elsewhere the thread.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg import errors, generators
from psycopg._conninfo_attempts import conninfo_attempts
from psycopg.conninfo import conninfo_to_dict, make_conninfo, timeout_from_conninfo
from psycopg.waiting import Ready

import netpoll
from netpoll import ClosedError, DeadlineExceeded, PollDesc
from netpoll._engine import RLock
from netpoll.adapters.level import wait_level

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Connection"]

R = TypeVar("R")


class Connection(psycopg.Connection[Any]):
    """A `psycopg.Connection` that waits on a netpoll descriptor.

    A wait that is cut off, by a deadline, `interrupt`, a signal handler or a kill, closes the
    connection: the server's answer would still be on its way, and be taken for that of the next
    query.  A pool replaces it.
    """

    _desc: PollDesc | None = None
    _until: float | None = None  # the deadline, on the monotonic clock
    _end: float | None = None  # where psycopg's own timeout ends, while it waits with one
    _interrupted = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.lock: Any = RLock()  # a wait for the connection parks, and blocks no hub

    @classmethod
    def connect(  # type: ignore[override]
        cls,
        conninfo: str = "",
        *,
        autocommit: bool = False,
        timeout: float | None = None,
        **params: Any,
    ) -> Self:
        """As `psycopg.Connection.connect`; other keywords are libpq's or attributes to be set.

        A name that has to be looked up blocks the thread.

        :param timeout: seconds, to the nanosecond, until the connection stands; 0 or less: it is
            over at once.  libpq's `connect_timeout`, whole seconds from 2 on, bounds the attempt
            at each of several hosts or addresses.
        :raises psycopg.OperationalError: there is no connection to be had; as
            `psycopg.errors.ConnectionTimeout`, not in time.
        """
        attributes = {
            name: params.pop(name)
            for name in ("row_factory", "cursor_factory", "prepare_threshold")
            if name in params
        }
        params.pop("context", None)
        pgconn = _connect(conninfo_to_dict(conninfo, **params), timeout)
        conn = cls(pgconn)
        conn.autocommit = bool(autocommit)
        for name, value in attributes.items():
            if value is not None:
                setattr(conn, name, value)
        return conn

    def set_deadline(self, timeout: float | None) -> None:
        """Until when the server may take, for present and later queries.  From any thread.

        :param timeout: seconds from now; None: as long as it likes; 0 or less: it is over at once.
        """
        self._until = None if timeout is None else time.monotonic() + timeout
        self._apply_deadline(self._desc)

    def interrupt(self) -> None:
        """End a query that another thread or greenlet waits for, with ClosedError; and close."""
        self._interrupted = True
        desc = self._desc
        if desc is not None:
            desc.unblock()

    def wait(self, gen: Any, interval: float | None = None, timeout: float | None = None) -> Any:
        """Drive one of psycopg's generators; called by psycopg.

        :raises DeadlineExceeded, ClosedError: the wait was cut off, and the connection is closed.
        """
        desc = self._descriptor()
        end = None if timeout is None else time.monotonic() + timeout
        try:
            wanted = next(gen)
            while True:
                ready = self._wait_until(desc, int(wanted), end)
                wanted = gen.send(Ready(ready))
                if not ready or (end is not None and time.monotonic() >= end):
                    raise errors._WaitTimeout("wait timeout expired")
        except StopIteration as stop:
            return stop.value
        except (psycopg.Error, errors._WaitTimeout):
            raise
        except BaseException:
            self.close()
            raise

    def _wait_until(self, desc: PollDesc, modes: int, end: float | None) -> int:
        """What is ready; 0 if the time of psycopg is over before the deadline is."""
        if end is None:
            return wait_level(desc, modes)
        self._end = end
        try:
            while True:
                self._apply_deadline(desc)
                try:
                    return wait_level(desc, modes)
                except DeadlineExceeded:
                    now = time.monotonic()
                    if self._until is not None and self._until <= now:
                        raise
                    if end <= now:
                        return 0
        finally:
            self._end = None
            self._apply_deadline(desc)

    def _apply_deadline(self, desc: PollDesc | None) -> None:
        """The earlier of ours and psycopg's.  Other threads may close and wait meanwhile."""
        ends = [one for one in (self._until, self._end) if one is not None]
        if desc is not None:
            with suppress(ClosedError):
                desc.set_deadline(min(ends) - time.monotonic() if ends else None)

    def _descriptor(self) -> PollDesc:
        fd = self.pgconn.socket  # raises if the connection is lost
        if self._desc is None or self._desc.fd != fd:
            self._forget()
            self._desc = desc = netpoll.open(fd)  # known first, then given what may change under it
            self._apply_deadline(desc)
        if self._interrupted:
            self._desc.unblock()
        return self._desc

    def _forget(self) -> None:
        desc, self._desc = self._desc, None
        if desc is not None:
            desc.close()

    def close(self) -> None:
        """Close the connection; idempotent."""
        self._forget()  # while the number is still ours
        super().close()

    def __del__(self, *args: Any) -> None:
        self._forget()
        super().__del__(*args)


def _connect(params: Any, timeout: float | None) -> Any:
    """The first of the hosts, and of their addresses, that takes us."""
    until = None if timeout is None else time.monotonic() + timeout
    each = timeout_from_conninfo(params)
    failure: psycopg.Error | None = None
    for attempt in conninfo_attempts(params):
        left = None if until is None else until - time.monotonic()
        limit = min((one for one in (left, each) if one is not None), default=None)
        try:
            return _drive_connect(generators.connect(make_conninfo("", **attempt)), limit)
        except DeadlineExceeded:
            failure = errors.ConnectionTimeout("connection timeout expired")
        except psycopg.Error as error:
            failure = error
    assert failure is not None
    raise failure


def _drive_connect(gen: Generator[Any, Any, R], timeout: float | None) -> R:
    """The number may change on the way, when libpq tries another address."""
    until = None if timeout is None else time.monotonic() + timeout
    try:
        fd, wanted = next(gen)
        while True:
            with netpoll.open(fd) as desc:
                desc.set_deadline(None if until is None else until - time.monotonic())
                ready = wait_level(desc, int(wanted))
            fd, wanted = gen.send(Ready(ready))
    except StopIteration as stop:
        value: R = stop.value
        return value
