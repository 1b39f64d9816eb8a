"""Servers besides those of tests/drivers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

from servers import Server, certify, program

HERE = Path(__file__).parent


class MariaDB(Server):
    user = "mysql"

    def prepare(self) -> None:
        install = [program("mariadb-install-db"), "--no-defaults", f"--datadir={self.folder}/data"]
        install += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        self.popen(install).wait(60)
        self.initial = self.folder / "initial.sql"
        self.initial.write_text("CREATE USER test@'127.0.0.1';\n")

    def command(self) -> list[str]:
        command = [program("mariadbd", "/usr/sbin/mariadbd"), "--no-defaults"]
        command += [f"--datadir={self.folder}/data", f"--socket={self.folder}/socket"]
        command += [f"--port={self.port}", "--bind-address=127.0.0.1", "--skip-name-resolve"]
        command += [f"--pid-file={self.folder}/pid", "--innodb-buffer-pool-size=8M"]
        return [*command, f"--init-file={self.initial}"]


class Memcached(Server):
    def command(self) -> list[str]:
        return [program("memcached"), "-l", "127.0.0.1", "-p", str(self.port), "-U", "0"]


class Protocols(Server):
    """protocols.py, in front of a memcached."""

    ports: dict[str, int]

    def __init__(self, folder: Path, memcached: Server) -> None:
        certificate = certify(folder)
        command = [sys.executable, str(HERE / "protocols.py"), str(certificate)]
        command += [str(folder / "key.pem"), str(memcached.port)]
        self.certificate = certificate
        self._stopping = threading.Lock()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        with self.process.stdout as output:
            self.ports = json.loads(output.readline())
