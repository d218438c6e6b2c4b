"""Two runs of one machine: what is said of their difference, and what is not."""

import zlib

import numpy as np
import pytest

from harness.changes import Reached, changes
from harness.controls import NO_CONTROL, Control, maximum_modulus
from harness.record import Row
from harness.statistics import independent_speedup
from harness.verdict import FASTER, SAME, SLOWER, UNCLEAR
from tests.harness.make_rows import row
from tests.harness.test_statistics import ar1


def timed(median, name="a", spread=0.01, n=200, **known):
    """A row whose samples scatter about a median, as one run has them."""
    rng = np.random.default_rng(zlib.crc32(f"{median} {name}".encode()))
    made = row(median, name=name, **({"throttled": False} | known))
    samples = tuple(median * np.exp(spread * rng.standard_normal(n)))
    return Row(made.id, made.group, made.name, made.params, made.extra_info, samples)


def pair(speedup=1.0, name="aa"):
    return timed(1e-3, name, kind="aa", speedup=speedup, speedup_low=speedup, speedup_high=speedup)


def roof(median, name="copy", **known):
    return timed(median, name, **({"kind": "roof", "subject": "copy"} | known))


STILL = [roof(1e-3), roof(2e-3, "product", subject="product")]  # a machine that did not move


def words(found):
    return {change.id.removeprefix("synthetic::"): change.verdict for change in found.both}


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_a_ratio_of_runs_that_were_not_paired_is_covered(rho):
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(1000):
        old, new = (level * np.exp(0.1 * ar1(rho, 200, rng)) for level in (1.1, 1.0))
        _, low, high = independent_speedup(old, new)
        covered += low <= 1.1 <= high
    assert 0.92 <= covered / 1000 <= 0.985


def test_a_ratio_of_few_samples_has_no_interval():
    assert independent_speedup([2.0] * 3, [1.0] * 300) == (2.0, 0.0, np.inf)
    with pytest.raises(ValueError, match="not positive"):
        independent_speedup([0.0], [1.0])


def test_each_row_has_its_word_and_regressions_are_beyond_the_threshold():
    old = [timed(1e-3, n) for n in "abcd"] + [timed(1e-3, "wide", 0.5, 40)]
    new = [timed(t, n) for n, t in zip("abcd", (1e-3, 1.1e-3, 0.9e-3, 1.04e-3), strict=True)]
    new.append(timed(1.1e-3, "wide", 0.5, 40))
    quiet = [*STILL, *(pair(name=f"aa{i}") for i in range(6))]
    found = changes([*old, *quiet], [*new, *quiet])
    assert words(found) == {"a": SAME, "b": SLOWER, "c": FASTER, "d": SLOWER, "wide": UNCLEAR}
    assert found.regressions(0.05) == ["synthetic::b"]
    assert found.regressions(0.02) == ["synthetic::b", "synthetic::d"]
    by_id = {change.id: change for change in found.both}
    assert by_id["synthetic::b"].speedup.value == pytest.approx(1 / 1.1, rel=0.01)


def test_a_change_within_either_runs_noise_floor_is_none():
    old, new = [timed(1e-3), *STILL], [timed(1.06e-3), *STILL]
    assert words(changes([*old, pair()], [*new, pair()])) == {"a": SLOWER}
    assert words(changes([*old, pair(1.02)], [*new, pair()])) == {"a": SAME}  # one pair: 12.7 x 2%
    assert words(changes([*old, pair()], [*new, pair(1.02)])) == {"a": SAME}


def test_where_identical_code_moved_a_change_as_large_says_nothing():
    old, new = [timed(1e-3), roof(1e-3)], [timed(1.06e-3), roof(1.08e-3)]
    found = changes(old, new)
    assert words(found) == {"a": SAME}
    assert found.moved["cpu"].most == Control("synthetic::copy", 1e-3, 1.08e-3)
    assert found.moved["cpu"].most.share == pytest.approx(0.08)
    # one that was disturbed itself tells nothing of the machine
    disturbed = roof(1.08e-3, throttled=True)
    assert words(changes([*old, STILL[1]], [new[0], disturbed, STILL[1]])) == {"a": SLOWER}


