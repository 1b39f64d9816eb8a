"""docs/benchmarks.md, and docs/benchmarks/tables.md behind it: no figure that was not measured."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import build, results, table
from .harness import Outcome
from .model import Table
from .workloads import GROUPS, contestants

DOCS = build.ROOT / "docs"
PLOTS = DOCS / "benchmarks"
LEFT = build.HERE / "left.md"
PROFILE = build.BUILD / "profile.txt"

MADE = "<!-- Made by `make bench`; edit benchmarks/ instead. -->"

PLOTTED = """![Round trips of a byte, by the number of pairs](benchmarks/ping_pong.svg)

![Round trips alone, and beside a thread that computes](benchmarks/beside.svg)
"""

HOW = """## How it was measured

`make bench` runs netpoll and its rivals in turns, in one run, and writes these pages; a table that
is run again by itself takes its place here. In every round each subject of a table runs once, in a
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
    "sync": "Locks and queues",
    "copies": "The GIL around a copy",
    "schemes": "How a thread could wait",
    "registration": "Opening, closing, asking",
    "selector": "Selectors",
    "core": "The core without Python",
}

PLOTS_OF = {
    "ping_pong": ("ping_pong", "ping_pong_tcp"),
    "beside": ("beside",),
    "echo": ("echo",),
    "deadlines": ("deadlines",),
    "idle": ("idle",),
}


def write(facts: list[str]) -> bool:
    """Write the pages and their plots; False: there is not a result of every table."""
    kept = {each.name: results.load(each, facts) for tables in GROUPS.values() for each in tables}
    if missing := [name for name, outcome in kept.items() if outcome is None]:
        some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        print(f"docs/benchmarks.md is not written: no result yet of {len(missing)} tables: {some}")
        return False
    there = {name: result for name, result in kept.items() if result is not None}
    outcomes = {name: result.outcome for name, result in there.items()}
    draw(outcomes)
    whose, strays = commits(there)
    judged = [verdict for outcome in outcomes.values() for verdict in table.verdicts(outcome)]
    first = [f"# Benchmarks\n\n{MADE}\n", in_short(outcomes, judged), PLOTTED, promises(judged)]
    first.append(HOW + "\n".join(f"- {fact}" for fact in [*facts, whose]))
    save(DOCS / "benchmarks.md", first)
    rest = [f"# All tables\n\n{MADE}\n", "[How they were measured](../benchmarks.md).\n"]
    rest += [group(name, tables, outcomes, strays) for name, tables in GROUPS.items()]
    save(PLOTS / "tables.md", [*rest, bounds(judged), what_is_left()])
    print("docs/benchmarks.md and docs/benchmarks/tables.md are written.")
    return True


def save(path: Path, parts: Sequence[str]) -> None:
    path.write_text("\n".join(parts).rstrip() + "\n")


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
        plot(outcomes, PLOTS / f"{name}.svg")


def markdown_row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def in_short(outcomes: Mapping[str, Outcome], judged: Sequence[table.Verdict]) -> str:
    """Three sentences."""
    trip = values_of(outcomes["ping-pong-unix-100"], "time")
    kept = values_of(outcomes["beside-ping-pong-unix-100"], "kept")
    rivals = ", ".join(
        f"{who} {table.seconds(trip[label])}"
        for who, label in (
            ("gevent", contestants.GEVENT),
            ("asyncio", contestants.ASYNCIO),
            ("uvloop", contestants.UVLOOP),
            ("Go on one core", contestants.GO_1),
            ("C that makes the same system calls", contestants.FLOOR),
        )
        if label in trip
    )
    met = sum(verdict.holds for verdict in judged)
    lines = [
        f"A byte bounced between two greenlets, in a hub with 100 such pairs, takes netpoll "
        f"{table.seconds(trip[contestants.OURS])} for a round trip ({rivals}).",
        f"Beside a thread that computes, netpoll keeps {table.percent(kept[contestants.OURS])} of "
        f"that speed, and gevent {table.percent(kept[contestants.GEVENT])}, as netpoll releases "
        "the GIL only where a call may block.",
        f"Of the {len(judged)} bounds that it is held to, this run met {met}; "
        "[what is left](benchmarks/tables.md#what-is-left) says why not the others.",
    ]
    return "\n".join(lines) + "\n"


def values_of(outcome: Outcome, metric: str) -> dict[str, float]:
    return {
        line.label: line.values[metric] for line in table.lines(outcome) if line.failure is None
    }


def promises(judged: Sequence[table.Verdict]) -> str:
    """A row a promise, with the worst of its cases."""
    cases: dict[str, list[table.Verdict]] = {}
    for verdict in judged:
        cases.setdefault(verdict.bound.promise or verdict.bound.says, []).append(verdict)
    rows = ["## What is promised", "", "| | met | worst case |", "| --- | --- | --- |"]
    for promise, verdicts in cases.items():
        met = sum(verdict.holds for verdict in verdicts)
        how = f"{met} of {len(verdicts)}" if len(verdicts) > 1 else "yes" if met else "**no**"
        rows.append(markdown_row([promise, how, str(min(verdicts, key=table.Verdict.margin))]))
    rows += ["", "Behind it: [all tables, and every bound](benchmarks/tables.md)."]
    return "\n".join(rows) + "\n"


def bounds(judged: Sequence[table.Verdict]) -> str:
    rows = ["## Every bound", "", "| bound | measured | |", "| --- | --- | --- |"]
    rows += [
        markdown_row([each.bound.says, each.measured(), "ok" if each.holds else "**missed**"])
        for each in judged
    ]
    return "\n".join(rows) + "\n"


def group(
    name: str,
    tables: Sequence[Table],
    outcomes: Mapping[str, Outcome],
    strays: Mapping[str, str],
) -> str:
    parts = [f"## {ABOUT[name]}", ""]
    for plot in PLOTS_OF.get(name, ()):
        parts += [f"![{ABOUT[name]}]({plot}.svg)", ""]
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
