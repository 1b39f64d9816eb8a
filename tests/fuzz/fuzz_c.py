"""Random sequences of calls of the C API against the reference in tests/fuzz/c.

    python tests/fuzz/fuzz_c.py                  libFuzzer (needs clang), then the planted bugs
    python tests/fuzz/fuzz_c.py --replay         the corpus and some random bytes, any compiler
    python tests/fuzz/fuzz_c.py --bugs           the planted bugs alone, any compiler

The corpus, tests/fuzz/corpus, is what libFuzzer found to reach all that it reached.  What fails is
left in build/fuzz; `build/fuzz/core/replay FILE` runs it again, and FUZZ_TRACE=1 shows the calls.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).absolute().parents[2]
HERE = ROOT / "tests" / "fuzz"
CORPUS = HERE / "corpus"
BUILD = ROOT / "build" / "fuzz"

sys.path.insert(0, str(ROOT / "tests" / "explore"))
from bugs import BUGS, CSRC, Bug  # noqa: E402

#: calls.c has a clock of its own.
LEFT_OUT = ("clock", "backend_kqueue", "backend_iocp")
FLAGS = ["-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror"]
SANITIZED = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]

#: Of the explorer's planted bugs, those that one thread can meet.
SEQUENTIAL = (
    "thread_and_token_share_a_place",
    "claim_not_looked_at",
    "reset_drops_the_news",
    "cancel_takes_the_event",
    "no_tag_check",
    "fdseq_stays",
    "queue_holds_no_reference",
    "replaced_number_keeps_its_waiter",
    "no_seq_check",
    "combined_timer_not_invalidated",
    "combined_timer_fires_once",
    "closed_hidden_by_a_wake",
    "outer_loop_not_told_of_tokens",
    "outer_loop_not_told_of_deadlines",
    "freed_before_the_last_waiter_left",
    "hangup_not_remembered",
    "last_event_not_seen",
)


def core(csrc: Path) -> list[Path]:
    units = sorted(csrc.glob("*.c"))
    return [u for u in units if u.stem not in LEFT_OUT and not u.stem.endswith("_win32")]


def run(command: Iterable[str | Path], folder: Path = ROOT) -> None:
    subprocess.run([str(word) for word in command], check=True, cwd=folder)


def build_replay(folder: Path, csrc: Path = CSRC, flags: Iterable[str] = ()) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "replay"
    sources = [*sorted((HERE / "c").glob("*.c")), *core(csrc)]
    cc = os.environ.get("CC", "cc")
    run([cc, *FLAGS, *flags, f"-I{csrc}", *sources, "-o", program, "-pthread"])
    return program


def replay(program: Path, sequences: int, seed: int = 1) -> subprocess.CompletedProcess[str]:
    """The corpus, then random bytes: the first that fails."""
    for arguments in (sorted(CORPUS.iterdir()), ["--random", sequences, seed]):
        done = subprocess.run(
            [str(program), *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            cwd=program.parent,
        )
        if done.returncode != 0:
            break
    return done


# --- planted bugs ---------------------------------------------------------------------------------


def verdict(bug: Bug, sequences: int) -> str | None:
    """What the run with the bug said, or None."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bug.plant(folder / "csrc")
        program = build_replay(folder, folder / "csrc", ["-Wno-error", "-O0"])
        done = replay(program, sequences)
    if done.returncode == 0:
        return None
    said = re.findall(r"^after .*$", done.stderr, re.MULTILINE)
    return said[-1] if said else f"signal {-done.returncode}"


def catch_bugs(sequences: int) -> int:
    chosen = [bug for bug in BUGS if bug.name in SEQUENTIAL]
    if len(chosen) != len(SEQUENTIAL):
        raise SystemExit("a bug is not in the explorer's list any more")
    missed = 0
    for bug in chosen:
        said = verdict(bug, sequences)
        missed += said is None
        print(
            f"{'MISSED' if said is None else 'caught'} {bug.name:36} {said or bug.what}", flush=True
        )
    print(f"{len(chosen)} bugs planted, {len(chosen) - missed} caught")
    return missed


# --- libFuzzer ------------------------------------------------------------------------------------


def fuzz(seconds: int) -> int:
    clang = shutil.which("clang")
    if clang is None:
        print(
            "make fuzz-c needs clang, for libFuzzer (Debian: clang); without it:", file=sys.stderr
        )
        print(f"    python {Path(__file__).relative_to(ROOT)} --replay", file=sys.stderr)
        return 2
    found, merged = BUILD / "found", BUILD / "merged"
    shutil.rmtree(merged, ignore_errors=True)
    for folder in (found, merged):
        folder.mkdir(parents=True, exist_ok=True)
    target = BUILD / "target"
    sources = [HERE / "c" / "calls.c", HERE / "c" / "reference.c", *core(CSRC)]
    flags = [*FLAGS, *SANITIZED, "-fsanitize=fuzzer", f"-I{CSRC}"]
    run([clang, *flags, *sources, "-o", target, "-pthread"])
    limits = ["-max_len=450", "-timeout=20", "-print_final_stats=1", "-use_value_profile=1"]
    run([target, found, CORPUS, f"-max_total_time={seconds}", *limits], BUILD)
    run([target, "-set_cover_merge=1", "-use_counters=0", merged, CORPUS, found], BUILD)
    print(f"{len(list(merged.iterdir()))} sequences reach all that was reached: {merged}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="of libFuzzer")
    parser.add_argument("--replay", action="store_true")
    parser.add_argument("--bugs", action="store_true")
    parser.add_argument("--sequences", type=int, default=2000, help="random ones")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.bugs:
        return min(1, catch_bugs(options.sequences))
    if options.replay:
        done = replay(
            build_replay(BUILD / "core", flags=SANITIZED), options.sequences, options.seed
        )
        print(done.stdout, done.stderr)
        return done.returncode
    return fuzz(options.seconds) or min(1, catch_bugs(options.sequences))


if __name__ == "__main__":
    sys.exit(main())
