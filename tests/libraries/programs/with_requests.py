"""requests: a session with a pool that blocks, and retries."""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

SERVER = "http"
LIMIT = 5
LATE = requests.exceptions.Timeout

session = requests.Session()
base = ""


def begin(servers: Any) -> None:
    global base
    base = f"http://127.0.0.1:{servers['http']['port']}"
    retry = Retry(3, backoff_factor=0.1, status_forcelist=[503], read=False)
    session.mount("http://", HTTPAdapter(pool_maxsize=LIMIT, pool_block=True, max_retries=retry))


def ask(seconds: float, timeout: float) -> None:
    assert session.get(f"{base}/{seconds}", timeout=timeout).text == "ok"


def retries() -> None:
    """The pauses between them park."""
    assert session.get(f"{base}/busy/{id(session)}/2", timeout=10).status_code == 200
