"""Times-to-target with failures among them: hand-worked examples, and coverage by simulation."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from harness.survival import (
    ahead,
    bounded_ratio,
    expected_running_time,
    kaplan_meier,
    median,
    paired_ratio,
    percentiles,
    reached,
)

INF = math.inf

# Weeks of remission under 6-mercaptopurine, + for those still in remission when last seen:
# Freireich et al. 1963, as in Gehan 1965 and every textbook since.
REMISSION = [
    *("6", "6", "6", "6+", "7", "9+", "10", "10+", "11+", "13", "16", "17+", "19+", "20+", "22"),
    *("23", "25+", "32+", "32+", "34+", "35+"),
]
# week, share in remission, its 95% interval on the scale of log(-log S)
PUBLISHED = [
    (6, 0.8571, 0.6197, 0.9516),
    (7, 0.8067, 0.5631, 0.9228),
    (10, 0.7529, 0.5032, 0.8894),
    (13, 0.6902, 0.4316, 0.8491),
    (16, 0.6275, 0.3675, 0.8049),
    (22, 0.5378, 0.2678, 0.7468),
    (23, 0.4482, 0.1881, 0.6801),
]


def remission():
    times = [float(week.rstrip("+")) for week in REMISSION]
    return times, [not week.endswith("+") for week in REMISSION]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([3, 1, 2], 2),
        ([3, 1, 2, 10], 2.5),
        ([1, 2, INF], 2),
        ([1, 2, 3, INF], 2.5),
        ([1, 2, INF, INF], INF),  # half of them: the middle two are 2 and infinity
        ([1, INF, INF], INF),
        ([INF], INF),
    ],
)
def test_a_median_counts_what_did_not_get_there(times, expected):
    assert median(times) == expected


def test_expected_running_time_is_the_cost_of_all_over_the_successes():
    # 100 + 300 + 250 spent for two successes; their own mean is 175
    assert expected_running_time([100, 300, 250], [True, False, True]) == 325
    assert expected_running_time([100, 250], [True, True]) == 175
    assert expected_running_time([300, 300], [False, False]) == INF


def test_expected_running_time_is_what_restarting_takes():
    # geometric: failures cost 10 each, the success 4, and success comes with probability 0.3
    rng = np.random.default_rng(0)
    success = rng.random(40_000) < 0.3
    waiting = 4 + 10 * (1 / 0.3 - 1)
    assert expected_running_time(np.where(success, 4, 10), success) == pytest.approx(
        waiting, rel=0.02
    )


def test_a_failed_trial_without_a_cost_is_refused():
    with pytest.raises(ValueError, match="a failed trial has a cost too"):
        expected_running_time([1, INF], [True, False])
    with pytest.raises(ValueError, match="2 trials have costs, and 1 an outcome"):
        expected_running_time([1, 2], [True])


def test_the_interval_of_a_share_is_clopper_and_pearsons():
    assert reached([5, 5, 5, 5, 5]) == pytest.approx((5, 5, 0.025**0.2, 1))
    assert reached([INF] * 4) == pytest.approx((0, 4, 0, 1 - 0.025**0.25))
    # 3 of 10, as tabulated
    assert reached([1] * 3 + [INF] * 7) == pytest.approx((3, 10, 0.0667, 0.6525), abs=5e-5)


@pytest.mark.parametrize("week", PUBLISHED)
def test_kaplan_meier_gives_the_published_table(week):
    t, survival, low, high = kaplan_meier(*remission())
    at = list(t).index(week[0])
    assert (survival[at], low[at], high[at]) == pytest.approx(week[1:], abs=5e-5)


def test_a_kaplan_meier_curve_starts_at_one_and_falls_at_events_only():
    t, survival, low, high = kaplan_meier(*remission())
    assert (t[0], survival[0], high[0]) == (0, 1, 1)
    assert low[0] == pytest.approx(0.025 ** (1 / 21))  # no event among 21
    falls = t[np.flatnonzero(np.diff(survival)) + 1]
    assert list(falls) == [week for week, *_ in PUBLISHED]
    assert t[-1] == 35
    assert (low <= survival).all() and (survival <= high).all()
    assert (np.diff(high) <= 0).all()


def test_a_trial_that_never_can_stays_at_risk_for_ever():
    t, survival, *_ = kaplan_meier([1, 2, 3, INF], [True, True, True, False])
    assert list(t) == [0, 1, 2, 3]
    assert list(survival) == pytest.approx([1, 0.75, 0.5, 0.25])
    # had it left at 0.5 instead, the others alone would tell: nobody is left at 3
    *_, high = kaplan_meier([1, 2, 3, 0.5], [True, True, True, False])
    assert high[-1] == high[-2]


def test_kaplan_meier_without_an_event_or_without_a_survivor():
    t, survival, low, high = kaplan_meier([4, 9], [False, False])
    assert list(t) == [0, 4, 9] and list(survival) == [1, 1, 1]
    assert list(low) == pytest.approx([0.025**0.5, 0.025**0.5, 0.025]) and list(high) == [1, 1, 1]
    _, survival, low, high = kaplan_meier([4, 9], [True, True])
    assert list(survival) == [1, 0.5, 0] and low[-1] == 0 and high[-1] == high[1] < 1
    _, survival, low, high = kaplan_meier([4, 4], [True, True])
    assert (survival[-1], low[-1], high[-1]) == (0, 0, 1)


@pytest.mark.parametrize("at", [0.3, 0.7, 1.2])
def test_kaplan_meier_covers_the_true_survival(at):
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(500):
        target, budget = rng.exponential(1, 40), rng.exponential(2, 40)
        t, _, low, high = kaplan_meier(np.minimum(target, budget), target <= budget)
        i = np.searchsorted(t, at, side="right") - 1
        covered += low[i] <= math.exp(-at) <= high[i]
    assert 0.92 <= covered / 500 <= 0.98


def test_a_ratio_is_the_geometric_mean_of_the_seeds_ratios():
    """With Student's interval."""
    a, b = [2, 8, 12, 3, 9], [1, 2, 3, 1, 4]
    ratio, low, high = paired_ratio(a, b, 0.9)
    logs = np.log(np.divide(a, b))
    known = scipy.stats.ttest_1samp(logs, 0.0).confidence_interval(0.9)
    assert ratio == pytest.approx(scipy.stats.gmean(np.divide(a, b)))
    assert (low, high) == pytest.approx((math.exp(known.low), math.exp(known.high)))


