"""`python -m benchmarks.profile`: where the time goes of what misses a bound, and of C on epoll.

Samples of the processor's time by perf (a timer's, which needs no hardware counters), and the
system calls of an operation counted by strace, those of the setting up left out. What it prints is
kept for docs/benchmarks/tables.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import build
from .harness import environment_of, tied
from .loaded import served
from .model import Arg, C, Python, Subject, Values
from .page import PROFILE

SECONDS = 3.0
STRACE = ["strace", "-f", "-c", "-U", "name,calls,errors", "-o"]


@dataclass(frozen=True)
class Case:
    says: str
    subject: Subject
    operation: str = "a round trip"
    times: int = 20  # that a bout is repeated to count its system calls; 0: they are not counted
    message: int = 0  # to a server, under a load of messages of so many bytes
    symbols: int = 6  # that are shown


def in_threads(sockets: str) -> Python:
    args: dict[str, Arg] = {"pairs": 100, "kind": "unix", "cores": 1, "sockets": sockets}
    return Python("standard", "ping_pong_threads", args)


ONE_BYTE = "100 pairs, socketpair, one byte"
CASES = (
    Case(
        f"netpoll, {ONE_BYTE}",
        Python("netpoll_sockets", "ping_pong", {"pairs": 100, "kind": "unix"}),
        symbols=16,
    ),
    Case(
        f"C on epoll, no read in vain, {ONE_BYTE}",
        C("epoll", "ping_pong", (100, "unix", 0, "drained")),
        symbols=16,
    ),
    Case(
        "netpoll, 300 pairs, TCP, one byte",
        Python("netpoll_sockets", "ping_pong", {"pairs": 300, "kind": "tcp"}),
    ),
    Case(
        "netpoll.open, close",
        Python("netpoll_desc", "open_close"),
        "an open and close",
        times=3,
    ),
    Case(
        "echo server, netpoll, 64 KiB, at peak",
        Python("netpoll_sockets", "echo"),
        "a message",
        message=65536,
    ),
    # Under strace each thread is stopped at each call and then waits for the GIL: its counts are of
    # another program.
    Case(f"netpoll, 200 threads on one core, {ONE_BYTE}", in_threads("netpoll"), times=0),
    Case(f"blocking sockets, 200 threads on one core, {ONE_BYTE}", in_threads("standard"), times=0),
)

OWNERS = (
    (re.compile(r"\[k|\[kernel|\[vdso\]|\[hypervisor"), "kernel"),
    (re.compile(r"_greenlet"), "greenlet"),
    (re.compile(r"_core\..*so"), "netpoll"),
    (re.compile(r"python"), "Python"),
    (re.compile(r"^epoll$"), "the program"),
    (re.compile(r"libc|ld-linux|libpthread"), "libc"),
)


@dataclass(frozen=True)
class Sample:
    share: float  # of all samples
    place: str  # the file
    symbol: str

    @property
    def owner(self) -> str:
        for pattern, owner in OWNERS:
            if pattern.search(self.place):
                return owner
        return self.place


def profile(case: Case) -> tuple[float, list[Sample]]:
    """Seconds an operation, and where they went."""
    subject = case.subject
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/perf.data"
        perf = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "4999", "-o", data]
        if case.message:
            time = 1 / watched(perf, case)["rate"]
        else:
            said = run([*perf, "--", *subject.command(False, SECONDS)], subject)
            time = json.loads(said)["time"]
        report = [
            "perf",
            "report",
            "--stdio",
            "-q",
            "-i",
            data,
            "-F",
            "overhead,dso,sym",
            "-t",
            "\t",
        ]
        return time, list(samples(run(report, subject)))


def watched(tool: list[str], case: Case) -> Values:
    """What the load measures of a server that a tool is attached to."""
    with served(case.subject, False) as (pid, load):
        watcher = subprocess.Popen([*tool, "-p", str(pid)], stderr=subprocess.DEVNULL)
        try:
            return load(case.message, SECONDS, "peak")
        finally:
            watcher.send_signal(signal.SIGINT)  # both tools take it for the end
            watcher.wait(timeout=30)


def samples(report: str) -> Iterator[Sample]:
    for line in report.splitlines():
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) == 3 and fields[0].endswith("%"):
            symbol = re.sub(r"^\[[.k]\] ", "", fields[2])
            yield Sample(float(fields[0][:-1]) / 100, fields[1], symbol)


def system_calls(case: Case) -> dict[str, float]:
    """How often each is called by an operation: what a process that does them so many times more
    has more than one that does them once. Both set up, start and end the same. Of a server: what
    all of its calls are by message, if they are not those of few."""
    if case.message:
        return calls_of_server(case)
    (few, least), (many, most) = (counted(case.subject, each) for each in (1, 1 + case.times))
    rates = {name: (calls - few.get(name, 0)) / (most - least) for name, calls in many.items()}
    return {name: rate for name, rate in rates.items() if rate >= 0.005}


def counted(subject: Subject, times: int) -> tuple[dict[str, int], float]:
    """The calls of a whole run by name, those that failed once more, and its operations."""
    with tempfile.NamedTemporaryFile() as counts:
        command = [*STRACE, counts.name, *subject.command(False, -times)]
        operations = json.loads(run(command, subject))["all"]
        return counts_in(Path(counts.name)), operations


def calls_of_server(case: Case) -> dict[str, float]:
    with tempfile.NamedTemporaryFile() as counts:
        values = watched([*STRACE, counts.name], case)
        rates = {
            name: calls / (values["rate"] * values["took"])
            for name, calls in counts_in(Path(counts.name)).items()
        }
    return {name: rate for name, rate in rates.items() if rate >= 0.1}


def counts_in(summary: Path) -> dict[str, int]:
    rows = [line.split() for line in summary.read_text().splitlines()]
    rows = [row for row in rows if len(row) >= 2 and row[1].isdigit() and row[0] != "total"]
    calls = {row[0]: int(row[1]) for row in rows}
    return calls | {f"{row[0]} in vain": int(row[2]) for row in rows if len(row) == 3}


def run(command: list[str], subject: Subject) -> str:
    with tied([min(os.sched_getaffinity(0))]):
        done = subprocess.run(
            command,
            cwd=build.ROOT,
            env=environment_of(subject),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise SystemExit(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout


def owners(found: list[Sample]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for sample in found:
        shares[sample.owner] = shares.get(sample.owner, 0.0) + sample.share
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def described(case: Case) -> Iterator[str]:
    time, found = profile(case)
    yield f"{case.says}: {time * 1e6:.2f} us {case.operation}, under perf"
    yield ""
    for owner, share in owners(found).items():
        if share >= 0.005:
            yield f"  {100 * share:5.1f}%  {share * time * 1e6:5.2f} us  {owner}"
    yield ""
    if case.times:
        calls = sorted(system_calls(case).items(), key=lambda item: -item[1])
        listed = ", ".join(f"{call} {each:.2f}" for call, each in calls)
        yield f"  system calls, {case.operation}: {listed}"
        yield ""
    for sample in sorted(found, key=lambda sample: -sample.share)[: case.symbols]:
        yield f"  {100 * sample.share:5.1f}%  {sample.owner:<11}  {sample.symbol}"
    yield ""


def missing() -> list[str]:
    """What has to be installed first."""
    tools = {"perf": "linux-perf", "strace": "strace"}
    return [
        f"{tool} is missing: install it (Debian: {package})"
        for tool, package in tools.items()
        if shutil.which(tool) is None
    ]


def main() -> None:
    argparse.ArgumentParser(prog="benchmarks.profile", description=__doc__).parse_args()
    if complaints := missing():
        raise SystemExit("\n".join(complaints))
    take()


def take() -> None:
    """Print it, and keep it for the page."""
    lines = []
    for case in CASES:
        for line in described(case):
            print(line, flush=True)
            lines.append(line)
    PROFILE.parent.mkdir(parents=True, exist_ok=True)
    PROFILE.write_text("\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
