"""Grades of planted samples: what is wrong with them is named, and nothing where nothing is."""

import math

import numpy as np
import pytest
import scipy.signal

from harness.trust import HIGH, LOW, MEDIUM, NONE, drift, trust, two_modes
from tests.harness.make_rows import row

N = 200


def graded(samples=None, faults=(), **known):
    """The grade of a row that is good but for what is given."""
    good = {
        "correctness_error": 1e-7,
        "correctness_bound": 2e-7,
        "throttled": False,
        "spread": 0.01,
    }
    made = row(1e-3, **(good | known))
    if samples is None:
        samples = np.exp(-7 + 0.02 * np.random.default_rng(0).standard_normal(N))
    return trust(made.extra_info, samples, faults)


def ar1(rho, n, rng):
    return scipy.signal.lfilter([1.0], [1.0, -rho], rng.standard_normal(n + 100))[100:]


def test_a_good_row_is_high_and_needs_no_words():
    assert graded() == (HIGH, ())


@pytest.mark.parametrize(
    ("known", "grade", "word"),
    [
        ({"spread": 0.03}, MEDIUM, "known to ± 3.0% only"),
        ({"spread": 0.08}, LOW, "known to ± 8.0% only"),
        ({"median_high_s": None}, LOW, "has no interval"),
        ({"throttled": True, "throttle_reasons": "power cap"}, LOW, "disturbed: power cap"),
        ({"correctness_error": None}, LOW, "not checked"),
        ({"correctness_error": 1e-6}, NONE, "above the bound"),
        ({"above_roof": True}, NONE, "faster than the roof"),
        ({"faults": ["self-check delay: off"]}, NONE, "self-check delay: off"),
        ({"status": "failed", "reason": "wrong answer"}, NONE, "failed: wrong answer"),
    ],
)
def test_each_reason_has_its_grade(known, grade, word):
    found = graded(**known)
    assert found.grade == grade
    assert word in found.reasons[0]


def test_the_worst_reason_counts_and_all_are_told():
    found = graded(spread=0.03, throttled=True)
    assert (found.grade, len(found.reasons)) == (LOW, 2)


def test_an_old_row_without_the_newer_fields_has_a_grade():
    info = {"kind": "kernel", "status": "ok", "median_s": 1.0}
    assert trust(info, [1.0] * 30).grade == LOW


def test_trials_have_none():
    assert trust({"kind": "convergence", "status": "ok"}, [1.0, 2.0]) is None


ONE_MODE = {
    "normal": lambda rng, n: 0.05 * rng.standard_normal(n),
    "uniform": lambda rng, n: 0.2 * rng.random(n),
    "exponential": lambda rng, n: np.log1p(0.3 * rng.exponential(size=n)),
    "remembers": lambda rng, n: 0.05 * ar1(0.6, n, rng),
    "heavy": lambda rng, n: 0.03 * rng.standard_t(2, n),
    "ticks": lambda rng, n: np.round(200 * 0.02 * rng.standard_normal(n)) / 200,
    "equal": lambda rng, n: np.zeros(n),
}


@pytest.mark.parametrize("name", ONE_MODE)
@pytest.mark.parametrize("n", [32, 100, 500])
def test_a_steady_series_of_one_mode_is_left_alone(name, n):
    rng = np.random.default_rng(3)
    series = [ONE_MODE[name](rng, n) for _ in range(200)]
    assert sum(two_modes(x) is not None for x in series) <= 6
    assert sum(drift(x) is not None for x in series) <= 8


def test_two_modes_are_found_with_their_distance_and_share():
    rng = np.random.default_rng(4)
    found = 0
    for _ in range(100):
        slow = rng.random(N) < 0.3
        modes = two_modes(0.01 * rng.standard_normal(N) + math.log(1.1) * slow)
        found += modes is not None
        if modes:
            assert modes == pytest.approx((slow.mean(), 0.1), abs=0.01)
    assert found >= 98
    words = graded(samples=np.where(np.arange(N) % 3, 1e-3, 1.2e-3)).reasons
    assert words == ("two groups of samples: 34% of them are 20% slower",)


def test_two_modes_that_lie_close_are_a_clocks_ticks():
    assert two_modes(np.log(np.where(np.arange(N) % 2, 100.0, 101.0))) is None


def test_a_few_outliers_are_no_mode():
    assert two_modes(np.where(np.arange(N) % 20, 0.0, 1.0)) is None


@pytest.mark.parametrize("shape", ["slope", "step"])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_drift_is_found_with_its_size(shape, sign):
    rng = np.random.default_rng(5)
    way = np.linspace(0, 0.12, N) if shape == "slope" else 0.06 * (np.arange(N) >= N // 2)
    found = [drift(0.02 * rng.standard_normal(N) + sign * way) for _ in range(100)]
    assert sum(change is not None for change in found) >= 98
    sizes = [change for change in found if change is not None]
    assert np.median(sizes) == pytest.approx(math.expm1(sign * 0.06), abs=0.01)
    words = graded(samples=np.exp(sign * way)).reasons
    assert any(f"took {'6.' if sign > 0 else '5.'}" in reason for reason in words)
