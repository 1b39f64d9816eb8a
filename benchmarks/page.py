"""docs/benchmarks.md, written of the latest results: no figure that was not printed."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import build, results, table
from .harness import Outcome
from .model import Table
from .workloads import GROUPS

DOCS = build.ROOT / "docs"
PLOTS = DOCS / "benchmarks"
LEFT = build.HERE / "left.md"
PROFILE = build.BUILD / "profile.txt"

HEAD = """# Benchmarks

<!-- Made by `make bench`; edit benchmarks/ instead. -->

`make bench` runs netpoll and its rivals in turns, in one run, and writes this page; a table that is
run again by itself takes its place here. In every round each subject of a table runs once, in a
process of its own, and the order changes from round to round. A subject repeats its work until it
takes long enough to be measured, and checks that it did what was asked: every byte bounced is
counted, every echo compared. Figures are medians of the rounds.
"netpoll is better by" is the median of the rounds' ratios, with the smallest and the largest in
brackets: above 1, netpoll is the better. What fails is shown as failed.

Everything of one thread is tied to one core, Go excepted, as its runtime has threads of its own;
the loads of servers run on the other core. Garbage is collected before each measurement and not
meanwhile, except in the servers. `benchmarks/` has the code, a file a rival.

Taken on:

"""

ABOUT = {
    "ping_pong": "Ping-pong",
    "beside": "Beside a thread that computes",
    "echo": "An echo server",
    "churn": "Connections that come and go",
    "deadlines": "Deadlines",
    "idle": "Idle descriptors, and memory",
    "threads": "Threads",
    "turns": "A turn of the hub",
    "copies": "The GIL around a copy",
    "schemes": "How a thread could wait",
    "registration": "Opening, closing, asking",
    "selector": "Selectors",
    "core": "The core without Python",
}


def write(facts: list[str]) -> bool:
    """Write the page and its plots; False: there is not a result of every table."""
    kept = {each.name: results.load(each, facts) for tables in GROUPS.values() for each in tables}
    if missing := [name for name, outcome in kept.items() if outcome is None]:
        some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        print(f"docs/benchmarks.md is not written: no result yet of {len(missing)} tables: {some}")
        return False
    there = {name: result for name, result in kept.items() if result is not None}
    outcomes = {name: result.outcome for name, result in there.items()}
    draw(outcomes)
    whose, strays = commits(there)
    parts = [HEAD + "\n".join(f"- {fact}" for fact in [*facts, whose]) + "\n", summary(outcomes)]
    parts += [group(name, tables, outcomes, strays) for name, tables in GROUPS.items()]
    parts.append(what_is_left())
    (DOCS / "benchmarks.md").write_text("\n".join(parts).rstrip() + "\n")
    print("docs/benchmarks.md is written.")
    return True


def commits(kept: Mapping[str, results.Kept]) -> tuple[str, dict[str, str]]:
    """Of which commit the tables are, in words, and those of other commits than the newest."""
    newest = max(kept.values(), key=lambda result: result.taken).commit
    strays = {name: result.commit for name, result in kept.items() if result.commit != newest}
    if not strays:
        return f"all tables of commit {newest}", strays
    return f"tables of commit {newest}, and of others where they say so", strays


def draw(outcomes: Mapping[str, Outcome]) -> None:
    plots = importlib.import_module("benchmarks.plots").PLOTS
    PLOTS.mkdir(exist_ok=True)
    for name, plot in plots.items():
        plot(outcomes, plot_of(name))


def plot_of(name: str) -> Path:
    return PLOTS / f"{name}.svg"


def markdown_row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def summary(outcomes: Mapping[str, Outcome]) -> str:
    rows = ["## The bounds", "", "| bound | measured | |", "| --- | --- | --- |"]
    for outcome in outcomes.values():
        for verdict in table.verdicts(outcome):
            value = "no value" if verdict.value is None else f"{verdict.value:,.2f}"
            rows.append(
                markdown_row([verdict.bound.says, value, "ok" if verdict.holds else "**missed**"])
            )
    return "\n".join(rows) + "\n"


def group(
    name: str,
    tables: Sequence[Table],
    outcomes: Mapping[str, Outcome],
    strays: Mapping[str, str],
) -> str:
    parts = [f"## {ABOUT[name]}", ""]
    if plot_of(name).exists():
        parts += [f"![{ABOUT[name]}](benchmarks/{name}.svg)", ""]
    parts += [one_table(outcomes[each.name], strays.get(each.name)) for each in tables]
    return "\n".join(parts)


def one_table(outcome: Outcome, stray: str | None) -> str:
    """`stray`: it is of that commit, and not of the newest."""
    each = outcome.table
    heads = table.headings(each)
    facts = f"`{each.name}`, {outcome.rounds} rounds" + (f", of commit {stray}" if stray else "")
    rows = [f"**{each.title[0].upper()}{each.title[1:]}** ({facts})", ""]
    rows += [markdown_row(heads), markdown_row(["---"] + ["---:"] * (len(heads) - 1))]
    rows += [markdown_row(line.cells(each.columns)) for line in table.lines(outcome)]
    if each.note:
        rows += ["", each.note]
    return "\n".join(rows) + "\n"


def what_is_left() -> str:
    """In words, with the profile that `make profile` printed."""
    text = LEFT.read_text() if LEFT.exists() else ""
    if PROFILE.exists():
        text += "\n```\n" + PROFILE.read_text().rstrip() + "\n```\n"
    else:
        text += "\n(It was not run: it needs perf and strace.)\n"
    return text
