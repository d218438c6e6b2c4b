"""Times-to-target of trials, some of which did not get there. Imports neither torch nor triton.

A trial that did not reach its target has an infinite time-to-target, and it counts. Nothing here
averages the successes only: that would favour the setting whose hard seeds failed.

Sources: Kaplan & Meier 1958 (doi 10.1080/01621459.1958.10501452), the variance by Greenwood 1926,
its interval on the scale of log(-log S) by Kalbfleisch & Prentice 1980, "The Statistical Analysis
of Failure Time Data"; expected running time, Auger & Hansen 2005 and Hansen et al. 2016 (COCO,
arXiv 1605.03560); intervals of a share, Clopper & Pearson 1934 (doi 10.1093/biomet/26.4.404); the
expanded percentile bootstrap, Hesterberg 2015 (arXiv 1411.5279).
"""

from __future__ import annotations

import math

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

BOOTSTRAP_DRAWS = 4000
FEWEST = 3  # pairs; the order of fewer is chance's too often
MIN_PAIRS = 5  # fewer have too few distinct resamples to tell their own spread


def median(times: ArrayLike) -> float:
    """The median time-to-target, a trial that did not get there counting as infinite.

    For an even number of trials it is the mean of the middle two, so it is infinite as soon as
    half of them or more did not get there.

    Args:
        times: [n], in any unit, 0 or more, infinite where the target was not reached.

    Raises:
        ValueError: no times, or one that is NaN or negative.
    """
    return float(np.median(_times(times)))


def expected_running_time(spent: ArrayLike, reached: ArrayLike) -> float:
    """What it takes on average to reach the target once, trying again with a new seed after each
    failure: the cost of all trials, failed ones included, over the number of successes.

    Args:
        spent: [n], what each trial took, up to its target or up to its end, in any unit.
        reached: [n], whether it reached the target.

    Returns:
        In the unit of `spent`; infinite where no trial succeeded.

    Raises:
        ValueError: no trials, lengths that differ, or a cost that is negative or not finite.
    """
    cost, success = _times(spent), np.asarray(reached, dtype=bool)
    if success.shape != cost.shape:
        raise ValueError(f"{cost.size} trials have costs, and {success.size} an outcome")
    if not np.isfinite(cost).all():
        raise ValueError("a failed trial has a cost too, what it spent: infinite is none")
    return float(cost.sum() / success.sum()) if success.any() else math.inf


def reached(times: ArrayLike, confidence: float = 0.95) -> tuple[int, int, float, float]:
    """How many trials reached the target, and the interval of the share that would.

    Clopper & Pearson's, which covers at least as often as is asked, however few the trials.

    Args:
        times: [n], infinite where the target was not reached.
        confidence: between 0 and 1, exclusive.

    Returns:
        (k, n, low, high): k of n did, and so would a share between low and high of all seeds.

    Raises:
        ValueError: no times, one that is NaN or negative, or a confidence outside (0, 1).
    """
    finite = np.isfinite(_times(times))
    _check_confidence(confidence)
    k, n = int(finite.sum()), finite.size
    interval = scipy.stats.binomtest(k, n).proportion_ci(confidence, method="exact")
    return k, n, float(interval.low), float(interval.high)


