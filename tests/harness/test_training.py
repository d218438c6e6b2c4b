"""Trials: how they end, what they count, and that the clock leaves evaluation out."""

import dataclasses
import itertools
import math
import time

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import workloads
from harness import meter, train, training
from harness.__main__ import main
from harness.curve import CENSORED, DIVERGED, FAILED, REACHED, Trial
from workloads import flops
from workloads.spec import Batch, Data, Flops, Target, Workload

PARABOLA = Batch(torch.ones(8, 1), torch.zeros(8, 1))


def parabola(**more):
    """Loss w^2 from w = 1: gradient descent of rate r multiplies w by 1 - 2 r each step."""

    def model(seed):
        linear = nn.Linear(1, 1, bias=False)
        nn.init.ones_(linear.weight)
        return linear

    return Workload(
        **{
            "name": "parabola",
            "data": lambda: Data(PARABOLA, PARABOLA),
            "model": model,
            "loss": lambda model, batch: F.mse_loss(model(batch.x), batch.y),
            "metric": lambda model, batch: model.weight.detach().abs().sum(),
            "target": Target("distance", 0.1),
            "flops": Flops(2, 2),
            "optimizer": "sgd",
            "learning_rate": 0.05,
            "batch_size": 8,
            "max_steps": 500,
        }
        | more
    )


def trial(**more):
    return Trial(**{"workload": "parabola", "optimizer": "sgd", "batch": 8} | {
        "learning_rate": 0.05, "seed": 0} | more)  # fmt: skip


def test_it_ends_where_the_target_is_met_and_says_what_that_took():
    curve = training.run(trial(), parabola())
    assert (curve.status, curve.reason) == (REACHED, None)
    # 0.9^n = 0.1 at n = 21.85, found by interpolating between 21 and 22
    assert curve.to_target("steps") == pytest.approx(math.log(0.1) / math.log(0.9), abs=0.01)
    last = curve.points[-1]
    assert (last.steps, last.samples, last.flops) == (22, 176, 22 * 8 * 4)
    assert last.joules is None and curve.why["joules"]
    assert (
        curve.points[0].steps == 0 and curve.points[0].metric == 1 and curve.points[0].loss is None
    )
    assert last.loss == pytest.approx(0.9**42, rel=1e-4)  # before the last update


def test_evaluations_lie_at_most_three_percent_apart():
    curve = training.run(trial(learning_rate=1e-6), parabola(max_steps=300))
    steps = [point.steps for point in curve.points]
    assert steps[:5] == [0, 1, 2, 3, 4] and steps[-1] == 300
    assert all(
        later <= max(earlier + 1, 1.03 * earlier) for earlier, later in itertools.pairwise(steps)
    )


def test_what_does_not_get_there_is_censored():
    curve = training.run(trial(), parabola(), max_steps=10)
    assert (curve.status, curve.reason) == (CENSORED, "not reached in 10 steps")
    assert curve.to_target("steps") == math.inf and curve.spent("steps") == 10


def test_a_budget_of_seconds_ends_it():
    def slow(model, batch):
        time.sleep(0.002)
        return F.mse_loss(model(batch.x), batch.y)

    curve = training.run(
        trial(), parabola(loss=slow, target=Target("distance", 0.0)), budget_s=0.02
    )
    assert (curve.status, curve.reason) == (CENSORED, "not reached in 0.02 s")
    assert curve.points[-1].seconds >= 0.02 and curve.points[-1].steps < 500


def test_divergence_is_its_own_end_with_the_step():
    curve = training.run(trial(learning_rate=1e30), parabola())
    assert curve.status == DIVERGED
    assert curve.reason == f"the loss or the metric is no number at step {curve.points[-1].steps}"
    assert curve.points[-1].metric is None


def test_a_metric_that_is_nan_from_the_start_diverged_at_step_0():
    curve = training.run(trial(), parabola(metric=lambda *_: torch.tensor(math.nan)))
    assert curve.reason == "the loss or the metric is no number at step 0"


def test_evaluation_is_outside_of_the_clock_and_told_inclusive():
    def slow(model, batch):
        time.sleep(0.01)
        return model.weight.detach().abs().sum()

    curve = training.run(trial(), parabola(metric=slow), max_steps=20)
    last = curve.points[-1]
    assert last.seconds > 0
    assert last.seconds_inclusive - last.seconds > 0.01 * (len(curve.points) - 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"batch": 9}, "ValueError: batch size 9: the training set has 8 samples"),
        ({"optimizer": "sgdd"}, "ValueError: unknown optimizer 'sgdd'"),
        ({"learning_rate": -1.0}, "ValueError: learning rate -1.0: must be a number above 0"),
    ],
)
def test_what_cannot_be_trained_is_a_status_and_a_reason(change, reason):
    curve = training.run(trial(**change), parabola())
    assert curve.status == FAILED and curve.reason.startswith(reason)


