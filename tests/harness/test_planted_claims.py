"""Claims whose truth is planted: what studies say where the evidence misleads who looks quickly."""

import dataclasses

import pytest

from harness import studies
from harness.curve import DIVERGED, FAILED, TUNING
from harness.report.crossover import device_ratio
from harness.report.frame import frame
from harness.studies.compare import Side, duel_on
from harness.studies.spec import DEPENDS, NOT_MEASURED, REFUTED, SUPPORTED, UNCLEAR
from tests.harness.make_evidence import (
    NEVER,
    E,
    about,
    backward,
    from_trials,
    fused,
    moved,
    target,
    timed,
    trials,
)
from tests.harness.make_rows import row
from tests.harness.study_cases import GD, HUBER, LINEAR, MSE, NEWTON


def having(curves, status, *seeds):
    """The same with another status for the trials of these seeds, of all if none is named."""
    return [
        dataclasses.replace(c, status=status) if c.trial.seed in (seeds or range(99)) else c
        for c in curves
    ]


def test_a_setting_all_of_whose_trials_failed_says_nothing_and_a_diverged_one_counts():
    worse, better = trials(MSE, about(100)), trials(HUBER, about(50))
    judge = studies.load("huber").judge
    assert judge(E(curves=having(worse, FAILED) + better)).verdict == NOT_MEASURED
    assert judge(E(curves=having(worse, DIVERGED) + better)).verdict == SUPPORTED
    assert judge(E(curves=worse + having(better, DIVERGED))).verdict == REFUTED


def test_a_failed_trial_is_one_that_did_not_get_there_and_is_named():
    agents = having(target("cartpole", *range(40, 48)), FAILED, 0, 1, 2, 3, 4)
    found = studies.load("agent").judge(E(curves=agents))
    assert found.verdict == DEPENDS and found.n == 8
    assert "3 of 8 seeds" in found.words and "5 raised an error" in found.words
    newton = having(trials(LINEAR, [2] * 6, **NEWTON), FAILED, 0, 2, 4)
    found = studies.load("second_order").judge(
        E(curves=trials(LINEAR, [100, 101, 102, 103, 104, 105], **GD) + newton)
    )
    assert found.verdict == UNCLEAR and found.n == 6
    assert "3 of 6 seeds, 3 raised an error" in found.words
    hurt = having(moved("cnn", [0.5] * 5), FAILED, 1)
    found = studies.load("convolution").judge(E(curves=moved("cnn/mlp", [2.0] * 5) + hurt))
    assert found.verdict == UNCLEAR and "4 of 5 seeds of the CNN" in found.words


@pytest.mark.parametrize("steps", [about(200), (200, 201, 202)])
def test_who_was_given_up_sooner_is_not_behind(steps):
    """Each of the other's trials took 500 and more, or 150 and less, and it is given up at 200."""
    never = trials(HUBER, [NEVER] * len(steps))
    for times, expected in ((2.5, UNCLEAR), (0.25, REFUTED)):
        mse = trials(MSE, [times * n for n in steps])
        found = studies.load("huber").judge(E(curves=mse + never))
        assert found.verdict == expected, (times, found)
        assert ("had spent less than the other took" in found.words) == (expected == UNCLEAR)
        turned = [*trials(HUBER, [times * n for n in steps]), *trials(MSE, [NEVER] * len(steps))]
        turned = studies.load("huber").judge(E(curves=turned))
        assert turned.verdict == (SUPPORTED if expected == REFUTED else UNCLEAR)


def test_what_both_forget_is_no_memory():
    """Worse than a guess on moved data: who is less so encodes nothing."""
    both = from_trials(moved("rnn/mlp", about(4.0)), moved("rnn", about(2.6)))
    found = studies.load("recurrence").judge(both)
    assert found.verdict == UNCLEAR
    assert "no verdict on the RNN: on moved data neither it nor the MLP is better" in found.words


def test_a_model_that_was_never_trained_is_hurt_by_nothing():
    mlp = [
        dataclasses.replace(c, shifted=value)
        for c, value in zip(trials("cnn/mlp", [NEVER] * 5), about(1.02), strict=True)
    ]
    found = studies.load("convolution").judge(E(curves=mlp + moved("cnn", about(0.5))))
    assert found.verdict == UNCLEAR and "0 of 5 seeds of the MLP got to the target" in found.words


def test_rates_at_the_edge_of_what_was_tried_are_told():
    def tried(workload, *steps):
        return [
            dataclasses.replace(c, trial=dataclasses.replace(c.trial, learning_rate=2.0**k))
            for k, n in enumerate(steps)
            for c in trials(workload, [n], role=TUNING)
        ]

    curves = [*trials(MSE, about(100)), *trials(HUBER, about(50)), *tried(HUBER, 70, 60, 80)]
    inside = studies.load("huber").judge(E(curves=curves + tried(MSE, 140, 100, 120)))
    beyond = studies.load("huber").judge(E(curves=curves + tried(MSE, 140, 120, 100)))
    assert "grid's edge" not in inside.words
    assert "the best learning rate tried of the squared error is on its grid's edge" in beyond.words


