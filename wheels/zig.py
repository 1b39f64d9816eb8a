"""Compiling and linking for any platform with `zig cc`, which is clang with the headers and the
libraries of all of them.  It comes as the package `ziglang`.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cffi  # noqa: F401  it looks at sys.platform when it is imported
from platforms import ROOT, Platform

#: Zig builds the libc of each target once and keeps it here.
CACHE = ROOT / "build" / "zig"

STRICT = "-Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Werror"
#: What cffi emits is not clean enough for all of it, and wants alloca.
GENERATED = (
    "-std=gnu11 -Wall -Werror -Wno-unused-function -Wno-unused-variable -Wno-unused-parameter"
    " -Wno-sometimes-uninitialized -Wno-missing-field-initializers"
)
#: A release, and no undefined-behaviour checks, which zig switches on by itself.
COMPILE = "-std=c11 -O2 -fno-sanitize=undefined -fvisibility=hidden"
#: No place of this machine in what is built.
ANONYMOUS = f"-ffile-prefix-map={ROOT}=."


class CompileError(Exception):
    """The compiler's or linker's messages."""


@contextmanager
def build_script(platform: Platform) -> Iterator[dict[str, Any]]:
    """The names in python/netpoll_build.py, which meanwhile believes to be on that platform."""
    sysconfig.get_config_vars()  # those of this system, and kept
    here, sys.platform = sys.platform, platform.sys_platform
    try:
        yield runpy.run_path(str(ROOT / "python" / "netpoll_build.py"))
    finally:
        sys.platform = here


def run(*command: str | Path) -> None:
    """One of zig's tools; silence, or CompileError."""
    cache = {"ZIG_GLOBAL_CACHE_DIR": str(CACHE), "ZIG_LOCAL_CACHE_DIR": str(CACHE)}
    done = subprocess.run(
        [sys.executable, "-m", "ziglang", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={**os.environ, **cache},
        cwd=ROOT,
    )
    if done.returncode != 0 or done.stdout:
        raise CompileError(done.stdout)


def cc(platform: Platform, *args: str | Path) -> None:
    """The compiler for a platform."""
    run("cc", "-target", platform.zig, *args)


def target_flags(platform: Platform) -> list[str]:
    if platform.wasi:
        return []
    if platform.windows:
        return ["-fstack-protector-strong"]
    flags = ["-fstack-protector-strong", "-fPIC"]
    return [*flags, "-D_FORTIFY_SOURCE=2"] if platform.linux else flags


def compile_core(platform: Platform, out: Path, more: dict[str, list[str]]) -> list[Path]:
    """The objects of the core, then of `more`: extra files, with the extra flags for each."""
    with build_script(platform) as script:
        core = [name for name in script["sources"]() if name.startswith("csrc/")]
        macros = [f"-D{name}={value}" for name, value in script["macros"]()]
        include = [f"-I{folder}" for folder in script["INCLUDE_DIRS"]]
    common = [*COMPILE.split(), ANONYMOUS, *target_flags(platform), *macros, *include]
    out.mkdir(parents=True, exist_ok=True)

    def compile_one(job: tuple[str, list[str]]) -> Path:
        source, flags = job
        path = Path(source)  # two folders may have files of one name
        target = out / f"{path.parent.name}-{path.stem}.o"
        cc(platform, *common, *flags, "-c", source, "-o", target)
        return target

    jobs = [(name, STRICT.split()) for name in core] + list(more.items())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compile_one, jobs))


def system_libraries(platform: Platform) -> list[str]:
    if platform.windows:
        return ["-lws2_32"]
    return [] if platform.macos or platform.wasi else ["-pthread"]


def link_program(platform: Platform, objects: list[Path], target: Path) -> None:
    cc(platform, *objects, *system_libraries(platform), "-o", target)
