"""The samples themselves: their distribution, and in the order they were taken."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from harness.record import CONVERGENCE
from harness.report.frame import measured
from harness.report.plots import panels, style
from harness.report.plots.style import GRID, WIDTH, Part
from harness.report.plots.ticks import limits, linear_axis, log_axis, ratio_ticks
from harness.report.words import count, digits, processor, si, si_interval, whole

SOURCE = "rows"
TITLE = "Distributions of the samples"
INTRO = (
    "Every sample over the median of its provider, so that shapes can be compared: above, the "
    "share of samples that took no longer (a step in it is a second group); below, each sample in "
    "the order it was taken, the first at the top (a slant is a drift, a stray dot an outlier). "
    "Only the cases that tell most are here: up to three with two groups, up to three with a "
    "drift, both as the trust grade finds them, and then the widest intervals."
)

MAX_CASES = 8
MAX_PROVIDERS = 4  # in one figure
MAX_DOTS = 125  # of a provider

_OF_A_KIND = 3
_TWO_GROUPS, _DRIFT, _WIDE = "Two groups", "Drift", "Widest intervals"
_SIGNS = {_TWO_GROUPS: "two groups of samples: ", _DRIFT: "drift: "}  # what trust says of a row
_CASE = ["subject", "case", "direction", "dtype", "mode", "device", "device_name"]
_LEFT, _RIGHT, _TOP, _HIGH, _BETWEEN, _STRIP, _BELOW = 48.0, 16.0, 24.0, 110.0, 28.0, 44.0, 46.0
_KEPT = 0.98  # share of a provider's samples that the axis reaches for certain

Floats = NDArray[np.float64]


def parts(table: pd.DataFrame) -> list[Part]:
    """The cases that tell most, under what they tell."""
    rows = style.looks(table)
    rows = measured(rows[rows["kind"] != CONVERGENCE])  # whose samples are seeds
    several = [len(samples) > 1 for samples in rows["samples"]]
    rows = rows[pd.Series(several, index=rows.index, dtype=bool)]
    rows = rows.assign(width=(rows["high"] - rows["low"]) / 2 / rows["median_s"])
    cases = sorted(
        (case for _, case in rows.groupby(_CASE, sort=False)),
        key=lambda case: -case["width"].max(),
    )
    found: list[Part] = []
    for kind, most in ((_TWO_GROUPS, _OF_A_KIND), (_DRIFT, _OF_A_KIND), (_WIDE, MAX_CASES)):
        chosen = [case for case in cases if kind == _WIDE or _tells(case, _SIGNS[kind])]
        for case in chosen[: min(most, MAX_CASES - len(found))]:
            found.append(Part(kind, _title(case), case))
            cases = [other for other in cases if other is not case]
    return found


def figure(part: pd.DataFrame) -> Figure:
    """The share of samples against their time, and the samples in order, on one axis of time."""
    rows = _drawn(part)
    looks = panels.looks(rows, "provider")
    strips = _TOP + _HIGH + _BETWEEN
    below = strips + _STRIP * len(rows) + _BELOW
    fig = panels.sheet(below + panels.names_height(looks))
    wide = WIDTH - _LEFT - _RIGHT
    shares = panels.place(fig, _LEFT, _TOP, wide, _HIGH)
    order = panels.place(fig, _LEFT, strips, wide, _STRIP * len(rows))
    values = [_ratios(row) for row in rows.to_dict("records")]
    ends = _ends(values)
    for axes in (shares, order):
        log_axis(axes.xaxis, ends, ratio_ticks(ends))
    linear_axis(shares.yaxis, (-0.03, 1.05), {s: f"{100 * s:.0f} %" for s in (0, 0.5, 1)})
    panels.write(shares, -40, 9, "share of samples that took no longer")
    linear_axis(order.yaxis, (len(rows), 0), {})
    panels.write(order, -40, 6, "each sample in turn, from top to bottom")
    order.set_xlabel("time over the provider's median", labelpad=4)
    shares.tick_params(labelbottom=False)
    for lane, (ratios, (_, look)) in enumerate(zip(values, looks, strict=True)):
        _share(shares, ratios, style.of(look))
        if lane:
            order.axhline(lane, color=GRID, linewidth=0.8)
        _strip(order, ratios, lane, ends[1], style.of(look))
    panels.names(fig, looks, below)
    return fig


def table(part: pd.DataFrame) -> pd.DataFrame:
    """One line a provider."""
    rows = _drawn(part)
    ends = (rows["median_s"], rows["median_low_s"], rows["median_high_s"])
    spread = [np.quantile(samples, (0, 0.05, 0.95, 1)) for samples in rows["samples"]]
    least, low, high, most = ([si(value, "s") for value in of] for of in zip(*spread, strict=True))
    return pd.DataFrame(
        {
            "provider": rows["provider"],
            "quickest": least,
            "5 % below": low,
            "median, 95 % interval": [si_interval(*end, "s") for end in zip(*ends, strict=True)],
            "5 % above": high,
            "slowest": most,
            "trust": rows["trust"].fillna("not graded"),
            "why": rows["trust_reasons"],
            "n": [whole(n) for n in rows["n"]],
        }
    )


def caption(part: pd.DataFrame) -> str:
    """Why the case is here, how many samples, and which are not in the figure."""
    rows = _drawn(part)
    first = rows.iloc[0]
    sentences = [f"{processor(first['device'])} ({first['device_name']}), {first['mode']} mode."]
    for row in rows.to_dict("records"):
        why = row["trust_reasons"] or "nothing speaks against its trust"
        sentences.append(f"{row['provider']}: {why}.")
    values = [_ratios(row) for row in rows.to_dict("records")]
    far = _ends(values)[1]
    outside = sum(int((ratios > far).sum()) for ratios in values)
    if outside:
        most = digits(max(float(ratios.max()) for ratios in values))
        sentences.append(
            f"{count(outside, 'sample')} beyond the right edge, at most {most} times the median."
        )
    every = max(_every(len(ratios)) for ratios in values)
    if every > 1:
        sentences.append(f"In the lanes below one sample in {every} at least has a dot.")
    return " ".join([*sentences, *style.left_out(len(part) - len(rows), "row")])


def absent(table: pd.DataFrame) -> str:
    """Why there are no samples; "" if there are."""
    return "" if parts(table) else "No row of this run has samples of a time."


def _tells(case: pd.DataFrame, sign: str) -> bool:
    return any(sign in reasons for reasons in case["trust_reasons"])


def _title(case: pd.DataFrame) -> str:
    first = case.iloc[0]
    return f"{first['subject']}, {first['case']}, {first['mode']} on {processor(first['device'])}"


def _drawn(part: pd.DataFrame) -> pd.DataFrame:
    """One row a provider, those of the widest intervals, in the order of their looks."""
    rows = part.drop_duplicates("provider", keep="last")
    rows = rows.sort_values("width", ascending=False, kind="stable").iloc[:MAX_PROVIDERS]
    return rows.sort_values("look", kind="stable")


def _ratios(row: Mapping[Any, Any]) -> Floats:
    """[n], the samples over their median, in the order they were taken."""
    samples = np.array(row["samples"], dtype=np.float64)
    return np.clip(samples / np.median(samples), 1e-9, 1e9)


def _ends(values: list[Floats]) -> list[float]:
    """Of the axis of time: all but a few outliers, of which there may be any."""
    low = min(float(np.quantile(ratios, 1 - _KEPT)) for ratios in values)
    high = max(float(np.quantile(ratios, _KEPT)) for ratios in values)
    reach = max(high**2, 1.25)  # as far again, or outliers would press all else together
    nearest = [float(ratios[ratios <= reach].max()) for ratios in values]
    return limits([low, max(high, *nearest)], margin=0.08, least=0.1)


def _every(n: int) -> int:
    """One sample in so many has a dot."""
    return math.ceil(n / MAX_DOTS)


def _share(axes: Axes, ratios: Floats, look: dict[str, Any]) -> None:
    """The share of samples up to each time, as steps."""
    share = np.linspace(0, 1, min(len(ratios), MAX_DOTS) + 1)
    x = np.quantile(ratios, share[1:], method="inverted_cdf")
    axes.step(
        np.concatenate([[x[0]], x]), share, where="post", **look | {"marker": "", "linewidth": 1.4}
    )


def _strip(axes: Axes, ratios: Floats, lane: int, right: float, look: dict[str, Any]) -> None:
    """A lane of samples in turn, at its left what it is; an arrow at the edge for one beyond it."""
    axes.plot(
        [-18 / (WIDTH - _LEFT - _RIGHT)], [lane + 0.5], **look | {"linestyle": "none"},
        transform=axes.get_yaxis_transform(), clip_on=False,
    )  # fmt: skip
    y = lane + 0.06 + 0.88 * np.linspace(0, 1, len(ratios))
    chosen = slice(None, None, _every(len(ratios)))
    axes.plot(
        *(ratios[chosen], y[chosen]),
        **look | {"linestyle": "none", "marker": ".", "markersize": 2.6},
    )
    beyond = ratios > right
    axes.plot(
        np.full(int(beyond.sum()), right), y[beyond], ">", color=look["color"], ms=4, clip_on=False
    )