def test_what_the_seeds_have_in_common_cancels():
    rng = np.random.default_rng(2)
    b = np.exp(rng.normal(0, 2, 8))
    ratio, low, high = paired_ratio(3 * b, b)
    assert (ratio, low, high) == pytest.approx((3, 3, 3))


def test_a_failure_of_a_only_leaves_the_high_bound_open():
    b = [10, 11, 12, 13, 14, 15, 16]
    ratio, low, high = paired_ratio([20, 22, 24, 26, 28, INF, INF], b)
    assert ratio == 2  # 26 over 13
    assert high == INF and 1 < low <= 2
    ratio, low, high = paired_ratio([INF] * 6 + [24], b)
    assert ratio == high == INF and 1 < low < INF  # the median of a resample may be the 24
    assert paired_ratio([INF] * 7, b) == (INF, INF, INF)
    assert paired_ratio(b, [INF] * 7) == (0, 0, 0)


def test_swapping_the_settings_inverts_the_ratio():
    a, b = [20, 22, 24, 26, 28, INF, 31], [10, 11, 14, 13, 12, 15, 16]
    ratio, low, high = paired_ratio(a, b)
    inverse = paired_ratio(b, a)
    assert (1 / ratio, 0.0, 1 / low) == pytest.approx(inverse)
    assert high == INF


def test_failures_of_both_say_nothing():
    ratio, low, high = paired_ratio([INF] * 6, [INF] * 6)
    assert math.isnan(ratio) and (low, high) == (0, INF)


def test_failed_seeds_are_not_dropped():
    a, b = [1, 1, 1, INF, INF, INF, INF], [2] * 7
    assert paired_ratio(a, b)[0] == INF  # of the successes alone it would be a half


def test_four_pairs_have_no_interval():
    assert paired_ratio([2, 2, 2, 2], [1, 1, 1, 1]) == (2, 0, INF)


@pytest.mark.parametrize(("seeds", "budget"), [(5, INF), (10, INF), (5, 1.8), (10, 1.8)])
def test_paired_ratios_are_covered(seeds, budget):
    # lognormal seeds with something in common; a budget of 1.8 fails about 3 in 10 of a
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(400):
        common = rng.normal(0, 0.3, seeds)
        a = 1.5 * np.exp(common + rng.normal(0, 0.2, seeds))
        b = np.exp(common + rng.normal(0, 0.2, seeds))
        _, low, high = paired_ratio(np.where(a > budget, INF, a), np.where(b > budget, INF, b))
        covered += low <= 1.5 <= high
    assert covered / 400 >= 0.9


