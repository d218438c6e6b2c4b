"""What is said of a ratio; and that many ratios together are not made to say more."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.noise import Floor
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


def test_the_p_value_is_the_one_that_the_interval_implies():
    assert p_value(Ratio(2.0, 1.0, 4.0)) == pytest.approx(0.05)
    assert p_value(Ratio(0.5, 0.25, 1.0)) == pytest.approx(0.05)
    assert p_value(Ratio(2.0, 1.0, 4.0, confidence=0.99)) == pytest.approx(0.01)
    assert p_value(Ratio(1.0, 0.9, 1.1)) == 1.0
    assert p_value(Ratio(1.0, 1.0, 1.0)) == 1.0
    assert p_value(Ratio(2.0, 2.0, 2.0)) == 0.0
    assert p_value(Ratio(2.0, 0.0, math.inf)) == 1.0


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
