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
from harness.report.words import count, counts, processor, whole

SOURCE = "trials"
TITLE = "How large a batch pays"
INTRO = (
    "Steps to the target against batch size (above) and samples against steps (below), both axes "
    "logarithmic; lower is better in each. Small dots are seeds, the large one is their median; "
    "an arrow at the upper edge is a batch size of which half of the seeds or more did not get "
    "there. The line is S = S_min + E_min / B, fitted to the geometric means of those of which all "
    "seeds did: however large the batch, S_min steps are needed, and however small, E_min samples "
    "(the dashed lines). At the critical batch size E_min / S_min both are twice their least; the "
    "band is its 95 % interval if that law holds "
    "(McCandlish et al. 2018, arXiv 1812.06162). The dash-dotted lines and their bands, where a "
    "probe measured it, are the gradient noise scale, tr(Σ) / |G|², at each step looked at of "
    "plain stochastic gradient descent: by theory it predicts the critical batch size."
)

_LEFT, _ACROSS, _TOP, _HIGH, _BELOW = 56.0, 304.0, 38.0, 150.0, 66.0  # points
_LINE = 13.0  # points that a line of text needs
_COLOR = style.SERIES[1]
_BAND, _NOISE = style.SERIES[2], style.SERIES[3]
_MISFIT = 0.1  # a curve that far from what it is fitted to is no law
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


def figure(part: pd.DataFrame) -> Figure:
    """Two panels: S against B, and E against S."""
    found = _steps(part)
    top = _TOP + (_LINE if _known(_noise(part)) else 0)
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
    seeds = counts((steps.n for steps in found.values()), "seed")
    n = f"{processor(part['device'].iloc[0])}, {seeds} of each batch size"
    fitted, noise = _fit(part), _noise(part)
    if not isinstance(fitted, Fit):
        return " ".join([f"{n}. No fit: {fitted}.", *_noise_words(noise, None)])
    held = "If the law held, " if _doubted(fitted, noise) else ""
    words = (
        f"{n}. {held}S_min {_interval(fitted.s_min)} steps, "
        f"E_min {_interval(fitted.e_min)} samples, "
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


def _doubted(fitted: Fit, noise: Sequence[Noise]) -> bool:
    """Whether something is against the law that the fit takes for true, and its intervals too.

    Its own flags, a misfit that anyone would see, or noise scales of which none allows its critical
    batch size.
    """
    known = _known(noise)
    return bool(
        fitted.flags
        or fitted.misfit > _MISFIT
        or (known and not any(_may_be(one, fitted.critical) for one in known))
    )


def _may_be(noise: Noise, critical: Estimate) -> bool:
    """Whether the two intervals have something in common."""
    return noise.scale.low <= critical.high and critical.low <= noise.scale.high


def _noise(part: pd.DataFrame) -> tuple[Noise, ...]:
    """The noise scales of the part's workload, in the order of the steps."""
    found: tuple[Noise, ...] = part["noise"].iloc[0] if len(part) else ()
    return found


def _known(noise: Sequence[Noise]) -> list[Noise]:
    """Those that are numbers, all of which are drawn: which of them is to predict is not known."""
    return [each for each in noise if each.known]


def _noise_words(noise: Sequence[Noise], critical: Estimate | None) -> list[str]:
    """The noise scale at each step, and how far it is from the critical batch size at all of them.

    That a step's interval allows the two to be one says little where there are several steps to
    choose from. So it is told only where all of them do.
    """
    if not noise:
        return []
    known = _known(noise)
    each = [f"{_interval(one.scale) if one.known else '∞'} at {one.at}" for one in noise]
    words = f"The gradient noise scale, in samples, was {', '.join(each)}"
    words += f" ({count(min(one.draws for one in noise), 'draw')}{' each' * (len(noise) > 1)})"
    if known and critical and 0 < critical.value < math.inf:
        ratios = [one.scale.value / critical.value for one in known]
        ends = " to ".join(dict.fromkeys(compact(end) for end in (min(ratios), max(ratios))))
        words += f", {ends} times the critical batch size: {_agreement(known, critical)}"
    return [f"{words}."]


def _agreement(noise: Sequence[Noise], critical: Estimate) -> str:
    """Whether the noise scales may be the critical batch size, by the intervals of all."""
    allowed = sum(_may_be(one, critical) for one in noise)
    if allowed == len(noise):
        return "their intervals allow the two to be one"
    if allowed:
        return f"the two may be one at {allowed} of {count(len(noise), 'step')}, and not at others"
    return "they disagree" + (" at each step" if len(noise) > 1 else "")


def _interval(found: Estimate) -> str:
    """e.g. "29 [21, 39]"."""
    middle, low, high = (amount(value, "steps") for value in found)
    return f"{middle} [{low}, {high}]"


def _steps_by_batch(
    axes: Axes, part: pd.DataFrame, found: dict[float, Times], fitted: Fit | str
) -> None:
    batches, noise = list(found), _known(_noise(part))
    scales = [one.scale.value for one in noise]
    near = [scale for scale in scales if batches[0] / _FAR < scale < batches[-1] * _FAR]
    across = limits([*batches, *near])
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
        held = " if the law held:" if _doubted(fitted, noise) else ""
        _mark(axes, fitted.critical, f"critical{held} {_interval(fitted.critical)}")
    for one in noise:
        _mark(axes, one.scale, "", _NOISE, "-.")
    if noise:
        ends = " to ".join(amount(f(scales), "steps") for f in (min, max))
        told = f"{ends}, at {len(noise)} steps" if noise[1:] else _interval(noise[0].scale)
        _name(axes, near or scales, f"noise scale {told}", _NOISE, _LINE)
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


def _mark(axes: Axes, batch: Estimate, name: str, color: str = _BAND, dash: str = "-") -> None:
    """A batch size with its interval as a band, named at the axes' upper edge."""
    low, high = axes.get_xlim()
    ends = np.clip([batch.low, batch.high], low, high)
    if ends[0] < ends[1]:
        axes.axvspan(*ends, color=color, alpha=0.15, linewidth=0)
    if low < batch.value < high:
        axes.axvline(batch.value, color=color, linewidth=1.2, linestyle=dash)
    if name:
        _name(axes, [batch.value], name, color)


def _name(axes: Axes, batches: list[float], name: str, color: str, up: float = 0.0) -> None:
    """Above the axes, or `up` points higher, at the middle one of those that lie within them."""
    low, high = axes.get_xlim()
    if inside := sorted(batch for batch in batches if low < batch < high):
        at = inside[len(inside) // 2]
        share = math.log(at / low) / math.log(high / low)
        axes.text(
            share, 1.02 + up / _HIGH, name, transform=axes.transAxes, color=color,
            ha="left" if share < 0.5 else "right", fontsize=9.5,
        )  # fmt: skip
