"""Random sequences of calls of the C API against the references in tests/fuzz/c.

    python tests/fuzz/fuzz_c.py                  libFuzzer (needs clang), then the planted bugs
    python tests/fuzz/fuzz_c.py --replay         the corpora and some random bytes, any compiler
    python tests/fuzz/fuzz_c.py --bugs           the planted bugs alone, any compiler

There are two targets, pollers with their descriptors and files with their users.  The corpus of
each, in tests/fuzz, is what libFuzzer found to reach all that it reached.  What fails is left in
build/fuzz; `build/fuzz/TARGET/replay FILE` runs it again, and FUZZ_TRACE=1 shows the calls.
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
from typing import NamedTuple

ROOT = Path(__file__).absolute().parents[2]
HERE = ROOT / "tests" / "fuzz"
BUILD = ROOT / "build" / "fuzz"

sys.path.insert(0, str(ROOT / "tests" / "explore"))
from bugs import BUGS, CSRC, Bug  # noqa: E402

sys.path.insert(0, str(CSRC))
from sources import sources  # noqa: E402

#: The targets have a clock of their own.
LEFT_OUT = ("clock",)
COMMON = ("target.c",)
FLAGS = ["-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-DNP_DEBUG"]
SANITIZED = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


class Target(NamedTuple):
    name: str
    units: tuple[str, ...]
    corpus: Path
    bugs: tuple[str, ...]  # of the explorer's, those that one thread can meet


POLLER_BUGS = (
    "thread_and_token_share_a_place",
    "delivery_not_checked",
    "reset_drops_a_tokens_readiness",
    "cancel_takes_the_event",
    "no_tag_check",
    "fdseq_stays",
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
    "timer_position_stays",
    "table_count_stays",
    "release_passes_the_queue",
    "rest_of_a_release_is_forgotten",
    "waiters_bit_stays",
    "queue_made_anew",
    "last_come_first_served",
    "unit_of_an_expired_waiter_is_lost",
    "cancelled_and_still_queued",
    "cancelled_and_still_marked",
    "cancel_keeps_the_reference",
    "open_leaves_those_that_wait",
    "close_leaves_waiting_tokens",
    "heap_keeps_what_was_delivered",
    "unqueued_but_still_the_last",
    "moved_timer_stays_current",
    "stale_timer_is_dropped",
    "instant_of_zero_is_none",
    "moved_after_it_fired",
)
FILE_BUGS = (
    "number_closed_under_users",
    "number_never_closed",
    "detached_number_closed",
    "close_leaves_tokens",
    "close_leaves_the_queue",
    "token_not_bound",
    "limit_not_published",
    "limit_starts_again",
    "bound_of_another_descriptor",
    "retry_without_mark",
    "retry_wakes_no_token",
    "drained_stays",
    "drained_in_spite_of_a_hangup",
    "drained_for_those_that_may_not_wait",
    "queued_though_it_may_not_wait",
    "pause_beyond_the_timeout",
    "pause_without_signals",
    "progress_counts_as_vain",
    "killed_with_the_turn",
    "killed_and_still_in_the_ready_queue",
    "resumed_before_it_is_out",
    "poller_closed_is_file_closed",
    "poller_closed_under_queue_is_file_closed",
    "closed_descriptor_shared",
    "modes_register_twice",
)

TARGETS = (
    Target(
        "poller", ("calls.c", "semas.c", "reference.c", "ref_semas.c"), HERE / "corpus", POLLER_BUGS
    ),
    Target("file", ("file_calls.c", "file_reference.c"), HERE / "corpus_file", FILE_BUGS),
)


def core(csrc: Path) -> list[Path]:
    return [unit for unit in sources(csrc=csrc) if unit.stem not in LEFT_OUT]


def run(command: Iterable[str | Path], folder: Path = ROOT) -> None:
    subprocess.run([str(word) for word in command], check=True, cwd=folder)


def sources_of(target: Target, csrc: Path = CSRC) -> list[Path]:
    return [*(HERE / "c" / unit for unit in (*target.units, *COMMON)), *core(csrc)]


def build_replay(
    target: Target, folder: Path, csrc: Path = CSRC, flags: Iterable[str] = ()
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "replay"
    sources = [*sources_of(target, csrc), HERE / "c" / "replay.c"]
    cc = os.environ.get("CC", "cc")
    run([cc, *FLAGS, *flags, f"-I{csrc}", *sources, "-o", program, "-pthread"])
    return program


def replay(
    target: Target, program: Path, sequences: int, seed: int = 1
) -> subprocess.CompletedProcess[str]:
    """The corpus, then random bytes: the first that fails."""
    for arguments in (sorted(target.corpus.iterdir()), ["--random", sequences, seed]):
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


def verdict(target: Target, bug: Bug, sequences: int) -> str | None:
    """What the run with the bug said, or None."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bug.plant(folder / "csrc")
        program = build_replay(target, folder, folder / "csrc", ["-Wno-error", "-O0"])
        done = replay(target, program, sequences)
    if done.returncode == 0:
        return None
    said = re.findall(r"^(?:after|netpoll: assertion) .*$", done.stderr, re.MULTILINE)
    return said[-1] if said else f"signal {-done.returncode}"


