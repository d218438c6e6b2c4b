"""Figures of several panels, laid out in points from the top left, and a list of their lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.report.amounts import power
from harness.report.plots import style
from harness.report.plots.style import INK, MUTED, PAPER, WIDTH, Part
from harness.report.plots.ticks import even_ticks
from harness.report.words import shorten

MAX_LINES = len(style.SERIES)  # in one figure: each its hue, and an eye can follow it

_LINE = 14.0  # points between two names
_COLUMNS = 3  # of short names
_SAMPLE = 32.0  # points of a line beside its name: so long that its dashes are seen


class Look(NamedTuple):
    """A line's name and the number of its colour, marker and dash."""

    name: str
    look: int


def few_lines(parts: Sequence[Part], name: str, look: str = "look") -> list[Part]:
    """Each part once for every MAX_LINES of its lines, or fewer; `shown` tells which those are.

    All of them keep all lines, so that their axes and captions are the same. Lines are taken in
    the order of their looks, so that no two in a figure have the same hue.

    Args:
        name: the column whose values are the lines.
        look: that of the number of their look.
    """
    found = []
    for part in parts:
        lines = part.frame.sort_values(look, kind="stable")[name].unique()
        figures = math.ceil(len(lines) / MAX_LINES)
        for number, some in enumerate(np.array_split(lines, figures), 1):
            title = part.title if figures == 1 else f"{part.title}, {number} of {figures}"
            frame = part.frame.assign(drawn=part.frame[name].isin(some))
            found.append(part._replace(title=title, frame=frame))
    return found


def shown(part: pd.DataFrame) -> pd.DataFrame:
    """The rows of the lines that this figure of `few_lines` draws."""
    return part[part["drawn"]]


def sheet(height: float) -> Figure:
    """A figure of the report's width, `height` points high."""
    return Figure(figsize=(WIDTH / 72, height / 72))


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes whose upper left corner is so many points from that of the figure."""
    whole = figure.get_figheight() * 72
    box = (left / WIDTH, 1 - (top + height) / whole, width / WIDTH, height / whole)
    return figure.add_axes(box)


def write(
    axes: Axes, right: float, up: float, text: str, *, color: str = MUTED, **how: object
) -> None:
    """Text so many points to the right of the axes' upper left corner and above it."""
    width, height = style.points(axes)
    x, y = right / width, 1 + up / height
    axes.text(x, y, text, transform=axes.transAxes, color=color, **how)  # type: ignore[arg-type]


def stacked(axes: Axes, bottom: float) -> None:
    """Axes of lines below each other, from 0 at the top, without a vertical axis."""
    axes.set_ylim(bottom, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def name_left(axes: Axes, y: float, name: str, most: int, away: float = 8) -> None:
    """What a line of `stacked` is called, in the room that `place` left beside the axes."""
    axes.annotate(
        *(shorten(name, most), (0, y), (-away, 0)), xycoords=("axes fraction", "data"),
        textcoords="offset points", ha="right", va="center_baseline", color=INK,
    )  # fmt: skip


def heading(axes: Axes, down: float, name: str, most: int = 58) -> None:
    """What a line is called, above it, so many points below the axes' upper edge."""
    behind = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.5}
    write(axes, 0, -down, shorten(name, most), color=INK, bbox=behind)


def looks(rows: pd.DataFrame, name: str, look: str = "look") -> list[Look]:
    """The lines of a figure, each once, in the order of their looks."""
    once = rows.drop_duplicates(name).sort_values(look, kind="stable")
    return [Look(*pair) for pair in zip(once[name], once[look], strict=True)]


def names(figure: Figure, looks: Sequence[Look], top: float) -> None:
    """The lines' names in columns with a piece of each line, from so many points below the top."""
    height, columns = figure.get_figheight() * 72, _columns(looks)
    across = (WIDTH - 14) / columns
    lines = math.ceil(len(looks) / columns)
    for number, (name, look) in enumerate(looks):
        column, line = divmod(number, lines)
        left, y = 10 + column * across, 1 - (top + line * _LINE) / height
        start, end = left / WIDTH, (left + _SAMPLE) / WIDTH
        figure.add_artist(Line2D([start, end], [y, y], **style.of(look) | {"marker": ""}))
        figure.add_artist(Line2D([(start + end) / 2], [y], **style.of(look)))
        figure.text(
            (left + _SAMPLE + 6) / WIDTH,
            y,
            shorten(name, 13 if columns == _COLUMNS else 24),
            color=style.color_of(look),
            va="center_baseline",
        )


def names_height(looks: Sequence[Look]) -> float:
    """Points that `names` needs."""
    return _LINE * math.ceil(len(looks) / _columns(looks))


def _columns(looks: Sequence[Look]) -> int:
    return _COLUMNS if max(len(name) for name, _ in looks) <= 13 else 2


def even(ends: Sequence[float], write: Callable[[float], str], most: int = 4) -> dict[float, str]:
    """Ticks of a linear axis at round values."""
    return {value: write(value) for value in even_ticks(ends[0], ends[1], most)}


def decades(
    ends: Sequence[float], write: Callable[[float], str] = power, most: int = 5
) -> dict[float, str]:
    """Ticks of a log axis at powers of ten, and at round multiples of each where they are few."""
    low, high = ends
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for multiples in ((1, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1,)):
        ticks = [m * 10.0**decade for decade in decades for m in multiples]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= most:
            break
    if len(ticks) < 2:
        ticks = even_ticks(low, high, most)
    # thinned out from the upper end, where a curve begins
    return {tick: write(tick) for tick in ticks[:: -math.ceil(len(ticks) / most) or None]}
