"""Planted S_min and E_min come back, their intervals cover them, and a bad fit says so."""

import math

import numpy as np
import pytest

from harness.batch_size import fit, predicted_seconds, quickest

INF = math.inf
BATCHES = (2, 4, 8, 16, 32, 64, 128, 256)
S_MIN, E_MIN = 60.0, 2400.0  # critical batch size 40


def planted(rng, seeds, *, noise, common=0.0, batches=BATCHES):
    """Log-normal steps around the curve; `common` is what a seed has in common in all batches."""
    shared = rng.normal(0, common, seeds) if common else np.zeros(seeds)
    return {
        batch: (S_MIN + E_MIN / batch) * np.exp(shared + rng.normal(0, noise, seeds))
        for batch in batches
    }


def exact(batches=BATCHES, s_min=S_MIN, e_min=E_MIN, seeds=3):
    return {batch: [s_min + e_min / batch] * seeds for batch in batches}


def test_without_noise_the_curve_is_found():
    found = fit(exact())
    assert found.s_min.value == pytest.approx(S_MIN, rel=1e-6)
    assert found.e_min.value == pytest.approx(E_MIN, rel=1e-6)
    assert found.critical.value == pytest.approx(E_MIN / S_MIN, rel=1e-6)
    assert found.misfit < 1e-6 and found.flags == () and found.batches == BATCHES
    assert found.steps(40) == pytest.approx((2 * S_MIN,) * 3, rel=1e-6)  # and its interval


def test_at_the_critical_batch_both_are_twice_their_least():
    # (S / S_min - 1) (E / E_min - 1) = 1 at any batch size
    found = fit(exact())
    for batch in (3, 40, 300):
        steps = found.steps(batch).value
        product = (steps / found.s_min.value - 1) * (steps * batch / found.e_min.value - 1)
        assert product == pytest.approx(1, rel=1e-9)


def coverage(series, seeds, **options):
    rng = np.random.default_rng(4)
    covered = np.zeros(3)
    for _ in range(series):
        found = fit(planted(rng, seeds, **options))
        truths = zip(
            (found.s_min, found.e_min, found.critical),
            (S_MIN, E_MIN, E_MIN / S_MIN),
            strict=True,
        )
        covered += [estimate.low <= true <= estimate.high for estimate, true in truths]
    return covered / series


def test_intervals_cover_what_was_planted():
    assert (coverage(60, 5, noise=0.15) >= 0.9).all()


@pytest.mark.parametrize(
    ("seeds", "noise", "common"),
    [
        pytest.param(5, 0.15, 0, marks=pytest.mark.slow),
        pytest.param(5, 0.15, 0.15, marks=pytest.mark.slow),
        pytest.param(3, 0.15, 0, marks=pytest.mark.exhaustive),
        pytest.param(10, 0.3, 0, marks=pytest.mark.exhaustive),
    ],
)
def test_intervals_cover_what_was_planted_in_many_series(seeds, noise, common):
    assert (coverage(400, seeds, noise=noise, common=common) >= 0.9).all()


def test_intervals_narrow_with_seeds():
    few, many = (fit(planted(np.random.default_rng(1), n, noise=0.2)).critical for n in (5, 50))
    assert math.log(many.high / many.low) < math.log(few.high / few.low) / 2


def test_the_same_steps_give_the_same_interval():
    steps = planted(np.random.default_rng(1), 5, noise=0.2)
    assert fit(steps).critical == fit(dict(reversed(steps.items()))).critical


def noisy_quadratic(batch, rng, share, start, end, variance, dimensions=200):
    """Steps of SGD on |theta|^2 / 2 from |theta|^2 = start to end.

    The gradient is theta plus noise whose covariance has the trace variance / batch. The step is
    `share` of the best one for that batch, |theta|^2 / (|theta|^2 + variance / batch), McCandlish
    et al.'s equation 2.6 where the Hessian is the identity.
    """
    theta = np.full(dimensions, math.sqrt(start / dimensions))
    steps, square = 0, start
    while square > end:
        noise = rng.normal(0, math.sqrt(variance / batch / dimensions), dimensions)
        rate = share * square / (square + variance / batch)
        theta = theta - rate * (theta + noise)
        square, before, steps = float(theta @ theta), square, steps + 1
    # between the last step and the one before
    return steps - math.log(end / square) / math.log(before / square)


def test_a_quadratic_with_known_hessian_and_noise_gives_its_critical_batch():
    share, start, end, variance = 0.02, 1.0, 0.05, 2.0
    # A step takes the part p / (1 + variance / (batch r)) of r = |theta|^2 away, p = 1 - (1 -
    # share)^2. Summed over r, with the noise scale variance / r growing on the way:
    part = 1 - (1 - share) ** 2
    s_min = math.log(start / end) / part
    e_min = variance * (1 / end - 1 / start) / part
    rng = np.random.default_rng(0)
    steps = {
        batch: [noisy_quadratic(batch, rng, share, start, end, variance) for _ in range(5)]
        for batch in (2, 4, 8, 16, 32, 64)
    }
    found = fit(steps)
    # to the 2% or so by which steps are no continuum
    assert found.s_min.value == pytest.approx(s_min, rel=0.05)
    assert found.e_min.value == pytest.approx(e_min, rel=0.05)
    assert found.critical.value == pytest.approx(e_min / s_min, rel=0.05)


