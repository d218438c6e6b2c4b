"""Intervals for medians and for ratios of medians, from samples that remember each other.

Imports neither torch nor triton.

Sources: order-statistic intervals, Hoefler & Belli 2015 (doi 10.1145/2807591.2807644); the
autocorrelation cut, Geyer 1992, "Practical Markov Chain Monte Carlo" (doi
10.1214/ss/1177011137); ratios over interleaved blocks, Chen & Revels 2016 (arXiv 1608.04295);
the interval of a trimmed mean, Tukey & McLaughlin 1963 (Sankhya A 25, 331); the difference of
two parameters from an interval of each, Zou & Donner 2008 (doi 10.1002/sim.3095).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

BLOCK = 5  # samples a provider takes before the next one's turn; 1 where they are slow
MIN_BLOCKS = 6  # with 3, an interval meant to cover 95% covered 73%
TRIM = 4  # a fourth of the blocks is left out at each end
TIES = 4  # samples of each value, from which a clock's ticks are what they show
EXACT_BELOW = 50  # effective samples under which the normal approximation is not used


def effective_size(samples: ArrayLike) -> float:
    """How many independent samples would know the median as well as these do.

    n / (1 + 2 sum rho_k) over the autocorrelations of 1[x > median], summed in pairs up to the
    first pair that is not positive (Geyer 1992). The indicator, not the value, because it is
    the indicator's mean whose error moves the median; outliers cannot sway it.

    Args:
        samples: [n], in the order they were taken.

    Returns:
        Between 1 and n. n itself for samples that are all equal, or fewer than 4.
    """
    x = _vector(samples)
    n = x.size
    above = (x > np.median(x)).astype(np.float64)
    deviation = above - above.mean()
    if n < 4 or not deviation.any():
        return float(n)
    # the autocovariance of all lags by FFT, padded so that it does not wrap around
    spectrum = np.fft.rfft(deviation, 2 * n)
    covariance = np.fft.irfft(spectrum * spectrum.conj(), 2 * n)[:n]
    rho = covariance / covariance[0]
    pairs = rho[: n - n % 2].reshape(-1, 2).sum(axis=1)  # rho_0 + rho_1, rho_2 + rho_3, ...
    negative = np.flatnonzero(pairs <= 0)
    end = int(negative[0]) if negative.size else pairs.size
    inflation = 2 * pairs[:end].sum() - 1  # 1 + 2 (rho_1 + rho_2 + ...), since rho_0 = 1
    return float(n / min(max(inflation, 1.0), n))


def median_interval(samples: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """The interval that covers the true median, by order statistics and `effective_size`.

    No shape is assumed of the distribution. For n independent samples the ranks are those of
    the exact binomial; for dependent ones, the ranks that `effective_size` samples would have,
    stretched to n.

    Args:
        samples: [n], in the order they were taken, in any unit.
        confidence: between 0 and 1, exclusive.

    Returns:
        (low, high) in the samples' unit; (-inf, inf) where even the smallest and the largest
        sample do not reach the confidence (fewer than 6 effective samples at 0.95).

    Raises:
        ValueError: no samples, samples not finite, or a confidence outside (0, 1).
    """
    x = np.sort(_vector(samples))
    _check_confidence(confidence)
    n, size = x.size, effective_size(samples)
    tail = (1 - confidence) / 2
    if size < EXACT_BELOW:
        # the largest k with P(Binomial(size, 1/2) < k) <= tail: ranks k and size + 1 - k cover
        whole = max(math.floor(size), 1)
        k = int(scipy.stats.binom.ppf(tail, whole, 0.5))
        k -= int(scipy.stats.binom.cdf(k - 1, whole, 0.5) > tail)
        if k < 1:
            return -math.inf, math.inf
        rank = max((k - 0.5) / whole * n + 0.5, 1.0)
        return float(x[math.floor(rank) - 1]), float(x[n - math.floor(rank)])
    z = scipy.stats.norm.ppf(1 - tail)
    rank = max((n + 1 - z * n / math.sqrt(size)) / 2, 1.0)
    # between two order statistics: rounding outwards would cover more than was asked
    low, high = np.interp([rank, n + 1 - rank], np.arange(1, n + 1), x)
    return float(low), float(high)


def speedup_interval(
    baseline_blocks: Sequence[ArrayLike],
    provider_blocks: Sequence[ArrayLike],
    confidence: float = 0.95,
) -> tuple[float, float, float]:
    """How many times faster the provider is than the baseline, with its interval.

    The interquartile mean over blocks of log(median(baseline block) / median(provider block)),
    as a ratio. Both are measured block by block in turn, so what disturbs a block disturbs both
    and cancels; what disturbs only one of the two makes a ratio that lies far out, and the
    fourth that is left out at each end takes it away. (Where other processes had the cores for
    70% of the time, the mean of all blocks had intervals of 0.80 to 1.10 for code that is 5%
    slower, and this one 0.94 to 0.96.) The interval is Student's for a trimmed mean (Tukey &
    McLaughlin 1963), widened for what a block's ratio remembers of the one before, and where the
    clock's ticks are so coarse that most samples are equal, for half a tick of each of the two.

    Args:
        baseline_blocks: [blocks][samples], seconds; block i was measured beside block i of
            `provider_blocks`. Surplus blocks of the longer are left out.
        provider_blocks: likewise.
        confidence: between 0 and 1, exclusive.

    Returns:
        (ratio, low, high); above 1 the provider is faster. low and high are 0 and inf where
        there are fewer than 6 blocks, which say little of the variation between blocks.

    Raises:
        ValueError: no common block, a sample not positive, or a confidence outside (0, 1).
    """
    _check_confidence(confidence)
    logs = _log_ratios(baseline_blocks, provider_blocks)
    n = logs.size
    ranked, cut = np.sort(logs), n // TRIM
    center = float(ranked[cut : n - cut].mean())
    if n < MIN_BLOCKS:
        return _exp(center), 0.0, math.inf
    # what is left out counts as the outermost that is kept, or the spread would be too small
    spread = np.clip(logs, ranked[cut], ranked[n - 1 - cut]).std(ddof=1)
    kept, size = (n - 2 * cut) / n, effective_size(logs)
    student = scipy.stats.t.ppf((1 + confidence) / 2, _freedom(logs))
    half = float(student * spread / (kept * math.sqrt(size)))
    half += _rounding(baseline_blocks, provider_blocks)
    return _exp(center), _exp(center - half), _exp(center + half)


def speedup_freedom(
    baseline_blocks: Sequence[ArrayLike], provider_blocks: Sequence[ArrayLike]
) -> float:
    """The degrees of freedom of the interval of `speedup_interval`, which has the arguments; >= 1.

    Raises:
        ValueError: no common block, or a sample that is not positive.
    """
    return _freedom(_log_ratios(baseline_blocks, provider_blocks))


def independent_speedup(
    baseline: ArrayLike, provider: ArrayLike, confidence: float = 0.95
) -> tuple[float, float, float]:
    """How many times faster the provider is, of samples that were not taken side by side.

    The ratio of the two medians. Its interval is made of theirs (Zou & Donner 2008, on the
    logarithms), which are corrected for samples that remember each other. It knows how much the
    samples scattered in either run, and nothing of what changed between the runs.

    Args:
        baseline, provider: seconds, in the order they were taken.
        confidence: between 0 and 1, exclusive.

    Returns:
        (ratio, low, high); low and high are 0 and inf where a median has no interval.

    Raises:
        ValueError: no samples, one that is not positive, or a confidence outside (0, 1).
    """
    logs = []
    for samples in (baseline, provider):
        x = _vector(samples)
        if (x <= 0).any():
            raise ValueError("a sample is not positive: seconds per iteration always are")
        logs.append((float(np.median(np.log(x))), *median_interval(np.log(x), confidence)))
    (old, old_low, old_high), (new, new_low, new_high) = logs
    center = old - new
    if not all(map(math.isfinite, (old_low, old_high, new_low, new_high))):
        return _exp(center), 0.0, math.inf
    low = center - math.hypot(old - old_low, new_high - new)
    high = center + math.hypot(old_high - old, new - new_low)
    return _exp(center), _exp(low), _exp(high)


def quickest(samples: Sequence[float]) -> float:
    """The median of the quickest stretch of BLOCK samples: what a machine can do, so the fast end.

    Args:
        samples: [n], n >= 1, seconds in the order they were taken.
    """
    blocks = (samples[i : i + BLOCK] for i in range(0, len(samples), BLOCK))
    return min(float(np.median(block)) for block in blocks)


def _exp(x: float) -> float:
    """e^x, where it is no float the largest or smallest that there is, about."""
    return math.exp(min(max(x, -700.0), 700.0))


def _log_ratios(
    baseline_blocks: Sequence[ArrayLike], provider_blocks: Sequence[ArrayLike]
) -> NDArray[np.float64]:
    """log of the ratio of each two blocks' medians: [blocks that both have]."""
    n = min(len(baseline_blocks), len(provider_blocks))
    if n == 0:
        raise ValueError("a speedup needs at least one block of the baseline and of the provider")
    return _log_medians(baseline_blocks[:n]) - _log_medians(provider_blocks[:n])


