"""Builds the explorer, runs the scenarios on the real core, then on cores with a bug planted.

    python tests/explore/explore.py                 everything, within ten minutes
    python tests/explore/explore.py --short         for CI: one or two minutes
    python tests/explore/explore.py --bug NAME      that bug alone, with the trace
    python tests/explore/explore.py --orders        each store made weaker, one at a time
    python tests/explore/explore.py --no-assertions the bugs, in a core that asserts nothing
    build/explore/core/explore --replay ...         a failing schedule again

Needs a C compiler and Python, nothing else.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bugs import BUGS, CSRC, Bug

ROOT = Path(__file__).absolute().parents[2]
HERE = ROOT / "tests" / "explore"
BUILD = ROOT / "build" / "explore"

OURS = ("engine", "sim", "threads", "kernel", "kqueue", "iocp", "win32", "futex")
OURS += ("scenarios", "users", "overlapped", "futex_scenarios", "failures", "semas", "foreign")
# Everything else in csrc/ is explored, the backends too, on the kernel in miniature.
REPLACED = ("posix/clock", "win32/clock_win32", "core/timedlock", "sys/assert")
REPLACED += ("posix/main_thread", "win32/main_thread_win32", "win32/fd_win32")
REPLACED += ("posix/epoll_list",)
ONLY_LOOKS = "inspect/"
# Included by files of ours, which reach their statics.
WHOLE = {
    "core/fork": ("fork_whole",),
    "sema/sema": ("sema_whole",),
    "io/file": ("file_whole",),
    "io/wait_fd": ("wait_fd_whole",),
    "backend/iocp_interrupt": ("interrupt_whole",),
    "win32/interrupt_win32": ("interrupt_whole",),
    "posix/futex": ("futex_linux", "futex_cond"),
    "win32/futex_win32": ("futex_srw",),
}
INCLUDING = tuple(sorted({unit for units in WHOLE.values() for unit in units}))

SHORT = 0.2  # seconds of processor time, for each scenario on each backend
WITHIN = 570  # seconds for everything, whatever else the machine does

KERNEL_CALLS = [
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "syscall",
    "close",
    "eventfd",
    "timerfd_create",
    "timerfd_settime",
    "read",
    "write",
    "dup3",
    "fcntl",
    "getpid",
    "kqueue",
    "kevent",
    "ppoll",
    "fstat",
    "pthread_mutex_init",
    "pthread_mutex_lock",
    "pthread_mutex_unlock",
    "pthread_atfork",
    "pthread_once",
    "pthread_key_create",
    "pthread_getspecific",
    "pthread_setspecific",
    "pthread_cond_init",
    "pthread_cond_wait",
    "pthread_cond_timedwait",
    "pthread_cond_broadcast",
    "pthread_cond_signal",
    "pthread_condattr_init",
    "pthread_condattr_setclock",
    "pthread_condattr_destroy",
]
MEMORY_CALLS = ("malloc", "calloc", "realloc", "free")

COMMON = ["-std=gnu11", "-O1", "-g", "-D_GNU_SOURCE="]
COMMON += ["-DNETPOLL_KQUEUE=1", "-DNP_HAVE_IOCP=1"]
ASSERTING = "-DNP_DEBUG"
COMMON += [ASSERTING]
COMMON += ["-include", str(HERE / "sync.h")]
LINK: list[str] = []
RENAMED = [f"-D{name}=k_{name}" for name in KERNEL_CALLS]
RENAMED += [f"-D{name}=sim_{name}" for name in MEMORY_CALLS]
# A name that only the command line declares differently: the C library's prototype carries it.
RENAMED += ["-Wno-implicit-function-declaration"]

# A system with kqueue, and user events to wake with, as DragonFly and FreeBSD have.
KQUEUE = [f"-I{HERE / 'kqueue'}", "-D__DragonFly__"]
# Windows' part of the core, and what stands in for Windows.
WINDOWS = [f"-I{HERE / 'windows'}", "-include", str(HERE / "windows" / "windows.h")]
# By what a unit's name begins with.
FLAGS = {"backend/kqueue": KQUEUE, "backend/iocp": WINDOWS, "io/completion": WINDOWS}
for name in ("win32", "iocp", "overlapped", "futex", "futex_srw", "interrupt_whole"):
    FLAGS[name] = WINDOWS

Failed = subprocess.CalledProcessError


def core_units(csrc: Path) -> list[str]:
    """The files of csrc/ that are compiled as they stand, by folder and name."""
    units = sorted(unit_of(csrc, path) for path in csrc.glob("*/*.c"))
    left_out = (*REPLACED, *WHOLE)
    return [u for u in units if u not in left_out and not u.startswith(ONLY_LOOKS)]


def unit_of(csrc: Path, path: Path) -> str:
    return path.relative_to(csrc).with_suffix("").as_posix()


def flags_of(unit: str) -> list[str]:
    own = next((flags for start, flags in FLAGS.items() if unit.startswith(start)), [])
    return [*own, *(["-Wall", "-Wextra"] if unit in OURS else RENAMED)]


def compile_one(source: Path, target: Path, csrc: Path, flags: Iterable[str]) -> None:
    cc = os.environ.get("CC", "cc")
    command = [cc, *COMMON, *flags, f"-I{csrc}", f"-I{HERE}", "-c", str(source), "-o", str(target)]
    subprocess.run(command, check=True, capture_output=True, text=True)


def build(name: str, csrc: Path, only: Iterable[str] | None = None) -> Path:
    """An explorer of the core in csrc; with `only`, the other objects are those of the core."""
    folder = BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    objects = []
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        jobs = []
        of_core = core_units(csrc)
        for unit in (*of_core, *INCLUDING, *OURS):
            if only is not None and unit not in only:
                objects.append(object_of("core", unit))
                continue
            source = (csrc if unit in of_core else HERE) / f"{unit}.c"
            objects.append(object_of(name, unit))
            jobs.append(pool.submit(compile_one, source, objects[-1], csrc, flags_of(unit)))
        for job in jobs:
            job.result()
    program = folder / "explore"
    cc = os.environ.get("CC", "cc")
    subprocess.run([cc, *LINK, "-o", str(program), *map(str, objects)], check=True)
    return program


def object_of(name: str, unit: str) -> Path:
    return BUILD / name / f"{unit.replace('/', '-')}.o"


def plant(bug: Bug) -> Path:
    csrc = BUILD / "bugs" / bug.name / "csrc"
    shutil.rmtree(csrc, ignore_errors=True)
    bug.plant(csrc)
    changed = {unit_of(CSRC, path) for file, _, _ in bug.changes for path in CSRC.rglob(file)}
    if any(file.endswith(".h") for file, _, _ in bug.changes):
        return build(f"bugs/{bug.name}", csrc)
    changed.update(*(WHOLE[unit] for unit in WHOLE if unit in changed))
    return build(f"bugs/{bug.name}", csrc, changed)


def hunt(bug: Bug, program: Path, show: bool) -> str | None:
    """The scenario whose check catches the bug.  A crash of the explorer is not a catch."""
    unseen = bug.asserted and ASSERTING not in COMMON  # so every scenario has to be run
    everywhere = ["--seconds", "0.02", "--bound", "1"] if unseen else ["--seconds", "0.5"]
    for selection in (["--scenarios", bug.near, "--seconds", "5"], everywhere):
        done = subprocess.run(
            [str(program), "--first", *selection],
            capture_output=True,
            text=True,
            check=False,
        )
        if show:
            print(done.stdout)
        caught = re.search(r"^FAILED (\S+): (.*)$", done.stdout, re.MULTILINE)
        if caught:
            return f"{caught[1]}: {caught[2]}"
        if done.returncode != 0:
            raise SystemExit(
                f"bug {bug.name}: the explorer itself ended with {done.returncode}: {done.stderr}"
            )
    return None


def weakened() -> Iterable[tuple[str, Bug]]:
    """Each atomic store of the core, as a bug that gives it release order only."""
    for path in sorted(CSRC.glob("*/*.c")):
        if unit_of(CSRC, path) not in (*core_units(CSRC), *WHOLE):
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            if found := re.search(r"\b(np_store(?:64)?)(?:_release)?\(", line):
                weak = line.replace(found[0], found[1] + "_weak(")
                name = f"{path.name}_{number}"
                # Long enough to be found once only.
                first = next(i for i in range(number - 1, -1, -1) if once(path, lines[i:number]))
                text = "\n".join(lines[first:number])
                changes = ((path.name, text, text[: -len(line)] + weak),)
                yield f"{path.name}:{number}", Bug(name, line.strip(), "", changes)


def once(path: Path, lines: list[str]) -> bool:
    return path.read_text(encoding="utf-8").count("\n".join(lines)) == 1


def try_orders(jobs: int, seconds: float) -> int:
    """Which stores does a scenario know to need their order?

    The reduced search is left out, as it does not know when a delayed store will be seen.
    """

    def one(item: tuple[str, Bug]) -> tuple[str, str, str]:
        program = plant(item[1])
        search = ["--first", "--unreduced", "--bound", "1", "--seconds", str(seconds)]
        done = subprocess.run([str(program), *search], capture_output=True, text=True, check=False)
        caught = re.search(r"^FAILED (\S+): (.*)$", done.stdout, re.MULTILINE)
        return item[0], item[1].what, f"{caught[1]}: {caught[2]}" if caught else "-"

    with ThreadPoolExecutor(jobs) as pool:
        for where, what, by in pool.map(one, weakened()):
            print(f"{where:14} {what:58} {by}", flush=True)
    return 0


def explore_core(program: Path, search: Iterable[str], jobs: int) -> tuple[bool, str]:
    """All scenarios on the core as it is, spread over the processors."""
    runs = [
        subprocess.Popen(
            [str(program), *search, "--part", f"{i}/{jobs}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(jobs)
    ]
    with ThreadPoolExecutor(jobs) as pool:
        outputs = list(pool.map(lambda run: run.communicate()[0], runs))
    return all(run.returncode == 0 for run in runs), "".join(outputs)


# The states of core/internal.h, and what may happen to them.
TABLES = {
    "sem": (
        "NIL READY READY_TOKEN WAIT WAIT_AGAIN WAIT_READY THREAD TOKEN",
        "event end wait reset commit abort signal cancel resume fork",
    ),
    "delivery": ("NONE QUEUED DROPPED OUT", "ready park out cancel resume"),
}
#: In which states an event cannot happen.  Only a waiter in WAIT commits, only a parked thread is
#: interrupted, which no fork aborts; only a parked token becomes ready, and only a ready one comes
#: out.
IMPOSSIBLE = {
    "commit": "NIL READY READY_TOKEN THREAD TOKEN",
    "signal": "NIL READY READY_TOKEN WAIT WAIT_AGAIN WAIT_READY TOKEN",
    "abort": "THREAD",
    "ready": "QUEUED DROPPED OUT",
    "out": "NONE OUT",
}


def meetings(output: str) -> tuple[str, list[str]]:
    """A table of how often each state has met each event, and the pairs that never did."""
    times: Counter[tuple[str, str, str]] = Counter()
    for table, state, event, n in re.findall(r"^met (\w+) (\d+) (\w+) (\d+)$", output, re.M):
        times[table, TABLES[table][0].split()[int(state)], event] += int(n)
    lines, missing = [], []
    for table, (states, events) in TABLES.items():
        lines.append(f"{table:12}" + "".join(f"{event:>12}" for event in events.split()))
        for state in states.split():
            cells = []
            for event in events.split():
                n = times[table, state, event]
                possible = state not in IMPOSSIBLE.get(event, "").split()
                cells.append(f"{n:>12,}" if n else f"{'NEVER' if possible else '-':>12}")
                if possible == (n == 0):
                    missing.append(f"{table} {state} {event}: {n}")
            lines.append(f"{state:12}" + "".join(cells))
    return "\n".join(lines), missing


def summary(output: str) -> str:
    executions = [int(n) for n in re.findall(r"(\d+) executions", output)]
    whole = len(re.findall("every interleaving", output))
    bounds = [int(n) for n in re.findall(r"every one of (\d+) preemptions", output)]
    text = (
        f"{len(executions)} scenarios, {sum(executions)} executions; every interleaving of {whole}"
    )
    if bounds:
        text += f", of the other {len(bounds)} all with up to {min(bounds)} preemptions or more"
    return text


def verdict_of(bug: Bug, by: str | None) -> str:
    """Caught, and by what is said to catch it?"""
    if ASSERTING not in COMMON:
        return "caught" if by else "unseen" if bug.asserted else "MISSED"
    if by is None or (bug.asserted and ": assertion " not in by):
        return "MISSED"
    return "caught"


def catch_bugs(bugs: Iterable[Bug], jobs: int, show: bool) -> Counter[str]:
    """How many were caught, by an assertion, missed; or unseen, where nothing is asserted."""
    found: Counter[str] = Counter()
    with ThreadPoolExecutor(jobs) as pool:
        caught = pool.map(lambda bug: (bug, hunt(bug, plant(bug), show)), bugs)
        for bug, by in caught:
            verdict = verdict_of(bug, by)
            found[verdict] += 1
            found["asserted"] += ": assertion " in (by or "")
            print(f"{verdict:6} {bug.name:36} {by or bug.what}", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--short", action="store_true", help="a short bound, for CI")
    parser.add_argument("--seconds", type=float, help="for each scenario on each backend, if short")
    parser.add_argument("--within", type=float, help="seconds for all of it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--bug", help="only this planted bug, with its trace")
    parser.add_argument(
        "--orders", action="store_true", help="which stores need more than release order"
    )
    parser.add_argument("--no-assertions", action="store_true", help="the bugs, without NP_DEBUG")
    options = parser.parse_args()

    if options.no_assertions:
        COMMON.remove(ASSERTING)
    start = time.monotonic()
    try:
        program = build("core", CSRC)
        if options.bug:
            return catch_bugs([b for b in BUGS if b.name == options.bug], 1, True)["MISSED"]
        if options.no_assertions:
            return min(1, catch_bugs(BUGS, options.jobs, False)["MISSED"])
        if options.orders:
            return try_orders(options.jobs, options.seconds or 0.1)
        found = catch_bugs(BUGS, options.jobs, False)
        if options.short:
            search = ["--seconds", str(options.seconds or SHORT)]
        else:
            left = (options.within or WITHIN) - (time.monotonic() - start)
            search = ["--within", str(max(left, 1))]
        good, output = explore_core(program, [*search, "--bound", "1"], options.jobs)
        print(re.sub(r"^met .*\n", "", output, flags=re.M))
    except Failed as error:
        sys.exit(f"{error}\n{error.stderr or ''}")
    table, missing = meetings(output)
    print(f"\n{table}\n\n{summary(output)}")
    if missing:
        print("pairs of a state and an event that happen in no scenario, or cannot:", *missing)
    print(
        f"{len(BUGS)} bugs planted, {found['caught']} caught, {found['asserted']} by an assertion"
    )
    print(f"{time.monotonic() - start:.0f} s")
    return 0 if good and not found["MISSED"] and not missing else 1


if __name__ == "__main__":
    sys.exit(main())
