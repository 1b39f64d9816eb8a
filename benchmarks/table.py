"""The table that the benchmarks print, a row at a time, as the results come in."""

from __future__ import annotations

from dataclasses import dataclass

from .harness import Outcome
from .model import Case, Figure

LAYOUT = "{:<46} {:>10}  {:<26} {:>10}  {:>13}  {:>14}  {}"


@dataclass(frozen=True)
class Row:
    cells: tuple[str, str, str, str, str, str, str]
    missed: bool


def seconds(value: float) -> str:
    if value < 1e-6:
        return f"{value * 1e9:.0f} ns"
    if value < 1e-3:
        return f"{value * 1e6:.2f} us"
    return f"{value * 1e3:.2f} ms"


def ratio_text(ours_over_theirs: float) -> str:
    if ours_over_theirs <= 1:
        return f"{1 / ours_over_theirs:.2f}x faster"
    return f"{ours_over_theirs:.2f}x slower"


def case_row(case: Case, outcome: Outcome) -> Row:
    times = (seconds(outcome.ours), case.rival, seconds(outcome.theirs))
    ratio = ratio_text(outcome.ratio)
    if case.bound is None:
        return Row((case.title, *times, ratio, "", ""), missed=False)
    holds = case.bound.holds(outcome.ratio, 1.0)
    return Row((case.title, *times, ratio, str(case.bound), "ok" if holds else "MISSED"), not holds)


def figure_row(figure: Figure, value: float) -> Row:
    holds = value <= figure.limit
    cells = (
        figure.title,
        f"{value:g} {figure.unit}",
        "",
        "",
        "",
        f"at most {figure.limit:g}",
        "ok" if holds else "MISSED",
    )
    return Row(cells, not holds)


def failed_row(row: Case | Figure, reason: str) -> Row:
    return Row((row.title, "", "", "", "", "", f"FAILED: {reason}"), missed=True)


def print_heading(group: str) -> None:
    print(LAYOUT.format(f"[{group}]", "netpoll", "rival", "", "ratio", "bound", "").rstrip())


def print_row(row: Row) -> None:
    print(LAYOUT.format(*row.cells).rstrip(), flush=True)
