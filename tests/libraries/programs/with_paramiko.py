"""paramiko: a thread a connection, and greenlets that wait for what it hears."""

from __future__ import annotations

from typing import Any

import paramiko

SERVER = "ssh"
LATE = (TimeoutError, paramiko.SSHException)

client: Any = None


def begin(servers: Any) -> None:
    global client
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect(
        "127.0.0.1", servers["ssh"]["port"], "test", auth_strategy=NoPassword(), timeout=30
    )


class NoPassword(paramiko.auth_strategy.AuthStrategy):
    def __init__(self) -> None:
        super().__init__(paramiko.SSHConfig())

    def get_sources(self) -> Any:
        yield paramiko.auth_strategy.NoneAuth("test")


def ask(seconds: float, timeout: float) -> None:
    input, output, _ = client.exec_command("sleep", timeout=timeout)
    input.write(f"{seconds}\n")
    assert output.read() == b"done"
    assert output.channel.recv_exit_status() == 0
