"""What may be said of a ratio: faster, slower, same or unclear.

"faster" and "slower" are said only where the interval excludes 1, still does after as many
comparisons as were judged together, and the effect exceeds the noise floor (harness/noise.py).
"same" is said where the whole interval lies within the floor, which is 1% at least, and within 10%
of 1: a difference that is real but smaller is "same" too, and a floor that hides half of the time
makes nothing the same. All else is "unclear". Imports neither torch nor triton.

Sources: Holm 1979, "A simple sequentially rejective multiple test procedure" (Scandinavian Journal
of Statistics 6, 65); equivalence as an interval within bounds, Schuirmann 1987 (doi
10.1007/BF01068419).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

from harness.noise import NO_PAIRS, Floor

FASTER, SAME, UNCLEAR, SLOWER = "faster", "same", "unclear", "slower"
VERDICTS = (FASTER, SAME, UNCLEAR, SLOWER)
ALIKE = 0.1  # what differs by more is never the same, however noisy the run
ALPHA = 0.05  # the chance of one wrong "faster" or "slower" among all that are judged together


class Ratio(NamedTuple):
    """A speedup with its interval, 0 < low <= value <= high, and the floor it has to exceed."""

    value: float
    low: float
    high: float
    floor: Floor = NO_PAIRS
    confidence: float = 0.95


def verdicts(ratios: Sequence[Ratio]) -> list[str]:
    """One of VERDICTS for each of the ratios that are judged together."""
    adjusted = holm([p_value(ratio) for ratio in ratios])
    return [_verdict(ratio, p) for ratio, p in zip(ratios, adjusted, strict=True)]


def _verdict(ratio: Ratio, p: float) -> str:
    bound = 1 + ratio.floor.share
    if p <= ALPHA and ratio.low > 1 and ratio.value > bound:
        return FASTER
    if p <= ALPHA and ratio.high < 1 and ratio.value < 1 / bound:
        return SLOWER
    near = min(bound, 1 + ALIKE)
    return SAME if 1 / near <= ratio.low and ratio.high <= near else UNCLEAR


def p_value(ratio: Ratio) -> float:
    """The chance of an effect so large, in either direction, where there is none.

    The one that the interval implies for a log ratio that is normal: the end that is nearer to 1
    is so many standard errors away from the value. Where few blocks made the interval Student's, it
    is somewhat too small far out.
    """
    distance = abs(math.log(ratio.value))
    end = ratio.low if ratio.value > 1 else ratio.high
    half = abs(math.log(ratio.value) - math.log(end)) if 0 < end < math.inf else math.inf
    if half == 0:
        return 0.0 if distance else 1.0
    normal = NormalDist()
    z = distance / half * normal.inv_cdf((1 + ratio.confidence) / 2)
    return 2 * normal.cdf(-z)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for their number, in the order given.

    The smallest times n, the next times n - 1, and so on, none smaller than the one before: then
    a threshold on them bounds the chance of even one false finding.
    """
    n = len(p_values)
    adjusted, largest = [0.0] * n, 0.0
    for rank, i in enumerate(sorted(range(n), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (n - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted
