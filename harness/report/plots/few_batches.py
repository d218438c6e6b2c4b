"""Times of many workloads at few batch sizes: a line a workload and provider, a dot a batch."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from harness.report.amounts import tick
from harness.report.frame import doubts, measured
from harness.report.plots import panels, style
from harness.report.plots.panels import Look
from harness.report.plots.style import GRID, WIDTH, Part
from harness.report.plots.ticks import limits, log_axis
from harness.report.trials import batch_name
from harness.report.words import digits, shorten, whole

MOST = 3  # batch sizes: a line against them would have no shape
LINE = "line"  # the column that says which line of such a figure a row is in
MAX_LINES = 24  # in one figure

_LEFT, _RIGHT, _TOP, _BELOW, _HIGH = 168.0, 20.0, 24.0, 42.0, 15.0  # points
_LETTERS = 28  # beside the axes
_LOOKS = (1, 2, 3)  # of the batch sizes, in order


class Rise(NamedTuple):
    """How many times the time the largest batch size takes of the smallest."""

    least: float
    most: float
    times: float


def parts(group: str, direction: str, rows: pd.DataFrame) -> list[Part]:
    """Of one mode and direction, the quickest first; more lines than fit are more figures."""
    known = measured(rows)
    shared = [name for name in ("provider", "device", "dtype") if known[name].nunique() > 1]
    names = rows["subject"].str.cat(rows[shared], sep=", ") if shared else rows["subject"]
    rows = rows.assign(**{LINE: names})
    order = known.assign(line=names).groupby("line", sort=False)["median_s"].min().sort_values()
    figures = -(-len(order) // MAX_LINES)
    found = []
    for number, some in enumerate(np.array_split(order.index, figures), 1):
        title = direction if figures == 1 else f"{direction}, {number} of {figures}"
        found.append(Part(group, title, rows.assign(drawn=rows[LINE].isin(some))))
    return found


def shown(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of this figure, the quickest line first, each rising in batch size."""
    rows = rows[rows["drawn"]].drop_duplicates([LINE, "batch"], keep="last")
    quickest = rows.groupby(LINE)["median_s"].transform("min")
    return rows.assign(quickest=quickest).sort_values(["quickest", LINE, "batch"], kind="stable")


def figure(part: pd.DataFrame) -> Figure:
    """Median seconds with their intervals; the axis is that of all the figures of the part."""
    every = measured(part)
    rows = shown(every.assign(doubt=doubts(every)))
    lines = list(rows.groupby(LINE, sort=False))
    batches = sorted(every["batch"].unique())
    looks = dict(zip(batches, (_LOOKS[i % len(_LOOKS)] for i in range(len(batches))), strict=True))
    named = [Look(batch_name(batch), look) for batch, look in looks.items()]
    high = _HIGH * len(lines)
    below = _TOP + high + _BELOW
    fig = panels.sheet(below + panels.names_height(named))
    axes = panels.place(fig, _LEFT, _TOP, WIDTH - _LEFT - _RIGHT, high)
    ends = limits([*every["low"], *every["high"]])
    log_axis(axes.xaxis, ends, panels.decades(ends, partial(tick, currency="seconds"), most=4))
    panels.stacked(axes, len(lines))
    panels.write(axes, 8 - _LEFT, 9, "median time per iteration")
    for number, (name, line) in enumerate(lines):
        y = number + 0.5
        axes.plot(line["median_s"], [y] * len(line), color=GRID, linewidth=1.6)
        for row in line.to_dict("records"):
            look = looks[row["batch"]]
            axes.hlines([y], row["low"], row["high"], color=style.color_of(look), linewidth=1.4)
            axes.plot([row["median_s"]], [y], **style.of(look) | {"linestyle": "none"})
            if row["doubt"]:
                style.hollow(axes, np.array([[row["median_s"], y]]), look)
        panels.name_left(axes, y, _label(str(name)), _LETTERS)
    panels.names(fig, named, below)
    return fig


def _label(name: str) -> str:
    """The line's name where it fits: provider and device tell lines apart and are not cut."""
    subject, comma, others = name.partition(", ")
    room = max(_LETTERS - len(comma + others), _LETTERS // 3)
    return shorten(subject, room) + comma + others


def rise(line: pd.DataFrame) -> Rise | None:
    """From the smallest to the largest batch size; None where no verdict may stand on an end."""
    line = line.sort_values("batch")
    first, last = line.iloc[0], line.iloc[-1]
    if first["batch"] == last["batch"] or first["doubt"] or last["doubt"]:
        return None
    return Rise(first["batch"], last["batch"], last["median_s"] / first["median_s"])


def rises(rows: pd.DataFrame) -> list[str]:
    """Between which two lines the rises lie, of those over the widest range of batch sizes."""
    found = {str(name): rise(line) for name, line in shown(rows).groupby(LINE, sort=False)}
    known = {name: each for name, each in found.items() if each}
    if not known:
        return []
    least, most, _ = max(known.values(), key=lambda each: each.most / each.least)
    times = {name: each.times for name, each in known.items() if each[:2] == (least, most)}
    low, high = min(times, key=times.__getitem__), max(times, key=times.__getitem__)
    of = f"{whole(most / least)} times the samples ({whole(least)} to {whole(most)}) take"
    if low == high:
        return [f"{of} {digits(times[low])} times the time of {low}."]
    return [
        f"{of} {digits(times[low])} ({low}) to {digits(times[high])} times ({high}) the time, "
        f"by {len(times)} lines."
    ]
