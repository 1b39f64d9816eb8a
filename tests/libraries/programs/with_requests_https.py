"""requests with TLS."""

from __future__ import annotations

from typing import Any

import requests

SERVER = "https"
LATE = requests.exceptions.Timeout

session = requests.Session()
base = ""


def begin(servers: Any) -> None:
    global base
    base = f"https://127.0.0.1:{servers['https']['port']}"
    session.verify = servers["certificate"]
    session.trust_env = False  # it may name other certificates


def ask(seconds: float, timeout: float) -> None:
    assert session.get(f"{base}/{seconds}", timeout=timeout).text == "ok"
