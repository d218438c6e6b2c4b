"""A mini-batch's gradient is noisier: its variance against the batch size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from harness.probes.spec import Finding
from harness.report.words import digits, plain
from harness.studies.compare import DEVICES
from harness.studies.spec import (
    DEPENDS,
    REFUTED,
    SUPPORTED,
    UNCLEAR,
    Evidence,
    Verdict,
    combined,
    not_measured,
)

CLAIM = "A mini-batch's gradient is noisier: its variance goes as one over the batch size."
NEEDS = "The probe noise: the variance of the gradient at three batch sizes or more."
FIGURE = "gradient_noise"

SIDE = NormalDist().inv_cdf(0.975)  # of the intervals that the probe gives, 95 %
ALIKE = 0.1  # a slope that differs from -1 by less is 1/B's, however well it is known
UNLIKELY = 0.01  # chance of points so far from a line that is one; they are no power law
BENT = 0.1  # if they miss it by more than 10 %
POINTS = 3  # batch sizes, at the least


class _Line(NamedTuple):
    """Log variance against log batch size, and the verdict that it gives."""

    slope: float
    low: float
    high: float
    misfit: float
    verdict: str
    words: str


def judge(evidence: Evidence) -> Verdict:
    """By the slope of log variance against log batch size, of every workload that was looked at.

    1/B is a slope within 0.1 of -1 with its whole interval (equivalence: Schuirmann 1987, doi
    10.1007/BF01068419), of points that lie on a line.
    """
    lines, fewest = [], []
    for device in DEVICES:
        found = [(f, n) for f in evidence.found("noise", device=device) if (n := _numbers(f))]
        for subject in dict.fromkeys(f.subject for f, _ in found):
            points = {n[0]: (f, n) for f, n in found if f.subject == subject}
            if len(points) >= POINTS:
                lines.append(_line([points[batch] for batch in sorted(points)]))
                fewest.append(min(f.n for f, _ in points.values()))
    if not lines:
        return not_measured("no gradient's variance is known at three batch sizes")
    order = sorted(lines, key=lambda line: line.slope)
    effects = dict.fromkeys(_slope(line) for line in (order[0], order[-1]))
    verdict = combined([line.verdict for line in lines])
    words = "; ".join(line.words for line in lines)
    return Verdict(verdict, f"{words}.", f"slope {' to '.join(effects)}", min(fewest))


def _line(points: Sequence[tuple[Finding, tuple[float, ...]]]) -> _Line:
    found, numbers = [f for f, _ in points], [n for _, n in points]
    batch, low, variance, high = np.log(np.array(numbers)).T
    weight = ((high - low) / (2 * SIDE)) ** -2.0
    centred = batch - np.average(batch, weights=weight)
    spread = float((weight * centred**2).sum())
    slope = float((weight * centred * variance).sum()) / spread
    half = SIDE / math.sqrt(spread)
    rest = variance - np.average(variance, weights=weight) - slope * centred
    misfit = float(np.sqrt(np.mean(rest**2)))
    bent = misfit > BENT and _unlikely(float((weight * rest**2).sum()), len(points) - 2)
    verdict = _verdict(slope - half, slope + half, bent)
    line = _Line(slope, slope - half, slope + half, misfit, verdict, "")
    first, last = numbers[0], numbers[-1]
    told = {
        SUPPORTED: f"within {ALIKE:g} of 1/B's -1",
        DEPENDS: f"no line, which it misses by {misfit:.0%}" if bent else "noisier, not as 1/B",
        REFUTED: "not noisier",
        UNCLEAR: f"which does not tell whether it is within {ALIKE:g} of 1/B's -1",
    }[verdict]
    words = (
        f"The variance of {plain(found[0].subject)}'s gradient is {digits(first[2])} at "
        f"batch {first[0]:,.0f} and {digits(last[2])} at {last[0]:,.0f}: slope {_slope(line)} in "
        f"log variance against log batch size over {len(found)} batch sizes, {told} (on "
        f"{plain(found[0].device_name)})"
    )
    return line._replace(words=words)


def _verdict(low: float, high: float, bent: bool) -> str:
    least, most = -1 - ALIKE, -1 + ALIKE
    if high < 0 and (bent or low > most or high < least):
        return DEPENDS  # noisier, and not as 1/B: half of the claim
    if least <= low and high <= most:
        return SUPPORTED
    # a slope of 0 or more, as nearly as 1/B is told
    return REFUTED if low > -ALIKE else UNCLEAR


def _unlikely(squares: float, freedom: int) -> bool:
    """Whether points on a line would be so far from it by chance."""
    import scipy.stats

    return float(scipy.stats.chi2.sf(squares, freedom)) < UNLIKELY


def _slope(line: _Line) -> str:
    return f"{line.slope:.3f} [{line.low:.3f}, {line.high:.3f}]"


def _numbers(finding: Finding) -> tuple[float, ...]:
    """Batch, and the variance between its ends; nothing where they have no logarithm."""
    names = ("batch", "variance_low", "variance", "variance_high")
    values = (finding.values.get(name) for name in names)
    batch, low, value, high = (math.nan if v is None else v for v in values)
    usable = 0 < batch < math.inf and 0 < low <= value <= high < math.inf and low < high
    return (batch, low, value, high) if usable else ()
