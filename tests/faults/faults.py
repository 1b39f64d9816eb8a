"""Each system call and allocation of the core made to fail at its n-th call, for every n.

Builds tests/faults/faults.c and runs it once for each function and errno, with the interposer
tests/faults/inject.c, and prints how many faults were injected.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).absolute().parents[2]
HERE = ROOT / "tests" / "faults"
BUILD = ROOT / "build" / "faults"
ELSEWHERE = ("backend_kqueue", "backend_iocp")

FAULTS = {
    "epoll_create1": (errno.EMFILE, errno.ENOMEM),
    "epoll_ctl": (errno.ENOMEM, errno.ENOSPC),
    "epoll_wait": (errno.EINTR,),
    "epoll_pwait2": (errno.EINTR, errno.ENOSYS, errno.EPERM),
    "ppoll": (errno.EINTR, errno.ENOMEM),
    "eventfd": (errno.EMFILE, errno.ENOMEM),
    "timerfd_create": (errno.EMFILE, errno.ENOMEM),
    "timerfd_settime": (errno.EINVAL,),
    "futex": (errno.EINTR,),
    "read": (errno.EINTR, errno.EAGAIN),
    "write": (errno.EINTR, errno.EAGAIN),
    "malloc": (errno.ENOMEM,),
    "calloc": (errno.ENOMEM,),
    "realloc": (errno.ENOMEM,),
}


def compile_all() -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    cc = os.environ.get("CC", "cc")
    core = [
        str(path)
        for path in sorted((ROOT / "csrc").glob("*.c"))
        if path.stem not in ELSEWHERE and not path.stem.endswith("_win32")
    ]
    flags = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", f"-I{ROOT / 'csrc'}"]
    for command in (
        [cc, *flags, "-shared", "-fPIC", "-o", "inject.so", str(HERE / "inject.c"), "-ldl"],
        [cc, *flags, "-o", "faults", str(HERE / "faults.c"), *core, "-pthread"],
    ):
        subprocess.run(command, check=True, cwd=BUILD)


def run(call: str, number: int) -> tuple[bool, list[int]]:
    done = subprocess.run(
        [str(BUILD / "faults")],
        env={
            **os.environ,
            "LD_PRELOAD": str(BUILD / "inject.so"),
            "FAULT_CALL": call,
            "FAULT_ERRNO": str(number),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        print(done.stderr or f"ended by signal {-done.returncode}")
    return done.returncode == 0, [int(n) for n in done.stdout.split()]


def main() -> int:
    compile_all()
    total = bad = 0
    print(f"{'call':16} {'fails with':10} {'epoll':>6} {'poll':>6}  faults injected")
    for call, numbers in FAULTS.items():
        for number in numbers:
            good, counts = run(call, number)
            total += sum(counts)
            bad += not good
            columns = " ".join(f"{n:6}" for n in counts)
            print(f"{call:16} {errno.errorcode[number]:10} {columns}{'' if good else '  FAILED'}")
    print(f"{total} faults injected, {bad} kinds failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
