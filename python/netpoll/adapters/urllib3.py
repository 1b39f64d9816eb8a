"""urllib3, and requests, on `netpoll.socket`: cooperative in greenlets.

    from netpoll.adapters.urllib3 import PoolManager, mount

    http = PoolManager(maxsize=20)
    http.request("GET", "https://example.org/", timeout=2.0)

    mount(session)                        # a requests.Session

TLS is that of `netpoll.ssl`.  Connections of a bounded pool (`block=True`) are waited for in a
queue that parks the greenlet only, and so are the pauses between retries.  SOCKS proxies have
sockets of their own, which block.
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
from netpoll._parking import pause
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


class _Retry(urllib3.Retry):
    """Whose pauses park."""

    @classmethod
    def like(cls, retries: urllib3.Retry) -> urllib3.Retry:
        if type(retries) is not urllib3.Retry:  # ours already, or one that sleeps in its own way
            return retries
        parking = cls()
        vars(parking).update(vars(retries))
        return parking

    def sleep_for_retry(self, response: Any) -> bool:
        seconds = self.get_retry_after(response)
        if seconds:
            pause(seconds)
        return bool(seconds)

    def sleep(self, response: Any = None) -> None:
        told = response is not None and self.respect_retry_after_header
        if not (told and self.sleep_for_retry(response)):
            pause(self.get_backoff_time())


class _Parking(urllib3.HTTPConnectionPool):
    """Who waits for a connection, or to try again, parks, and may be killed."""

    QueueCls = LifoQueue
    _surplus = 0

    def urlopen(  # type: ignore[override]  # noqa: PLR0917
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Any = None,
        retries: urllib3.Retry | bool | int | None = None,
        redirect: bool = True,
        *args: Any,
        **options: Any,
    ) -> Any:
        chosen = urllib3.Retry.from_int(retries, redirect=redirect, default=self.retries)
        parking = _Retry.like(chosen)
        return super().urlopen(method, url, body, headers, parking, redirect, *args, **options)

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
