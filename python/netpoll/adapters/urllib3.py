"""urllib3, and requests, in a hub.  The import patches both (`netpoll.patch.package`)::

    from netpoll.adapters.urllib3 import PoolManager, mount

    http = PoolManager(maxsize=20, block=True)
    http.request("GET", "https://example.org/", timeout=2.0)

    mount(session)                        # a requests.Session

Pools of urllib3's own classes park greenlets too.  These ones stay whole, besides, when a greenlet
that waits for a free connection is killed, or cut off by `green.timeout`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netpoll import patch

patch.package("urllib3", "requests")

import urllib3  # noqa: E402
from urllib3.exceptions import EmptyPoolError  # noqa: E402

if TYPE_CHECKING:
    import requests

__all__ = ["HTTPConnectionPool", "HTTPSConnectionPool", "PoolManager", "ProxyManager", "mount"]


class HTTPConnectionPool(urllib3.HTTPConnectionPool):
    """A pool in which a wait for a connection may be cut off."""

    _surplus = 0

    def _get_conn(self, timeout: float | None = None) -> Any:
        try:
            return super()._get_conn(timeout)
        except EmptyPoolError:
            raise
        except BaseException:
            self._surplus += 1  # urllib3 puts back at once what it never got
            raise

    def _put_conn(self, conn: Any) -> None:
        if conn is None and self._surplus:
            self._surplus -= 1
        else:
            super()._put_conn(conn)


class HTTPSConnectionPool(HTTPConnectionPool, urllib3.HTTPSConnectionPool):
    """The same with TLS."""


_POOLS = {"http": HTTPConnectionPool, "https": HTTPSConnectionPool}


class PoolManager(urllib3.PoolManager):
    """A `urllib3.PoolManager` of these pools."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.pool_classes_by_scheme = dict(_POOLS)


class ProxyManager(urllib3.ProxyManager):
    """A `urllib3.ProxyManager`, for HTTP proxies, of these pools."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.pool_classes_by_scheme = dict(_POOLS)


def mount(session: requests.Session, **options: Any) -> None:
    """Let a `requests.Session` use these pools for http:// and https://.

    :param options: of `requests.adapters.HTTPAdapter`.
    """
    from requests.adapters import HTTPAdapter

    for scheme in _POOLS:
        adapter: Any = HTTPAdapter(**options)
        adapter.poolmanager.pool_classes_by_scheme = dict(_POOLS)
        session.mount(f"{scheme}://", adapter)