def test_steps_that_fall_as_one_over_the_batch_have_no_critical_one():
    found = fit({batch: [1e4 / batch] * 3 for batch in BATCHES})
    assert found.s_min.value == 0 and found.critical == (INF, INF, INF)
    assert found.e_min.value == pytest.approx(1e4)
    assert any("do not bracket the critical one, inf" in flag for flag in found.flags)


def test_steps_that_do_not_depend_on_the_batch_have_none_either():
    found = fit({batch: [70.0] * 3 for batch in BATCHES})
    assert found.e_min.value == 0 and found.critical == (0, 0, 0)
    assert found.s_min.value == pytest.approx(70)


@pytest.mark.parametrize(
    ("steps", "flag"),
    [
        (exact(batches=(8, 32, 128)), "too few batch sizes: 3"),
        (exact(batches=(1, 2, 4, 8)), "batch sizes 1 to 8 do not bracket the critical one, 40"),
        (exact(batches=(1, 2, 4, 8)), "S_min 60 is extrapolated: the fewest steps tried are 360"),
        (exact(batches=(64, 128, 256, 512)), "do not bracket the critical one, 40"),
        (exact(batches=(8, 16, 32, 64)), "S_min 60 is extrapolated"),
        (exact(s_min=20), "S_min 20 is below 50 steps"),
        (exact(seeds=2), "fewer than 3 seeds"),
    ],
)
def test_what_speaks_against_a_fit_is_said(steps, flag):
    assert any(flag in said for said in fit(steps).flags), fit(steps).flags


def test_a_curve_that_misses_by_more_than_seeds_explain_is_flagged():
    rng = np.random.default_rng(3)
    steps = planted(rng, 5, noise=0.02)
    assert not any("misses" in flag for flag in fit(steps).flags)
    steps[16] = 1.5 * steps[16]  # a badly tuned learning rate
    found = fit(steps)
    assert any("misses the steps by" in flag for flag in found.flags)
    assert found.misfit > 0.1


def test_two_seeds_have_no_interval():
    found = fit(exact(seeds=2))
    assert found.critical[1:] == found.steps(8)[1:] == (0, INF)


def test_a_batch_with_a_trial_that_did_not_get_there_is_left_out_in_words():
    steps = exact() | {2: [INF, INF, INF], 256: [70.0, INF, 60.0]}
    found = fit(steps)
    assert found.batches == BATCHES[1:-1]
    assert "batch size 2 left out: 0 of 3 reached" in found.flags
    assert "batch size 256 left out: 2 of 3 reached" in found.flags
    assert found.critical.value == pytest.approx(40, rel=1e-6)


def test_nothing_to_fit_is_refused_with_the_reason():
    with pytest.raises(ValueError, match=r"1 batch sizes have steps .* size 4 left out: 0 of 1"):
        fit({2: [100.0], 4: [INF]})
    with pytest.raises(ValueError, match="no others were tried"):
        fit({2: [100.0]})
    with pytest.raises(ValueError, match="should be a list, all above 0"):
        fit({2: [100.0, 0.0], 4: [1.0]})
    with pytest.raises(ValueError, match="batch size 0: must be a number above 0"):
        fit({0: [100.0], 4: [1.0]})
    with pytest.raises(ValueError, match="confidence"):
        fit(exact(), confidence=95)


def test_seconds_are_steps_times_the_seconds_of_a_step():
    found = fit(planted(np.random.default_rng(1), 5, noise=0.1))
    seconds, steps = predicted_seconds(found, 64, 2e-3), found.steps(64)
    assert seconds == pytest.approx([2e-3 * number for number in steps])
    assert seconds.low < seconds.value < seconds.high
    with pytest.raises(ValueError, match="step_seconds"):
        predicted_seconds(found, 64, 0.0)
    with pytest.raises(ValueError, match="batch size -1"):
        predicted_seconds(found, -1, 1.0)


def test_the_quickest_batch_is_where_steps_and_seconds_a_step_balance():
    # a step of a + c B seconds: the least of (S_min + E_min / B) (a + c B) is at
    # sqrt(E_min a / (S_min c)) = sqrt(40 x 1.6) = 8
    found = fit(planted(np.random.default_rng(1), 5, noise=0.1))
    best = quickest(found, {batch: 1.6 + batch for batch in BATCHES})
    assert best.batch.value == 8 and best.batch.low <= 8 <= best.batch.high
    assert best.seconds == predicted_seconds(found, 8, 9.6)
    # a device on which every step takes as long wants the largest, one without parallelism the
    # smallest
    assert quickest(found, dict.fromkeys(BATCHES, 1.0)).batch == (256, 256, 256)
    assert quickest(found, {batch: batch for batch in BATCHES}).batch == (2, 2, 2)
    with pytest.raises(ValueError, match="no batch size was timed"):
        quickest(found, {})


def test_batches_that_seeds_cannot_tell_apart_are_all_in_the_interval():
    found = fit(planted(np.random.default_rng(1), 5, noise=0.3))
    close = {batch: 1.0 / found.steps(batch).value for batch in (16, 32, 64)}
    best = quickest(found, close)
    assert (best.batch.low, best.batch.high) == (16, 64)
