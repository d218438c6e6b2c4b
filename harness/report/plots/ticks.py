"""Log axes: how far they reach, and few ticks with units at values that a reader knows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from matplotlib.axis import Axis
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from harness.report.words import si_tick

_FEWEST = 3  # ticks from which a reader sees how an axis goes on


def limits(values: Sequence[float], margin: float = 0.06, least: float = 1.0) -> list[float]:
    """From the smallest to the largest value on a log axis with a margin at both ends.

    Args:
        least: the smallest range in which they are shown, in octaves.
    """
    low, high = (math.log2(f(values)) for f in (min, max))
    spare = max(0.0, least - (high - low)) / 2
    pad = margin * max(high - low, least)
    return [2 ** (low - spare - pad), 2 ** (high + spare + pad)]


def log_axis(axis: Axis, ends: Sequence[float], labels: Mapping[float, str]) -> None:
    """A log axis from one end to the other with these ticks and no others."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})  # type: ignore[attr-defined]
    linear_axis(axis, ends, labels)


def linear_axis(axis: Axis, ends: Sequence[float], labels: Mapping[float, str]) -> None:
    """The same on an axis that was made linear."""
    axis.axes.set(**{f"{axis.axis_name}lim": tuple(ends)})  # type: ignore[attr-defined]
    axis.set_minor_locator(NullLocator())
    axis.set_major_locator(FixedLocator(list(labels)))
    axis.set_major_formatter(FixedFormatter(list(labels.values())))


def batch_ticks(batches: Sequence[float], most: int = 7) -> dict[float, str]:
    """Measured batch sizes to write at the axis: so many that they do not run together."""
    values = sorted(set(batches))
    apart = math.log(values[-1] / values[0]) / most
    kept = values[:1]
    for value in values[1:]:
        if math.log(value / kept[-1]) >= apart:
            kept.append(value)
    return {value: f"{value:.0f}" if value < 1e5 else f"{value:.0e}" for value in kept}


def time_ticks(ends: Sequence[float], most: int = 6) -> dict[float, str]:
    """Seconds at the axis: even steps, 1-2-5 or whole decades, in the unit that suits each."""
    low, high = ends
    ticks = (even_ticks if high / low < 3 else _log_ticks)(low, high, most)
    return {value: si_tick(value, "s") for value in ticks}


def ratio_ticks(ends: Sequence[float], most: int = 6) -> dict[float, str]:
    """Speedups at the axis: even steps where they are close, doublings or decades where not."""
    low, high = ends
    if high / low < 3:
        ticks = even_ticks(low, high, most)
    elif high / low < 2.0 ** (2 * most):
        powers = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
        step = math.ceil(len(powers) / most)
        ticks = [2.0**power for power in powers if power % step == 0]
        ticks = ticks if len(ticks) >= _FEWEST else _thinned(low, high, most)
    else:
        ticks = _log_ticks(low, high, most)
    return {value: f"{value:.6g}×" for value in ticks}


def even_ticks(low: float, high: float, most: int) -> list[float]:
    """Round values in even steps from the one to the other."""
    values = MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [value for value in map(float, values) if low <= value <= high]


def _thinned(low: float, high: float, most: int) -> list[float]:
    """Even steps on a log axis, without those that would run into the one before."""
    apart = math.log(high / low) / (1.25 * most)
    kept: list[float] = []
    for tick in even_ticks(low, high, most):
        if not kept or math.log(tick / kept[-1]) >= apart:
            kept.append(tick)
    return kept


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for multiples in ((1, 2, 5), (1,)):
        ticks = [m * 10.0**d for d, m in itertools.product(decades, multiples)]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) < _FEWEST:
            return _thinned(low, high, most)
        if len(ticks) <= most:
            return ticks
    return ticks[:: math.ceil(len(ticks) / most)]