def kaplan_meier(
    times: ArrayLike, events: ArrayLike, confidence: float = 0.95
) -> tuple[Floats, Floats, Floats, Floats]:
    """The share of trials that have not yet reached their target, as time goes by.

    The intervals are pointwise, Greenwood's on the scale of log(-log S). Where that has none, S
    being 1 or 0: before the first event the exact binomial interval of as many trials as are at
    risk, and after the last trial's event from 0 to the bound before, as S never rises.

    Args:
        times: [n], when each trial reached its target, or was last seen without. Infinite where
            it never can: a trial that diverged has not left the race early, as one whose budget
            was spent has, and counts as at risk for ever.
        events: [n], whether it reached the target then.
        confidence: between 0 and 1, exclusive.

    Returns:
        (t, survival, low, high), each [m]: t are the distinct finite times, 0 before them. The
        curve is a step function: survival[i] holds from t[i] up to t[i + 1].

    Raises:
        ValueError: no trials, lengths that differ, a time that is NaN or negative, an event at
            an infinite time, or a confidence outside (0, 1).
    """
    time, event = _times(times), np.asarray(events, dtype=bool)
    _check_confidence(confidence)
    if event.shape != time.shape:
        raise ValueError(f"{time.size} trials have times, and {event.size} an outcome")
    if not np.isfinite(time[event]).all():
        raise ValueError("a target that was reached was reached at a finite time")
    t = np.union1d(0.0, time[np.isfinite(time)])
    at_risk = (time >= t[:, None]).sum(axis=1)
    died = ((time == t[:, None]) & event).sum(axis=1)
    survival = np.cumprod(1 - died / np.maximum(at_risk, 1))
    tail = (1 - confidence) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.cumsum(died / (at_risk * (at_risk - died)))
        spread = scipy.stats.norm.ppf(1 - tail) * np.sqrt(variance) / -np.log(survival)
        low, high = survival ** np.exp(spread), survival ** np.exp(-spread)
    none, all_of_them = survival == 1, survival == 0
    low[none], high[none] = tail ** (1 / np.maximum(at_risk[none], 1)), 1.0
    low[all_of_them] = 0.0
    high[all_of_them] = high[~all_of_them][-1] if not all_of_them.all() else 1.0
    return t, survival, low, high


def paired_ratio(
    a: ArrayLike, b: ArrayLike, confidence: float = 0.95
) -> tuple[float, float, float]:
    """How many times as long setting a takes as setting b, over the same seeds, with its interval.

    Where every trial reached its target, the geometric mean of the seeds' ratios with Student's
    interval of the mean of their logarithms: a bootstrap's of five pairs covers less often than it
    says. Where one did not, the ratio of the medians, with infinity counted: infinite if only a's
    median is, 0 if only b's is, and unknown if both are; its interval is an expanded percentile
    bootstrap over pairs (Hesterberg 2015, section 3.3). A resample whose ratio is unknown counts
    as 0 for the low bound and as infinite for the high one: it could be anything.

    Args:
        a: [n], times-to-target, infinite where it was not reached; a[i] and b[i] have one seed.
        b: likewise.
        confidence: between 0 and 1, exclusive.

    Returns:
        (ratio, low, high); above 1, b is the quicker. The ratio is NaN where neither median is
        finite. low and high are 0 and infinite where there are fewer than 5 pairs.

    Raises:
        ValueError: no pairs, lengths that differ, a time that is not above 0, or a confidence
            outside (0, 1).
    """
    first, second = _times(a), _times(b)
    _check_confidence(confidence)
    if first.size != second.size:
        raise ValueError(f"{first.size} trials of one setting and {second.size} of the other")
    if not (first > 0).all() or not (second > 0).all():
        raise ValueError("a time of 0 has no ratio: a target met before the first step is none")
    if np.isfinite(first).all() and np.isfinite(second).all():
        return _of_means(np.log(first / second), confidence)
    ratio = float(_ratios(first, second, np.arange(first.size)[None])[0])
    if first.size < MIN_PAIRS:
        return ratio, 0.0, math.inf
    rng = np.random.default_rng(0)  # the same times give the same interval
    draws = _ratios(first, second, rng.choice(first.size, (BOOTSTRAP_DRAWS, first.size)))
    low, _ = percentiles(np.where(np.isnan(draws), 0.0, draws), first.size, confidence)
    _, high = percentiles(np.where(np.isnan(draws), math.inf, draws), first.size, confidence)
    return ratio, low, high


