"""Linear regression on diabetes: the one workload whose optimum is known, by least squares.

The objective is the mean squared error over the training set, with an intercept and no penalty.
It is a convex quadratic, so a trial is judged by how far it is from the optimum f*, and not on
held-out data. On standardised inputs its condition number is 442.
"""

from __future__ import annotations

import functools
from fractions import Fraction

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workloads import data
from workloads.seeding import seeded
from workloads.spec import Batch, Flops, Target, Workload

FEATURES = 10
BATCH_SIZE = 353  # the whole training set: at a fixed rate, gradient noise ends far above 1e-6
MAX_STEPS = 5000  # a trial that takes longer is censored

# 1/L, the rate at which full-batch gradient descent is sure to lower the objective in every step
# (Nesterov 2004, "Introductory Lectures on Convex Optimization", section 1.2.3). L = 8.29 is the
# largest eigenvalue of the Hessian 2/n X^T X, where X has the intercept's column of ones. Small
# batches have a larger L of their own: single samples diverge at this rate.
LEARNING_RATE = 0.12


def model(seed: int) -> nn.Linear:
    """A linear layer with intercept, [n, 10] -> [n, 1], in torch's default initialisation."""
    with seeded(seed):
        return nn.Linear(FEATURES, 1)


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean squared error, scalar; of x float [n, 10] and y [n, 1], both standardised."""
    return F.mse_loss(model(batch.x), batch.y)


@functools.cache
def optimum() -> Tensor:
    """The least-squares solution in float64, [11, 1]: ten weights and the intercept.

    The normal equations solved in rational numbers and rounded once. A solver in floating point
    has other last digits from one process to the next, with where its workspace happens to lie.
    """
    train = data.diabetes().train
    table = torch.cat([_with_ones(train.x), train.y], dim=1).tolist()  # [353, 12]
    scale = max(value.as_integer_ratio()[1] for row in table for value in row)  # a power of two
    rows = [[int(value * scale) for value in row] for row in table]  # exact
    size = FEATURES + 1
    system = [
        [Fraction(sum(row[i] * row[j] for row in rows)) for j in range(size + 1)]
        for i in range(size)
    ]
    for i in range(size):  # Gauss and Jordan's elimination; the matrix is positive definite
        system[i] = [value / system[i][i] for value in system[i]]
        for k in range(size):
            if k != i:
                factor = system[k][i]
                system[k] = [a - factor * b for a, b in zip(system[k], system[i], strict=True)]
    return torch.tensor([[float(row[-1])] for row in system], dtype=torch.float64)


@torch.no_grad()
def metric(model: nn.Module, batch: Batch) -> Tensor:
    """Relative suboptimality (f - f*) / (f0 - f*) of the training objective f; float64 scalar.

    f0 is the objective of the zero model, the same for every seed. `batch` gives the device and
    dtype to evaluate in; its samples are not looked at, as the objective is the training set's.

    The residuals of a least-squares fit are orthogonal to the inputs, so f - f* is exactly the
    mean squared distance to the optimum's predictions. Taken that way it loses no digits;
    subtracting two float32 losses would stop at about 1e-7.
    """
    x = data.diabetes().train.x.to(batch.x.device)
    best = _with_ones(x.double()) @ optimum().to(x.device)  # [353, 1]
    distance = model(x.to(batch.x.dtype)).double() - best
    return distance.square().mean() / best.square().mean()


def _with_ones(x: Tensor) -> Tensor:
    return torch.cat([x, torch.ones_like(x[:, :1])], dim=1)  # [n, 11]


WORKLOAD = Workload(
    name="linear_regression",
    data=data.diabetes,
    model=model,
    loss=loss,
    metric=metric,
    target=Target("relative suboptimality", 1e-6),
    # backward: the weight's gradient only, as no input needs one
    flops=Flops(forward=2 * FEATURES, backward=2 * FEATURES),
    optimizer="sgd",
    learning_rate=LEARNING_RATE,
    batch_size=BATCH_SIZE,
    max_steps=MAX_STEPS,
    floor=0.0,
)
