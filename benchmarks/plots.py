"""The plots of docs/benchmarks.md, by matplotlib."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

from . import table
from .harness import Outcome

mpl.use("svg")
mpl.rcParams |= {
    "svg.hashsalt": "netpoll",  # the same figures make the same file
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}

from matplotlib import pyplot  # noqa: E402

OURS = "#c0392b"
RIVALS = "#7f8c8d"
COLOURS = {
    "netpoll": OURS,
    "gevent": "#27ae60",
    "asyncio, protocol": "#8e44ad",
    "uvloop, protocol": "#e84393",
    "trio": "#e67e22",
    "eventlet": "#16a085",
    "Go, GOMAXPROCS=1": "#2980b9",
    "Go": "#5dade2",
    "C on epoll": "#2c3e50",
}

Outcomes = Mapping[str, Outcome]


def save(figure: Any, target: Path) -> None:
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(figure)
    text = target.read_text()
    target.write_text(re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE))


def bars(
    axes: Any, outcome: Outcome, metric: str, show: Callable[[float], str], log: bool = False
) -> None:
    """A bar a row, the first row (ours) on top."""
    rows = [line for line in table.lines(outcome) if line.failure is None][::-1]
    values = [line.values[metric] for line in rows]
    ours = outcome.table.rows[0].label
    colours = [
        OURS if line.label.startswith("netpoll") or line.label == ours else RIVALS for line in rows
    ]
    drawn = axes.barh([line.label for line in rows], values, color=colours)
    axes.bar_label(drawn, [f" {show(value)}" for value in values], fontsize=8)
    if log:
        axes.set_xscale("log")
    axes.set_xticks([])
    axes.minorticks_off()
    axes.spines["bottom"].set_visible(False)
    axes.margins(x=0.25)


def ping_pong(outcomes: Outcomes, target: Path) -> None:
    figure, panels = pyplot.subplots(1, 2, figsize=(11, 5), sharey=True)
    for axes, kind, title in zip(panels, ("unix", "tcp"), ("socketpair", "TCP"), strict=True):
        series: dict[str, list[tuple[int, float]]] = {}
        for name, outcome in outcomes.items():
            if name.startswith(f"ping-pong-{kind}-"):
                pairs = int(name.rpartition("-")[2])
                for line in table.lines(outcome):
                    if line.failure is None:
                        series.setdefault(line.label, []).append((pairs, 1e6 * line.values["time"]))
        for label, colour in COLOURS.items():
            points = sorted(series.get(label, []))
            width = 2.5 if label == "netpoll" else 1.2
            axes.plot(
                *zip(*points, strict=True), "o-", label=label, color=colour, linewidth=width, ms=3
            )
        axes.set(xscale="log", yscale="log", title=title, xlabel="pairs")
        ticks = [1, 3, 10, 30, 100]
        axes.set_yticks(ticks, [str(tick) for tick in ticks])
    panels[0].set_ylabel("microseconds a round trip")
    panels[1].legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    save(figure, target)


def beside(outcomes: Outcomes, target: Path) -> None:
    figure, axes = pyplot.subplots(figsize=(8, 3.6))
    bars(axes, outcomes["beside-ping-pong-unix-100"], "kept", table.percent, log=True)
    axes.set_title("speed kept beside one CPU-bound Python thread, 100 pairs (logarithmic)")
    save(figure, target)


def echo(outcomes: Outcomes, target: Path) -> None:
    figure, panels = pyplot.subplots(2, 3, figsize=(13, 7.5), sharey=True)
    for (top, bottom), size in zip(panels.T, ("64", "4096", "65536"), strict=True):
        outcome = outcomes[f"echo-{size}"]
        bars(top, outcome, "rate", table.rate)
        top.set_title(f"{outcome.table.title}:\nmessages a second at peak")
        bars(bottom, outcome, "half p99", table.seconds, log=True)
        bottom.set_title("p99 at half the peak (logarithmic)")
    save(figure, target)


def deadlines(outcomes: Outcomes, target: Path) -> None:
    figure, axes = pyplot.subplots(figsize=(8, 4))
    bars(axes, outcomes["deadlines-move"], "time", table.seconds, log=True)
    axes.set_title("a deadline moved forward (logarithmic)")
    save(figure, target)


def memory(outcomes: Outcomes, target: Path) -> None:
    figure, panels = pyplot.subplots(1, 2, figsize=(12, 3.6))
    for axes, name in zip(panels, ("memory-connection", "memory-parked"), strict=True):
        outcome = outcomes[name]
        bars(axes, outcome, "bytes", table.size)
        axes.set_title(f"bytes: {outcome.table.title.removeprefix('memory of ')}", fontsize=8)
    save(figure, target)


PLOTS: dict[str, Callable[[Outcomes, Path], None]] = {
    "ping_pong": ping_pong,
    "beside": beside,
    "echo": echo,
    "deadlines": deadlines,
    "idle": memory,
}
