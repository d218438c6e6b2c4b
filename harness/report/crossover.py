"""From which batch size one device is faster than another, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

from harness.noise import APART, Floor
from harness.report.frame import judgeable
from harness.report.words import whole
from harness.verdict import FASTER, SLOWER, Ratio, verdicts

_KEY = ["subject", "case", "direction", "dtype", "provider", "mode"]
_TIMES = ["median_s", "low", "high", "n", "noise_floor", "run", "machine"]


@dataclass(frozen=True)
class Crossover:
    """Where the speedup of one device over another passes 1 for good.

    Attributes:
        batch: where the median curve does; 0 if it is above 1 at every measured batch, infinite
            if it is not above 1 at the largest one.
        low, high: the interval: the same for the curve of the upper and of the lower ends.
        words: the finding in one sentence.
    """

    batch: float
    low: float
    high: float
    words: str


def crossover(
    batches: Sequence[float],
    speedup: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
) -> Crossover:
    """The batch size from which the GPU is faster than the CPU and stays so.

    Straight lines are drawn between measured batches, log speedup against log batch. The curve
    of the lower ends gives the interval's upper bound, that of the upper ends its lower bound.

    Args:
        batches: measured batch sizes, > 0, each once, rising.
        speedup, low, high: of GPU over CPU at each, with 0 < low <= speedup <= high.

    Raises:
        ValueError: nothing was given, or the arguments differ in length or order.
    """
    if not len(batches) == len(speedup) == len(low) == len(high) or not len(batches):
        raise ValueError(
            f"crossover got {len(batches)} batches, {len(speedup)} speedups, {len(low)} lower and "
            f"{len(high)} upper ends; give the same number of each, and at least one"
        )
    if any(b >= a for b, a in pairwise(batches)) or batches[0] <= 0:
        raise ValueError(f"batches are {list(batches)}; give them rising, above 0, each once")
    at, first, last = (_stays_above_1(batches, curve) for curve in (speedup, high, low))
    return Crossover(at, first, last, _words(batches, high, at, first, last))


def crossing(rows: pd.DataFrame) -> Crossover:
    """The crossover of one line of `device_ratio`, at rising batches, in step with its verdicts.

    Where the verdict is neither "faster" nor "slower", the interval's end counts as one that the
    noise floor hides: it may exclude 1 and yet tell nothing, of identical code or of as many
    comparisons.
    """
    bound = 1 + rows["noise_floor"]
    low = rows["low"].where(rows["verdict"] == FASTER, rows["low"].clip(upper=1 / bound))
    high = rows["high"].where(rows["verdict"] == SLOWER, rows["high"].clip(lower=bound))
    return crossover(rows["batch"].tolist(), rows["value"].tolist(), low.tolist(), high.tolist())


def device_ratio(table: pd.DataFrame) -> pd.DataFrame:
    """The speedup of the GPU over the CPU where both ran the same thing.

    Same thing: equal subject, case, direction, dtype, provider and mode. Rows on which no verdict
    may stand (`frame.judgeable`) have no part in it. The interval is the widest that the two
    medians' intervals allow: low = the CPU's low / the GPU's high.

    Returns:
        one line each, in the order of `table`: those columns, kind, batch, value, low, high, n,
        the smaller of the two numbers of samples, noise_floor, the higher of the two and APART at
        least, verdict, beyond that, and apart: in words, where the two are of different machines
        or runs, whose each is; else "".
    """
    rows = judgeable(table).drop_duplicates([*_KEY, "device"], keep="last")
    both = rows[rows["device"] == "cuda"].merge(
        rows.loc[rows["device"] == "cpu", [*_KEY, *_TIMES]], on=_KEY, suffixes=("", "_cpu")
    )
    found = both[["kind", "batch", *_KEY]].assign(
        value=both["median_s_cpu"] / both["median_s"],
        low=both["low_cpu"] / both["high"],
        high=both["high_cpu"] / both["low"],
        n=both[["n", "n_cpu"]].min(axis=1),
        apart=_apart(both),
    )
    # one device is not measured in turn with the other: the floors of both are the least
    found["noise_floor"] = both[["noise_floor", "noise_floor_cpu"]].max(axis=1).clip(lower=APART)
    ends = zip(*(found[name] for name in ("value", "low", "high", "noise_floor")), strict=True)
    ratios = [Ratio(value, low, high, Floor(share, 0)) for value, low, high, share in ends]
    return found.assign(verdict=pd.Series(verdicts(ratios), index=found.index, dtype="object"))


def _apart(both: pd.DataFrame) -> pd.Series:
    """What no interval knows of: that the two were not measured side by side."""
    found = pd.Series([""] * len(both), index=both.index, dtype="object")
    for what in ("run", "machine"):  # of two machines the runs differ as well
        one, other = both[f"{what}_cpu"], both[what]
        words = f"two {what}s: CPU of " + one + ", GPU of " + other
        found = found.where(one == other, words)
    return found


def _stays_above_1(batches: Sequence[float], curve: Sequence[float]) -> float:
    below = [i for i, value in enumerate(curve) if value <= 1]
    if not below:
        return 0.0
    i = below[-1]
    if i == len(curve) - 1:
        return math.inf
    share = -math.log(curve[i]) / (math.log(curve[i + 1]) - math.log(curve[i]))
    return math.exp(math.log(batches[i]) + share * math.log(batches[i + 1] / batches[i]))


def _words(
    batches: Sequence[float], high: Sequence[float], at: float, first: float, last: float
) -> str:
    smallest, largest = whole(batches[0]), whole(batches[-1])
    if len(batches) == 1:
        measured_at = f"at the only measured batch, {smallest}"
    else:
        measured_at = f"at every measured batch, {smallest} to {largest}"
    if last == 0:
        return f"GPU faster {measured_at}"
    if all(end < 1 for end in high):
        return f"CPU faster {measured_at}"
    if len(batches) == 1:
        return f"same or unclear {measured_at}"
    if at == math.inf:
        if high[-1] < 1:
            return f"no crossover up to batch {largest}, where CPU is faster"
        return f"no crossover up to batch {largest}, where the two are same or unclear"
    bounds = (
        f"[{whole(first) if first else f'below {smallest}'}, "
        f"{whole(last) if last < math.inf else f'above {largest}'}]"
    )
    if last == math.inf:
        start = f"medians cross at batch {whole(at)} {bounds}" if at else "GPU's median is ahead"
        return f"{start}, and at batch {largest} the two are still same or unclear"
    if at == 0:
        return f"GPU faster from batch {whole(last)}; below it same or unclear {bounds}"
    return f"GPU faster from batch {whole(at)} {bounds}"