def test_five_pairs_cover_what_they_say():
    logs = np.random.default_rng(6).normal(0, 0.2, (2000, 5))
    intervals = [paired_ratio(np.exp(x), np.ones(5))[1:] for x in logs]
    assert 0.94 <= np.mean([low <= 1 <= high for low, high in intervals]) <= 0.96


def test_infinite_draws_are_ordered_like_others():
    low, high = percentiles([1.0] * 50 + [2.0] * 45 + [INF] * 5, n=1000)
    assert (low, high) == (1, INF)


@given(st.lists(st.floats(1e-3, 1e3) | st.just(INF), min_size=5, max_size=9))
def test_a_ratio_with_itself_is_one_or_unknown(times):
    ratio, low, high = paired_ratio(times, times)
    assert math.isnan(ratio) or ratio == 1
    assert 0 <= low <= 1 <= high


@pytest.mark.parametrize("times", [[], [1, math.nan], [-1.0], [[1.0]]])
def test_times_that_are_none_are_refused(times):
    with pytest.raises(ValueError, match="times should be"):
        median(times)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="at a finite time"):
        kaplan_meier([1, INF], [True, True])
    with pytest.raises(ValueError, match="2 trials have times, and 1 an outcome"):
        kaplan_meier([1, 2], [True])
    with pytest.raises(ValueError, match="2 trials of one setting and 1 of the other"):
        paired_ratio([1, 2], [1])
    with pytest.raises(ValueError, match="a time of 0 has no ratio"):
        paired_ratio([0, 2], [1, 1])
    with pytest.raises(ValueError, match="confidence should be between 0 and 1"):
        reached([1, 2], confidence=95)


def test_an_interval_holds_whatever_was_given_up_would_have_taken():
    a, b = (10.0, 11.0, 9.0, 10.0, 12.0), (INF,) * 5
    assert paired_ratio(a, b)[2] < 1e-9  # as if b never got there
    _, low, high = bounded_ratio(a, b, a, (5.0,) * 5)
    assert low == 0 and high == pytest.approx(2.1, rel=0.15)  # it may have, right after 5
    assert bounded_ratio(a, a, a, a) == paired_ratio(a, a)


@pytest.mark.parametrize(
    ("a", "b", "a_least", "b_least", "floor", "expected"),
    [
        ((4, 5, 6), (1, 2, 3), None, None, 0.0, 1),
        ((1, 2, 3), (4, 5, 6), None, None, 0.0, -1),
        ((4, 5, 6), (1, 2, 4), None, None, 0.0, 0),
        ((4, 5), (1, 2), None, None, 0.0, 0),
        ((4, 5, 6), (3.99, 3.98, 3.97), None, None, 0.02, 0),
        ((INF,) * 3, (1, 2, 3), (9,) * 3, None, 0.0, 1),
        ((INF,) * 3, (1, 2, 3), (2,) * 3, None, 0.0, 0),
        ((1, 2, 3), (INF,) * 3, None, (9,) * 3, 0.0, -1),
        ((1, 2, 3), (INF,) * 3, None, (2,) * 3, 0.0, 0),
        ((INF,) * 5, (1, 2, 3, 1, 2), (9,) * 5, None, 0.0, 1),
        ((INF,) * 5, (1, 2, 3, 1, 2), (1,) * 5, None, 0.0, 0),
        ((1, 2, 3, 1, 2), (INF,) * 5, None, (1,) * 5, 0.0, 0),
        ((INF,) * 5, (INF,) * 5, (9,) * 5, (9,) * 5, 0.0, 0),
    ],
)
def test_who_is_ahead_is_told_where_nothing_else_is_possible(
    a, b, a_least, b_least, floor, expected
):
    assert ahead(a, b, a_least or a, b_least or b, floor) == expected


def test_of_three_equal_seeds_one_answer_in_ten_is_chances():
    rng = np.random.default_rng(3)
    draws = rng.lognormal(0, 0.3, (2000, 2, 3))
    told = np.mean([ahead(a, b, a, b) != 0 for a, b in draws])
    assert 0.08 < told < 0.12
