"""Squared error and Huber's loss by hand, and what each makes of outliers."""

import math
from statistics import NormalDist

import pytest
import torch
from torch import nn

import workloads
from tests.workloads.reach import steps_to_target
from workloads import data, mlp_regression
from workloads.spec import Batch

VALIDATION = data.friedman1().validation
Z = nn.Identity()
RESIDUALS = Batch(
    torch.tensor([[0.0], [-1.0], [1.3], [30.0]], dtype=torch.float64),
    torch.zeros(4, 1, dtype=torch.float64),
)


class Truth(nn.Module):
    """Friedman's function, of inputs as the data set scales them."""

    def forward(self, x):
        one, two, three, four, five = (x[:, :5] / math.sqrt(12) + 0.5).unbind(1)
        f = 10 * torch.sin(math.pi * one * two) + 20 * (three - 0.5) ** 2 + 10 * four + 5 * five
        return f[:, None]


def test_the_losses_are_their_formulas():
    delta = 1.345
    squares = [0, 1, 1.69, 900]
    hubers = [0, 0.5, 1.69 / 2, delta * (30 - delta / 2)]
    assert mlp_regression.loss(Z, RESIDUALS).item() == pytest.approx(sum(squares) / 4, rel=1e-12)
    assert mlp_regression.huber(Z, RESIDUALS).item() == pytest.approx(sum(hubers) / 4, rel=1e-12)


def test_huber_pulls_at_most_by_delta_and_the_squared_error_without_bound():
    for loss, pulls in (
        (mlp_regression.huber, [0, -1, 1.3, 1.345]),
        (mlp_regression.loss, [0, -2, 2.6, 60]),
    ):
        x = RESIDUALS.x.clone().requires_grad_()
        loss(Z, Batch(x, RESIDUALS.y)).backward()
        assert (4 * x.grad.flatten()).tolist() == pytest.approx(pulls, rel=1e-12)


def test_delta_has_an_efficiency_of_95_percent_on_normal_noise():
    normal, d = NormalDist(), mlp_regression.DELTA
    inside = 2 * normal.cdf(d) - 1
    variance = inside - 2 * d * normal.pdf(d) + d**2 * (1 - inside)  # of the pull
    assert inside**2 / variance == pytest.approx(0.95, abs=5e-4)


def test_the_metric_is_0_for_the_true_function_and_its_excess_for_another():
    batch = VALIDATION.to("cpu", torch.float64)
    assert mlp_regression.metric(Truth(), batch).item() < 1e-11  # float32 in the data
    off = Batch(batch.x, batch.y + 2)
    assert mlp_regression.metric(Truth(), off).item() == pytest.approx(4, rel=1e-6)


def test_the_variants_differ_from_the_workload_where_they_say():
    clean, outliers = data.friedman1(), data.friedman1(outliers=True)
    for name, loss, split, target in (
        ("mlp_regression", mlp_regression.loss, clean, 0.5),
        ("mlp_regression/huber", mlp_regression.huber, clean, 0.5),
        ("mlp_regression/mse_outliers", mlp_regression.loss, outliers, 1.0),
        ("mlp_regression/huber_outliers", mlp_regression.huber, outliers, 1.0),
    ):
        workload = workloads.load(name)
        assert (workload.loss, workload.data(), workload.target.value) == (loss, split, target)


@pytest.mark.parametrize("name", ["mlp_regression/huber", "mlp_regression/huber_outliers"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_huber_gets_to_its_target_with_outliers_and_without(name, seed):
    steps = steps_to_target(workloads.load(name), seed, every=25)
    assert steps is not None and steps <= 10 * 125


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_with_outliers_the_squared_error_never_does(seed):
    outliers = workloads.load("mlp_regression/mse_outliers")
    assert steps_to_target(outliers, seed, every=25) is None


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate", [3e-4, 1e-3, 3e-3, 3e-2])
def test_nor_does_it_at_another_rate(learning_rate):
    outliers = workloads.load("mlp_regression/mse_outliers")
    assert steps_to_target(outliers, 0, every=25, learning_rate=learning_rate) is None
