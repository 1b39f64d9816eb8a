"""ftplib."""

from __future__ import annotations

import ftplib
from typing import Any

SERVER = "ftp"
LATE = TimeoutError

port = 0


def begin(servers: Any) -> None:
    global port
    port = servers["ftp"]["port"]


def ask(seconds: float, timeout: float) -> None:
    client = ftplib.FTP(timeout=timeout)
    try:
        client.connect("127.0.0.1", port)
        client.login()
        assert client.voidcmd(f"NOOP after:{seconds}").startswith("250")
    finally:
        client.close()
