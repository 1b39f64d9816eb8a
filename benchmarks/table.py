"""What the rounds of a table say, as text: for the terminal and, the same, for the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from .harness import Outcome
from .model import Bound, Column, Ratio, Table, ratios_of


def seconds(value: float) -> str:
    if value < 1e-6:
        return f"{value * 1e9:.0f} ns"
    if value < 1e-3:
        return f"{value * 1e6:.2f} us"
    if value < 1:
        return f"{value * 1e3:.2f} ms"
    return f"{value:.2f} s"


def rate(value: float) -> str:
    return f"{value:,.0f}/s"


def percent(value: float) -> str:
    return f"{100 * value:.1f}%" if value < 0.1 else f"{100 * value:.0f}%"


def size(value: float) -> str:
    return f"{value:,.0f}"


def times(value: float) -> str:
    return f"{value:.2f}x"


@dataclass(frozen=True)
class Line:
    """One row. `values` are medians; `ratio`: how many times better we are, in the first column."""

    label: str
    values: dict[str, float]
    ratio: float | None
    low: float
    high: float
    failure: str | None

    def cells(self, columns: tuple[Column, ...]) -> list[str]:
        if self.failure is not None:
            return [self.label, f"FAILED: {self.failure}"]
        shown = [
            column.show(value) if (value := self.values[column.metric]) == value else ""
            for column in columns
        ]
        ratio = (
            "" if self.ratio is None else f"{times(self.ratio)} ({self.low:.2f}-{self.high:.2f})"
        )
        return [self.label, shown[0], ratio, *shown[1:]]


def headings(table: Table) -> list[str]:
    ratios = table.ratios or f"{table.rows[0].label} is better by"
    first, *others = (column.heading for column in table.columns)
    return ["", first, ratios, *others]


def lines(outcome: Outcome) -> Iterator[Line]:
    table = outcome.table
    ours = table.rows[0].label
    for row in table.rows:
        done = [run for run in outcome.runs[row.label] if run is not None]
        failure = outcome.failures.get(row.label)
        values: dict[str, float] = {}
        if done and failure is None:
            values = {
                column.metric: median(run.get(column.metric, float("nan")) for run in done)
                for column in table.columns
            }
        ratios = ratios_of(outcome.runs, ours, row.label, table.columns[0]) if values else []
        ratio = median(ratios) if ratios and row.label != ours else None
        low, high = (min(ratios), max(ratios)) if ratios else (0.0, 0.0)
        yield Line(row.label, values, ratio, low, high, failure)


@dataclass(frozen=True)
class Verdict:
    bound: Bound
    value: float | None  # None: nothing to judge, as a row failed
    show: Callable[[float], str]

    @property
    def holds(self) -> bool:
        return self.value is not None and self.bound.holds(self.value)

    def measured(self) -> str:
        return "no value" if self.value is None else self.show(self.value)

    def margin(self) -> float:
        """By what factor the bound holds: below 1, it does not."""
        if self.value is None:
            return 0.0
        return (
            self.value / self.bound.limit
            if self.bound.kind == "at least"
            else self.bound.limit / self.value
        )

    def __str__(self) -> str:
        return f"{self.measured()} ({self.bound.kind} {self.show(self.bound.limit)})"


def verdicts(outcome: Outcome) -> list[Verdict]:
    columns = {column.metric: column for column in outcome.table.columns}
    return [
        Verdict(
            bound,
            bound.value(outcome.runs, columns),
            times if isinstance(bound, Ratio) else columns[bound.metric].show,
        )
        for bound in outcome.table.bounds
    ]


def report(verdict: Verdict) -> str:
    """A line for the terminal."""
    return f"{'ok    ' if verdict.holds else 'MISSED'}  {verdict.bound.says}: {verdict}"


def as_text(outcome: Outcome) -> str:
    """The table as the terminal shows it."""
    table = outcome.table
    rows = [headings(table)]
    rows += [line.cells(table.columns) for line in lines(outcome)]
    whole = [row for row in rows if len(row) == len(rows[0])]
    widths = [max(len(row[number]) for row in whole) for number in range(len(rows[0]))]
    widths[0] = max(len(row[0]) for row in rows)
    text = [f"[{table.name}] {table.title} ({outcome.rounds} rounds)"]
    for row in rows:
        cells = [f"{row[0]:<{widths[0]}}"]
        cells += [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=False)]
        text.append("  " + "  ".join(cells).rstrip())
    if table.note:
        text.append(f"  {table.note}")
    text += [f"  {report(verdict)}" for verdict in verdicts(outcome)]
    return "\n".join(text) + "\n"
