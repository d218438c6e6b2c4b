"""Steps against batch size and samples against steps, with the fitted trade-off between the two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness import batch_size
from harness.batch_size import Estimate, Fit
from harness.report.amounts import amount, compact, reached, spread
from harness.report.frame import drawable
from harness.report.noise_scales import Noise
from harness.report.plots import panels, style
from harness.report.plots.style import INK, MUTED, PAPER, Part
from harness.report.plots.ticks import batch_ticks, limits, log_axis
from harness.report.trials import Times, finals, groups, times
from harness.report.words import count, processor, whole

SOURCE = "trials"
TITLE = "How large a batch pays"
INTRO = (
    "Steps to the target against batch size (above) and samples against steps (below), both axes "
    "logarithmic; lower is better in each. Small dots are seeds, the large one is their median; "
    "an arrow at the upper edge is a batch size of which half of the seeds or more did not get "
    "there. The line is S = S_min + E_min / B, fitted to the geometric means of those of which all "
    "seeds did: however large the batch, S_min steps are needed, and however small, E_min samples "
    "(the dashed lines). At the critical "
    "batch size E_min / S_min both are twice their least; the band is its 95 % interval "
    "(McCandlish et al. 2018, arXiv 1812.06162). The dash-dotted line and its band, where a probe "
    "measured it, are the gradient noise scale, tr(Σ) / |G|², of plain stochastic gradient "
    "descent: by theory it predicts the critical batch size."
)

_LEFT, _ACROSS, _TOP, _HIGH, _BELOW = 56.0, 304.0, 38.0, 150.0, 66.0  # points
_LINE = 13.0  # points that a line of text needs
_COLOR = style.SERIES[1]
_BAND, _NOISE = style.SERIES[2], style.SERIES[3]
_FAR = 10.0  # times beyond the batch sizes tried that a noise scale is still drawn


def parts(table: pd.DataFrame) -> list[Part]:
    """By workload, optimizer and device, where two batch sizes or more were trained."""
    rows = finals(table)
    rows = rows[drawable(rows["batch"])]
    return [
        Part(workload, f"{optimizer} on {processor(device)}", group)
        for (workload, optimizer, device), group in groups(
            rows, ["workload", "optimizer", "device"]
        )
        if len(_steps(group)) > 1
    ]


def figure(part: pd.DataFrame) -> Figure | None:
    """Two panels: S against B, and E against S."""
    found = _steps(part)
    if len(found) < 2:
        return None
    top = _TOP + (_LINE if _last(_noise(part)) else 0)
    fig = panels.sheet(top + 2 * _HIGH + _BELOW + 36)
    fitted = _fit(part)
    axes = panels.place(fig, _LEFT, top, _ACROSS, _HIGH)
    _steps_by_batch(axes, part, found, fitted)
    axes = panels.place(fig, _LEFT, top + _HIGH + _BELOW, _ACROSS, _HIGH)
    _samples_by_steps(axes, found, fitted)
    return fig


def table(part: pd.DataFrame) -> pd.DataFrame:
    """One line a batch size."""
    fitted = _fit(part)
    lines = []
    for batch, steps in _steps(part).items():
        samples = times(part[part["batch"] == batch], "samples")
        on_curve = fitted.steps(batch) if isinstance(fitted, Fit) else None
        lines.append(
            {
                "batch": whole(batch),
                "steps [least, most]": spread(steps, "steps"),
                "samples [least, most]": spread(samples, "samples") if samples else "not known",
                "steps on the curve, 95 % interval": _interval(on_curve) if on_curve else "no fit",
                "seeds there": reached(steps),
            }
        )
    return pd.DataFrame(lines)


def caption(part: pd.DataFrame) -> str:
    """The fit's three numbers with their intervals, and what speaks against it."""
    found = _steps(part)
    seeds = sorted({steps.n for steps in found.values()})
    n = f"{' or '.join(map(str, seeds))} {'seed' if seeds == [1] else 'seeds'} of each batch size"
    n = f"{processor(part['device'].iloc[0])}, {n}"
    fitted, noise = _fit(part), _noise(part)
    if not isinstance(fitted, Fit):
        return " ".join([f"{n}. No fit: {fitted}.", *_noise_words(noise, None)])
    words = (
        f"{n}. S_min {_interval(fitted.s_min)} steps, E_min {_interval(fitted.e_min)} samples, "
        f"critical batch size {_interval(fitted.critical)}, fitted to "
        f"{count(len(fitted.batches), 'batch size')}, which it misses by "
        f"{100 * fitted.misfit:.0f} %."
    )
    against = [f"To be read with care: {'; '.join(fitted.flags)}."] if fitted.flags else []
    return " ".join([words, *against, *_noise_words(noise, fitted.critical)])


