"""How noisy a mini-batch's gradient is: its variance by batch size, and the noise scale."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.report.amounts import amount, compact, power
from harness.report.findings import machines, numbers
from harness.report.frame import drawable
from harness.report.plots import panels, style
from harness.report.plots.style import INK, MUTED, Part
from harness.report.plots.ticks import batch_ticks, limits, linear_axis, log_axis
from harness.report.words import count, counts, digits, processor, whole

SOURCE = "findings"
TITLE = "How noisy a mini-batch's gradient is"
INTRO = (
    "Above: the variance of the gradient, summed over all parameters, against the batch size, "
    "both axes logarithmic; the line falls as 1 / B, through the middle of the points. Below: the "
    "gradient noise scale, tr(Σ) / |G|² (McCandlish et al. 2018, arXiv 1812.06162), on the way of "
    "plain stochastic gradient descent: at a batch of that size the noise is as large as the "
    "gradient itself. Whiskers are 95 % intervals."
)

_LEFT, _ACROSS, _TOP, _HIGH, _BELOW = 56.0, 304.0, 24.0, 140.0, 62.0  # points
_VARIANCE = ("batch", "variance", "variance_low", "variance_high")
_SCALE = ("step", "noise_scale", "noise_scale_low", "noise_scale_high")
_POINTS, _SCALES = 1, 3  # looks
_TOLD = 12  # noise scales in the caption


def parts(table: pd.DataFrame) -> list[Part]:
    """By machine and workload, where a variance or a noise scale is known."""
    found = []
    for name, rows in machines(numbers(table, *_VARIANCE, *_SCALE), "noise"):
        for subject, of in rows.groupby("subject", sort=False):
            if len(_variances(of)) or len(_scales(of)):
                where = processor(str(of["device"].iloc[0]))
                found.append(Part(f"On {where}", f"{subject} on {name}", of))
    return found


def figure(part: pd.DataFrame) -> Figure:
    """Two panels, or one where only one of the two is known."""
    variances, scales = _variances(part), _scales(part)
    wanted = [(draw, of) for draw, of in ((_by_batch, variances), (_by_step, scales)) if len(of)]
    fig = panels.sheet(_TOP + len(wanted) * (_HIGH + _BELOW) - 20)
    for number, (draw, of) in enumerate(wanted):
        draw(panels.place(fig, _LEFT, _TOP + number * (_HIGH + _BELOW), _ACROSS, _HIGH), of)
    return fig


def table(part: pd.DataFrame) -> pd.DataFrame:
    """One line a batch size, and one a step."""
    lines = []
    for rows, at, value, what in (
        (_variances(part), "batch", "variance", "variance of the gradient"),
        (_scales(part), "step", "noise_scale", "noise scale, in samples"),
    ):
        for row in rows.to_dict("records"):
            low, high = row[f"{value}_low"], row[f"{value}_high"]
            lines.append(
                {
                    "at": f"{at} {whole(row[at])}",
                    "what": what,
                    "value, 95 % interval": f"{_told(row[value])} [{_told(low)}, {_told(high)}]",
                    "draws": whole(row["n"]),
                }
            )
    return pd.DataFrame(lines)


def caption(part: pd.DataFrame) -> str:
    """How far the variance is from 1 / B, and what the noise scale was at each step."""
    variances, scales = _variances(part), _scales(part)
    sentences = [f"{part['device_name'].iloc[0]}, {counts(part['n'], 'draw')} of each."]
    if len(variances) > 1:
        level = _level(variances)
        off = variances["variance"] * variances["batch"] / level
        inside = (variances["variance_low"] * variances["batch"] <= level) & (
            variances["variance_high"] * variances["batch"] >= level
        )
        sentences.append(
            f"The variance is {digits(off.min())} to {digits(off.max())} times the line's; its "
            f"interval has the line in it at {int(inside.sum())} of "
            f"{count(len(variances), 'batch size')}."
        )
    if len(scales):
        told = [_scale(row) for _, row in scales.iterrows()]
        more = f" and {len(told) - _TOLD} more" if told[_TOLD:] else ""
        words = f"The noise scale, in samples, was {', '.join(told[:_TOLD])}{more}"
        sentences.append(f"{words}.")
    endless = [at for at, why in zip(part["at"], part["why"], strict=True) if "noise_scale" in why]
    if endless:
        sentences.append(f"Not known, or infinite: at {', '.join(endless[:8])}.")
    return " ".join(sentences)


def absent(table: pd.DataFrame) -> str:
    """Why there is no figure; "" if there is one."""
    return "" if parts(table) else "The probe noise found no variance and no noise scale."


def _variances(part: pd.DataFrame) -> pd.DataFrame:
    """Of each batch size, in order."""
    rows = part[drawable(part["batch"]) & drawable(part["variance"])]
    return rows.drop_duplicates("batch", keep="last").sort_values("batch")


def _scales(part: pd.DataFrame) -> pd.DataFrame:
    """At each step, in order."""
    rows = part[(part["step"] >= 0) & (part["step"] < 1e15) & drawable(part["noise_scale"])]
    return rows.drop_duplicates("step", keep="last").sort_values("step")


def _level(variances: pd.DataFrame) -> float:
    """The geometric mean of variance times batch: where the line of 1 / B lies."""
    return float(np.exp(np.log(variances["variance"] * variances["batch"]).mean()))


def _by_batch(axes: Axes, rows: pd.DataFrame) -> None:
    batches = rows["batch"].tolist()
    across = limits(batches)
    up = limits(_values(rows, "variance"), margin=0.08)
    log_axis(axes.xaxis, across, batch_ticks(batches))
    log_axis(axes.yaxis, up, panels.decades(up, write=power))
    axes.set_xlabel("batch size B (samples)", labelpad=4)
    panels.write(axes, -48, 9, "variance of the gradient")
    x = np.array(across)
    axes.plot(x, _level(rows) / x, color=INK, linewidth=1.2)
    axes.text(0.98, 0.9, "as 1 / B", transform=axes.transAxes, ha="right", color=MUTED)
    _points(axes, rows, "batch", "variance", _POINTS, "none")


def _by_step(axes: Axes, rows: pd.DataFrame) -> None:
    up = limits(_values(rows, "noise_scale"), margin=0.1)
    last = max(float(rows["step"].max()), 1.0)
    ends = (-0.04 * last, 1.04 * last)
    linear_axis(axes.xaxis, ends, panels.even(ends, whole, most=6))
    log_axis(axes.yaxis, up, panels.decades(up, write=compact))
    axes.set_xlabel("steps of training", labelpad=4)
    panels.write(axes, -48, 9, "noise scale (samples)")
    _points(axes, rows, "step", "noise_scale", _SCALES, ":")


def _points(axes: Axes, rows: pd.DataFrame, x: str, value: str, look: int, line: str) -> None:
    color = style.color_of(look)
    low, high = axes.get_ylim()
    first, last = (rows[f"{value}{end}"].clip(low, high) for end in ("_low", "_high"))
    axes.vlines(rows[x], first, last, color=color, linewidth=1.4)
    axes.plot(rows[x], rows[value], **style.of(look) | {"linestyle": line, "linewidth": 1.0})


def _values(rows: pd.DataFrame, value: str) -> list[float]:
    """The values, and the ends of their intervals that have a place on a log axis."""
    ends = pd.concat([rows[f"{value}_low"], rows[f"{value}_high"]])
    return [*rows[value], *ends[drawable(ends)]]


def _scale(row: pd.Series) -> str:
    """e.g. "45 [36, 54] at step 100"."""
    ends = (row[f"noise_scale{end}"] for end in ("", "_low", "_high"))
    middle, low, high = ("not known" if math.isnan(v) else amount(v, "steps") for v in ends)
    return f"{middle} [{low}, {high}] at step {whole(row['step'])}"


def _told(value: float) -> str:
    return "not known" if math.isnan(value) else digits(value)
