"""redis-py on `netpoll.socket`: cooperative in greenlets, with deadlines and a close from anywhere.

    from netpoll.adapters.redis import Connection

    pool = redis.ConnectionPool(connection_class=Connection, host="127.0.0.1", socket_timeout=2)
    client = redis.Redis(connection_pool=pool)

In a thread with a hub of `netpoll.green` whoever waits for the server parks its greenlet, elsewhere
its thread.  So it does in the pauses between retries, if the backoff says so::

    retry = redis.retry.Retry(ParkingBackoff(redis.backoff.ExponentialBackoff()), 3)
"""

from __future__ import annotations

import socket as _std
from typing import Any

import redis.connection
from redis.backoff import AbstractBackoff

from netpoll import socket
from netpoll._parking import pause

__all__ = ["Connection", "ParkingBackoff", "SSLConnection"]


class Connection(redis.connection.Connection):
    """A connection over TCP whose socket is netpoll's."""

    def _connect(self) -> Any:
        timeout = self.socket_connect_timeout
        sock = socket.create_connection((self.host, self.port), timeout)
        try:
            sock.setsockopt(_std.IPPROTO_TCP, _std.TCP_NODELAY, 1)
            if self.socket_keepalive:
                sock.setsockopt(_std.SOL_SOCKET, _std.SO_KEEPALIVE, 1)
                for option, value in (self.socket_keepalive_options or {}).items():
                    sock.setsockopt(_std.IPPROTO_TCP, option, value)
            sock.settimeout(self.socket_timeout)
        except BaseException:
            sock.close()
            raise
        return sock

    def set_deadline(self, timeout: float | None) -> None:
        """Until when the server may take, for present and later commands; from any thread."""
        sock: Any = self._sock
        if sock is not None:
            sock.set_deadline(timeout)


class SSLConnection(Connection, redis.connection.SSLConnection):
    """The same with TLS, that of `netpoll.ssl`."""

    def _connect(self) -> Any:
        sock = super()._connect()
        try:
            return self._wrap_socket_with_ssl(sock)  # type: ignore[no-untyped-call]
        except BaseException:
            sock.close()
            raise


class ParkingBackoff(AbstractBackoff):
    """Another backoff, whose pauses park.

    redis-py asks a backoff for how long to sleep, just before it does, by `time.sleep`.  This one
    sleeps itself and says 0.
    """

    def __init__(self, backoff: AbstractBackoff) -> None:
        self._backoff = backoff

    def reset(self) -> None:
        self._backoff.reset()  # type: ignore[no-untyped-call]

    def compute(self, failures: int) -> float:
        pause(self._backoff.compute(failures))
        return 0
