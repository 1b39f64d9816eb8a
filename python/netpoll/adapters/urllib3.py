"""urllib3, and requests, on `netpoll.socket`: cooperative in greenlets.

    from netpoll.adapters.urllib3 import PoolManager, mount

    http = PoolManager(maxsize=20)
    http.request("GET", "http://127.0.0.1/", timeout=2.0)

    mount(session)                        # a requests.Session

Plain HTTP only: TLS in the standard library makes sockets of its own, which block the thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from netpoll import socket

if TYPE_CHECKING:
    import requests

__all__ = ["HTTPConnection", "HTTPConnectionPool", "PoolManager", "mount"]


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


class HTTPConnectionPool(urllib3.HTTPConnectionPool):
    ConnectionCls: Any = HTTPConnection


class PoolManager(urllib3.PoolManager):
    """A `urllib3.PoolManager` for plain HTTP."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.pool_classes_by_scheme = {"http": HTTPConnectionPool}


def mount(session: requests.Session, **options: Any) -> None:
    """Let a `requests.Session` fetch http:// through netpoll's sockets.

    :param options: of `requests.adapters.HTTPAdapter`.
    """
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, connections: int, maxsize: int, *args: Any, **kw: Any) -> None:
            kw.pop("block", None)
            self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, **kw)

    session.mount("http://", Adapter(**options))
