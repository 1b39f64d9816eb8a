"""`python -m benchmarks.profile`: where the time of a ping-pong goes, in netpoll and in C on epoll.

Samples of the processor's time by perf (a timer's, which needs no hardware counters), and the
system calls of a round trip counted by strace. What it prints is kept for docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import build
from .harness import environment_of, tied
from .model import C, Python, Subject
from .page import PROFILE

SECONDS = 3.0
SYMBOLS = 16

SUBJECTS: dict[str, Subject] = {
    "netpoll": Python("netpoll_sockets", "ping_pong", {"pairs": 100, "kind": "unix"}),
    "C on epoll, no read in vain": C("epoll", "ping_pong", (100, "unix", 0, "drained")),
}

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


def profile(subject: Subject, seconds: float) -> tuple[float, list[Sample]]:
    """Seconds a round trip, and where they went."""
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/perf.data"
        perf = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "4999", "-o", data, "--"]
        said = run([*perf, *subject.command(False, seconds)], subject)
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
        return json.loads(said)["time"], list(samples(run(report, subject)))


def samples(report: str) -> Iterator[Sample]:
    for line in report.splitlines():
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) == 3 and fields[0].endswith("%"):
            symbol = re.sub(r"^\[[.k]\] ", "", fields[2])
            yield Sample(float(fields[0][:-1]) / 100, fields[1], symbol)


def system_calls(subject: Subject) -> dict[str, float]:
    """How often each is called, by round trip: what a long run has more than a short one."""
    (few, some_trips), (many, all_trips) = (counted(subject, each) for each in (0.02, 0.5))
    trips = all_trips - some_trips
    rates = {name: (calls - few.get(name, 0)) / trips for name, calls in many.items()}
    return {name: rate for name, rate in rates.items() if rate >= 0.005}


def counted(subject: Subject, seconds: float) -> tuple[dict[str, int], float]:
    """The calls of a whole run by name, those that failed once more, and its round trips."""
    with tempfile.NamedTemporaryFile() as counts:
        strace = ["strace", "-f", "-c", "-U", "name,calls,errors", "-o", counts.name]
        trips = json.loads(run([*strace, *subject.command(False, seconds)], subject))["all"]
        rows = [line.split() for line in Path(counts.name).read_text().splitlines()]
    rows = [row for row in rows if len(row) >= 2 and row[1].isdigit() and row[0] != "total"]
    calls = {row[0]: int(row[1]) for row in rows}
    return calls | {f"{row[0]} in vain": int(row[2]) for row in rows if len(row) == 3}, trips


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


def described(name: str, subject: Subject) -> Iterator[str]:
    time, found = profile(subject, SECONDS)
    calls = system_calls(subject)
    yield f"{name}: {time * 1e6:.2f} us a round trip (100 pairs, socketpair, one byte), under perf"
    yield ""
    for owner, share in owners(found).items():
        if share >= 0.005:
            yield f"  {100 * share:5.1f}%  {share * time * 1e6:5.2f} us  {owner}"
    yield ""
    yield "  system calls a round trip: " + ", ".join(
        f"{call} {each:.2f}" for call, each in sorted(calls.items(), key=lambda item: -item[1])
    )
    yield ""
    for sample in sorted(found, key=lambda sample: -sample.share)[:SYMBOLS]:
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
    for name, subject in SUBJECTS.items():
        for line in described(name, subject):
            print(line, flush=True)
            lines.append(line)
    PROFILE.parent.mkdir(parents=True, exist_ok=True)
    PROFILE.write_text("\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())