def catch_bugs(target: Target, sequences: int) -> int:
    chosen = [bug for bug in BUGS if bug.name in target.bugs]
    if len(chosen) != len(target.bugs):
        raise SystemExit("a bug is not in the explorer's list any more")
    missed = 0
    for bug in chosen:
        said = verdict(target, bug, sequences)
        missed += said is None
        print(
            f"{'MISSED' if said is None else 'caught'} {bug.name:36} {said or bug.what}", flush=True
        )
    print(f"{len(chosen)} bugs planted, {len(chosen) - missed} caught")
    return missed


# --- libFuzzer ------------------------------------------------------------------------------------


def fuzz(target: Target, seconds: int) -> int:
    clang = shutil.which("clang")
    if clang is None:
        print(
            "make fuzz-c needs clang, for libFuzzer (Debian: clang); without it:", file=sys.stderr
        )
        print(f"    python {Path(__file__).relative_to(ROOT)} --replay", file=sys.stderr)
        return 2
    build = BUILD / target.name
    found, merged = build / "found", build / "merged"
    shutil.rmtree(merged, ignore_errors=True)
    for folder in (found, merged):
        folder.mkdir(parents=True, exist_ok=True)
    program = build / "target"
    flags = [*FLAGS, *SANITIZED, "-fsanitize=fuzzer", f"-I{CSRC}"]
    run([clang, *flags, *sources_of(target), "-o", program, "-pthread"])
    limits = ["-max_len=450", "-timeout=20", "-print_final_stats=1", "-use_value_profile=1"]
    run([program, found, target.corpus, f"-max_total_time={seconds}", *limits], build)
    merge = ["-set_cover_merge=1", "-use_counters=0"]
    run([program, *merge, merged, target.corpus, found], build)
    print(f"{len(list(merged.iterdir()))} sequences reach all that was reached: {merged}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="of libFuzzer, for each target")
    parser.add_argument("--target", choices=[target.name for target in TARGETS])
    parser.add_argument("--replay", action="store_true")
    parser.add_argument("--bugs", action="store_true")
    parser.add_argument("--sequences", type=int, default=2000, help="random ones")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chosen = [target for target in TARGETS if options.target in (None, target.name)]
    return max(work_on(target, options) for target in chosen)


def work_on(target: Target, options: argparse.Namespace) -> int:
    if options.replay:
        program = build_replay(target, BUILD / target.name, flags=SANITIZED)
        done = replay(target, program, options.sequences, options.seed)
        print(done.stdout, done.stderr)
        return done.returncode
    if not options.bugs and (rc := fuzz(target, options.seconds)):
        return rc
    return min(1, catch_bugs(target, options.sequences))


if __name__ == "__main__":
    sys.exit(main())
