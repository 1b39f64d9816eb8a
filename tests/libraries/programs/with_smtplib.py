"""smtplib."""

from __future__ import annotations

import smtplib
from typing import Any

SERVER = "smtp"
LATE = (TimeoutError, smtplib.SMTPServerDisconnected)

port = 0


def begin(servers: Any) -> None:
    global port
    port = servers["smtp"]["port"]


def ask(seconds: float, timeout: float) -> None:
    client = smtplib.SMTP("127.0.0.1", port, local_hostname="localhost", timeout=timeout)
    try:
        assert client.noop()[0] == client.docmd("NOOP", f"after:{seconds}")[0] == 250
    finally:
        client.close()
