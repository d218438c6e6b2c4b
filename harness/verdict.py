"""What may be said of a ratio: faster, slower, same or unclear.

"faster" and "slower" are said only where the interval excludes 1, the effect exceeds the noise
floor (harness/noise.py), and is too large for chance after as many comparisons as were judged
together. Chance has two parts: the ratio's own error, which its interval knows, and by how much two
builds of one code differ for as long as they live, which the run's A/A pairs know.
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
from typing import NamedTuple

from harness.noise import NO_PAIRS, Floor

FASTER, SAME, UNCLEAR, SLOWER = "faster", "same", "unclear", "slower"
VERDICTS = (FASTER, SAME, UNCLEAR, SLOWER)
ALIKE = 0.1  # what differs by more is never the same, however noisy the run
ALPHA = 0.05  # the chance of one wrong "faster" or "slower" among all that are judged together


class Ratio(NamedTuple):
    """A speedup with its interval, 0 < low <= value <= high, and the floor it has to exceed.

    `freedom` are the degrees of freedom of the interval, infinitely many of a normal one.
    """

    value: float
    low: float
    high: float
    floor: Floor = NO_PAIRS
    confidence: float = 0.95
    freedom: float = math.inf


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

    Student's, of the log ratio over its standard error, that of the interval (its half towards 1)
    and what lasts of the floor together. By the degrees of freedom of the one of the two that is
    known less: a few blocks, or a few pairs, are often more alike than they should be.
    """
    import scipy.special

    distance = abs(math.log(ratio.value))
    end = ratio.low if ratio.value > 1 else ratio.high
    if not 0 < end < math.inf:
        return 1.0
    half = abs(math.log(ratio.value) - math.log(end))
    own = half / float(scipy.special.stdtrit(ratio.freedom, (1 + ratio.confidence) / 2))
    error = math.hypot(own, ratio.floor.lasting)
    if not error:
        return 0.0 if distance else 1.0
    freedom = min(ratio.freedom, ratio.floor.freedom)
    return float(2 * scipy.special.stdtr(freedom, -distance / error))


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
