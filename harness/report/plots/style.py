"""The look that all figures share: colours, markers, axes with units, labels at the lines.

Figures are small (one panel each, WIDTH units wide) so that a page lays them out by its own
width, and they are drawn in stand-in colours that `svg.py` turns into the page's own, so that
they follow a light or a dark page.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from harness.record import OK
from harness.report.frame import results
from harness.report.words import count, shorten

WIDTH, HEIGHT = 380, 230  # points; one is about a pixel on the page
MAX_SERIES = 8  # lines in one panel

# Stand-ins: `svg.py` makes CSS variables of them.
INK, MUTED, GRID, PAPER = "#010101", "#606060", "#c0c0c0", "#fefefe"
# Hues of Okabe and Ito's colours that the colour-blind can tell apart ("Color Universal Design",
# 2008); style.css has a darker and a lighter tone of each. The first is the text's own colour.
SERIES = (INK, "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
_SIZES = {"D": 4.2, "o": 5.2, "s": 4.8}

_RC: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: smaller, searchable, in the page's font
    "svg.hashsalt": "flopwise",
    "text.parse_math": False,  # labels come from rows: a dollar sign is a dollar sign
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same layout everywhere
    "font.size": 10.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "figure.facecolor": "none",
    "figure.dpi": 72,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.bottom": False,  # the grid's lines show where a tick is
    "ytick.left": False,
    "lines.linewidth": 1.6,
}

DEVICES = {"cpu": 1, "cuda": 2}  # looks, where lines are devices
MODES = ("warm", "cold", "graph", "host")

_DRAWN = [
    *("kind", "subject", "case", "direction", "dtype", "batch", "mode"),
    *("provider", "baseline", "device", "device_name", "status", "reason", "n", "samples"),
    *("median_s", "median_low_s", "median_high_s", "throttled"),
    *("speedup", "speedup_low", "speedup_high", "speedup_reason", "noise_floor", "verdict"),
    *("flops", "bytes", "roof_share", "roof_bound", "trust", "trust_reasons"),
    *("correctness_error", "correctness_bound", "energy_j", "energy_net_j", "energy_net_j_reason"),
    *("energy_j_reason", "energy_method", "correctness_error_reason"),
]

_LABEL_GAP = 12.5  # points between two labels
_CHARACTER = 5.9  # points, about, of one


class Part(NamedTuple):
    """One figure to be: the heading it stands under, its title, its rows."""

    group: str
    title: str
    frame: pd.DataFrame


class End(NamedTuple):
    """The right end of a line and what to write there."""

    x: float
    y: float
    text: str
    color: str


@contextmanager
def applied() -> Iterator[None]:
    """Draw in this style, whatever the user's matplotlibrc says."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        # the browser has the glyph that the layout's font lacks
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def looks(table: pd.DataFrame) -> pd.DataFrame:
    """What is drawn of `table`, with a column `look`: a number for each provider, baselines first.

    Given to all rows of a run, it makes a provider look the same in all figures.
    """
    table = results(table)
    names = dict.fromkeys([*table["baseline"], *table["provider"]])
    order = {name: number for number, name in enumerate(names)}
    return table[_DRAWN].assign(look=table["provider"].map(order))


