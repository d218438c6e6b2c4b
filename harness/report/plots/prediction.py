"""Kernels on a GPU: how many times as long as the roof, and as what their launches predict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.record import OK
from harness.report.frame import drawable, measured
from harness.report.plots import panels, style
from harness.report.plots.panels import Look
from harness.report.plots.style import GRID, INK, WIDTH, Part
from harness.report.plots.ticks import limits, log_axis, ratio_ticks
from harness.report.words import count, digits, ratio, si, si_interval, whole

SOURCE = "rows"
TITLE = "Predicted and measured"
INTRO = (
    "How many times as long each kernel takes as the roof allows, and as is predicted from its "
    "launches: their tiles, grids and tensors at the roof measured in the same run, with the "
    "multiprocessors that must stay idle while the busiest one works (wave quantisation). What "
    "lies between 1× and the full mark is explained by neither: waiting inside of kernels and "
    "between them. Less than 1× is data that a cache still held. A prediction is no measurement "
    "and enters no verdict."
)

MAX_LINES = 20  # in one figure

_SIDE, _TOP, _NAME, _LINE, _BELOW = 14.0, 8.0, 13.0, 25.0, 40.0  # points
_ENDS = {"ratio": "median_s", "low": "low", "high": "high"}
_ROOF, _PREDICTED = Look("as the roof allows", 1), Look("as is predicted", 2)


def parts(table: pd.DataFrame) -> list[Part]:
    """By mode, operation and device, where a row has a prediction."""
    looks = style.looks(table)["look"]
    rows = measured(table[drawable(table["predicted_s"]) & drawable(table["roof_share"])])
    rows = rows.assign(look=looks.reindex(rows.index))
    return [
        Part(f"{str(mode).capitalize()} mode", f"{subject} on {name}", part)
        for (mode, subject, name), part in style.by(rows, ["mode", "subject", "device_name"])
    ]


def figure(part: pd.DataFrame) -> Figure:
    """A line a case: both ratios, the farthest from its prediction first."""
    rows = _ratios(part).iloc[:MAX_LINES]
    high = _LINE * len(rows)
    below = _TOP + high + _BELOW
    looks = [_PREDICTED, _ROOF]
    fig = panels.sheet(below + panels.names_height(looks))
    axes = panels.place(fig, _SIDE, _TOP, WIDTH - 2 * _SIDE, high)
    ends = limits([1.0, *rows["low"], *rows["high"], *rows["over_roof"]], 0.06, least=0.3)
    log_axis(axes.xaxis, ends, ratio_ticks(ends, most=5))
    panels.stacked(axes, len(rows))
    axes.set_xlabel("times as long", labelpad=4)
    axes.axvline(1.0, color=INK, linewidth=1.0)
    for line, row in enumerate(rows.to_dict("records")):
        _draw(axes, line + 0.5 * (1 + _NAME / _LINE), row)
        panels.heading(axes, line * _LINE + _NAME, row["name"], 70)
    panels.names(fig, looks, below)
    return fig


def table(part: pd.DataFrame) -> pd.DataFrame:
    """One line a case and provider."""
    rows = _ratios(part)
    times = rows[["median_s", "median_low_s", "median_high_s"]].itertuples(index=False)
    ends = zip(rows["ratio"], rows["low"], rows["high"], strict=True)
    return pd.DataFrame(
        {
            "case": rows["name"],
            "measured, 95 % interval": [si_interval(m, low, high, "s") for m, low, high in times],
            "n": [whole(n) for n in rows["n"]],
            "predicted, not measured": [si(seconds, "s") for seconds in rows["predicted_s"]],
            "measured / predicted": [ratio(*of) for of in ends],
            "measured / roof": [f"{digits(value)}×" for value in rows["over_roof"]],
            "launches": rows["launches"].fillna(""),
        }
    )


def caption(part: pd.DataFrame) -> str:
    """How far the measured times are from the predicted ones, and which is farthest."""
    rows = _ratios(part)
    middle = rows["ratio"].median()
    words = f"{count(len(rows), 'row')}: the median one takes {digits(middle)}× its prediction"
    first = rows.iloc[0]
    ends = ratio(first["ratio"], first["low"], first["high"])
    words += f", {first['name']} {ends}."
    return " ".join([words, *style.left_out(len(rows) - MAX_LINES, "line", "numbers")])


def absent(table: pd.DataFrame) -> str:
    """Why there is no figure; "" if there is one."""
    if parts(table):
        return ""
    timed = (table["kind"] == "kernel") & (table["status"] == OK)
    reasons = table.loc[timed, "predicted_s_reason"].dropna()
    why = f": {reasons.mode().iloc[0]}" if len(reasons) else ""
    return f"No kernel's launches have a prediction in this run{why}."


def _ratios(part: pd.DataFrame) -> pd.DataFrame:
    """With each case's name, and its time and the interval's ends over the predicted time."""
    rows = part.assign(
        name=part["case"].str.cat(part["provider"], sep=", "),
        over_roof=1 / part["roof_share"],
        **{name: part[of] / part["predicted_s"] for name, of in _ENDS.items()},
    )
    return rows.sort_values("ratio", ascending=False, kind="stable")


def _draw(axes: Axes, y: float, row: Mapping[Any, Any]) -> None:
    """Both ratios of one case, joined, its name at the left."""
    axes.plot([row["ratio"], row["over_roof"]], [y, y], color=GRID, linewidth=2.4, zorder=1)
    axes.hlines([y], row["low"], row["high"], color=style.color_of(_PREDICTED.look), linewidth=1.4)
    hollow = style.of(_ROOF.look) | {"markerfacecolor": "none"}
    axes.plot([row["over_roof"]], [y], **hollow)
    axes.plot([row["ratio"]], [y], **style.of(_PREDICTED.look))
