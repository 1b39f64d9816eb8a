"""urllib3, and requests, on `netpoll.socket`: cooperative in greenlets.

    from netpoll.adapters.urllib3 import PoolManager, mount

    http = PoolManager(maxsize=20)
    http.request("GET", "https://example.org/", timeout=2.0)

    mount(session)                        # a requests.Session

TLS is that of `netpoll.ssl`.  Connections of a bounded pool (`block=True`) are waited for in a
queue that parks the greenlet only.  SOCKS proxies have sockets of their own, which block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    EmptyPoolError,
    NameResolutionError,
    NewConnectionError,
)

from netpoll import socket
from netpoll.adapters.queue import LifoQueue

if TYPE_CHECKING:
    import requests

__all__ = [
    "HTTPConnection",
    "HTTPConnectionPool",
    "HTTPSConnection",
    "HTTPSConnectionPool",
    "PoolManager",
    "ProxyManager",
    "mount",
]


class HTTPConnection(urllib3.connection.HTTPConnection):
    """A connection whose socket is netpoll's."""

    def _new_conn(self) -> Any:
        timeout: Any = self.timeout
        if timeout is urllib3.util.Timeout.DEFAULT_TIMEOUT:
            timeout = socket.getdefaulttimeout()
        try:
            sock = socket.create_connection(
                (self._dns_host, self.port), timeout, self.source_address
            )
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(
                self, f"Connection to {self.host} timed out. (connect timeout={timeout})"
            ) from error
        except OSError as error:
            raise NewConnectionError(
                self, f"Failed to establish a new connection: {error}"
            ) from error
        for option in self.socket_options or ():
            sock.setsockopt(*option)
        return sock


class HTTPSConnection(HTTPConnection, urllib3.connection.HTTPSConnection):
    """With TLS, which wraps a socket of netpoll and so becomes one."""


class _Parking(urllib3.HTTPConnectionPool):
    """Who waits for a connection parks, and may be killed."""

    QueueCls = LifoQueue
    _surplus = 0

    def _get_conn(self, timeout: float | None = None) -> Any:
        try:
            return super()._get_conn(timeout)
        except EmptyPoolError:
            raise
        except BaseException:
            self._surplus += 1  # urllib3 gives back at once what it never got
            raise

    def _put_conn(self, conn: Any) -> None:
        if conn is None and self._surplus:
            self._surplus -= 1
        else:
            super()._put_conn(conn)


class HTTPConnectionPool(_Parking):
    ConnectionCls: Any = HTTPConnection


class HTTPSConnectionPool(_Parking, urllib3.HTTPSConnectionPool):
    ConnectionCls: Any = HTTPSConnection


_POOLS = {"http": HTTPConnectionPool, "https": HTTPSConnectionPool}


class PoolManager(urllib3.PoolManager):
    """A `urllib3.PoolManager` whose connections are netpoll's."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.pool_classes_by_scheme = dict(_POOLS)


class ProxyManager(urllib3.ProxyManager):
    """A `urllib3.ProxyManager`, for HTTP proxies, whose connections are netpoll's."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.pool_classes_by_scheme = dict(_POOLS)


def mount(session: requests.Session, **options: Any) -> None:
    """Let a `requests.Session` fetch http:// and https:// through netpoll's sockets.

    :param options: of `requests.adapters.HTTPAdapter`.
    """
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def init_poolmanager(
            self, connections: int, maxsize: int, block: bool = False, **kw: Any
        ) -> None:
            self.poolmanager = PoolManager(
                num_pools=connections, maxsize=maxsize, block=block, **kw
            )

        def proxy_manager_for(self, proxy: str, **kw: Any) -> Any:
            manager: Any = super().proxy_manager_for(proxy, **kw)
            if not proxy.lower().startswith("socks"):
                manager.pool_classes_by_scheme = dict(_POOLS)
            return manager

    for scheme in _POOLS:
        session.mount(f"{scheme}://", Adapter(**options))
