"""The core without Python: the programs of examples/c, built by their Makefile."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from compiling import needs_compiler
from support import LONG, ROOT, WINDOWS, ThreadTask, never_early

pytestmark = [
    pytest.mark.any_engine,
    pytest.mark.one_process,  # which compiles the core
    needs_compiler,
    pytest.mark.skipif(WINDOWS, reason="the example is written for POSIX"),
    pytest.mark.skipif(shutil.which("make") is None, reason="there is no make"),
]

PATIENCE = 0.5  # seconds
PROGRAMS = shutil.ignore_patterns("echo", "threads", "semaphores")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built in a copy, warnings being errors."""
    tree = tmp_path_factory.mktemp("tree")
    shutil.copytree(ROOT / "csrc", tree / "csrc")
    shutil.copytree(ROOT / "examples" / "c", tree / "examples" / "c", ignore=PROGRAMS)
    folder = tree / "examples" / "c"
    done = subprocess.run(
        ["make", "-C", folder, "echo", "threads", "semaphores"],
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "-Werror" in done.stdout
    return folder / "echo"


def test_the_makefile_has_five_lines() -> None:
    lines = (ROOT / "examples" / "c" / "Makefile").read_text().splitlines()
    assert len([line for line in lines if line]) <= 5


@pytest.fixture
def address(program: Path) -> Iterator[tuple[str, int]]:
    server = subprocess.Popen(
        [program, "0", str(int(PATIENCE * 1000))], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        yield "127.0.0.1", int(server.stdout.readline().split()[-1])
        server.send_signal(signal.SIGTERM)
        assert server.wait(LONG) == 0
    finally:
        server.kill()
        server.communicate()


def test_it_echoes_to_many_at_once(address: tuple[str, int]) -> None:
    data = bytes(range(256)) * 4000  # more than the buffers between the two hold

    def talk() -> bool:
        with socket.create_connection(address, LONG) as sock:
            sender = ThreadTask(
                "sender", lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)), ()
            )
            got = b"".join(iter(lambda: sock.recv(65536), b""))
            sender.result()
            return got == data

    clients = [ThreadTask(f"client {i}", talk, ()) for i in range(20)]
    assert all(client.result() for client in clients)


def test_its_deadline_hangs_up_on_the_silent_and_on_nobody_else(address: tuple[str, int]) -> None:
    with (
        socket.create_connection(address, LONG) as silent,
        socket.create_connection(address, LONG) as busy,
    ):
        with never_early(PATIENCE):
            busy.sendall(b"x")
            assert busy.recv(10) == b"x"
            silent.sendall(b"y")
            assert silent.recv(10) == b"y"
            end = time.monotonic() + PATIENCE
            while time.monotonic() < end:
                busy.sendall(b"x")
                assert busy.recv(10) == b"x"
                time.sleep(0.02)
            assert silent.recv(10) == b""
        busy.sendall(b"x")
        assert busy.recv(10) == b"x"


def test_a_wrong_port_is_a_usage_line(program: Path) -> None:
    done = subprocess.run(
        [program, "70000"], capture_output=True, text=True, timeout=LONG, check=False
    )
    assert done.returncode == 2 and done.stderr.startswith("usage: ")


def test_threads_wait_with_a_deadline_and_until_another_closes(program: Path) -> None:
    with never_early(0.25):
        done = subprocess.run(
            [program.with_name("threads")], text=True, capture_output=True, timeout=60, check=False
        )
    assert done.returncode == 0
    assert done.stdout == "hello\nnothing came in time\nclosed by another thread\n"


def test_a_thread_and_a_task_share_a_queue(program: Path) -> None:
    done = subprocess.run(
        [program.with_name("semaphores")], text=True, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert done.stdout == "no more jobs in time\nthe queue is shut\n20 jobs done\n"
