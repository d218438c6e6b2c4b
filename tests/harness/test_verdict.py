"""What is said of a ratio; and that many ratios together are not made to say more."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from harness.noise import Floor, floor, limit
from harness.verdict import FASTER, SAME, SLOWER, UNCLEAR, Ratio, holm, p_value, verdicts

FLOOR = Floor(0.03, 3)


@pytest.mark.parametrize(
    ("value", "low", "high", "word"),
    [(1.48, 1.47, 1.49, UNCLEAR), (1.09, 1.08, 1.0999, SAME), (0.8, 0.79, 0.81, UNCLEAR)],
)
def test_a_floor_that_hides_half_of_the_time_makes_nothing_the_same(value, low, high, word):
    assert verdicts([Ratio(value, low, high, Floor(1.03, 3))]) == [word]


@pytest.mark.parametrize(
    ("value", "low", "high", "word"),
    [
        (1.10, 1.05, 1.15, FASTER),
        (0.90, 0.86, 0.94, SLOWER),
        (1.02, 1.01, 1.03, SAME),  # real, and within the floor
        (1.00, 0.98, 1.02, SAME),
        (1.00, 0.90, 1.11, UNCLEAR),
        (1.02, 1.00, 1.04, UNCLEAR),
        (1.029, 1.001, 1.05, UNCLEAR),  # not beyond the floor, and not within it
        (1.10, 0.99, 1.22, UNCLEAR),
    ],
)
def test_each_word_has_its_place(value, low, high, word):
    assert verdicts([Ratio(value, low, high, FLOOR)]) == [word]


def test_the_p_value_is_of_the_intervals_error_and_the_floors_together():
    still = Floor(0.0, 0)
    assert p_value(Ratio(2.0, 1.0, 4.0, still)) == pytest.approx(0.05)
    assert p_value(Ratio(0.5, 0.25, 1.0, still)) == pytest.approx(0.05)
    assert p_value(Ratio(2.0, 1.0, 4.0, still, confidence=0.99)) == pytest.approx(0.01)
    assert p_value(Ratio(1.0, 0.9, 1.1, still)) == 1.0
    assert p_value(Ratio(2.0, 0.0, math.inf, still)) == 1.0
    # an interval of no width, and then one as wide as the floor
    assert p_value(Ratio(1.03, 1.03, 1.03, FLOOR)) == pytest.approx(0.05)
    z = math.log(1.03) * math.sqrt(2)
    wide = Ratio(math.exp(z), math.exp(z - math.log(1.03)), 2.0, FLOOR)
    assert p_value(wide) == pytest.approx(0.05)


@pytest.mark.parametrize("freedom", [2, 6])
def test_what_few_blocks_or_few_pairs_know_is_students(freedom):
    for far, p in ((1, 0.05), (4, 2 * scipy.stats.t.sf(4 * limit(freedom), freedom))):
        blocks = Ratio(math.exp(0.1 * far), math.exp(0.1 * (far - 1)), 9.0, Floor(0.0, 0))
        assert p_value(blocks._replace(freedom=freedom)) == pytest.approx(p)
        pairs = Ratio(*[math.exp(0.1 * far)] * 3, Floor(math.expm1(0.1), freedom, freedom=freedom))
        assert p_value(pairs) == pytest.approx(p)


def test_holm_as_in_a_worked_example():
    # 0.01 x 4, 0.015 x 3, 0.02 x 2 (held up by the one before), 0.9
    assert holm([0.02, 0.01, 0.9, 0.015]) == pytest.approx([0.045, 0.04, 0.9, 0.045])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=30))
def test_holm_never_makes_a_finding_stronger_and_keeps_their_order(p_values):
    adjusted = holm(p_values)
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(np.array(adjusted)[order]) >= 0)


def test_of_many_comparisons_of_equals_one_false_finding_is_rare():
    rng = np.random.default_rng(2)
    false = 0
    for _ in range(300):
        logs = 0.02 * rng.standard_normal(40)  # each with an interval that covers 0 in 95%
        half = 1.96 * 0.02
        ratios = [Ratio(*np.exp([x, x - half, x + half]), Floor(0.01, 3)) for x in logs]
        false += bool({FASTER, SLOWER} & set(verdicts(ratios)))
    assert false / 300 <= 0.08  # without the correction 0.87


def runs_with_a_false_verdict(kinds, pairs, rows, runs, seed):
    """The share of runs of equal code. A kind: builds' lasting offset, and the ratio's error."""
    rng = np.random.default_rng(seed)

    def measured(offset, error):
        x = rng.normal(0, offset) + rng.normal(0, error)
        return np.exp([x, x - 1.96 * error, x + 1.96 * error]).tolist()

    false = 0
    for _ in range(runs):
        aa = floor(measured(*kinds[rng.integers(len(kinds))]) for _ in range(pairs))
        ratios = [Ratio(*measured(*kinds[i % len(kinds)]), aa) for i in range(rows)]
        false += bool({FASTER, SLOWER} & set(verdicts(ratios)))
    return false / runs


@pytest.mark.parametrize("offset", [0.004, 0.015])
def test_what_builds_differ_by_is_weighed_with_the_number_of_comparisons(offset):
    # one comparison in twenty lies beyond the floor: with the interval's error alone 0.6
    assert runs_with_a_false_verdict([(offset, 0.002)], 6, 30, 300, seed=5) <= 0.08


def test_the_floor_of_quiet_cases_does_not_judge_noisy_ones():
    kinds = [(0.003, 0.0006), (0.03, 0.006)]  # where the quiet pairs weighed more 1.0
    assert runs_with_a_false_verdict(kinds, 10, 20, 300, seed=6) <= 0.2