def by(table: pd.DataFrame, columns: list[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    """The table split by columns, the first of which is `mode`: known modes first, as in MODES."""
    groups: list[tuple[Any, pd.DataFrame]] = list(table.groupby(columns, sort=False))
    order = {mode: number for number, mode in enumerate(MODES)}
    yield from sorted(groups, key=lambda group: order.get(group[0][0], len(order)))


def series(part: pd.DataFrame) -> tuple[list[tuple[str, pd.DataFrame]], int]:
    """The lines of a panel, named, each rising in batch size, and how many are left out."""
    keys = ["provider", "device", "dtype"]
    shared = {column for column in keys[1:] if part[column].nunique() == 1}
    found = []
    for _, rows in part.groupby(keys, sort=False):
        rows = rows.drop_duplicates("batch", keep="last").sort_values("batch")
        provider, device, dtype = (
            "" if column in shared else str(rows[column].iloc[0]) for column in keys
        )
        found.append((series_name(provider, device, dtype), rows))
    return found[:MAX_SERIES], max(0, len(found) - MAX_SERIES)


def left_out(number: int, what: str, where: str = "table of all rows") -> list[str]:
    """What a caption says of what its figure has no room for; nothing where there is room."""
    return [f"{count(number, f'more {what}')} only in the {where}."] if number > 0 else []


def without_a_time(part: pd.DataFrame, what: str) -> list[str]:
    """What a caption says of the part's rows that have no dot, or point, in the figure."""
    states = part.loc[part["status"] != OK, "status"].value_counts()
    told = ", ".join(f"{number} {state}" for state, number in states.items())
    return [f"No {what} for {count(int(states.sum()), 'row')}: {told}."] if told else []


def panel(right: float = 20.0, high: float = HEIGHT - 66.0) -> tuple[Figure, Axes]:
    """A figure with axes `high` points high and `right` points beside them for labels."""
    left, bottom, top = 56.0, 42.0, 24.0
    height = high + bottom + top
    figure = Figure(figsize=(WIDTH / 72, height / 72))
    box = (left / WIDTH, bottom / height)
    return figure, figure.add_axes((*box, (WIDTH - left - right) / WIDTH, high / height))


def room_for(texts: Sequence[str]) -> float:
    """Points that the longest of the labels at the lines' ends needs."""
    return 22 + _CHARACTER * max(map(len, texts), default=0)


def line(axes: Axes, rows: pd.DataFrame, value: str, look: int, dashed: bool) -> str:
    """One series against batch size, from low to high as whiskers; returns its colour.

    Where `rows` have a column `doubt`, the points with one are hollow.
    """
    color = color_of(look)
    axes.vlines(rows["batch"], rows["low"], rows["high"], color=color, linewidth=1.2)
    how = of(look) | {"linestyle": (0, (4, 2)) if dashed else "-"}
    axes.plot(rows["batch"], rows[value], **how)
    if "doubt" in rows:
        hollow(axes, rows.loc[rows["doubt"] != "", ["batch", value]].to_numpy(), look)
    return color


def hollow(axes: Axes, points: NDArray[np.float64], look: int) -> None:
    """Open what was drawn at these points, [n, 2]: no verdict may stand on them."""
    if len(points):
        how = of(look) | {"linestyle": "none", "markerfacecolor": PAPER}
        axes.plot(points[:, 0], points[:, 1], **how)


def tally_doubts(doubts: pd.Series) -> str:
    """e.g. "2 disturbed, 1 without an interval"; "" where there are none."""
    some = doubts[doubts != ""].value_counts()
    return ", ".join(f"{number} {why}" for why, number in some.items())


def color_of(look: int) -> str:
    """The stand-in colour of a series."""
    return SERIES[look % len(SERIES)]


def marker_of(look: int) -> str:
    """The marker of a series; there is one more than there are colours, so pairs are rare."""
    return MARKERS[look % len(MARKERS)]


def of(look: int) -> dict[str, Any]:
    """The colour, marker and dash of a series, for matplotlib: no two of the first 42 are alike."""
    marker = marker_of(look)
    return {
        "color": color_of(look),
        "marker": marker,
        "markersize": _SIZES.get(marker, 5.4),
        "linestyle": DASHES[look // len(SERIES) % len(DASHES)],
    }


def axis_titles(axes: Axes, x: str, y: str) -> None:
    """What the axes show: y's above it and not turned, so that it reads at once."""
    axes.set_xlabel(x, labelpad=4)
    width, height = points(axes)
    axes.text(-48 / width, 1 + 10 / height, y, transform=axes.transAxes, color=MUTED)


def end_labels(axes: Axes, ends: Sequence[End]) -> None:
    """The series' names at the right of the axes, moved apart where lines end close together."""
    (x_low, x_high), (y_low, y_high) = axes.get_xlim(), axes.get_ylim()
    width, height = points(axes)
    order = sorted(ends, key=lambda end: end.y)
    places = spread(
        [height * math.log(end.y / y_low) / math.log(y_high / y_low) for end in order],
        _LABEL_GAP,
        (4.0, height),
    )
    for end, place in zip(order, places, strict=True):
        across = math.log(end.x / x_low) / math.log(x_high / x_low)
        up = math.log(end.y / y_low) / math.log(y_high / y_low)
        axes.plot(
            [across + 6 / width, 1 + 5 / width],
            [up, place / height],
            transform=axes.transAxes,
            color=end.color,
            linewidth=0.8,
            linestyle=(0, (1, 2)),
            clip_on=False,
        )
        axes.text(
            1 + 8 / width,
            place / height,
            end.text,
            transform=axes.transAxes,
            color=end.color,
            verticalalignment="center_baseline",
        )


def spread(places: Sequence[float], gap: float, bounds: tuple[float, float]) -> list[float]:
    """Rising places moved at least `gap` apart, within the bounds if they all fit."""
    moved = [max(place, bounds[0]) for place in places]
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + gap)
    ceiling = bounds[1]
    for i in reversed(range(len(moved))):
        moved[i] = min(moved[i], ceiling)
        ceiling = moved[i] - gap
    return moved


def series_name(provider: str, device: str, dtype: str) -> str:
    """What a line is called; device and dtype are "" where the whole panel shares them."""
    return shorten(" ".join(part for part in (shorten(provider, 16), device, dtype) if part), 24)


def points(axes: Axes) -> tuple[float, float]:
    """How wide and how high the axes are."""
    box, figure = axes.get_position(), axes.figure
    assert isinstance(figure, Figure)
    return box.width * WIDTH, box.height * figure.get_figheight() * 72
