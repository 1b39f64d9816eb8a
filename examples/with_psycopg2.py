"""psycopg2 in greenlets, with deadlines: with_psycopg2.py "host=... dbname=..." """

from __future__ import annotations

import sys

import netpoll
import psycopg2
from netpoll import green
from netpoll.adapters import psycopg2 as on_netpoll


def main(dsn: str) -> None:
    on_netpoll.install()  # for every connection of the process
    conn = psycopg2.connect(dsn)
    cursor = conn.cursor()
    cursor.execute("SELECT 42")
    print("a query:", cursor.fetchone()[0])

    on_netpoll.set_deadline(conn, 0.2)  # an instant, for all queries until it is moved
    try:
        cursor.execute("SELECT pg_sleep(60)")
    except netpoll.DeadlineExceeded:
        print("a minute's query: cut off; connection", "closed" if conn.closed else "open")


if __name__ == "__main__":
    green.run(main, sys.argv[1])
