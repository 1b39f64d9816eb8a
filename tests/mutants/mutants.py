"""Mutants of the code, made by universalmutator: is each noticed by a proof?

    python tests/mutants/mutants.py csrc/core/timers.c     of that file
    python tests/mutants/mutants.py                        of all that is named in TARGETS
    ... --sample 100 --seconds 600                         at most so many a file, within that time
    ... --no-suite                                         explorer and C tests alone: far quicker
    ... --report                                           only what is known already

People who plant bugs by hand find what they thought of.  A machine has no opinion: it swaps
operators, drops statements and moves constants, line by line.  A mutant that compiles to the same
code as the original is equivalent and does not count.  Each other one is killed, by what is
quickest to do it, or it survives and is shown as a diff.

What is known is kept in build/mutants/results.jsonl, by the text of the mutant: a run that was cut
off goes on where it was, and a file that has changed begins anew.
"""

from __future__ import annotations

import argparse
import atexit
import difflib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from killers import Kill, Mutant, killers_of, normalized, suite
from programs import BUILD, ROOT, clear, lay

#: The files, and the least share of their mutants that must be killed.
TARGETS = {
    "csrc/core/*.c": 0.95,
    "csrc/sema/*.c": 0.95,
    "csrc/io/*.c": 0.95,
    "csrc/backend/epoll.c": 0.95,
    "csrc/backend/poll.c": 0.95,
    "python/ext/*.c": 0.90,
    "python/netpoll/green.py": 0.90,
    "python/netpoll/_file.py": 0.90,
}
RESULTS = BUILD / "results.jsonl"
SEED = 1  # of the samples: the same mutants are taken again


def key_of(mutant: Mutant) -> str:
    return hashlib.sha256(f"{mutant.file}\0{mutant.text}".encode()).hexdigest()[:24]


def diff_of(mutant: Mutant) -> str:
    before = (ROOT / mutant.file).read_text(encoding="utf-8").splitlines()
    after = mutant.text.splitlines()
    return "\n".join(difflib.unified_diff(before, after, mutant.file, n=1, lineterm=""))


def mutants_of(file: str) -> list[Mutant]:
    """Those that the tool makes, in any order, without what is the original but for comments."""
    original = (ROOT / file).read_text(encoding="utf-8")
    language = "python" if file.endswith(".py") else "c"
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["mutate", file, language, "--noCheck", "--mutantDir", folder],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )
        texts = {path.read_text(encoding="utf-8") for path in Path(folder).iterdir()}
    same = normalized(original, language)
    found = sorted(text for text in texts if normalized(text, language) != same)
    random.Random(SEED).shuffle(found)
    return [Mutant(file, text, first_difference(original, text)) for text in found]


def first_difference(before: str, after: str) -> int:
    lines = before.splitlines()
    pairs = zip(lines, after.splitlines(), strict=False)
    return next((n for n, (a, b) in enumerate(pairs, 1) if a != b), len(lines))


class Results:
    """What is known, by the mutant's text: in memory and on the disk."""

    def __init__(self) -> None:
        self.verdicts: dict[str, str] = {}
        self.kills: dict[str, list[Kill]] = defaultdict(list)
        self._lock = threading.Lock()
        for line in RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else ():
            self._take(json.loads(line))

    def _take(self, row: dict[str, Any]) -> None:
        verdict: str = row["verdict"]
        self.verdicts[row["key"]] = verdict
        if verdict.startswith("killed: "):
            self.kills[row["file"]].append(Kill(row["line"], verdict.removeprefix("killed: ")))

    def add(self, mutant: Mutant, verdict: str) -> None:
        row = {"key": key_of(mutant), "file": mutant.file, "line": mutant.line, "verdict": verdict}
        with self._lock, RESULTS.open("a", encoding="utf-8") as out:
            self._take(row)
            out.write(json.dumps(row) + "\n")

    def of(self, mutant: Mutant) -> str:
        return self.verdicts.get(key_of(mutant), "unknown")


def judge(mutant: Mutant, results: Results, with_suite: bool) -> str:
    """Who kills it; "invalid", "equivalent", "survived"; "open" if the suite was not asked."""
    lay(mutant.file, mutant.text)
    for killer in killers_of(mutant.file):
        if killer is suite and not with_suite:
            return "open"
        verdict = killer(mutant, list(results.kills[mutant.file]))
        if verdict is not None:
            return verdict
    return "survived"


def counts(verdict: str) -> bool:
    return verdict in ("survived", "open") or verdict.startswith("killed")


def hunt(mutants: list[Mutant], results: Results, options: argparse.Namespace, end: float) -> None:
    """Judge those of one file, until there are enough that count, or the time is over."""

    def work(mutant: Mutant) -> None:
        if time.monotonic() < end:
            results.add(mutant, judge(mutant, results, options.suite))

    with ThreadPoolExecutor(options.jobs) as pool:
        if options.suite:
            list(pool.map(work, [m for m in mutants if results.of(m) == "open"]))
        while time.monotonic() < end:
            missing = (options.sample or len(mutants)) - sum(counts(results.of(m)) for m in mutants)
            left = [mutant for mutant in mutants if results.of(mutant) == "unknown"]
            if missing <= 0 or not left:
                return
            list(pool.map(work, left[: min(missing, 4 * options.jobs)]))


def report(mutants: list[Mutant], results: Results) -> bool:
    """The survivors of one file, then a line; whether it reaches its share."""
    score: Counter[str] = Counter()
    for mutant in mutants:
        verdict = results.of(mutant)
        score[verdict.split(":")[0]] += 1
        if verdict in ("survived", "open"):
            print(f"{diff_of(mutant)}\n")
    file = mutants[0].file
    killed = score["killed"]
    judged = killed + score["survived"] + score["open"]
    share = killed / judged if judged else 1.0
    least = next(share for pattern, share in TARGETS.items() if Path(file).match(pattern))
    print(
        f"{file:32} {share:6.1%} of {judged:4} killed; {score['equivalent']} equivalent, "
        f"{score['invalid']} do not compile, {score['unknown']} not tried"
        + (f"; {score['open']} not put before the suite" if score["open"] else "")
        + ("" if share >= least else f"; wanted: {least:.0%}"),
        flush=True,
    )
    return share >= least


def files(named: list[str]) -> Iterator[str]:
    for pattern in named or TARGETS:
        yield from sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="*", help="files or patterns, from the top of the tree")
    parser.add_argument("--sample", type=int, help="so many of a file that compile and differ")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="for all of it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--no-suite", dest="suite", action="store_false", help="C alone decides")
    parser.add_argument("--report", action="store_true", help="judge none, show what is known")
    options = parser.parse_args()

    atexit.register(clear)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests need it, in the background too
    end = time.monotonic() + options.seconds
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    results = Results()
    good = True
    for file in files(options.files):
        mutants = mutants_of(file)
        if not options.report and time.monotonic() < end:
            hunt(mutants, results, options, end)
        good &= report(mutants, results)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
