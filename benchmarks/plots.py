"""The plots of docs/benchmarks.md and docs/benchmarks/tables.md, by matplotlib.

Lengths begin at zero; where an axis is logarithmic, dots stand for values. The colours are names
that a style sheet inside each file defines twice, for light and for dark surroundings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl

from . import table
from .harness import Outcome

mpl.use("svg")


class Colour(NamedTuple):
    """In the file it is `var(--name)`; matplotlib knows it by its value in light surroundings."""

    light: str
    dark: str


PALETTE = {
    "ink": Colour("#1f2328", "#dfe3e8"),
    "paper": Colour("#fffffe", "#131416"),
    "line": Colour("#d5d9de", "#3b3f45"),
    "ours": Colour("#d55e00", "#ff8a3d"),
    "rival": Colour("#7b8794", "#8b97a5"),
    "green": Colour("#009e73", "#35d0a3"),
    "pink": Colour("#cc79a7", "#f3a6cf"),
    "violet": Colour("#7b3294", "#bb92f0"),
    "yellow": Colour("#c98a00", "#ffc850"),
    "brown": Colour("#8c5a3c", "#cf9f80"),
    "blue": Colour("#0072b2", "#5aaeff"),
    "sky": Colour("#56b4e9", "#a5dcff"),
}
INK, PAPER, LINE, OURS, RIVAL, GREEN, PINK, VIOLET, YELLOW, BROWN, BLUE, SKY = (
    colour.light for colour in PALETTE.values()
)

mpl.rcParams |= {
    "svg.hashsalt": "netpoll",  # the same figures make the same file
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
}

from matplotlib import pyplot  # noqa: E402

WIDTH = 5.4  # inches: legible on a telephone, too


class Style(NamedTuple):
    colour: str
    marker: str


STYLES = {
    "netpoll": Style(OURS, "o"),
    "gevent": Style(GREEN, "s"),
    "asyncio, protocol": Style(PINK, "v"),
    "uvloop, protocol": Style(VIOLET, "^"),
    "trio": Style(YELLOW, "D"),
    "eventlet": Style(BROWN, "P"),
    "Go, GOMAXPROCS=1": Style(BLUE, "X"),
    "Go": Style(SKY, "d"),
    "C on epoll": Style(INK, "*"),
}
GAP = 0.066  # between two labels, as a part of the height of their axes

Outcomes = Mapping[str, Outcome]


def style_sheet() -> str:
    light, dark = (
        " ".join(f"--{name}: {colour[way]};" for name, colour in PALETTE.items()) for way in (0, 1)
    )
    return f":root {{ {light} }} @media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"


def save(figure: Any, target: Path) -> None:
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(figure)
    text = re.sub(r"[ \t]+$", "", target.read_text(), flags=re.MULTILINE)
    for name, colour in PALETTE.items():
        text = text.replace(colour.light, f"var(--{name})")
    target.write_text(text.replace("</style>", f"\n{style_sheet()}</style>", 1))


def successes(outcome: Outcome) -> list[table.Line]:
    return [line for line in table.lines(outcome) if line.failure is None]


def colour_of(line: table.Line, outcome: Outcome) -> str:
    ours = line.label.startswith("netpoll") or line.label == outcome.table.rows[0].label
    return OURS if ours else RIVAL


def without_a_scale(axes: Any) -> None:
    """Every value stands beside its bar or dot."""
    axes.set_xticks([])
    axes.minorticks_off()
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def bars(axes: Any, outcome: Outcome, metric: str, show: Callable[[float], str]) -> None:
    """A bar a row, from zero, the first row (ours) on top."""
    rows = successes(outcome)[::-1]
    values = [line.values[metric] for line in rows]
    colours = [colour_of(line, outcome) for line in rows]
    drawn = axes.barh([line.label for line in rows], values, color=colours)
    axes.bar_label(drawn, [show(value) for value in values], fontsize=9, padding=4)
    without_a_scale(axes)
    axes.margins(x=0.25)


def dots(axes: Any, outcome: Outcome, metric: str, show: Callable[[float], str]) -> None:
    """A dot a row on a logarithmic axis, the first row (ours) on top."""
    rows = successes(outcome)[::-1]
    for place, line in enumerate(rows):
        value = line.values[metric]
        axes.axhline(place, color=LINE, linewidth=0.6, zorder=0)
        axes.plot([value], [place], "o", color=colour_of(line, outcome))
        note(axes, value, place, show(value))
    axes.set_yticks(range(len(rows)), [line.label for line in rows])
    axes.set_xscale("log")
    without_a_scale(axes)
    axes.margins(x=0.25)


def note(axes: Any, value: float, place: float, text: str, *, left: bool = False) -> None:
    """What a dot stands for, beside it."""
    axes.annotate(
        text,
        (value, place),
        xytext=(-7 if left else 7, 0),
        textcoords="offset points",
        va="center",
        ha="right" if left else "left",
        fontsize=9,
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1},
    )


def spread(wanted: Iterable[float], gap: float) -> list[float]:
    """Places as near as can be to the wanted ones, which ascend, and no two nearer than `gap`."""
    groups: list[list[float]] = []  # of neighbours that touch: their wanted places
    for place in wanted:
        groups.append([place])
        while len(groups) > 1 and top(groups[-2], gap) + gap > bottom(groups[-1], gap):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [bottom(group, gap) + gap * number for group in groups for number in range(len(group))]


def bottom(group: list[float], gap: float) -> float:
    return sum(group) / len(group) - gap * (len(group) - 1) / 2


def top(group: list[float], gap: float) -> float:
    return bottom(group, gap) + gap * (len(group) - 1)


def name_at_the_end(axes: Any, ends: dict[str, tuple[float, float]]) -> None:
    """Each line's name to the right of its last point, in its colour, and none upon another."""
    low, high = (math.log(limit) for limit in axes.get_ylim())
    order = sorted(ends, key=lambda label: ends[label][1])
    heights = [(math.log(ends[label][1]) - low) / (high - low) for label in order]
    for label, height in zip(order, spread(heights, GAP), strict=True):
        axes.annotate(
            label,
            ends[label],
            xytext=(1.06, height),
            textcoords="axes fraction",
            va="center",
            color=STYLES[label].colour,
            fontweight="bold" if label == "netpoll" else "normal",
            arrowprops={"arrowstyle": "-", "color": LINE, "shrinkA": 0, "shrinkB": 4},
        )


