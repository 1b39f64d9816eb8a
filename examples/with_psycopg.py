"""psycopg 3 in greenlets, with deadlines: with_psycopg.py "host=... dbname=..." """

from __future__ import annotations

import sys

import netpoll
from netpoll import green
from netpoll.adapters.psycopg import Connection


def ask(dsn: str, number: int) -> int:
    with Connection.connect(dsn) as conn:
        row = conn.execute("SELECT %s::int, pg_sleep(0.2)", (number,)).fetchone()
        return row[0]


def main(dsn: str) -> None:
    # Ten at once: the greenlets wait for the server side by side.
    answers = [one.get() for one in [green.spawn(ask, dsn, i) for i in range(10)]]
    print("ten queries at once:", answers)

    conn = Connection.connect(dsn)
    conn.set_deadline(0.2)  # an instant, for all queries until it is moved
    try:
        conn.execute("SELECT pg_sleep(60)")
    except netpoll.DeadlineExceeded:
        print("a minute's query: cut off; connection", "closed" if conn.closed else "open")


if __name__ == "__main__":
    green.run(main, sys.argv[1])
