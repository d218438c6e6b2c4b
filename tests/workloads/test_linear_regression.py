"""The closed form, against others' solvers, and what is derived from it."""

import pytest
import torch
from sklearn.linear_model import LinearRegression
from torch.nn import functional as F

from workloads import data, linear_regression

TRAIN = data.diabetes().train
VALIDATION = data.diabetes().validation


def objective(model):
    """Over the training set, in float64."""
    train = TRAIN.to("cpu", torch.float64)
    return F.mse_loss(model.double()(train.x), train.y).item()


@torch.no_grad()
def model_at(weights):
    model = linear_regression.model(0).double()
    model.weight.copy_(weights[:-1].T)
    model.bias.copy_(weights[-1])
    return model


def test_the_optimum_is_scikit_learns():
    fitted = LinearRegression().fit(TRAIN.x.double(), TRAIN.y.double())
    expected = torch.tensor([*fitted.coef_[0], fitted.intercept_[0]]).reshape(-1, 1)
    torch.testing.assert_close(linear_regression.optimum(), expected, rtol=1e-10, atol=1e-12)


def test_the_gradient_of_the_training_objective_is_zero_at_the_optimum():
    model = model_at(linear_regression.optimum())
    linear_regression.loss(model, TRAIN.to("cpu", torch.float64)).backward()
    assert max(p.grad.abs().max().item() for p in model.parameters()) < 1e-14


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_metric_is_the_relative_suboptimality(seed):
    best = objective(model_at(linear_regression.optimum()))
    zero = objective(model_at(torch.zeros(11, 1, dtype=torch.float64)))
    model = linear_regression.model(seed).double()
    expected = (objective(model) - best) / (zero - best)
    found = linear_regression.metric(model, VALIDATION.to("cpu", torch.float64))
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_the_metric_is_one_at_zero_and_zero_at_the_optimum():
    batch = VALIDATION.to("cpu", torch.float64)
    optimum = linear_regression.optimum()
    assert linear_regression.metric(model_at(0 * optimum), batch).item() == 1
    assert linear_regression.metric(model_at(optimum), batch).item() < 1e-28


def test_the_metric_is_of_the_training_objective_whatever_the_batch():
    model = linear_regression.model(0)
    assert linear_regression.metric(model, TRAIN) == linear_regression.metric(model, VALIDATION)


def test_the_learning_rate_is_one_over_the_largest_eigenvalue_of_the_hessian():
    x = torch.cat([TRAIN.x.double(), torch.ones(len(TRAIN), 1, dtype=torch.float64)], dim=1)
    eigenvalues = torch.linalg.eigvalsh(2 / len(TRAIN) * x.T @ x)
    assert 0.99 < linear_regression.LEARNING_RATE * eigenvalues[-1] <= 1
    assert round((eigenvalues[-1] / eigenvalues[0]).item()) == 442  # as the docstring says
    assert len(TRAIN) == linear_regression.BATCH_SIZE  # the bound is for the full batch