def absent(table: pd.DataFrame) -> str:
    """Why there is no figure; "" if there is one."""
    if parts(table):
        return ""
    return "No workload was trained with one optimizer at several batch sizes."


def _steps(part: pd.DataFrame) -> dict[float, Times]:
    """By batch size, those of which what the target took is known; in order."""
    found = {batch: times(rows, "steps") for batch, rows in groups(part, "batch", sort=True)}
    return {float(batch): steps for batch, steps in found.items() if steps}


def _fit(part: pd.DataFrame) -> Fit | str:
    """The fit, or why there is none."""
    known = part[part["steps_to_target"].notna()]
    by_batch = groups(known, "batch", sort=True)
    return _fitted(tuple((int(batch), tuple(r["steps_to_target"])) for batch, r in by_batch))


@lru_cache(maxsize=64)  # a figure, its table and its caption are of one fit
def _fitted(steps: tuple[tuple[int, tuple[float, ...]], ...]) -> Fit | str:
    try:
        return batch_size.fit(dict(steps))
    except ValueError as error:
        return str(error)


def _noise(part: pd.DataFrame) -> tuple[Noise, ...]:
    """The noise scales of the part's workload, in the order of the steps."""
    found: tuple[Noise, ...] = part["noise"].iloc[0] if len(part) else ()
    return found


def _last(noise: Sequence[Noise]) -> Noise | None:
    """The one to be drawn: of those that are numbers that nearest to the target."""
    return next((each for each in reversed(noise) if each.known), None)


def _noise_words(noise: Sequence[Noise], critical: Estimate | None) -> list[str]:
    """The noise scale, how far it is from the critical batch size, and what it was before."""
    last = _last(noise)
    if last is None:
        return ["The gradient noise scale was infinite at each step looked at."] if noise else []
    words = f"The gradient noise scale was {_interval(last.scale)} samples at {last.at} "
    words += f"({count(last.draws, 'draw')})"
    if critical and 0 < critical.value < math.inf:
        value = last.scale.value / critical.value
        low = last.scale.low / critical.high
        high = last.scale.high / critical.low if critical.low > 0 else math.inf
        ends = f"{compact(value)} [{compact(low)}, {compact(high)}] times the critical batch size"
        agree = "their intervals allow the two to be one" if low <= 1 <= high else "they disagree"
        words += f", {ends}: {agree}"
    others = [f"{each.at}: {amount(each.scale.value, 'steps')}" for each in noise if each != last]
    return [f"{words}.", *([f"At other steps: {', '.join(others)}."] if others else [])]


def _interval(found: Estimate) -> str:
    """e.g. "29 [21, 39]"."""
    middle, low, high = (amount(value, "steps") for value in found)
    return f"{middle} [{low}, {high}]"


