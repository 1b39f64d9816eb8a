"""A pool of connections for greenlets: with_pool.py "host=... dbname=..." """

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import netpoll
from netpoll import READ, green
from netpoll.adapters.level import poll_now
from netpoll.adapters.psycopg import Connection
from netpoll.sync import LifoQueue


class Pool:
    """So many connections at most; who finds none free parks, and the other greenlets run."""

    def __init__(self, dsn: str, size: int) -> None:
        self._dsn = dsn
        self._free = LifoQueue()
        for _ in range(size):
            self._free.put(None)  # a place: whoever takes it connects

    @contextmanager
    def connection(self, timeout: float) -> Iterator[Connection]:
        """A transaction.  The timeout bounds all of it, from the wait for a free connection on:
        queue.Empty, psycopg.errors.ConnectionTimeout, netpoll.DeadlineExceeded.
        """
        until = time.monotonic() + timeout
        conn = self._free.get(timeout=timeout)
        try:
            if conn is None or not is_alive(conn):
                conn = Connection.connect(self._dsn, timeout=until - time.monotonic())
            conn.set_deadline(until - time.monotonic())
            with conn.transaction():
                yield conn
        finally:  # whatever has happened, a kill too; a query that was cut off has closed it
            self._free.put(None if conn is None or conn.closed else conn)

    def close(self) -> None:
        """The connections that are free."""
        while not self._free.empty():
            if (conn := self._free.get()) is not None:
                conn.close()


def is_alive(conn: Connection) -> bool:
    """One that has something to say which nobody asked for was closed by the server."""
    if poll_now({conn.fileno(): READ}):
        conn.close()
    return not conn.closed


def ask(pool: Pool, number: int) -> int:
    with pool.connection(timeout=30.0) as conn:
        return conn.execute("SELECT %s::int", (number,)).fetchone()[0]


def main(dsn: str) -> None:
    pool = Pool(dsn, size=10)
    answers = [one.get() for one in [green.spawn(ask, pool, i) for i in range(1000)]]
    print("queries of a thousand greenlets on ten connections:", len(set(answers)))
    try:
        with pool.connection(timeout=0.2) as conn:
            conn.execute("SELECT pg_sleep(60)")
    except netpoll.DeadlineExceeded:
        print("a minute's query: cut off; the pool still answers:", ask(pool, 42))
    pool.close()


if __name__ == "__main__":
    green.run(main, sys.argv[1])
