"""SQLAlchemy on pg8000: five users, and scoped sessions, on a pool of two."""

from __future__ import annotations

import ssl
from typing import Any

import sqlalchemy
from programs.sqlalchemy_users import Users

SERVER = "postgres"
LIMIT = 2
LATE = (TimeoutError, sqlalchemy.exc.DBAPIError)

#: One for all connections: each would compute for a while to read the system's certificates.
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE

users: Any = None


def begin(servers: Any) -> None:
    global users
    users = Users(servers, "pg8000", LIMIT, timeout=1, ssl_context=context)


def ask(seconds: float, timeout: float) -> None:
    with users.engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"SET statement_timeout = {int(timeout * 1000)}"))
        connection.execute(sqlalchemy.text(f"SELECT pg_sleep({seconds})"))


def sessions() -> None:
    users.sessions()
