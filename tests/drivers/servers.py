"""Private servers on loopback, each in a folder of its own, started and stopped by the tests."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

LIMIT = 30.0


def program(name: str, *elsewhere: str) -> str:
    """Its path; the test is skipped if it is not installed."""
    found = shutil.which(name) or next(iter(glob.glob(elsewhere[0]) if elsewhere else []), None)
    if not found:
        pytest.skip(f"{name} is not installed: make test-drivers does that as root on Debian")
    return found


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def certify(folder: Path) -> Path:
    """A self-signed certificate for localhost, beside its key: cert.pem, key.pem."""
    command = [program("openssl"), "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]
    command += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (folder / "key.pem").chmod(0o600)
    return folder / "cert.pem"


class Server:
    """A process that listens on ports of 127.0.0.1, one of them with TLS; not as root."""

    user = "nobody"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.tls_port = free_ports()
        self.process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Lock()
        self.certificate = certify(folder)
        self.give_away()
        self.prepare()
        self.give_away()
        self.start()

    def give_away(self) -> None:
        """All files so far become the server's."""
        if os.getuid() == 0:
            try:
                owner = pwd.getpwnam(self.user)
            except KeyError:
                pytest.skip(f"{self.user} is no user here: make test-drivers installs its server")
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, owner.pw_uid, owner.pw_gid)

    def prepare(self) -> None:
        """What is done once, before it starts first."""

    def command(self) -> list[str]:
        raise NotImplementedError

    def popen(self, command: list[str]) -> subprocess.Popen[bytes]:
        as_user = {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []}
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
                **(as_user if os.getuid() == 0 else {}),
            )

    def answers(self) -> bool:
        """Does it serve?"""
        with socket.create_connection(("127.0.0.1", self.port), 1):
            return True

    def start(self) -> None:
        self.process = self.popen(self.command())
        end = time.monotonic() + LIMIT
        while True:
            try:
                if self.answers():
                    return
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                pytest.fail((self.folder / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.02)

    def stop(self, how: int = signal.SIGTERM) -> None:
        """By its pid; whoever calls it meanwhile waits too."""
        with self._stopping:
            process, self.process = self.process, None
            if process is None or process.poll() is not None:
                return
            process.send_signal(signal.SIGCONT)
            process.send_signal(how)
            try:
                process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def freeze(self) -> None:
        """Its main process; the others go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def children(self) -> list[int]:
        assert self.process is not None
        pid = self.process.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def signal_all(self, number: int) -> None:
        """To all its processes."""
        self.process.send_signal(number)
        for child in self.children():
            with suppress(ProcessLookupError):
                os.kill(child, number)


class Postgres(Server):
    user = "postgres"

    def _binary(self, name: str) -> str:
        server = program("postgres", "/usr/lib/postgresql/*/bin/postgres")
        return str(Path(server).resolve().with_name(name))

    def prepare(self) -> None:
        self.data = self.folder / "data"
        done = self.popen(
            [self._binary("initdb"), "-D", str(self.data), "-A", "trust", "-U", "test", "--no-sync"]
        )
        assert done.wait(LIMIT) == 0, (self.folder / "log").read_text(errors="replace")

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 60,
            "fsync": "off",
            "shared_buffers": "16MB",
            "client_connection_check_interval": "100ms",
            "ssl": "on",
            "ssl_cert_file": self.certificate,
            "ssl_key_file": self.folder / "key.pem",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [self._binary("postgres"), "-D", str(self.data), *options]

    @property
    def dsn(self) -> str:
        return f"host=127.0.0.1 port={self.port} user=test dbname=postgres sslmode=disable"

    def answers(self) -> bool:
        return (
            subprocess.run(
                [self._binary("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)],
                check=False,
            ).returncode
            == 0
        )

    def stop(self, how: int = signal.SIGQUIT) -> None:
        super().stop(how)  # at once, as this data is nobody's


class Redis(Server):
    user = "nobody"

    def command(self) -> list[str]:
        return [
            program("redis-server"),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", "."),
            *("--tcp-backlog", "2048"),  # a test connects a thousand times at once
            *("--tls-port", str(self.tls_port), "--tls-auth-clients", "no"),
            *("--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem"),
            *("--tls-ca-cert-file", "cert.pem"),
        ]

    def answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), 1) as sock:
            sock.sendall(b"PING\r\n")
            return sock.recv(7) == b"+PONG\r\n"


class Nginx(Server):
    user = "nobody"

    def prepare(self) -> None:
        self.big = os.urandom(3 << 20)
        site = self.folder / "site"
        site.mkdir()
        (site / "hello").write_bytes(b"hello\n")
        (site / "big").write_bytes(self.big)
        (self.folder / "tmp").mkdir()
        (self.folder / "nginx.conf").write_text(
            f"""
            daemon off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/errors;
            events {{ worker_connections 4096; }}
            http {{
                access_log off;
                client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp;
                uwsgi_temp_path tmp; scgi_temp_path tmp;
                server {{
                    listen 127.0.0.1:{self.port} backlog=1024;
                    listen 127.0.0.1:{self.tls_port} ssl backlog=1024;
                    ssl_certificate cert.pem; ssl_certificate_key key.pem;
                    root {site};
                    location /slow {{ limit_rate 1000; alias {site}/big; }}
                    location /busy {{ add_header Retry-After 1 always; return 503; }}
                    location /closed {{ add_header Retry-After 60 always; return 503; }}
                }}
            }}
            """
        )

    def command(self) -> list[str]:
        binary = program("nginx", "/usr/sbin/nginx")
        return [binary, "-p", f"{self.folder}/", "-c", "nginx.conf", "-e", f"{self.folder}/errors"]

    def worker(self) -> int:
        """The process that serves."""
        return self.children()[0]


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"not within {LIMIT} s: {what}")
        time.sleep(0.005)
