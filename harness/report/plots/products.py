"""How much of a training step is matrix products: of its FLOPs, and of its time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.report.findings import machines, numbers
from harness.report.plots import panels, style
from harness.report.plots.panels import Look
from harness.report.plots.style import GRID, INK, WIDTH, Part
from harness.report.plots.ticks import linear_axis
from harness.report.words import count, counts, digits, processor, whole
from harness.studies.products import NEARLY_ALL

SOURCE = "findings"
TITLE = "How much is matrix products"
INTRO = (
    "The share of products and convolutions in a training step of each workload: of its FLOPs, "
    "where all else that computes counts one for each element, which makes the share an upper "
    "bound; and of its time, the operators' own as the profiler tells it, the median over some "
    "steps with the least and the most as whiskers. The line is at 90 %, which the claim's verdict "
    "takes for nearly all. Where the two are far apart, few FLOPs cost much of the time."
)

MAX_LINES = 40

_LEFT, _RIGHT, _TOP, _LINE, _BELOW = 118.0, 18.0, 24.0, 17.0, 46.0  # points
_FLOPS, _TIME = Look("of its FLOPs", 1), Look("of its time", 2)
_NAMES = ("flops_share", "time_share", "time_share_low", "time_share_high")


def parts(table: pd.DataFrame) -> list[Part]:
    """By machine, where a share is known."""
    found = []
    for name, rows in machines(numbers(table, *_NAMES), "products"):
        known = rows[rows[["flops_share", "time_share"]].apply(_share).notna().any(axis=1)]
        if len(known):
            where = processor(str(rows["device"].iloc[0]))
            found.append(Part(f"On {where}", f"training steps on {name}", known))
    return found


def figure(part: pd.DataFrame) -> Figure:
    """A line a workload: its share of FLOPs and that of time, from 0 to 100 %."""
    rows = _drawn(part)
    high = _LINE * len(rows)
    below = _TOP + high + _BELOW
    fig = panels.sheet(below + panels.names_height([_FLOPS, _TIME]))
    axes = panels.place(fig, _LEFT, _TOP, WIDTH - _LEFT - _RIGHT, high)
    linear_axis(axes.xaxis, (-0.02, 1.02), {s / 4: f"{25 * s} %" for s in range(5)})
    panels.stacked(axes, len(rows))
    axes.set_xlabel("share of products and convolutions", labelpad=4)
    axes.axvline(NEARLY_ALL, color=INK, linewidth=1.0)
    panels.write(axes, NEARLY_ALL * (WIDTH - _LEFT - _RIGHT), 5, "nearly all", ha="center")
    for line, row in enumerate(rows.to_dict("records")):
        _draw(axes, line + 0.5, row)
    panels.names(fig, [_FLOPS, _TIME], below)
    return fig


def table(part: pd.DataFrame) -> pd.DataFrame:
    """One line a workload."""
    rows = part.sort_values("flops_share", ascending=False, kind="stable")
    times = zip(*(_share(rows[name]) for name in _NAMES[1:]), strict=True)
    return pd.DataFrame(
        {
            "workload": rows["subject"],
            "at": rows["at"],
            "of its FLOPs": [_told(value) for value in _share(rows["flops_share"])],
            "of its time [least, most]": [
                f"{_told(middle)} [{_told(low)}, {_told(high)}]" for middle, low, high in times
            ],
            "FLOPs of products": [_count(v, "flops_products") for v in rows["values"]],
            "of all else": [_count(v, "flops_rest") for v in rows["values"]],
            "steps": [whole(n) for n in rows["n"]],
        }
    )


def caption(part: pd.DataFrame) -> str:
    """The range of both shares, in how many workloads they are nearly all, and over how many."""
    told = []
    for name, what in (("flops_share", "FLOPs"), ("time_share", "time")):
        known = _share(part[name]).dropna()
        if len(known):
            ends = f"{_told(known.min())} to {_told(known.max())} of the {what}"
            many = int((known >= NEARLY_ALL).sum())
            told.append(f"{ends}, at least 90 % in {many} of {count(len(known), 'workload')}")
    words = f"{part['device_name'].iloc[0]}, {counts(part['n'], 'profiled step')} of each. "
    words += f"Products have {'; '.join(told)}."
    return " ".join([words, *style.left_out(len(part) - MAX_LINES, "workload", "numbers")])


def absent(table: pd.DataFrame) -> str:
    """Why there is no figure; "" if there is one."""
    return "" if parts(table) else "The probe products found no share in this run."


def _share(values: pd.Series) -> pd.Series:
    """NaN for what is no share."""
    return values.where((values >= 0) & (values <= 1))


def _drawn(part: pd.DataFrame) -> pd.DataFrame:
    rows = part.assign(**{name: _share(part[name]) for name in _NAMES})
    return rows.sort_values("flops_share", ascending=False, kind="stable").iloc[:MAX_LINES]


def _draw(axes: Axes, y: float, row: Mapping[Any, Any]) -> None:
    """Both shares of one workload, joined, its name at the left."""
    flops, time = row["flops_share"], row["time_share"]
    axes.plot([flops, time], [y, y], color=GRID, linewidth=2.4, solid_capstyle="butt")
    color = style.color_of(_TIME.look)
    axes.hlines([y], row["time_share_low"], row["time_share_high"], color=color, linewidth=1.4)
    axes.plot([time], [y], **style.of(_TIME.look))
    axes.plot([flops], [y], **style.of(_FLOPS.look))
    panels.name_left(axes, y, str(row["subject"]), 19)


def _told(share: float) -> str:
    return "not known" if math.isnan(share) else f"{share:.0%}" if share < 0.995 else f"{share:.1%}"


def _count(values: dict[str, float], name: str) -> str:
    value = values.get(name, math.nan)
    return "not known" if math.isnan(value) else digits(value)