def test_a_loss_that_raises_is_a_status_and_a_reason():
    def broken(model, batch):
        raise RuntimeError("no such luck\nand more lines")

    curve = training.run(trial(), parabola(loss=broken))
    assert (curve.status, curve.reason) == (FAILED, "RuntimeError: no such luck")


def test_flops_that_are_not_known_leave_the_axis_out_and_name_the_op():
    def rotated(model, batch):
        return F.mse_loss(torch.fft.fft(model(batch.x)).real, batch.y)

    curve = training.run(
        trial(optimizer="natural_gradient", learning_rate=1.0), parabola(loss=rotated)
    )
    assert curve.points[-1].flops is None and "_fft" in curve.why["flops"]


def test_an_agents_acting_is_counted_with_its_learning():
    curve = training.run(trial(), parabola(flops=Flops(2, 2, draw=3)), max_steps=5)
    assert curve.points[-1].flops == 5 * 8 * (4 + 3)


def test_what_the_trained_model_makes_is_kept_unless_it_diverged():
    made = parabola(generate=lambda model, seed: f"w {model.weight.item():.1f}, seed {seed}")
    assert training.run(trial(), made).generated == "w 0.1, seed 0"
    assert training.run(trial(), made, show=False).generated is None
    assert training.run(trial(learning_rate=1e30), made).generated is None


@pytest.mark.parametrize("name", workloads.NAMES)
def test_one_seed_gives_the_same_curve_twice(name):
    workload = workloads.load(name)
    one = Trial(name, workload.optimizer, workload.batch_size, workload.learning_rate, seed=3)
    first, again, other = (
        [
            (p.steps, p.loss, p.metric, p.flops)
            for p in training.run(t, max_steps=4, show=False).points
        ]
        for t in (one, one, dataclasses.replace(one, seed=4))
    )
    assert first == again and first != other


def test_the_command_trains_and_tells(capsys):
    assert (
        main(["train", "linear_regression", "--optimizer", "newton", "--learning-rate", "1"]) == 0
    )
    said = " ".join(capsys.readouterr().out.split())
    assert "relative suboptimality 1e-06 reached after 1 step, 353 samples" in said
    assert main(["train", "linear_regression", "--steps", "5"]) == 1
    said, progress = capsys.readouterr()
    assert said.startswith("censored: not reached in 5 steps") and "step 5 of" not in said
    # a terminal of 80 columns: the words are wrapped, and no number is cut
    assert "step 5 of at most 5" in progress and "(target 1e-06)" in " ".join(progress.split())
    assert "…" not in progress


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet"], "unknown workload 'resnet': choose one of"),
        (["linear_regression/lasso"], "unknown workload 'linear_regression/lasso'"),
        (["linear_regression", "--optimizer", "x"], "unknown optimizer 'x': choose one of"),
        (["linear_regression", "--corpus", "x.txt"], "linear_regression has no use for --corpus"),
        (["linear_regression", "--mnist"], "linear_regression has no use for --mnist"),
        (["cnn", "--images", "x.gz"], "cnn with --images needs --labels too"),
        (["word2vec", "--questions", "x.txt"], "word2vec with --questions needs --corpus too"),
        (["cnn", "--corpus", "x", "--images", "y"], "cnn has no use for --corpus\n"),
        (["linear_regression", "--batch", "1000"], "batch size 1000: the training set has 353"),
        (["neuron", "--batch", "99999999999"], "batch size 99999999999: the training set has 426"),
        (["linear_regression", "--batch", "0"], "'0' is not a whole number above 0"),
        (["linear_regression", "--learning-rate", "nan"], "'nan' is not a number above 0"),
        (["linear_regression", "--device", "tpu"], "invalid choice: 'tpu'"),
    ],
)
def test_bad_input_is_one_line(capsys, arguments, message):
    try:
        status = main(["train", *arguments])
    except SystemExit as stopped:
        status = stopped.code
    said = capsys.readouterr()
    assert status == 2 and message in said.err and said.err.count("\n") == 1
    assert not said.out  # refused before the progress bar begins


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line():
    with pytest.raises(train.CannotTrain, match=r"no CUDA device: .*; train on --device cpu"):
        train.run(train.Options("linear_regression", device="cuda"))


@pytest.mark.parametrize("optimizer", ["newton", "natural_gradient", "natural_gradient_cg"])
def test_nothing_is_counted_inside_the_clock(monkeypatch, optimizer):
    """Counting a second-order step's FLOPs takes as long as the step: the warm-up does it."""
    counted = []
    count = flops.count
    monkeypatch.setattr(flops, "count", lambda work: counted.append(inside[-1]) or count(work))
    inside = [False]

    class Watched(meter.Meter):
        def __enter__(self):
            inside.append(True)
            super().__enter__()

        def __exit__(self, *raised):
            super().__exit__(*raised)
            inside.append(False)

    monkeypatch.setattr(meter, "Meter", Watched)
    found = training.run(Trial("linear_regression", optimizer, 353, 1.0, 0), max_steps=2)
    assert found.points[-1].flops and counted and not any(counted)
