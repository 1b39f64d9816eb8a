"""The static probes: in the object file as notes, where <sys/sdt.h> was at hand; else nowhere."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from compiling import COMPILER, compile_c, needs_compiler
from netpoll import READ, Poller, _core
from support import LONG, ROOT, until

pytestmark = [
    needs_compiler,
    pytest.mark.skipif(sys.platform != "linux", reason="the probes are Linux's"),
    pytest.mark.skipif(shutil.which("readelf") is None, reason="there is no readelf (binutils)"),
]

UNITS = ("desc", "open", "thread")


def has_header() -> bool:
    if COMPILER is None or sys.platform != "linux":
        return False
    source = "#include <sys/sdt.h>\n"
    command = [str(COMPILER), "-fsyntax-only", "-x", "c", "-"]
    return (
        subprocess.run(
            command, input=source, text=True, stderr=subprocess.DEVNULL, check=False
        ).returncode
        == 0
    )


needs_header = pytest.mark.skipif(
    not has_header(), reason="there is no <sys/sdt.h> (Debian: systemtap-sdt-dev)"
)


def documented() -> dict[str, int]:
    """The probes by name, with their numbers of arguments, as csrc/probe.h lists them."""
    lines = re.findall(
        r"^ \*   netpoll:(\w+) +(\w+(?:, \w+)+)",
        (ROOT / "csrc" / "sys" / "probe.h").read_text(),
        re.M,
    )
    return {name: len(arguments.split(", ")) for name, arguments in lines}


def probes(binary: Path | str) -> dict[str, int]:
    """The probes of an object file, with their numbers of arguments."""
    done = subprocess.run(["readelf", "-n", binary], text=True, capture_output=True, check=True)
    found = re.findall(r"Provider: netpoll\s+Name: (\w+)\s.*\s.*Arguments: (.*)", done.stdout)
    # Of a byte in a register gdb does not know the register's name.
    assert not [arguments for _, arguments in found if re.search(r"(^| )-?[12]@", arguments)]
    return {name: len(arguments.split()) for name, arguments in found}


def built(folder: Path, *flags: str) -> Counter[str] | dict[str, int]:
    found: dict[str, int] = {}
    for unit in UNITS:
        target = folder / f"{unit}.o"
        source = ROOT / "csrc" / "core" / f"{unit}.c"
        compile_c(
            "-std=c11",
            "-O2",
            "-Wall",
            "-Werror",
            *flags,
            "-I",
            ROOT / "csrc",
            "-c",
            source,
            "-o",
            target,
        )
        found |= probes(target)
    return found


@needs_header
def test_every_documented_probe_is_in_the_core_with_its_arguments(tmp_path: Path) -> None:
    assert len(documented()) == 7
    assert built(tmp_path) == documented()


def test_they_can_be_left_out(tmp_path: Path) -> None:
    assert built(tmp_path, "-DNP_NO_PROBES") == {}


def test_the_extension_has_all_of_them_or_none() -> None:
    assert probes(str(_core.__file__)) in (documented(), {})


needs_bpftrace = pytest.mark.skipif(
    shutil.which("bpftrace") is None or getattr(os, "geteuid", int)() != 0,
    reason="bpftrace is not installed, or we are not root",
)


@needs_bpftrace
def test_the_command_of_the_docs_shows_how_long_readers_wait(tmp_path: Path) -> None:
    if not probes(str(_core.__file__)):
        pytest.skip("built without probes")
    page = (ROOT / "docs" / "inside.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^```sh\n(so=.*?)^```$", page, re.M | re.S)
    assert "PID" in command and command.startswith("so=$(python ")
    command = command.replace("PID", str(os.getpid())).replace("python", sys.executable, 1)
    output = tmp_path / "output"
    with output.open("wb") as file:
        tracer = subprocess.Popen(
            ["sh", "-c", command.replace("bpftrace -p", "exec bpftrace -p")],
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: b"Attach" in output.read_bytes() or tracer.poll() is not None, "it attaches")
        if tracer.poll() is not None:
            pytest.skip(f"bpftrace cannot attach here: {output.read_text()}")
        _park_until_told(tracer)
    finally:
        tracer.kill()
        tracer.wait()
    assert re.search(r"^@us: *\n(\[.*\|\n)+", output.read_text(), re.M), output.read_text()


def _park_until_told(tracer: subprocess.Popen[bytes]) -> None:
    """It does not say when it has attached, and overhears Ctrl-C until then."""
    end = time.monotonic() + LONG
    a, b = socket.socketpair()
    with a, b, Poller() as poller, poller.open(a) as desc:
        while tracer.poll() is None and time.monotonic() < end:
            ask = time.monotonic() + 1
            while time.monotonic() < ask:
                assert desc.park(READ, "token")
                b.send(b"x")
                until(lambda: poller.poll(0), "the token")
                assert desc.resume(READ)
                a.recv(1)
            tracer.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                tracer.wait(1)