def _steps_by_batch(
    axes: Axes, part: pd.DataFrame, found: dict[float, Times], fitted: Fit | str
) -> None:
    batches, noise = list(found), _last(_noise(part))
    near = noise and batches[0] / _FAR < noise.scale.value < batches[-1] * _FAR
    across = limits([*batches, noise.scale.value] if noise and near else batches)
    seeds = part[part["steps_to_target"].between(1e-9, 1e15)]
    up = limits([*seeds["steps_to_target"]] or [1.0, 10.0], margin=0.12)
    log_axis(axes.xaxis, across, batch_ticks(batches))
    log_axis(axes.yaxis, up, panels.decades(up, write=compact))
    axes.set_xlabel("batch size B (samples)", labelpad=4)
    panels.write(axes, -48, 22 + (_LINE if noise else 0), "steps to the target, S")
    if isinstance(fitted, Fit):
        x = np.geomspace(across[0], across[1], 120)
        y = fitted.s_min.value + fitted.e_min.value / x
        axes.plot(x, y, color=INK, linewidth=1.6)
        for least in (np.full_like(x, fitted.s_min.value), fitted.e_min.value / x):
            axes.plot(x, least, color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
        _mark(axes, fitted.critical, f"critical {_interval(fitted.critical)}")
    if noise:
        _mark(axes, noise.scale, f"noise scale {_interval(noise.scale)}", _NOISE, "-.", _LINE)
    axes.plot(seeds["batch"], seeds["steps_to_target"], "o", color=_COLOR, ms=3, alpha=0.6)
    _medians(axes, list(found.items()), up[1])


def _samples_by_steps(axes: Axes, found: dict[float, Times], fitted: Fit | str) -> None:
    there = {batch: steps for batch, steps in found.items() if 0 < steps.median < math.inf}
    steps = [steps.median for steps in there.values()]
    samples = [batch * steps.median for batch, steps in there.items()]
    across, up = limits(steps or [1.0, 10.0], margin=0.1), limits(samples or [1.0, 10.0], 0.1)
    log_axis(axes.xaxis, across, panels.decades(across, write=compact))
    log_axis(axes.yaxis, up, panels.decades(up, write=compact))
    axes.set_xlabel("steps to the target, S", labelpad=4)
    panels.write(axes, -48, 9, "samples to the target, E")
    if not there:
        style_words = "no batch size of which half of the seeds got there"
        axes.text(0.5, 0.5, style_words, transform=axes.transAxes, ha="center", color=MUTED)
    if isinstance(fitted, Fit) and fitted.s_min.value > 0:
        x = np.geomspace(max(across[0], fitted.s_min.value * 1.0001), across[1], 240)
        # (S / S_min - 1) (E / E_min - 1) = 1
        axes.plot(x, fitted.e_min.value * x / (x - fitted.s_min.value), color=INK, linewidth=1.6)
    axes.plot(steps, samples, "o", color=_COLOR, ms=6)
    for batch, *at in zip(there, steps, samples, strict=True):
        axes.annotate(
            whole(batch), (at[0], at[1]), (5, 4), textcoords="offset points", color=_COLOR
        )


def _medians(axes: Axes, found: list[tuple[float, Times]], top: float) -> None:
    """The median of each batch size, or an arrow at the upper edge where it is infinite."""
    for batch, steps in found:
        if math.isfinite(steps.median):
            axes.plot([batch], [steps.median], "o", color=_COLOR, ms=6)
        else:
            axes.plot([batch], [top], "^", color=_COLOR, ms=8, mfc=PAPER, clip_on=False)


def _mark(
    axes: Axes, batch: Estimate, name: str, color: str = _BAND, dash: str = "-", up: float = 0.0
) -> None:
    """A batch size with its interval as a band, named at the axes' upper edge or `up` above it."""
    low, high = axes.get_xlim()
    ends = np.clip([batch.low, batch.high], low, high)
    if ends[0] < ends[1]:
        axes.axvspan(*ends, color=color, alpha=0.15, linewidth=0)
    if low < batch.value < high:
        axes.axvline(batch.value, color=color, linewidth=1.2, linestyle=dash)
        share = math.log(batch.value / low) / math.log(high / low)
        axes.text(
            share, 1.02 + up / _HIGH, name, transform=axes.transAxes, color=color,
            ha="left" if share < 0.5 else "right", fontsize=9.5,
        )  # fmt: skip
