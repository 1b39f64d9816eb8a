"""SQLAlchemy on psycopg: five users, and scoped sessions, on a pool of two."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from netpoll import green
from programs.sqlalchemy_users import Users

SERVER = "postgres"
LIMIT = 2
LATE = TimeoutError

users: Any = None


def begin(servers: Any) -> None:
    global users
    users = Users(servers, "psycopg", LIMIT)


def ask(seconds: float, timeout: float) -> None:
    # libpq has no timeout for the answer.
    with green.timeout(timeout), users.engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"SELECT pg_sleep({seconds})"))


def sessions() -> None:
    users.sessions()
