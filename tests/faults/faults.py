"""Each system call and allocation made to fail at its n-th call, for every n: in C, and in Python.

Builds tests/faults/faults.c and runs it once for each function and errno, with the interposer
tests/faults/inject.c; then tests/faults/scenario.py, once for each engine.  Prints how many faults
were injected.
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

sys.path.insert(0, str(ROOT / "csrc"))
from sources import sources  # noqa: E402

FAULTS = {
    "epoll_create1": (errno.EMFILE, errno.ENOMEM),
    "epoll_ctl": (errno.ENOMEM, errno.ENOSPC),
    "epoll_wait": (errno.EINTR,),
    "epoll_pwait2": (errno.EINTR, errno.ENOSYS, errno.EPERM),
    "ppoll": (errno.EINTR, errno.ENOMEM),
    "eventfd": (errno.EMFILE, errno.ENOMEM),
    "dup3": (errno.EINTR, errno.EBUSY),
    "timerfd_create": (errno.EMFILE, errno.ENOMEM),
    "timerfd_settime": (errno.EINVAL,),
    "futex": (errno.EINTR,),
    "read": (errno.EINTR, errno.EAGAIN),
    "write": (errno.EINTR, errno.EAGAIN),
    "malloc": (errno.ENOMEM,),
    "calloc": (errno.ENOMEM,),
    "realloc": (errno.ENOMEM,),
}

#: What tests/faults/scenario.py is not to meet, as it cannot be: a wake object is full only if it
#: is signalled already, and a timer of a poller's is always set to what is an instant.  In old
#: kernels a call is missing always, not once.
NOT_IN_PYTHON = {("read", errno.EAGAIN), ("write", errno.EAGAIN), ("timerfd_settime", errno.EINVAL)}
NOT_IN_PYTHON |= {("epoll_pwait2", errno.ENOSYS), ("epoll_pwait2", errno.EPERM)}
#: What a forked child does; here nobody forks.
NOT_IN_PYTHON |= {("dup3", errno.EINTR), ("dup3", errno.EBUSY)}


def compile_all() -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    cc = os.environ.get("CC", "cc")
    core = map(str, sources())
    flags = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-DNP_DEBUG", f"-I{ROOT / 'csrc'}"]
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


def in_c() -> tuple[int, int]:
    """Faults injected, and kinds that failed."""
    total = bad = 0
    names = " ".join(f"{name:>6} {'file':>6} {'child':>6}" for name in ("epoll", "poll"))
    print(f"{'in C':16} {'fails with':10} {names}  faults injected")
    for call, numbers in FAULTS.items():
        for number in numbers:
            good, counts = run(call, number)
            total += sum(counts)
            bad += not good
            columns = " ".join(f"{n:6}" for n in counts)
            print(f"{call:16} {errno.errorcode[number]:10} {columns}{'' if good else '  FAILED'}")
    return total, bad


def in_python(pure: str) -> tuple[int, int]:
    """The same, in one process, which says backend, call, errno and number of faults."""
    print(f"{'in Python':16} {'engine in ' + ('Python' if pure == '1' else 'C')}", flush=True)
    kinds = [
        (call, number)
        for call, numbers in FAULTS.items()
        for number in numbers
        if (call, number) not in NOT_IN_PYTHON
    ]
    environment = {
        "LD_PRELOAD": str(BUILD / "inject.so"),
        "FAULT_CALL": "none",
        "NETPOLL_PURE": pure,
        "PYTHONMALLOC": "malloc",  # so that each object is a block
    }
    with subprocess.Popen(
        [
            sys.executable,
            str(HERE / "scenario.py"),
            *(f"{call}:{number}" for call, number in kinds),
        ],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        total = 0
        for line in child.stdout:
            backend, call, number, count = line.split()
            total += int(count)
            print(f"{call:16} {errno.errorcode[int(number)]:10} {backend:6} {count:>6}", flush=True)
    return total, int(child.returncode != 0)


def main() -> int:
    compile_all()
    results = [in_c(), in_python("0"), in_python("1")]
    total, bad = (sum(column) for column in zip(*results, strict=True))
    print(f"{total} faults injected, {bad} kinds failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
