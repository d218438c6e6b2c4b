"""Steps-to-target against batch size: S(B) = S_min + E_min / B, and the critical batch size.

However large the batch, S_min steps are needed; however small, E_min samples. At the critical
batch size, E_min / S_min, both are twice their least. Imports neither torch nor triton.

Source: McCandlish, Kaplan & Amodei 2018, "An empirical model of large-batch training" (arXiv
1812.06162, section 2.3), fitted in log S.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from harness.survival import percentiles

Floats = NDArray[np.float64]

BOOTSTRAP_DRAWS = 2000
MIN_SEEDS = 3  # per batch, for an interval
MIN_BATCHES = 4  # two numbers are fitted, and whether the curve fits is to be seen too
MIN_STEPS = 50  # a target met in fewer is met by the start of training, not by the curve
EXTRAPOLATED = 1.5  # times S_min that the fewest steps tried may be
REACH = 100.0  # how many times beyond the batches tried the critical one is looked for
GRID = 200  # critical batch sizes looked at, in equal ratios
POLISH = 3  # steps from the best of them
UNLIKELY = 0.01  # a misfit that seeds explain less often is flagged
NOTABLE = 0.01  # if it is above 1%


class Estimate(NamedTuple):
    """A number and its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Fit:
    """S(B) = S_min + E_min / B, fitted.

    Attributes:
        s_min: steps; 0 where they fall as 1/B over all the batches tried and far beyond.
        e_min: samples; 0 where steps do not depend on the batch.
        critical: E_min / S_min, samples a step; infinite where S_min is 0.
        batches: the batch sizes that it stands on, in order.
        misfit: root mean square of log(S measured / S fitted); 0.1 is about 10%.
        flags: what speaks against it, in words; empty where nothing is known to.
        draws: [draws, 2], S_min and E_min of each resample; none below 3 seeds.
        seeds: the fewest of a batch.
        confidence: of the intervals.
    """

    s_min: Estimate
    e_min: Estimate
    critical: Estimate
    batches: tuple[int, ...]
    misfit: float
    flags: tuple[str, ...]
    draws: Floats
    seeds: int
    confidence: float

    def steps(self, batch: float) -> Estimate:
        """S(batch), in steps; of any batch size above 0, tried or not.

        Raises:
            ValueError: a batch size that is not above 0.
        """
        _check_positive("batch size", batch)
        s_min, e_min = self.draws.T
        value = self.s_min.value + self.e_min.value / batch
        return _estimate(value, s_min + e_min / batch, self.seeds, self.confidence)


class Quickest(NamedTuple):
    """The batch size that takes the least time, and that time in seconds."""

    batch: Estimate
    seconds: Estimate


def fit(steps: Mapping[int, Sequence[float]], confidence: float = 0.95) -> Fit:
    """Fit S_min and E_min by least squares in log S, a batch size counting once.

    A batch's S is the geometric mean of its seeds. The intervals are expanded percentile
    bootstraps over seeds, drawn anew for each batch: they hold what another choice of seeds
    would change, not what another learning rate or another law than this one would.

    A batch size of which a trial did not reach the target has no mean. It is left out, and a
    flag says so: the curve says nothing about it.

    Args:
        steps: by batch size, the steps-to-target of its seeds; infinite where not reached.
        confidence: between 0 and 1, exclusive.

    Raises:
        ValueError: fewer than two batch sizes of which all trials reached the target, steps or
            batch sizes that are not above 0 or NaN, or a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence should be between 0 and 1, and is {confidence!r}")
    logs, left_out = _log_steps(steps)
    if len(logs) < 2:
        raise ValueError(
            f"{len(logs)} batch sizes have steps to fit a curve to, and 2 are the least: "
            + ("; ".join(left_out) or "no others were tried")
        )
    batches, seeds = np.array(list(logs), dtype=np.float64), min(map(len, logs.values()))
    means = np.array([x.mean() for x in logs.values()])
    s_min, e_min = (float(x[0]) for x in _solve(means[None], batches))
    draws = np.empty((0, 2))
    if seeds >= MIN_SEEDS:
        rng = np.random.default_rng(0)  # the same steps give the same interval
        resampled = [
            x[rng.choice(len(x), (BOOTSTRAP_DRAWS, len(x)))].mean(axis=1) for x in logs.values()
        ]
        draws = np.stack(_solve(np.stack(resampled, axis=1), batches), axis=1)
    critical = _ratio(e_min, s_min)
    residuals = means - np.log(s_min + e_min / batches)
    return Fit(
        s_min=_estimate(s_min, draws[:, 0], seeds, confidence),
        e_min=_estimate(e_min, draws[:, 1], seeds, confidence),
        critical=_estimate(float(critical), _ratio(draws[:, 1], draws[:, 0]), seeds, confidence),
        batches=tuple(logs),
        misfit=float(np.sqrt(np.mean(residuals**2))),
        flags=(*left_out, *_flags(list(logs.values()), batches, residuals, s_min, float(critical))),
        draws=draws,
        seeds=seeds,
        confidence=confidence,
    )


def predicted_seconds(fit: Fit, batch: float, step_seconds: float) -> Estimate:
    """T(B) = S(B) x t_step(B), the time-to-target, in seconds.

    Args:
        fit: of the steps-to-target.
        batch: samples a step, above 0.
        step_seconds: what a step of that batch takes. Its own uncertainty is not in the interval.

    Raises:
        ValueError: a batch size or seconds that are not above 0.
    """
    _check_positive("step_seconds", step_seconds)
    return Estimate(*(step_seconds * number for number in fit.steps(batch)))


def quickest(fit: Fit, step_seconds: Mapping[int, float]) -> Quickest:
    """The batch size that `predicted_seconds` has as the quickest, of those that were timed.

    Args:
        fit: of the steps-to-target.
        step_seconds: by batch size, what a step takes.

    Returns:
        The batch's interval runs from the smallest to the largest that seeds may make quickest.

    Raises:
        ValueError: no batch size, or a batch size or seconds that are not above 0.
    """
    if not step_seconds:
        raise ValueError("step_seconds is empty: no batch size was timed")
    batches = np.array(sorted(step_seconds), dtype=np.float64)
    times = {batch: predicted_seconds(fit, batch, step_seconds[batch]) for batch in step_seconds}
    best = min(times, key=lambda batch: times[batch].value)
    seconds = np.array([step_seconds[batch] for batch in sorted(step_seconds)])
    drawn = (fit.draws[:, :1] + fit.draws[:, 1:] / batches) * seconds  # [draws, batches]
    winners = batches[drawn.argmin(axis=1)]
    return Quickest(_estimate(best, winners, fit.seeds, fit.confidence), times[best])


def _log_steps(steps: Mapping[int, Sequence[float]]) -> tuple[dict[int, Floats], list[str]]:
    """By batch size, log of its seeds' steps; and what was left out, in words."""
    logs, left_out = {}, []
    for batch in sorted(steps):
        x = np.asarray(steps[batch], dtype=np.float64)
        _check_positive("batch size", batch)
        if x.ndim != 1 or not (x > 0).all():
            raise ValueError(f"batch size {batch}: steps-to-target should be a list, all above 0")
        reached = int(np.isfinite(x).sum())
        if 0 < reached == x.size:
            logs[batch] = np.log(x)
        else:
            left_out.append(f"batch size {batch} left out: {reached} of {x.size} reached")
    return logs, left_out