def _rounding(*sides: Sequence[ArrayLike]) -> float:
    """By how much a clock's rounding may have moved the log ratio of the two sides' medians.

    The tick is the smallest step between samples, where a value is met TIES times on average: a
    clock that is finer than the scatter of the samples hardly ever shows one twice.
    """
    seconds = [np.concatenate([_vector(block) for block in blocks]) for blocks in sides]
    together = np.sort(np.concatenate(seconds))
    steps = np.diff(together)
    steps = steps[steps > 1e-9 * together[1:]]  # less is the rounding of a float
    if steps.size == 0 or TIES * (steps.size + 1) > together.size:
        return 0.0
    return float(sum(steps.min() / np.median(x) for x in seconds) / 2)


def _freedom(logs: NDArray[np.float64]) -> float:
    """Of a mean of [blocks] from which a TRIM-th is left out at each end."""
    n = logs.size
    return max(effective_size(logs) * (n - 2 * (n // TRIM)) / n - 1, 1.0)


def _log_medians(blocks: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """log of each block's median: [blocks]."""
    medians = np.array([np.median(_vector(block)) for block in blocks])
    if (medians <= 0).any():
        raise ValueError("a block's median is not positive: seconds per iteration always are")
    return np.log(medians)


def _vector(samples: ArrayLike) -> NDArray[np.float64]:
    x = np.asarray(samples, dtype=np.float64)
    if x.ndim != 1 or x.size == 0 or not np.isfinite(x).all():
        raise ValueError(
            f"samples should be a non-empty list of finite numbers, and have shape {x.shape}"
            + ("" if np.isfinite(x).all() else " with NaN or infinity among them")
        )
    return x


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence should be between 0 and 1, and is {confidence!r}")
