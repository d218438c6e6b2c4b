"""The vertical axis of a validation metric: from its target, which is named, to where it began."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes

from harness.report.amounts import power
from harness.report.frame import drawable
from harness.report.plots import panels
from harness.report.plots.style import INK
from harness.report.plots.ticks import linear_axis, log_axis

_DECADES = 5  # times the target, from where the start is shown on a logarithmic axis


def reach(part: pd.DataFrame) -> tuple[tuple[float, float], bool]:
    """How far the vertical axis goes, and whether it is logarithmic.

    From the target, with room for its name beyond, to the worst of the starts: one that diverges
    leaves the panel.
    """
    target, lower = float(part["target"].iloc[0]), bool(part["lower_is_better"].iloc[0])
    known = part[part["value"].notna()]
    value, starts = known["value"], known.drop_duplicates("trial")["value"]
    most = value.quantile(0.95 if lower else 0.05)
    worst = max(starts.max(), most) if lower else min(starts.min(), most)
    is_log = (
        lower and bool(drawable(pd.Series([target, worst])).all()) and worst > _DECADES * target
    )
    if is_log:
        return (target * (target / worst) ** 0.2, worst * (worst / target) ** 0.08), True
    span = max(worst - target if lower else target - worst, 0.1 * abs(target)) or 1.0
    if lower:
        return (target - 0.22 * span, target + 1.08 * span), False
    return (target - 1.08 * span, target + 0.22 * span), False


def ticks(axes: Axes, up: tuple[float, float], is_log: bool, labelled: bool) -> None:
    """Its ticks and their labels, which only the left one of two axes has."""
    found = panels.decades(up) if is_log else panels.even(up, write="{:.6g}".format)
    labels = {at: text if labelled else "" for at, text in found.items()}
    (log_axis if is_log else linear_axis)(axes.yaxis, up, labels)


def name_target(axes: Axes, target: float, up: tuple[float, float], is_log: bool) -> None:
    """The target's value beside its line, on the side that no curve comes from."""
    share = (target - up[0]) / (up[1] - up[0])
    if is_log:
        share = math.log(target / up[0]) / math.log(up[1] / up[0])
    below = share < 0.5
    axes.text(
        *(0.02, share - 0.03 if below else share + 0.03, f"target {power(target)}"),
        transform=axes.transAxes, va="top" if below else "bottom", color=INK, fontsize=9.5,
    )  # fmt: skip