def test_what_only_noise_or_a_doubt_keeps_from_being_slower_is_not_decided():
    names, held = ("noise", "small", "faster", "doubt"), {"throttled": True}
    old = [*(timed(1e-3, n) for n in names), timed(1e-3, "wide", 0.5, 40), roof(1e-3)]
    new = [timed(t, n) for n, t in zip(names, (1.2e-3, 1.04e-3, 0.8e-3), strict=False)]
    new += [timed(1.2e-3, "doubt", **held), timed(1.3e-3, "wide", 0.5, 40)]
    found = changes(old, [*new, roof(1.1e-3)])
    assert set(words(found).values()) == {SAME, UNCLEAR}
    undecided = [change.id.removeprefix("synthetic::") for change in found.undecided(0.05)]
    assert undecided == ["noise", "doubt"]
    assert found.undecided(0.3) == [] == found.regressions(0.05)
    # where the machine did not move, one is told and the other is still in doubt
    told = changes(old, [*new, roof(1e-3)])
    assert told.regressions(0.05) == ["synthetic::noise"]
    assert [change.id for change in told.undecided(0.05)] == ["synthetic::doubt"]


def test_of_several_controls_the_one_that_moved_most_is_told_for_each_device():
    old = [timed(1e-3), roof(1e-3, "a"), roof(3e-3, "b"), roof(2e-3, "c"), roof(1e-3, "d")]
    new = [timed(1e-3), roof(1.02e-3, "a"), roof(2.5e-3, "b"), roof(2.1e-3, "c")]
    gpu = [roof(t, "g", device="cuda") for t in (1e-3, 0.99e-3)]
    found = changes([*old, gpu[0]], [*new, gpu[1]]).moved
    assert {device: (moved.most.id, moved.controls) for device, moved in found.items()} == {
        "cpu": ("synthetic::b", 3), "cuda": ("synthetic::g", 1)
    }  # fmt: skip
    assert found["cpu"].most.share == pytest.approx(0.2)


@pytest.mark.parametrize(("rows", "freedom"), [(1, 3), (20, 5), (100, 30)])
def test_one_time_in_twenty_any_of_the_rows_is_beyond_the_studentized_maximum_modulus(
    rows, freedom
):
    rng = np.random.default_rng(3)
    largest = np.abs(rng.standard_normal((20_000, rows))).max(axis=1)
    size = np.sqrt((rng.standard_normal((20_000, freedom)) ** 2).mean(axis=1))
    beyond = (largest > maximum_modulus(rows, freedom) * size).mean()
    assert beyond == pytest.approx(0.05, abs=0.006)
    assert maximum_modulus(1, 4) == pytest.approx(2.776, abs=0.002)  # Student's t


def test_rows_that_moved_as_identical_code_did_are_rarely_told():
    rng = np.random.default_rng(2)
    told = 0
    for _ in range(40):
        moves = np.exp(0.03 * rng.standard_normal((33, 2)))
        old, new = (
            [
                *(timed(1e-3 * state[run], f"{i}", 1e-3, 30) for i, state in enumerate(moves[:30])),
                *(roof(1e-3 * state[run], f"r{i}") for i, state in enumerate(moves[30:])),
            ]
            for run in (0, 1)
        )
        told += any(word in (FASTER, SLOWER) for word in words(changes(old, new)).values())
    assert told <= 5  # one in twenty is meant; beyond the largest of three nearly all are


def test_torchs_own_kernels_are_controls_where_torch_is_the_same():
    known = {"kind": "kernel", "subject": "matmul", "provider": "torch"}
    old, new = ([timed(t, n, **known) for n in "abcdefgh"] for t in (1e-3, 1.02e-3))
    assert changes(old, new).moved == {}
    found = changes(old, new, same_torch=True)
    assert found.moved["cpu"].controls == 8
    assert 0.02 < found.moved["cpu"].limit < 0.1
    own = [Row(f"own:{r.id}", r.group, r.name, r.params, r.extra_info, r.samples) for r in old]
    assert changes(own, own, same_torch=True).moved == {}


def test_how_far_the_machine_moved_is_weighed_once():
    controls = [
        [roof(t, f"r{i}") for i, t in enumerate(ts)] for ts in ([1e-3] * 40, [1.01e-3] * 40)
    ]
    pairs = [pair(name=f"aa{i}") for i in range(6)]
    old, new = (
        [*controls[run], *pairs, *(timed(t, f"n{t}{i}", 1e-3) for i in range(60))]
        for run, t in enumerate((1e-3, 1e-3))
    )
    old.append(timed(1e-3, "a", 1e-3))
    new.append(timed(1.045e-3, "a", 1e-3))
    found = changes(old, new)
    assert 0.035 < found.moved["cpu"].limit < 0.042  # of 61 rows and 40 controls
    assert words(found)["a"] == SLOWER


