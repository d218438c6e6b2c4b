"""How far a row can be believed: a grade with its reasons, from the row alone.

Computed when a row is read, so that old rows have a grade too. Imports neither torch nor triton.

Two modes: the samples' logarithms are split where the variance between the two parts is largest
(Otsu 1979, doi 10.1109/TSMC.1979.4310076). Of one mode, however skewed, the middle third of the way
between the parts' means holds a seventh of the samples or more (normal 21%, uniform 17%,
exponential 14%); of two modes that are four standard deviations apart it holds less than a tenth.
Drift: the medians of the two halves differ by more than their intervals allow, either as they are
(a step) or about a straight line (a slope, which would widen the intervals of what it moves).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from harness.record import CONVERGENCE, OK, number
from harness.statistics import median_interval

HIGH, MEDIUM, LOW, NONE = "high", "medium", "low", "none"
GRADES = (HIGH, MEDIUM, LOW, NONE)

NARROW, WIDE = 0.02, 0.05  # half of the interval, as a share of the median
APART = 0.02  # two modes, or the ends of a drift, that are closer do not matter
SMALLER_MODE = 0.1  # share of the samples under which a few are outliers and no mode
MIDDLE_THIRD = 0.138  # share of the samples there, the exponential distribution's
MIN_SAMPLES = 32  # with fewer, an empty middle is chance
CHANCE = 0.01  # at most, that one mode is taken for two, or a steady series for a drifting one


class Trust(NamedTuple):
    """A grade out of GRADES, and why it is no better: nothing for HIGH."""

    grade: str
    reasons: tuple[str, ...]


def trust(
    info: Mapping[str, Any], samples: Sequence[float], faults: Sequence[str] = ()
) -> Trust | None:
    """The grade of a row.

    Args:
        info: its extra_info; fields that an old row lacks are as good as not known.
        samples: seconds, in the order they were taken.
        faults: what `harness.faults.faults` found of the row's device in its run.

    Returns:
        The worst grade that a reason gives; None for trials, whose samples are seeds.
    """
    if info["kind"] == CONVERGENCE:
        return None
    if info["status"] != OK:
        return Trust(NONE, (f"{info['status']}: {info.get('reason') or 'no reason given'}",))
    found = [(NONE, fault) for fault in faults]
    if info.get("above_roof"):
        found.append((NONE, "faster than the roof measured in this run"))
    found += [*_correctness(info), *_interval(info)]
    if info.get("throttled"):
        found.append((LOW, f"disturbed: {info.get('throttle_reasons') or 'not told by what'}"))
    x = np.log(np.asarray(samples, dtype=np.float64))
    if modes := two_modes(x):
        share, apart = modes
        found.append((MEDIUM, f"two groups of samples: {share:.0%} of them are {apart:.0%} slower"))
    if change := drift(x):
        how = f"{change:.1%} longer" if change > 0 else f"{-change:.1%} less"
        found.append((MEDIUM, f"drift: the second half of the samples took {how} than the first"))
    worst = max((GRADES.index(grade) for grade, _ in found), default=0)
    return Trust(GRADES[worst], tuple(words for _, words in found))


def _correctness(info: Mapping[str, Any]) -> list[tuple[str, str]]:
    error, bound = number(info, "correctness_error"), number(info, "correctness_bound")
    if error is None or bound is None:
        return [(LOW, "its correctness was not checked")]
    return [(NONE, f"its error {error:.2g} is above the bound {bound:.2g}")] * (error > bound)


def _interval(info: Mapping[str, Any]) -> list[tuple[str, str]]:
    median, low, high = (number(info, f"median{end}_s") for end in ("", "_low", "_high"))
    if not median or low is None or high is None:
        return [(LOW, "its median has no interval")]
    half = (high - low) / 2 / median
    if half <= NARROW:
        return []
    return [(MEDIUM if half <= WIDE else LOW, f"its median is known to ± {half:.1%} only")]


def two_modes(logs: NDArray[np.float64]) -> tuple[float, float] | None:
    """(share of the slower mode, by how much it is slower), or None for one mode.

    Args:
        logs: [n], logarithms of the samples.
    """
    x = np.sort(logs)
    n = x.size
    if n < MIN_SAMPLES:
        return None
    # a twentieth at each end counts as the outermost that is kept, or outliers would be a mode
    x = np.clip(x, x[n // 20], x[n - 1 - n // 20])
    below = np.cumsum(x)[:-1]
    count = np.arange(1, n)
    first, second = below / count, (x.sum() - below) / (n - count)
    split = int(np.argmax(count * (n - count) * (second - first) ** 2))
    apart = second[split] - first[split]
    slower = float((n - count[split]) / n)
    middle = np.abs(x - (first[split] + second[split]) / 2) < apart / 6
    if apart < math.log1p(APART) or not SMALLER_MODE <= slower <= 1 - SMALLER_MODE:
        return None
    if scipy.stats.binom.cdf(int(middle.sum()), n, MIDDLE_THIRD) > CHANCE:
        return None
    return slower, float(np.expm1(apart))


def drift(logs: NDArray[np.float64]) -> float | None:
    """By how much the second half is slower than the first, or None where it is not clearly so.

    Args:
        logs: [n], logarithms of the samples, in the order they were taken.
    """
    n = logs.size
    if n < MIN_SAMPLES:
        return None
    half = n // 2
    change = float(np.median(logs[half:]) - np.median(logs[:half]))
    if abs(change) < math.log1p(APART):
        return None  # the intervals cost more than the medians
    for steady in (logs, logs - change / half * np.arange(n)):
        ends = (median_interval(part, 1 - CHANCE) for part in (steady[:half], steady[half:]))
        if abs(change) > math.hypot(*((high - low) / 2 for low, high in ends)):
            return math.expm1(change)
    return None
