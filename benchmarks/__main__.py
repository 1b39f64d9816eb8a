"""`python -m benchmarks`: every rival in the same run; exit status 1 when a bound is missed.

The result of each table is kept in build/bench/results, and when there is one of every table,
taken on this machine with these versions, docs/benchmarks.md and docs/benchmarks/tables.md are
written of them.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace

from . import machine, page, profile, results, table
from .harness import Outcome, compare
from .model import Table
from .workloads import BY_NAME, GROUPS

TARGET = 0.25  # seconds that a subject is measured
QUICK_TARGET = 0.03


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "which",
        nargs="*",
        metavar="group|table",
        help=f"run only these groups ({', '.join(GROUPS | BY_NAME)}) or tables (by their name in "
        "brackets)",
    )
    parser.add_argument(
        "--rounds", type=int, help="rounds of each table, instead of its own number"
    )
    parser.add_argument(
        "--only",
        metavar="ROWS",
        help="only rows that contain one of these words, separated by commas",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one short round: shows that all runs, and proves nothing",
    )
    parser.add_argument(
        "--page", action="store_true", help="only write the page, of the results kept"
    )
    chosen = parser.parse_args()
    if chosen.rounds is not None and chosen.rounds < 1:
        parser.error("--rounds must be at least 1")
    if unknown := [name for name in chosen.which if not tables_of([name])]:
        parser.error(f"no such group or table: {', '.join(unknown)}")
    return chosen


def tables_of(names: list[str]) -> list[Table]:
    """Those of the groups and tables of these names; all that can run anywhere, if there are no
    names."""
    return [
        each
        for group, tables in (GROUPS | BY_NAME if names else GROUPS).items()
        for each in tables
        if not names or group in names or each.name in names
    ]


def show_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def with_rows(whole: Table, words: str | None) -> Table:
    """Only some of its rows; bounds and ratios go if theirs do."""
    if words is None:
        return whole
    wanted = words.split(",")
    rows = tuple(row for row in whole.rows if any(word in row.label for word in wanted))
    labels = {row.label for row in rows}
    bounds = tuple(
        bound
        for bound in whole.bounds
        if bound.ours in labels and getattr(bound, "theirs", bound.ours) in labels
    )
    return replace(whole, rows=rows, bounds=bounds)


def run_all(chosen: argparse.Namespace, facts: list[str], commit: str) -> list[Outcome]:
    outcomes = []
    for whole in tables_of(chosen.which):
        each = with_rows(whole, chosen.only)
        if not each.rows:
            continue
        rounds = 1 if chosen.quick else chosen.rounds or each.rounds
        outcome = compare(each, rounds, QUICK_TARGET if chosen.quick else TARGET, show_progress)
        show_progress("")
        print(table.as_text(outcome), flush=True)
        outcomes.append(outcome)
        if not chosen.quick and chosen.only is None:
            results.save(outcome, facts, commit)
    return outcomes


def take_profile() -> None:
    if missing := profile.missing():
        print(f"No profile is taken: {'; '.join(missing)}.")
    else:
        profile.take()


def main() -> int:
    chosen = arguments()
    facts, commit = machine.description(), machine.commit()
    print("\n".join([*facts, f"commit {commit}"]))
    print("Medians of interleaved rounds, each subject in a process of its own.\n")
    if chosen.page:
        return 0 if page.write(facts) else 1
    start = time.monotonic()
    outcomes = run_all(chosen, facts, commit)
    verdicts = [verdict for outcome in outcomes for verdict in table.verdicts(outcome)]
    failures = sum(len(outcome.failures) for outcome in outcomes)
    print(f"The bounds, after {time.monotonic() - start:.0f} s:")
    for verdict in verdicts:
        print(f"  {table.report(verdict)}")
    missed = sum(not verdict.holds for verdict in verdicts)
    print(f"{missed} of {len(verdicts)} bound(s) missed, {failures} row(s) failed.")
    if chosen.quick:
        return 1 if failures else 0
    if chosen.only is None:
        if not chosen.which:
            take_profile()
        page.write(facts)
    return 1 if missed or failures else 0


if __name__ == "__main__":
    sys.exit(main())
