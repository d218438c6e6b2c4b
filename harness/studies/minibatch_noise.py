"""A mini-batch's gradient is noisier: its variance against the batch size."""

from __future__ import annotations

import math
from statistics import NormalDist

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
    not_measured,
)

CLAIM = "A mini-batch's gradient is noisier: its variance goes as one over the batch size."
NEEDS = "The probe noise: the variance of the gradient at three batch sizes or more."
FIGURE = "gradient_noise"

SIDE = NormalDist().inv_cdf(0.975)  # of the intervals that the probe gives, 95 %


def judge(evidence: Evidence) -> Verdict:
    """By the slope of log variance against log batch size, which should be -1, and its interval."""
    for device in DEVICES:
        usable = ((f, _numbers(f)) for f in evidence.found("noise", device=device))
        found = [(f, numbers) for f, numbers in usable if numbers]
        points = {n[0]: (f, n) for f, n in found if f.subject == found[0][0].subject}
        if len(points) >= 3:
            return _judged([points[batch] for batch in sorted(points)])
    return not_measured("no gradient's variance is known at three batch sizes")


def _judged(points: list[tuple[Finding, tuple[float, ...]]]) -> Verdict:
    found, numbers = [f for f, _ in points], [n for _, n in points]
    batch, low, variance, high = np.log(np.array(numbers)).T
    weight = ((high - low) / (2 * SIDE)) ** -2.0
    centred = batch - np.average(batch, weights=weight)
    spread = float((weight * centred**2).sum())
    slope = float((weight * centred * variance).sum()) / spread
    half = SIDE / math.sqrt(spread)
    ends = slope - half, slope + half
    inverse, noisier = ends[0] <= -1 <= ends[1], ends[1] < 0
    # noisier, but not as 1/B: half of the claim
    of_noisier, of_others = (SUPPORTED, UNCLEAR) if inverse else (DEPENDS, REFUTED)
    verdict = of_noisier if noisier else of_others
    law = "an interval with 1/B's -1 in it" if inverse else "and 1/B has -1"
    effect = f"slope {slope:.3f} [{ends[0]:.3f}, {ends[1]:.3f}]"
    first, last = numbers[0], numbers[-1]
    words = (
        f"The variance of {plain(found[0].subject)}'s gradient is {digits(first[2])} at "
        f"batch {first[0]:,.0f} and {digits(last[2])} at "
        f"{last[0]:,.0f}: {effect} in log variance against log batch size over "
        f"{len(found)} batch sizes, {law} (on {plain(found[0].device_name)})."
    )
    return Verdict(verdict, words, effect, sum(f.n for f in found))


def _numbers(finding: Finding) -> tuple[float, ...]:
    """Batch, and the variance between its ends; nothing where they have no logarithm."""
    names = ("batch", "variance_low", "variance", "variance_high")
    values = (finding.values.get(name) for name in names)
    batch, low, value, high = (math.nan if v is None else v for v in values)
    usable = 0 < batch < math.inf and 0 < low <= value <= high < math.inf and low < high
    return (batch, low, value, high) if usable else ()