def test_small_differences_in_seconds_are_the_machines():
    wide, deep = "deep_mlp/2x844-layer-skip", "deep_mlp"
    for times, expected in ((1.005, UNCLEAR), (2.0, SUPPORTED)):
        wider = trials(wide, about(100), seconds=times)
        of = from_trials(wider, trials(deep, about(100), seconds=1.0))
        found = duel_on("cpu", of, Side("wide", wide), Side("deep", deep), "seconds")
        assert found.verdict == expected, (times, found)


def test_on_the_whole_set_sgd_is_gradient_descent():
    curves = trials(LINEAR, [100] * 5, **GD) + trials(LINEAR, [900] * 5, "sgd")
    curves += trials(LINEAR, [300] * 5, "adam")
    found = studies.load("first_order").judge(E(curves=curves))
    assert found.verdict == REFUTED and "900" not in found.words


def test_rows_without_a_verdict_take_no_part():
    values = {1: 1e-3, 32: 1e-3, 1024: 1e-3}
    taken = {"throttled": True, "throttle_reasons": "a thread waited 90% of the time for a core"}
    gpu = timed({batch: 5e-4 for batch in values}, "cuda")
    judge = studies.load("gpu").judge
    assert judge(E([*timed(values), *gpu])).verdict == SUPPORTED
    for cpu in (timed(values, **taken), timed(values, above_roof=True)):
        found = judge(E([*cpu, *gpu]))
        assert found.verdict == NOT_MEASURED and "left out: disturbed" in found.words
        steps = studies.load("minibatch_cost").judge(E(cpu))
        assert steps.verdict == NOT_MEASURED and "left out: disturbed" in steps.words
        assert device_ratio(frame([*cpu, *gpu])).empty
    wrong = row(4e-3, kind="check", subject="delay", case="delay", expected_s=2e-3, mode="host")
    assert judge(E([*timed(values), *gpu, wrong])).verdict == NOT_MEASURED


def test_a_target_met_before_the_first_step_says_nothing_of_training():
    for seeds in ((0, 0, 0), (40, 0, 42)):
        found = studies.load("agent").judge(from_trials(target("cartpole", *seeds)))
        assert found.verdict == UNCLEAR and "3 of 3 seeds" in found.words
        assert f"{seeds.count(0)} met it before any step" in found.words
    early = from_trials(trials(MSE, about(100)), trials(HUBER, [0, *about(50)[1:]]))
    found = studies.load("huber").judge(early)
    assert found.verdict == UNCLEAR and found.n == 5
    assert "1 of 5 seeds of Huber's loss met it before any step" in found.words
    assert found.effect.startswith("met before any step")


def test_every_effect_says_of_what_it_is():
    sgd = {"workload": "mlp_classification", "optimizer": "sgd"}
    mini, large = (trials(steps=about(100), batch=b, flops=b, **sgd) for b in (32, 512))
    effect = studies.load("minibatch_progress").judge(from_trials(mini, large)).effect
    assert effect.startswith("16.0 [16.0, 16.0]× in FLOPs, ")
    assert effect.endswith("× in seconds")
    twice = [
        dataclasses.replace(backward(value, value - 0.1, value + 0.1), subject=name, n=n)
        for name, value, n in (("cnn", 2.0, 60), ("rnn", 2.2, 99))
    ]
    found = studies.load("backpropagation").judge(E(findings=twice))
    assert found.effect == "cnn 2.00 [1.90, 2.10]×, rnn 2.20 [2.10, 2.30]×" and found.n == 60


def test_a_range_is_not_told_by_its_best():
    found = studies.load("fusion").judge(E(fused([0.5, 0.8, 2.0])))
    assert found.verdict == DEPENDS
    assert found.effect.startswith("cross_entropy 0.500 [") and " to 2.00 [" in found.effect


def test_where_one_got_there_and_one_did_not_a_ratio_tells_nothing():
    found = studies.load("huber").judge(
        from_trials(target(MSE, NEVER, NEVER, NEVER), target(HUBER, 40, NEVER, 41))
    )
    assert found.verdict == UNCLEAR and "∞" not in found.effect
    assert found.effect.startswith("2 of 3 seeds got there against 0 in steps")


def test_an_answer_is_told_in_words():
    made = f"{'man is to woman as king is to':44} {'queen':12} {'queen':12} right"
    found = studies.load("word_vectors").judge(
        from_trials(target("word2vec", 1, 2, 3, generated=f"question found expected\n{made}"))
    )
    told = "Asked “man is to woman as king is to”, it finds “queen”, expected is “queen”: right."
    assert found.words.endswith(told)


def test_cases_are_counted_once():
    found = studies.load("minibatch_cost").judge(E(timed({32: 1e-4, 1024: 1e-3})))
    assert found.words.startswith("Of 1 case the step on the small batch is faster in 1; the large")


def test_a_deeper_network_has_no_verdict_without_its_price():
    wide, deep = trials("deep_mlp/2x844-layer-skip", about(100)), trials("deep_mlp", about(50))
    judge = studies.load("depth_or_width").judge
    assert judge(from_trials(wide, deep)).verdict == SUPPORTED
    taken = [dataclasses.replace(curve, waited_share=0.5) for curve in deep]
    found = judge(from_trials(wide, taken))
    assert found.verdict == UNCLEAR and "No seconds of 16 x 64: " in found.words
