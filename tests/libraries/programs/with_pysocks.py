"""PySocks, whose sockets are a subclass of the standard one, by itself and under requests."""

from __future__ import annotations

from typing import Any

import requests
import socks

SERVER = "http"
LATE = (TimeoutError, socks.ProxyError)

ports: dict[str, int] = {}


def begin(servers: Any) -> None:
    ports.update({name: servers[name]["port"] for name in ("socks", "http")})


def ask(seconds: float, timeout: float) -> None:
    with socks.create_connection(
        ("127.0.0.1", ports["http"]),
        timeout,
        proxy_type=socks.SOCKS5,
        proxy_addr="127.0.0.1",
        proxy_port=ports["socks"],
    ) as sock:
        sock.sendall(f"GET /{seconds} HTTP/1.0\r\n\r\n".encode())
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")


def in_requests() -> None:
    from trial import at_once

    proxies = {"http": f"socks5://127.0.0.1:{ports['socks']}"}
    url = f"http://127.0.0.1:{ports['http']}/0.3"

    def get() -> None:
        assert requests.get(url, proxies=proxies, timeout=10).text == "ok"

    at_once(5, get)
