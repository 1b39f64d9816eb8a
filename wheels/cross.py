"""`make cross`: does the core compile and link for every platform of the table?

    python wheels/cross.py [PLATFORM...]

Warnings are errors.  The core is linked into each of its C tests that the platform has, and where
these can run here they do: those for Linux on this processor, and on another by qemu-user, if that
is there (with glibc, that processor's has to be too: Debian's libc6-arm64-cross and the like); and
those for WASI by wasmtime.
A line a platform says whether they were linked only, or ran and how; the exit status is 1 if
anything failed.
"""

from __future__ import annotations

import os
import platform as host
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import zig
from platforms import PLATFORMS, Platform, named

#: The tests' own code is not held to -Wconversion.
TEST_FLAGS = ["-Wall", "-Wextra", "-Werror"]
#: Where Debian puts what programs for other processors load.
LIBC = "/usr/{triple}"
#: Seconds for one test program; an emulator is slow.
LIMIT = 900


class TestFailedError(Exception):
    """What the program said."""


def tests_for(platform: Platform) -> list[str]:
    if platform.windows:
        pattern = "tests/windows/test_*.c"
    elif platform.wasi:  # neither threads nor forks, signals or sockets
        pattern = "tests/c/test_one_thread*.c"
    else:
        pattern = "tests/c/test_*.c"
    return sorted(path.relative_to(zig.ROOT).as_posix() for path in zig.ROOT.glob(pattern))


def build(platform: Platform) -> list[Path]:
    """Compile and link all; the programs."""
    out = zig.ROOT / "build" / "cross" / platform.name
    tests = tests_for(platform)
    objects = zig.compile_core(platform, out, dict.fromkeys(tests, TEST_FLAGS))
    core, mains = objects[: -len(tests)], objects[-len(tests) :]
    suffix = ".exe" if platform.windows else ".wasm" if platform.wasi else ""
    programs = [main.with_suffix(suffix) for main in mains]
    for main, program in zip(mains, programs, strict=True):
        zig.link_program(platform, [main, *core], program)
    return programs


def runner(platform: Platform) -> list[str] | None:
    """What its programs are started with here, or None."""
    if platform.wasi:
        return [sys.executable, str(zig.ROOT / "wheels" / "wasi.py")]
    if not (platform.linux and sys.platform == "linux"):
        return None
    machine = platform.zig.partition("-")[0]
    if machine == host.machine():
        # A program for musl brings it along.
        return [] if platform.musl or host.libc_ver()[0] == "glibc" else None
    emulator = shutil.which(f"qemu-{machine}") or shutil.which(f"qemu-{machine}-static")
    if emulator is None or platform.musl:
        return [emulator] if emulator else None
    libc = Path(LIBC.format(triple=platform.zig.partition(".")[0]))
    return [emulator, "-L", str(libc)] if libc.is_dir() else None


def run(programs: list[Path], start: list[str]) -> None:
    for program in programs:
        done = subprocess.run(
            [*start, program],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LIMIT,
            check=False,
        )
        if done.returncode != 0:
            said = done.stdout.decode(errors="replace")
            raise TestFailedError(f"{program.name} ended with {done.returncode}\n{said}")


def verdict(platform: Platform, programs: list[Path]) -> str:
    names = ", ".join(program.stem for program in programs)
    start = runner(platform)
    if start is None:
        return f"linked {names}"
    run(programs, start)
    by = "wasmtime" if platform.wasi else Path(start[0]).name if start else ""
    return f"ran    {names}" + (f" by {by}" if by else "")


def main() -> int:
    failed = False
    platforms = named(sys.argv[1:], PLATFORMS)
    # The tests measure time, so nothing is compiled meanwhile.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        builds = [pool.submit(build, platform) for platform in platforms]
    for platform, built in zip(platforms, builds, strict=True):
        try:
            line = verdict(platform, built.result())
        except (zig.CompileError, TestFailedError, subprocess.TimeoutExpired) as error:
            failed, line = True, f"FAILED\n{error}"
        print(f"{platform.zig:26} {line}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
