"""Correctness: each case's error over the bound that it has to keep."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from harness.record import CONVERGENCE, OK
from harness.report.amounts import power
from harness.report.frame import drawable
from harness.report.plots import panels, style
from harness.report.plots.style import GRID, INK, WIDTH, Part
from harness.report.plots.ticks import linear_axis, log_axis
from harness.report.words import count, digits, processor, shorten

SOURCE = "rows"
TITLE = "Correctness"
INTRO = (
    "The largest error of every answer against the formula in float64, over the bound that it had "
    "to keep to be timed at all: a dot a case, left is better, and right of the line at 1 an "
    "answer is wrong. The bound is twice the error that the formula itself has in the case's "
    "dtype, and one rounding. Where there was no error there is no logarithm: those dots stand in "
    "a column of their own, exact."
)

MAX_LINES = 100  # in the table below a figure
MAX_LANES = 40  # a subject by a provider
MAX_PROVIDERS = 12

_LANE, _SUBJECT, _TOP, _BELOW = 11.0, 18.0, 24.0, 46.0  # points
_LEFT, _RIGHT, _GUTTER = 12.0, 18.0, 40.0
_ONCE = ["subject", "case", "direction", "dtype", "provider", "device", "device_name"]
_KINDS = {"workload": "workloads"}  # all else are kernels, the user's among them

Floats = NDArray[np.float64]


def parts(table: pd.DataFrame) -> list[Part]:
    """By machine, and kernels or workloads, where an answer was checked."""
    rows = _checked(style.looks(table))
    rows = rows.assign(what=rows["kind"].map(_KINDS).fillna("kernels"))
    found = []
    for (device, name, what), part in rows.groupby(["device", "device_name", "what"], sort=False):
        where = processor(str(device))
        found.append(Part(f"On {where}", f"{what} on {name}", part))
    return found


def figure(part: pd.DataFrame) -> Figure:
    """A lane for each subject and provider: a dot a case, at its error over its bound."""
    rows = _drawn(part)
    looks = panels.looks(rows, "provider")
    body = _LANE + float(rows["y"].max())
    below = _TOP + body + _BELOW
    fig = panels.sheet(below + panels.names_height(looks))
    exact = panels.place(fig, _LEFT, _TOP, _GUTTER, body)
    axes = panels.place(fig, _LEFT + _GUTTER, _TOP, WIDTH - _LEFT - _RIGHT - _GUTTER, body)
    ends = _ends(rows["over"].to_numpy())
    log_axis(axes.xaxis, ends, panels.decades(ends, write=power, most=6))
    linear_axis(exact.xaxis, (-1, 1), {0: "exact"})
    axes.set_xlabel("error over its bound", labelpad=4)
    panels.write(axes, 0, 9, "one dot a case, left is better", ha="left")
    axes.axvline(1.0, color=INK, linewidth=1.2)
    for each in (exact, axes):
        panels.stacked(each, body)
    exact.axvspan(-1, 1, color=GRID, alpha=0.35, linewidth=0)
    exact.grid(visible=False)
    for _, of in rows.groupby(["subject", "look"], sort=False):
        _lane(exact, axes, of, ends[1])
    for subject, of in rows.groupby("subject", sort=False):
        axes.text(
            *(-_GUTTER / (WIDTH - _LEFT - _RIGHT - _GUTTER), of["y"].min() - 12.5),
            f" {shorten(str(subject), 40)}", transform=axes.get_yaxis_transform(), color=INK,
            va="center_baseline",
        )  # fmt: skip
    panels.names(fig, looks, below)
    return fig


def table(part: pd.DataFrame) -> pd.DataFrame:
    """One line a dot, the largest errors over their bounds first, as many as there is room for."""
    rows = part.sort_values("over", ascending=False, kind="stable").iloc[:MAX_LINES]
    return pd.DataFrame(
        {
            "subject": rows["subject"],
            "case": rows["case"],
            "provider": rows["provider"],
            "error over bound": [_over(value) for value in rows["over"]],
            "error": [power(float(f"{value:.3g}")) for value in rows["correctness_error"]],
            "bound": [power(float(f"{value:.3g}")) for value in rows["correctness_bound"]],
            "status": rows["status"],
        }
    )


def caption(part: pd.DataFrame) -> str:
    """How many cases, how many wrong or exact, the nearest to its bound, and what is left out."""
    wrong, exact = int((part["over"] > 1).sum()), int((part["over"] == 0).sum())
    worst = part.iloc[int(part["over"].to_numpy().argmax())]
    sentences = [
        f"{count(len(part), 'answer')}, {wrong} beyond the bound, {exact} exact. The largest error "
        f"over its bound: {_over(worst['over'])}, of {worst['subject']} {worst['case']} by "
        f"{worst['provider']}."
    ]
    sentences += style.left_out(len(part) - len(_drawn(part)), "dot")
    if len(part) > MAX_LINES:
        lines = count(len(part) - MAX_LINES, "line")
        sentences.append(f"The numbers leave out the {lines} of the smallest.")
    return " ".join(sentences)


def absent(table: pd.DataFrame) -> str:
    """Why there is no figure, or what was timed and not checked; "" if all was."""
    rows = style.looks(table)
    timed = rows[(rows["status"] == OK) & (rows["kind"] != CONVERGENCE)]
    unknown = timed[timed["correctness_error"].isna() | timed["correctness_bound"].isna()]
    if unknown.empty:
        return "" if parts(table) else "No answer was checked: this run has no row that was timed."
    reasons = unknown["correctness_error_reason"].dropna()
    why = f"; the commonest reason: {reasons.mode().iloc[0]}" if len(reasons) else ""
    return f"Of {count(len(timed), 'timed row')} {len(unknown)} have no checked answer{why}."


def _checked(rows: pd.DataFrame) -> pd.DataFrame:
    """One row an answer, whatever became of it, with `over`: its error over its bound."""
    rows = rows[(rows["correctness_error"] >= 0) & (rows["correctness_bound"] >= 0)]
    rows = rows.drop_duplicates(_ONCE, keep="last")
    error, bound = rows["correctness_error"], rows["correctness_bound"]
    over = np.where(error == 0, 0.0, np.where(bound > 0, error / bound.where(bound > 0), math.inf))
    return rows.assign(over=over)


def _drawn(part: pd.DataFrame) -> pd.DataFrame:
    """With `y`, points below the upper edge: subject by subject, provider by provider."""
    rows = part.assign(first=part.groupby("subject", sort=False)["look"].transform("size"))
    order = {name: number for number, name in enumerate(dict.fromkeys(rows["subject"]))}
    rows = rows.assign(place=rows["subject"].map(order)).sort_values(
        ["place", "look"], kind="stable"
    )
    names = sorted(rows["look"].unique())[:MAX_PROVIDERS]
    rows = rows[rows["look"].isin(names)]
    new_subject = rows["place"] != rows["place"].shift()
    new_lane = new_subject | (rows["look"] != rows["look"].shift())
    lane = new_lane.cumsum()
    y = lane * _LANE + new_subject.cumsum() * _SUBJECT - _LANE / 2
    return rows.assign(y=y)[lane <= MAX_LANES]


def _ends(over: Floats) -> tuple[float, float]:
    """Of the log axis: the errors that there were, and the bound."""
    known = over[drawable(pd.Series(over)).to_numpy()]
    low, high = (float(f([1.0, *known])) for f in (min, max))
    return max(low, 1e-9) / 2, min(high, 1e9) * 2.5


def _lane(exact: Axes, axes: Axes, rows: pd.DataFrame, right: float) -> None:
    """The dots of one provider in one subject; an arrow for an error that has no place."""
    look = style.of(int(rows["look"].iloc[0])) | {"linestyle": "none", "markersize": 4.4}
    over, y = rows["over"].to_numpy(), rows["y"].to_numpy()
    inside = (over > 0) & (over <= right)
    left = axes.get_xlim()[0]
    axes.plot(np.maximum(over[inside], left), y[inside], **look | {"alpha": 0.8})
    zero = over == 0
    exact.plot(np.zeros(int(zero.sum())), y[zero], **look)
    beyond = over > right
    axes.plot(np.full(int(beyond.sum()), right), y[beyond], **look | {"marker": ">"}, clip_on=False)


def _over(value: float) -> str:
    return "exact" if value == 0 else "∞, its bound is 0" if math.isinf(value) else digits(value)
