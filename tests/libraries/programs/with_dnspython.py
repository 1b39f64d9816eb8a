"""dnspython, over UDP."""

from __future__ import annotations

from typing import Any

import dns.resolver

SERVER = "dns"
LATE = dns.resolver.LifetimeTimeout

resolver: Any = None


def begin(servers: Any) -> None:
    global resolver
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = servers["dns"]["port"]


def ask(seconds: float, timeout: float) -> None:
    name = f"after-{int(seconds * 1000)}.test."
    resolver.timeout = timeout
    assert resolver.resolve(name, "A", lifetime=timeout)[0].address == "127.0.0.1"
