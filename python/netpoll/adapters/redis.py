"""redis-py in a hub, with deadlines.  The import patches redis-py (`netpoll.patch.package`)::

    from netpoll.adapters.redis import Connection

    pool = redis.ConnectionPool(connection_class=Connection, host="127.0.0.1", socket_timeout=2)
    client = redis.Redis(connection_pool=pool)

In a thread with a hub of `netpoll.green` a wait parks the greenlet, elsewhere the thread: for the
server, for a free connection, for a lock, between two retries.  Connections of redis-py's own
classes wait in the same way; these ones have deadlines besides.
"""

from __future__ import annotations

from typing import Any

from netpoll import patch

patch.package("redis")

import redis.connection  # noqa: E402

__all__ = ["Connection", "SSLConnection"]


class Connection(redis.connection.Connection):
    """A connection over TCP whose commands have a deadline."""

    def set_deadline(self, timeout: float | None) -> None:
        """Until when the server may take, for present and later commands; from any thread."""
        sock: Any = self._sock
        if sock is not None:
            sock.set_deadline(timeout)


class SSLConnection(Connection, redis.connection.SSLConnection):
    """The same with TLS."""
