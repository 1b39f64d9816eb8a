"""`python -m benchmarks`: every case beside its rival; exit status 1 when a bound is missed."""

from __future__ import annotations

import argparse
import sys

from . import machine, table
from .cbuild import BuildFailed
from .harness import SubjectFailed, compare, read
from .model import Case, Figure
from .workloads import GROUPS

ROUNDS = 9
QUICK_ROUNDS = 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "groups", nargs="*", metavar="group", help=f"run only these: {', '.join(GROUPS)}"
    )
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help="rounds a subject (default %(default)s)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one round each: shows that it runs, proves nothing"
    )
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.groups) - set(GROUPS))
    if unknown:
        parser.error(f"no such group: {', '.join(unknown)}")
    if chosen.rounds < 1:
        parser.error("--rounds must be at least 1")
    return chosen


def verdict_of(row: Case | Figure, rounds: int) -> table.Row:
    try:
        if isinstance(row, Figure):
            return table.figure_row(row, read(row))
        return table.case_row(row, compare(row, rounds))
    except (SubjectFailed, BuildFailed) as failure:
        return table.failed_row(row, str(failure))


def main() -> int:
    chosen = arguments()
    rounds = QUICK_ROUNDS if chosen.quick else chosen.rounds
    print(machine.description())
    print(f"Medians of {rounds} interleaved round(s), each subject in a process of its own.\n")
    missed = 0
    for name in chosen.groups or GROUPS:
        table.print_heading(name)
        for row in GROUPS[name]:
            line = verdict_of(row, rounds)
            table.print_row(line)
            missed += line.missed
    print(f"\n{missed} bound(s) missed." if missed else "\nEvery bound holds.")
    return 1 if missed and not chosen.quick else 0


if __name__ == "__main__":
    sys.exit(main())