def test_without_a_control_nothing_is_told():
    ((change),) = changes([timed(1e-3)], [timed(2e-3)]).both
    assert (change.verdict, change.doubt) == (UNCLEAR, NO_CONTROL)


def test_what_is_measured_once_only_is_listed_and_what_fails_now_is_a_regression():
    old = [timed(1e-3, n) for n in ("both", "gone", "left out", "broken", "oom")]
    new = [
        timed(1e-3, "both"),
        timed(1e-3, "added"),
        row(None, name="left out"),
        row(None, name="broken", status="failed", reason="wrong answer"),
        row(None, name="oom", status="out_of_memory", reason="too large"),
        row(None, name="never"),
    ]
    found = changes(old, new)
    assert found.missing == ("synthetic::gone", "synthetic::left out")
    assert found.new == ("synthetic::added",)
    assert found.lost == (
        ("synthetic::broken", "failed: wrong answer"),
        ("synthetic::oom", "out_of_memory: too large"),
    )
    assert found.regressions(0.05) == ["synthetic::broken", "synthetic::oom"]


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({"throttled": True, "throttle_reasons": "contended"}, "new: contended"),
        ({"above_roof": True}, "new: faster than the roof measured in its run"),
        ({"flops": 8}, "not the same case: its flops differ"),
    ],
)
def test_a_doubtful_row_is_not_judged(known, why):
    found = changes([timed(1e-3, flops=4)], [timed(2e-3, **({"flops": 4} | known))])
    ((change),) = found.both
    assert (change.verdict, change.doubt) == (UNCLEAR, why)
    assert found.regressions(0.05) == []


def test_a_run_whose_self_checks_failed_says_nothing():
    wrong = timed(3e-3, "delay", kind="check", subject="delay", expected_s=2e-3)
    ((change),) = changes([timed(1e-3)], [timed(2e-3), wrong]).both
    assert change.verdict == UNCLEAR and change.doubt.startswith("new: self-check delay")


def gpu(why=None):
    known = {"device": "cuda", "throttled": bool(why), "throttle_reasons": why}
    return lambda t: [timed(t, **known), *(roof(1e-3, n, **known) for n in ("copy", "product"))]


@pytest.mark.parametrize(
    ("was", "now", "verdict", "doubt"),
    [
        (None, None, SLOWER, ""),
        ("power cap", "power cap", SLOWER, ""),  # a state of the device like any other
        (None, "hot", UNCLEAR, "new: hot"),
        ("hot", None, UNCLEAR, "old: hot"),
        ("hot", "power cap", UNCLEAR, "old: hot"),
    ],
)
def test_a_gpu_whose_clock_was_held_down_in_one_run_only_is_not_compared(was, now, verdict, doubt):
    ((change),) = changes(gpu(was)(1e-3), gpu(now)(2e-3)).both
    assert (change.verdict, change.doubt) == (verdict, doubt)


def trained(reached, n=3, name="a", **known):
    made = timed(1e-3, name, kind="convergence", reached=reached, **known)
    return Row(made.id, made.group, made.name, made.params, made.extra_info | {"n": n})


def test_of_trials_it_is_told_how_many_seeds_reached_the_target():
    old = [trained(3, name="a"), trained(3, name="b"), trained(1, name="c"), trained(0, name="d")]
    new = [trained(0, name="a"), trained(2, name="b"), trained(2, 5, "c"), trained(0, name="d")]
    found = changes(old, new)
    assert found.both == ()
    assert found.trials[0] == Reached("synthetic::a", (3, 3), (0, 3))
    assert [round(trial.gained, 2) for trial in found.trials] == [-1, -0.33, 0.07, 0]
    assert found.regressions(0.05) == ["synthetic::a"]
    assert changes(old, [trained(None, name="a")]).trials == ()
    assert changes(old, [trained(4, name="a"), trained(0, 0, "b")]).trials == ()


def test_trials_and_rows_about_the_measuring_are_not_compared():
    kinds = ("roof", "aa", "check", "convergence")
    rows = [timed(1e-3, kind, kind=kind) for kind in kinds]
    assert changes(rows, rows).both == ()