def bounded_ratio(
    a: ArrayLike, b: ArrayLike, a_least: ArrayLike, b_least: ArrayLike
) -> tuple[float, float, float]:
    """`paired_ratio`, with an interval that holds whatever was not reached would have taken.

    A trial that was given up is known only not to have got there with what it spent. So the
    interval runs from where a's would have got there at once to where b's would have.

    Args:
        a, b: as of `paired_ratio`.
        a_least, b_least: [n], what each took at least: the same where it got there, and what it
            spent, above 0, where it was given up; infinite where it never can.

    Raises:
        ValueError: as of `paired_ratio`.
    """
    ratio, low, high = paired_ratio(a, b)
    if np.size(a) < MIN_PAIRS:
        return ratio, low, high
    return (
        ratio,
        min(low, paired_ratio(a_least, b)[1]),
        max(high, paired_ratio(a, b_least)[2]),
    )


def ahead(
    a: ArrayLike, b: ArrayLike, a_least: ArrayLike, b_least: ArrayLike, floor: float = 0.0
) -> int:
    """Whether b is quicker than a over the same seeds: 1, slower: -1, or neither is told: 0.

    From five pairs on by the interval of `bounded_ratio`. Fewer have none, and there only the
    order of all seeds says something: that each of three of one setting is ahead of each of the
    other's has a chance of one in twenty where the two are the same, and the other way round as
    much, so that one such answer in ten is chance's. Of fewer than FEWEST nothing is said.

    Args:
        a, b, a_least, b_least: as of `bounded_ratio`.
        floor: the share by which the ratio has to exceed 1 before it is taken for a difference.

    Raises:
        ValueError: as of `paired_ratio`.
    """
    ratio, low, high = bounded_ratio(a, b, a_least, b_least)
    bound = 1 + floor
    if np.size(a) < FEWEST or 1 / bound <= ratio <= bound:
        return 0
    if np.size(a) >= MIN_PAIRS:
        return 1 if low > 1 else -1 if high < 1 else 0
    if np.min(_times(a_least)) > np.max(_times(b)) * bound:
        return 1
    return -1 if np.max(_times(a)) * bound < np.min(_times(b_least)) else 0


def percentiles(draws: ArrayLike, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The bootstrap interval of a statistic, expanded for the number of samples it is of.

    A bootstrap's spread is that of n - 1 samples and its quantiles the normal's; these are
    Student's (Hesterberg 2015, arXiv 1411.5279, section 3.3).

    Args:
        draws: [draws], the statistic of each resample; infinite ones are ordered like others.
        n: samples in a resample, at least 2.
        confidence: between 0 and 1, exclusive.

    Returns:
        (low, high), both among the draws, chosen outwards.
    """
    _check_confidence(confidence)
    student = scipy.stats.t.ppf((1 + confidence) / 2, n - 1) * math.sqrt(n / (n - 1))
    tail = float(scipy.stats.norm.cdf(-student))
    x = np.asarray(draws, dtype=np.float64)
    # not interpolated: between a number and infinity there is nothing
    low = np.quantile(x, tail, method="lower")
    high = np.quantile(x, 1 - tail, method="higher")
    return float(low), float(high)


def _of_means(logs: Floats, confidence: float) -> tuple[float, float, float]:
    """The geometric mean of the ratios whose logarithms these are, with Student's interval."""
    mean, n = float(logs.mean()), logs.size
    if n < MIN_PAIRS:
        return math.exp(mean), 0.0, math.inf
    error = float(logs.std(ddof=1)) / math.sqrt(n)
    half = error * float(scipy.stats.t.ppf((1 + confidence) / 2, n - 1))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def _ratios(a: Floats, b: Floats, pairs: NDArray[np.intp]) -> Floats:
    """[draws], the medians' ratios, a's over b's, for each row of `pairs`: [draws, n]."""
    with np.errstate(invalid="ignore"):  # inf / inf is unknown
        return np.median(a[pairs], axis=1) / np.median(b[pairs], axis=1)


def _times(times: ArrayLike) -> Floats:
    x = np.asarray(times, dtype=np.float64)
    if x.ndim != 1 or x.size == 0 or not (x >= 0).all():
        raise ValueError(
            f"times should be a non-empty list of numbers from 0 to infinity, and have shape "
            f"{x.shape}" + ("" if (x >= 0).all() else " with NaN or negative ones among them")
        )
    return x


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence should be between 0 and 1, and is {confidence!r}")
