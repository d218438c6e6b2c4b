"""The noise floor: what identical code shows of the machine, and what is made of it."""

import math

import numpy as np
import pytest

from harness import noise
from harness.noise import Floor
from tests.harness.make_rows import row


def pair(speedup, **known):
    return row(speedup=speedup, kind="aa", provider=noise.again("torch"), **known).extra_info


def test_a_further_pair_lies_within_the_floor_as_often_as_is_said():
    rng = np.random.default_rng(1)
    for pairs in (1, 3, 10):
        logs = 0.02 * rng.standard_normal((3000, pairs + 1))
        seen = [[tuple(math.exp(x + e) for e in (0, -0.01, 0.01)) for x in row] for row in logs]
        within = [
            abs(math.log(pairs[-1][0])) <= math.log1p(noise.floor(pairs[:-1]).share)
            for pairs in seen
        ]
        assert 0.93 <= np.mean(within) <= 0.97


def test_the_floor_is_of_a_device_and_a_mode_and_of_pairs_that_count():
    infos = [
        *(pair(s) for s in (1.03, 1 / 1.03, 1.03)),
        pair(1.2, mode="cold"),
        pair(3.0, speedup_low=None, speedup_low_reason="contended"),
        pair(3.0, status="failed", reason="wrong"),
        row(speedup=5.0, provider="triton").extra_info,
    ]
    found = noise.floors(infos)
    assert set(found) == {("cpu", "warm"), ("cpu", "cold")}
    assert found["cpu", "warm"].share == pytest.approx(1.03**3.182 - 1, rel=1e-3)
    assert found["cpu", "cold"].pairs == 1
    assert str(found["cpu", "warm"]) == "9.9 % (3 A/A pairs)"


def test_a_pair_that_was_disturbed_does_not_blind_the_run():
    good = [(1.004, 0.996, 1.012), (0.995, 0.987, 1.003), (1.002, 0.994, 1.01)]
    disturbed = (1.2, 0.7, 1.7)
    assert noise.floor([*good, disturbed]) == noise.floor(good)
    assert noise.floor([disturbed]).share > 0.2  # nothing better is known
    # one that is sure of itself does
    assert noise.floor([*good, (1.2, 1.19, 1.21)]).share > 0.2


def test_pairs_that_are_known_well_do_not_speak_for_those_that_are_not():
    quiet, noisy = (1.001, 1.0008, 1.0012), (1.03, 1.02, 1.04)
    found = noise.floor([quiet, noisy] * 4)
    assert found.scatter == pytest.approx(math.log(1.03) / math.sqrt(2), rel=0.02)
    # what one pair of four says is known as well as by three, and of equal ones by all
    assert noise.floor([quiet] * 3 + [noisy]).freedom == pytest.approx(3, rel=0.01)
    assert noise.floor([noisy] * 4).freedom == 4


def test_what_lasts_is_what_the_pairs_own_errors_do_not_explain():
    half = 1.96 * math.log(1.02)  # as far apart as their intervals would have them
    unsure = [(1.02, 1.02 * math.exp(-half), 1.02 * math.exp(half)), (1 / 1.02, 1 / 1.06, 1.02)]
    sure = [(r, r / 1.0001, r * 1.0001) for r, *_ in unsure]
    assert noise.floor(unsure).share == noise.floor(sure).share
    assert noise.floor(unsure).lasting < 0.3 * noise.floor(sure).lasting
    assert noise.floor(sure).lasting == pytest.approx(math.log(1.02), rel=1e-3)
    # a half of few degrees of freedom stands for a smaller error, which explains less
    few = [(*one, 3.0) for one in unsure]
    assert noise.floor(unsure).lasting < noise.floor(few).lasting < noise.floor(sure).lasting
    # where only the share is known it is the limit
    assert Floor(0.02, 0).lasting == pytest.approx(math.log(1.02) / 1.96, rel=1e-3)


def test_it_is_1_percent_at_least_and_2_where_nothing_was_measured():
    still = noise.floor([(1.0, 1.0, 1.0)] * 3)
    assert (still.share, still.pairs, still.freedom) == (0.01, 3, 3)
    assert still.lasting == pytest.approx(math.log(1.01) / 3.182, rel=1e-3)
    assert noise.floor([]) == Floor(0.02, 0)
    assert "assumed" in str(noise.floor([]))


def test_copies_are_made_until_enough_of_them_count_or_the_tries_are_used_up():
    good, bad = pair(1.01), pair(1.01, speedup_low=None, speedup_low_reason="contended")
    failed, other = pair(1.01, status="failed", reason="wrong"), pair(1.01, mode="cold")
    last = noise.PAIRS + noise.TRIES
    assert noise.wanted([good, good, other, other], "cpu", "warm")
    assert not noise.wanted([good] * noise.PAIRS, "cpu", "warm")
    for useless in (bad, failed):
        assert noise.wanted([useless] * (last - 1), "cpu", "warm")
        assert not noise.wanted([useless] * last, "cpu", "warm")


def test_later_cases_have_copies_too_up_to_a_number():
    def infos(cases, pairs):
        results = [row(case=f"n{i}", provider=p) for i in range(cases) for p in ("torch", "mine")]
        return [pair(1.01)] * pairs + [result.extra_info for result in results]

    one_more = noise.EVERY * (noise.PAIRS + 1)
    assert not noise.wanted(infos(one_more - 1, noise.PAIRS), "cpu", "warm")
    assert noise.wanted(infos(one_more, noise.PAIRS), "cpu", "warm")
    assert not noise.wanted(infos(noise.EVERY * noise.MOST * 2, noise.MOST), "cpu", "warm")