def _solve(logs: Floats, batches: Floats) -> tuple[Floats, Floats]:
    """S_min and E_min of each row of `logs`, [rows, batches]: log S.

    For a given critical batch size c, log S = log S_min + log(1 + c/B), and the best S_min is
    the mean's. So c alone is searched for, on a grid in log c for all rows at once.
    """
    log_batches = np.log(batches)
    grid = np.linspace(
        log_batches.min() - math.log(REACH), log_batches.max() + math.log(REACH), GRID
    )
    bent = np.log1p(np.exp(grid[:, None] - log_batches))
    bent -= bent.mean(axis=1, keepdims=True)
    centred = logs - logs.mean(axis=1, keepdims=True)
    # the squared distance less what all c have in common
    at = ((bent**2).sum(axis=1) - 2 * centred @ bent.T).argmin(axis=1)
    u = grid[at]
    for _ in range(POLISH):  # Gauss and Newton's steps, to the digits that the grid leaves out
        bent = np.log1p(np.exp(u[:, None] - log_batches))
        slope = 1 / (1 + np.exp(log_batches - u[:, None]))
        slope -= slope.mean(axis=1, keepdims=True)
        step = (slope * (centred - bent)).sum(axis=1) / (slope**2).sum(axis=1)
        u = u + step.clip(grid[0] - grid[1], grid[1] - grid[0])
    critical = np.exp(u)
    s_min = np.exp((logs - np.log1p(critical[:, None] / batches)).mean(axis=1))
    e_min = critical * s_min
    # at the grid's end one of the two is not to be seen in the steps, and the other is a mean
    beyond, below = at == GRID - 1, at == 0
    e_min[beyond] = np.exp((logs + log_batches).mean(axis=1))[beyond]
    s_min[below] = np.exp(logs.mean(axis=1))[below]
    s_min[beyond], e_min[below] = 0.0, 0.0
    return s_min, e_min


def _flags(
    logs: Sequence[Floats], batches: Floats, residuals: Floats, s_min: float, critical: float
) -> list[str]:
    flags = []
    if len(batches) < MIN_BATCHES:
        flags.append(f"too few batch sizes: {len(batches)}, and {MIN_BATCHES} are the least")
    if min(map(len, logs)) < MIN_SEEDS:
        flags.append(f"fewer than {MIN_SEEDS} seeds of a batch size: no intervals")
    if not batches.min() < critical < batches.max():
        flags.append(
            f"batch sizes {batches.min():g} to {batches.max():g} do not bracket "
            f"the critical one, {critical:.4g}"
        )
    fewest = min(math.exp(x.mean()) for x in logs)
    if fewest > EXTRAPOLATED * s_min:
        flags.append(f"S_min {s_min:.4g} is extrapolated: the fewest steps tried are {fewest:.4g}")
    if s_min < MIN_STEPS:
        flags.append(f"S_min {s_min:.4g} is below {MIN_STEPS} steps: a harder target says more")
    freedom, within = len(batches) - 2, sum(len(x) - 1 for x in logs)
    if freedom and within:
        sizes = np.array([len(x) for x in logs])
        noise = sum(((x - x.mean()) ** 2).sum() for x in logs) / within
        excess = (sizes * residuals**2).sum() / freedom
        misfit = math.sqrt(np.mean(residuals**2))
        limit = noise * scipy.stats.f.isf(UNLIKELY, freedom, within)
        if excess > limit and misfit > NOTABLE:
            flags.append(
                f"the curve misses the steps by {misfit:.0%}, more than seeds explain: "
                "the intervals are too narrow"
            )
    return flags


def _ratio(e_min: ArrayLike, s_min: ArrayLike) -> Floats:
    """E_min / S_min, infinite where S_min is 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(e_min, dtype=np.float64) / np.asarray(s_min, dtype=np.float64)


def _estimate(value: float, draws: Floats, seeds: int, confidence: float) -> Estimate:
    if not draws.size:
        return Estimate(value, 0.0, math.inf)
    return Estimate(value, *percentiles(draws, seeds, confidence))


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} {value!r}: must be a number above 0")
