"""`make cross`: does the core compile and link for every platform of the table?

    python wheels/cross.py [PLATFORM...]

Warnings are errors.  The core is linked into each of its C tests that the platform has.  Nothing is
run.  A line a platform; the exit status is 1 if any failed.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import zig
from platforms import PLATFORMS, Platform, named

#: The tests' own code is not held to -Wconversion.
TEST_FLAGS = ["-Wall", "-Wextra", "-Werror"]


def tests_for(platform: Platform) -> list[str]:
    folder = "tests/windows" if platform.windows else "tests/c"
    return sorted(
        path.relative_to(zig.ROOT).as_posix() for path in zig.ROOT.glob(f"{folder}/test_*.c")
    )


def build(platform: Platform) -> str:
    """Compile and link all; what was done, in words."""
    out = zig.ROOT / "build" / "cross" / platform.name
    tests = tests_for(platform)
    objects = zig.compile_core(platform, out, dict.fromkeys(tests, TEST_FLAGS))
    core, programs = objects[: -len(tests)], objects[-len(tests) :]
    for program in programs:
        zig.link_program(
            platform, [program, *core], program.with_suffix(".exe" if platform.windows else "")
        )
    return (
        f"{len(core)} files of the core, {len(programs)} test program{'s' * (len(programs) != 1)}"
    )


def tried(platform: Platform) -> tuple[bool, str]:
    """Whether it went well, and a line that says so."""
    start = time.monotonic()
    try:
        ok, verdict = True, f"ok    {build(platform)}"
    except zig.CompileError as error:
        ok, verdict = False, f"FAILED\n{error}"
    return ok, f"{platform.zig:26} {time.monotonic() - start:5.1f} s  {verdict}"


def main() -> int:
    failed = False
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for ok, line in pool.map(tried, named(sys.argv[1:], PLATFORMS)):
            print(line, flush=True)
            failed = failed or not ok
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
