"""Compile the C programs in `benchmarks/c`, once a run, each together with the core."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOREIGN = ("backend_kqueue.c", "backend_iocp.c", "_win32.c")  # other systems'
FLAGS = ["-std=c11", "-O2", "-pthread"]


class BuildFailed(Exception):
    """With the compiler's first complaint."""


@functools.cache
def _folder() -> Path:
    folder = tempfile.mkdtemp(prefix="netpoll-bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@functools.cache
def program(name: str) -> Path:
    """The executable made of `benchmarks/c/<name>.c` and the core.

    :raises BuildFailed: it does not compile.
    """
    core = [path for path in (ROOT / "csrc").glob("*.c") if not path.name.endswith(FOREIGN)]
    return _compile(name, [f"-I{ROOT / 'csrc'}", *map(str, core)])


@functools.cache
def library(name: str) -> Path:
    """The shared library made of `benchmarks/c/<name>.c`, for LD_PRELOAD.

    :raises BuildFailed: it does not compile.
    """
    return _compile(name, ["-shared", "-fPIC"])


def _compile(name: str, arguments: list[str]) -> Path:
    target = _folder() / name
    source = ROOT / "benchmarks" / "c" / f"{name}.c"
    compiler = os.environ.get("CC", "cc").split()
    command = [*compiler, *FLAGS, "-o", str(target), str(source), *arguments]
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0:
        raise BuildFailed(f"{source.name}: {result.stderr.partition(chr(10))[0]}")
    return target
