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
    assert noise.floor([*good, disturbed]).share < 1.2 * noise.floor(good).share
    # one that is sure of itself does
    assert noise.floor([*good, (1.2, 1.19, 1.21)]).share > 0.2


def test_it_is_1_percent_at_least_and_2_where_nothing_was_measured():
    assert noise.floor([(1.0, 1.0, 1.0)] * 3) == Floor(0.01, 3)
    assert noise.floor([]) == Floor(0.02, 0)
    assert "assumed" in str(noise.floor([]))


def test_copies_are_made_until_enough_of_them_count_or_the_tries_are_used_up():
    good, bad = pair(1.01), pair(1.01, speedup_low=None, speedup_low_reason="contended")
    other = pair(1.01, mode="cold")
    assert noise.wanted([good, good, other, other], "cpu", "warm")
    assert not noise.wanted([good] * noise.PAIRS, "cpu", "warm")
    assert noise.wanted([bad] * (noise.TRIES - 1), "cpu", "warm")
    assert not noise.wanted([bad] * noise.TRIES, "cpu", "warm")
