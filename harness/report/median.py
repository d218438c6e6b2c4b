"""The median over the seeds of a validation metric, at equal cost, with none of them left out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.curve import CENSORED, REACHED

Floats = NDArray[np.float64]


def along(seed: pd.DataFrame, currency: str, x: Floats) -> Floats:
    """One trial's metric at each x, in a currency; NaN past the trial's end.

    On straight lines between evaluations, as the crossing of the target is read off.

    Args:
        seed: the trial's lines of `harness.report.trials.points`.
    """
    known = seed[seed["value"].notna() & seed[currency].notna()]
    if known.empty:
        return np.full_like(x, math.nan)
    return np.interp(x, known[currency], known["value"], right=math.nan)


def middle(
    x: Floats, seeds: Sequence[tuple[Floats, pd.DataFrame]], crossing: float
) -> tuple[Floats, Floats]:
    """The median over the seeds at each x, up to where it meets the target.

    A seed past its end counts as better than the target where it reached that, else as worse than
    all. Where a seed was stopped too early to tell, there is no median any more.

    Args:
        seeds: `along` of each trial, and its lines.
        crossing: the median over the seeds of what the target took; infinite where half of them
            or more did not get there.

    Returns:
        (x, median), of the same length: that of `x` or less.
    """
    target, lower = seeds[0][1][["target", "lower_is_better"]].iloc[0]
    best, worst = (-math.inf, math.inf) if lower else (math.inf, -math.inf)
    after = {REACHED: best, CENSORED: math.nan}
    values = [
        np.where(np.isnan(y), after.get(seed["status"].iloc[0], worst), y) for y, seed in seeds
    ]
    with np.errstate(invalid="ignore"):  # the mean of two infinities
        found = np.median(values, axis=0)
    stop = np.flatnonzero(~np.isfinite(found) | (x >= crossing))
    end = int(stop[0]) if len(stop) else len(x)
    if math.isinf(crossing):
        return x[:end], found[:end]
    return np.append(x[:end], crossing), np.append(found[:end], target)