def trips(outcomes: Outcomes, kind: str) -> dict[str, list[tuple[int, float]]]:
    """Of each contestant, microseconds a round trip by the number of pairs."""
    series: dict[str, list[tuple[int, float]]] = {}
    for name, outcome in outcomes.items():
        if name.startswith(f"ping-pong-{kind}-"):
            pairs = int(name.rpartition("-")[2])
            for line in successes(outcome):
                series.setdefault(line.label, []).append((pairs, 1e6 * line.values["time"]))
    return {label: sorted(series[label]) for label in STYLES if label in series}


def ping_pong(outcomes: Outcomes, target: Path, kind: str = "unix") -> None:
    figure, axes = pyplot.subplots(figsize=(WIDTH, 3.7))
    series = trips(outcomes, kind)
    for label, points in series.items():
        style = STYLES[label]
        width = 2.6 if label == "netpoll" else 1.2
        axes.plot(
            *zip(*points, strict=True),
            color=style.colour,
            marker=style.marker,
            linewidth=width,
            markersize=5,
            zorder=3 if label == "netpoll" else 2,
        )
    place = {"unix": "socketpairs", "tcp": "TCP"}[kind]
    axes.set(xscale="log", yscale="log", xlabel=f"pairs, on {place}")
    axes.set_ylabel("microseconds a round trip")
    axes.set_title("A byte bounced between two: lower is better", loc="left")
    most = max(pairs for points in series.values() for pairs, _ in points)
    counts = [1, 100, 1000, most]
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    values = [value for points in series.values() for _, value in points]
    ticks = [
        tick for tick in (1, 2, 5, 10, 20, 50, 100, 200) if min(values) / 2 < tick < 2 * max(values)
    ]
    axes.set_yticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    name_at_the_end(axes, {label: points[-1] for label, points in series.items()})
    save(figure, target)


def ping_pong_tcp(outcomes: Outcomes, target: Path) -> None:
    ping_pong(outcomes, target, "tcp")


def beside(outcomes: Outcomes, target: Path) -> None:
    """Two dots a row: alone, and beside a thread that computes."""
    outcome = outcomes["beside-ping-pong-unix-100"]
    rows = successes(outcome)[::-1]
    figure, axes = pyplot.subplots(figsize=(WIDTH, 3.7))
    for place, line in enumerate(rows):
        alone, slowed = line.values["time"], line.values["beside time"]
        colour = colour_of(line, outcome)
        axes.plot([alone, slowed], [place, place], color=colour, linewidth=1.2, zorder=1)
        axes.plot([alone], [place], "o", color=colour, markerfacecolor=PAPER)
        axes.plot([slowed], [place], "o", color=colour)
        note(axes, alone, place, table.seconds(alone), left=True)
        note(axes, slowed, place, table.seconds(slowed))
    axes.set_yticks(range(len(rows)), [line.label for line in rows])
    axes.set_xscale("log")
    without_a_scale(axes)
    axes.margins(x=0.3)
    axes.set_title(
        "A round trip, 100 pairs: \u25cb alone, \u25cf beside a thread that computes\n"
        "(logarithmic; lower, to the left, is better)",
        loc="left",
    )
    save(figure, target)


def echo(outcomes: Outcomes, target: Path) -> None:
    sizes = ("64", "4096", "65536")
    figure, panels = pyplot.subplots(len(sizes), 2, figsize=(WIDTH + 1, 10), sharey=True)
    for (left, right), size in zip(panels, sizes, strict=True):
        outcome = outcomes[f"echo-{size}"]
        bars(left, outcome, "rate", table.rate)
        left.set_title(f"{outcome.table.title.split(', ')[1]}: messages at peak,\nhigher is better")
        dots(right, outcome, "half p99", table.seconds)
        right.set_title("p99 at half the peak (logarithmic),\nlower is better")
    save(figure, target)


def deadlines(outcomes: Outcomes, target: Path) -> None:
    figure, axes = pyplot.subplots(figsize=(WIDTH, 4))
    dots(axes, outcomes["deadlines-move"], "time", table.seconds)
    axes.set_title("a deadline moved forward (logarithmic), lower is better")
    save(figure, target)


def memory(outcomes: Outcomes, target: Path) -> None:
    figure, panels = pyplot.subplots(2, 1, figsize=(WIDTH, 5))
    for axes, name in zip(panels, ("memory-connection", "memory-parked"), strict=True):
        outcome = outcomes[name]
        bars(axes, outcome, "bytes", table.size)
        axes.set_title(f"bytes: {outcome.table.title.removeprefix('memory of ')},\nlower is better")
    save(figure, target)


PLOTS: dict[str, Callable[[Outcomes, Path], None]] = {
    "ping_pong": ping_pong,
    "ping_pong_tcp": ping_pong_tcp,
    "beside": beside,
    "echo": echo,
    "deadlines": deadlines,
    "idle": memory,
}
