"""A multilayer perceptron that learns a function from noisy values: 10 -> 64 -> 64 -> 1.

Friedman's first function (1991, "Multivariate Adaptive Regression Splines"), of which five inputs
matter. The validation set has the function itself, so what is measured is the excess over the
noise's variance, and 0 is the best there is.

Two losses and two training sets. The squared error is right for normal noise. Huber's loss (1964,
"Robust Estimation of a Location Parameter") is the squared error near 0 and the absolute error
beyond: on normal noise it gives away 5%, and it does not follow outliers.

    mlp_regression                 squared error
    mlp_regression/huber           Huber
    mlp_regression/mse_outliers    squared error, 10% outliers of standard deviation 30
    mlp_regression/huber_outliers  Huber, the same outliers

Without outliers the squared error gets to 0.5 in 8 to 12 epochs of 125 steps and Huber in 6 to 7,
within a second on one core. With them Huber gets to 1 in 3 to 7 epochs, and the squared error never
does: a finding that is kept.
"""

from __future__ import annotations

import dataclasses
import functools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workloads import data, perceptron
from workloads.spec import Batch, Target, Workload

WIDTHS = (10, 64, 64, 1)
BATCH_SIZE = 32
MAX_STEPS = 40 * 125  # 40 epochs; a trial that takes longer is censored

# A third of it takes twice the steps.
LEARNING_RATE = 1e-2

# In units of the noise's standard deviation, 1: the mean of normal values is then estimated with
# 95% of the efficiency of their average (Huber 1981, "Robust Statistics", section 4.2).
DELTA = 1.345


def model(seed: int) -> nn.Sequential:
    """Three linear layers with ReLU between, [n, 10] -> [n, 1], initialised by torch."""
    return perceptron.model(seed, WIDTHS)


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean squared error, scalar; of x float [n, 10] and y [n, 1]."""
    return F.mse_loss(model(batch.x), batch.y)


def huber(model: nn.Module, batch: Batch) -> Tensor:
    """Mean of Huber's loss, scalar: r^2 / 2 for |r| < DELTA, else DELTA (|r| - DELTA / 2).

    Of x float [n, 10] and y [n, 1], and r their residual. Source: Huber 1964.
    """
    return F.huber_loss(model(batch.x), batch.y, delta=DELTA)


@torch.no_grad()
def metric(model: nn.Module, batch: Batch) -> Tensor:
    """Excess mean squared error, scalar: against `batch`, the validation set without noise."""
    return loss(model, batch)


WORKLOAD = Workload(
    name="mlp_regression",
    data=data.friedman1,
    model=model,
    loss=loss,
    metric=metric,
    # Half of the noise's variance, and a fiftieth of the function's. It gets to 0.3 and then
    # starts to learn the noise.
    target=Target("excess mean squared error", 0.5),
    flops=perceptron.flops(WIDTHS),
    optimizer="adam",
    learning_rate=LEARNING_RATE,
    batch_size=BATCH_SIZE,
    max_steps=MAX_STEPS,
    floor=0.0,
    own_kernels=True,
)

_OUTLIERS = dataclasses.replace(
    WORKLOAD,
    data=functools.partial(data.friedman1, outliers=True),
    target=Target("excess mean squared error", 1.0),
)

VARIANTS = (
    dataclasses.replace(WORKLOAD, name="mlp_regression/huber", loss=huber),
    dataclasses.replace(_OUTLIERS, name="mlp_regression/mse_outliers"),
    dataclasses.replace(_OUTLIERS, name="mlp_regression/huber_outliers", loss=huber),
)
