"""Intervals cover what they say they cover; shown by simulation, seeded."""

import math

import numpy as np
import pytest
import scipy.signal
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from harness.statistics import (
    effective_size,
    median_interval,
    speedup_freedom,
    speedup_interval,
)

SERIES = 3000


def ar1(rho, n, rng):
    """[n] of a stationary first-order autoregression with median 0."""
    noise = rng.standard_normal(n + 100)
    return scipy.signal.lfilter([1.0], [1.0, -rho], noise)[100:]


def coverage(make, true=0.0):
    rng = np.random.default_rng(7)
    intervals = (median_interval(make(rng)) for _ in range(SERIES))
    return sum(low <= true <= high for low, high in intervals) / SERIES


@pytest.mark.parametrize("draw", ["normal", "lognormal", "exponential"])
def test_independent_samples_are_covered_as_often_as_was_asked(draw):
    true = {"normal": 0.0, "lognormal": 1.0, "exponential": math.log(2)}[draw]
    assert 0.93 <= coverage(lambda rng: getattr(rng, draw)(size=300), true) <= 0.97


@pytest.mark.parametrize("rho", [0.3, 0.6])
def test_samples_that_remember_each_other_are_covered_too(rho):
    assert coverage(lambda rng: ar1(rho, 300, rng)) >= 0.92


def test_without_the_correction_they_would_not_be():
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(500):
        x = np.sort(ar1(0.6, 300, rng))
        covered += x[132] <= 0 <= x[167]  # the ranks of 300 independent samples
    assert covered / 500 < 0.85


def test_effective_size_of_an_autoregression_is_near_theory():
    # 1[x > median] of a normal AR(1) has the autocorrelation 2/pi asin(rho^k)
    rho = 2 / math.pi * np.arcsin(0.6 ** np.arange(1, 60))
    theory = 20_000 / (1 + 2 * rho.sum())
    measured = effective_size(ar1(0.6, 20_000, np.random.default_rng(3)))
    assert measured == pytest.approx(theory, rel=0.15)


def test_equal_samples_have_a_point_interval():
    assert median_interval([2.0] * 30) == (2.0, 2.0)
    assert effective_size([2.0] * 30) == 30


def test_five_samples_bound_no_median_at_95_percent():
    assert median_interval([1, 2, 3, 4, 5]) == (-math.inf, math.inf)


def test_six_independent_samples_span_their_range():
    # 1 - 2 / 2^6 = 97%, and no narrower pair of ranks has 95%
    assert median_interval([3, 1, 4, 6, 2, 5]) == (1, 6)


@given(st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=80))
def test_the_interval_holds_the_median_and_scales_with_the_unit(samples):
    low, high = median_interval(samples)
    assert low <= np.median(samples) <= high
    if math.isfinite(high):
        assert median_interval([2 * s for s in samples]) == (2 * low, 2 * high)


@pytest.mark.parametrize("samples", [[], [1.0, math.nan], [math.inf], [[1.0]]])
def test_samples_that_are_none_are_refused(samples):
    with pytest.raises(ValueError, match="samples should be"):
        median_interval(samples)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_a_confidence_that_is_none_is_refused(confidence):
    with pytest.raises(ValueError, match="confidence should be between 0 and 1"):
        median_interval([1.0], confidence)
    with pytest.raises(ValueError, match="confidence should be between 0 and 1"):
        speedup_interval([[1.0]], [[1.0]], confidence)


@pytest.mark.parametrize("blocks", [6, 10, 60])
def test_a_speedup_is_covered_although_the_machine_drifts(blocks):
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(1000):
        drift = np.exp(np.cumsum(0.1 * rng.standard_normal((blocks, 1)), axis=0))
        baseline = 2 * drift * np.exp(0.05 * rng.standard_normal((blocks, 5)))
        provider = drift * np.exp(0.05 * rng.standard_normal((blocks, 5)))
        _, low, high = speedup_interval(list(baseline), list(provider))
        covered += low <= 2 <= high
    assert 0.92 <= covered / 1000 <= 0.99


def finely(*blocks):
    """As a clock shows them whose ticks are finer than the samples' scatter."""
    rng = np.random.default_rng(1)
    return [np.asarray(b, float) * (1 + 1e-7 * rng.standard_normal(np.shape(b))) for b in blocks]


def test_a_speedup_is_the_geometric_mean_of_the_middle_half_of_the_blocks_ratios():
    blocks = finely([[8, 8, 80]] * 40, [[4, 1, 4], [1, 1, 1]] * 20)
    ratio, low, high = speedup_interval(*blocks)
    assert ratio == pytest.approx(4)  # sqrt(2 * 8)
    assert 2 <= low < 4 < high <= 8
    disturbed = [[1e3]] * 2 + [[4]] * 5 + [[1e-3]] + [[4.0]] * 4
    assert speedup_interval(*finely(disturbed, [[1.0]] * 12)) == pytest.approx((4, 4, 4))


@pytest.mark.parametrize("times", [(5.24, 5.26), (5.1, 5.6), (5.2, 6.3)])
def test_a_clocks_ticks_are_no_difference(times):
    rng = np.random.default_rng(3)
    scatter = 0.005 if times[1] < 5.5 else 0.1
    seconds = [t + scatter * rng.standard_normal((100, 5)) for t in times]
    baseline, provider = (np.round(2 * s) / 2 for s in seconds)  # a GPU's event: half a us
    _, low, high = speedup_interval(baseline, provider)
    assert low <= times[0] / times[1] <= high
    if times[1] > times[0] + 0.5:
        assert high < 1  # more than a tick is
    # a clock that is fine enough takes nothing away
    _, low, high = speedup_interval(*seconds)
    assert high < 1 and high / low < 1.01


def test_the_degrees_of_freedom_are_those_of_the_interval():
    rng = np.random.default_rng(4)
    for blocks in (6, 8, 40):
        a, b = np.exp(0.1 * rng.standard_normal((2, blocks, 5)))
        freedom = speedup_freedom(a, b)
        assert 1 <= freedom <= blocks * (blocks - 2 * (blocks // 4)) / blocks - 1
        halves = [math.log(speedup_interval(a, b, c)[2] / speedup_interval(a, b, c)[0])
                  for c in (0.95, 0.999)]  # fmt: skip
        student = scipy.stats.t.ppf([0.975, 0.9995], freedom)
        assert halves[1] / halves[0] == pytest.approx(student[1] / student[0])


@pytest.mark.parametrize("plant", [1.0, 1.05])
def test_blocks_in_which_another_process_had_the_core_take_no_part(plant):
    rng = np.random.default_rng(11)
    covered = told = 0
    for _ in range(400):

        def blocks(level):
            clean = level * np.exp(0.015 * rng.standard_normal((40, 5)))
            taken = rng.random((40, 1)) < 0.12  # as seen where two processes share a core
            return list(clean * np.where(taken, rng.uniform(1.5, 5, (40, 1)), 1))

        _, low, high = speedup_interval(blocks(plant), blocks(1.0))
        covered += low <= plant <= high
        told += low > 1
    assert covered / 400 >= 0.92
    assert told / 400 >= 0.99 if plant > 1 else told / 400 <= 0.05


def test_few_blocks_give_a_ratio_without_an_interval():
    assert speedup_interval([[2.0]] * 5, [[1.0]] * 5) == (2, 0, math.inf)


def test_speedups_of_nothing_and_of_negative_times_are_refused():
    with pytest.raises(ValueError, match="at least one block"):
        speedup_interval([], [[1.0]])
    with pytest.raises(ValueError, match="not positive"):
        speedup_interval([[1.0]], [[-1.0]])
