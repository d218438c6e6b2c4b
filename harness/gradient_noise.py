"""How noisy a mini-batch's gradient is: the trace of its covariance, and the gradient noise scale.

Mini-batches are drawn with replacement, so that their samples are independent: the covariance of
the gradient is then exactly that of one sample's over the batch size, on a finite training set
too. That holds where a batch's loss is the mean of its samples' losses; under BatchNorm, whose
samples see each other, it holds roughly.

Source: McCandlish, Kaplan & Amodei 2018, "An empirical model of large-batch training" (arXiv
1812.06162, section 2.2 and appendix A.1).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from harness.survival import percentiles
from workloads.data import check_size
from workloads.spec import Batch

BOOTSTRAP_DRAWS = 4000
MIN_DRAWS = 5  # fewer cannot tell their own spread

Loss = Callable[[nn.Module, Batch], Tensor]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NoiseScale:
    """tr(Sigma) / |G|^2, where G is the gradient and Sigma one sample's covariance around it.

    Attributes:
        value: in samples; infinite where the draws cannot tell |G|^2 from 0.
        low, high: its 95% interval.
        squared_gradient: |G|^2; the estimate is unbiased, and so may fall below 0.
        trace: tr(Sigma), likewise.
        small, big: the two batch sizes.
        draws: of the big one.
    """

    value: float
    low: float
    high: float
    squared_gradient: float
    trace: float
    small: int
    big: int
    draws: int


def measure(
    model: nn.Module,
    loss: Loss,
    train: Batch,
    small: int,
    big: int,
    draws: int = 50,
    seed: int = 0,
) -> NoiseScale:
    """The gradient noise scale at the model's parameters, from gradients at two batch sizes.

    |g|^2 of a batch of B is |G|^2 + tr(Sigma) / B on average: two sizes tell the two apart. Each
    is averaged over the draws by itself before the division, as a mean of ratios would be biased.
    The big batch is made of small ones, and its gradient is their mean: what the gradient and its
    noise have in common, much the larger part early in training, then cancels out of tr(Sigma).
    The interval is an expanded percentile bootstrap over draws.

    Args:
        model: looked at, not changed.
        loss: (model, batch) -> scalar tensor, the mean over the samples.
        train: what to draw from, on the model's device.
        small: samples of the small batch, at least 1.
        big: samples of the big one, a multiple of that; may exceed the training set.
        draws: of the big batch, at least 5.
        seed: of the draws.

    Raises:
        ValueError: batch sizes that are none or no multiples, fewer than 5 draws, an empty
            training set, or a gradient that is not finite.
    """
    check_size(train, small)
    check_size(train, big)
    if big % small or big == small:
        raise ValueError(f"the big batch, {big}, should be a multiple of the small one, {small}")
    of_small, of_big = _squares(model, loss, train, small, big // small, draws, seed)
    gradient = (big * of_big - small * of_small) / (big - small)
    trace = (of_small - of_big) / (1 / small - 1 / big)
    chosen = _resamples(draws)
    scales = _scale(trace[chosen].mean(axis=1), gradient[chosen].mean(axis=1))
    low, high = percentiles(scales, draws)
    return NoiseScale(
        value=float(_scale(trace.mean(), gradient.mean())),
        low=low,
        high=high,
        squared_gradient=float(gradient.mean()),
        trace=float(trace.mean()),
        small=small,
        big=big,
        draws=draws,
    )


def variance_of_gradient(
    model: nn.Module,
    loss: Loss,
    train: Batch,
    batch: int,
    draws: int = 100,
    seed: int = 0,
) -> tuple[float, float, float]:
    """The trace of the covariance of a mini-batch's gradient: tr(Sigma) / batch.

    Half the mean squared distance between the gradients of two independent batches: unbiased,
    and in no need of the whole training set's gradient. The interval is an expanded percentile
    bootstrap over draws.

    Args:
        model: looked at, not changed.
        loss: (model, batch) -> scalar tensor, the mean over the samples.
        train: what to draw from, on the model's device.
        batch: samples of a mini-batch, at least 1; may exceed the training set.
        draws: pairs of mini-batches, at least 5.
        seed: of the draws.

    Returns:
        (variance, low, high), summed over all parameters, with the 95% interval.

    Raises:
        ValueError: a batch size that is none, fewer than 5 draws, an empty training set, or a
            gradient that is not finite.
    """
    check_size(train, batch)
    of_one, of_both = _squares(model, loss, train, batch, 2, draws, seed)
    halves = 2 * (of_one - of_both)  # |a - b|^2 / 2, from (|a|^2 + |b|^2) / 2 and |(a + b) / 2|^2
    low, high = percentiles(halves[_resamples(draws)].mean(axis=1), draws)
    return float(halves.mean()), low, high


def _squares(
    model: nn.Module, loss: Loss, train: Batch, size: int, parts: int, draws: int, seed: int
) -> tuple[Floats, Floats]:
    """The mean of |g|^2 over `parts` batches, and |g|^2 of all of them as one; each [draws]."""
    if draws < MIN_DRAWS:
        raise ValueError(f"{draws} draws: {MIN_DRAWS} are the least that have an interval")
    twin = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)  # on the CPU: the same on every device
    squares = np.zeros((2, draws))
    for draw in range(draws):
        total: Tensor | float = 0.0
        for _ in range(parts):
            index = torch.randint(len(train), (size,), generator=generator).to(train.x.device)
            gradient = _gradient(twin, loss, Batch(train.x[index], train.y[index]))
            squares[0, draw] += _square(gradient) / parts
            total = total + gradient / parts
        squares[1, draw] = _square(torch.as_tensor(total))
    if not np.isfinite(squares).all():
        raise ValueError("the gradient is not finite: the model has diverged")
    return squares[0], squares[1]


def _gradient(model: nn.Module, loss: Loss, batch: Batch) -> Tensor:
    """In all parameters, float64 [parameters]; 0 in those that have no part in the loss."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    parts = torch.autograd.grad(
        loss(model, batch), parameters, allow_unused=True, materialize_grads=True
    )
    return torch.cat([part.flatten() for part in parts]).double()


def _square(vector: Tensor) -> float:
    return float(vector @ vector)


def _resamples(draws: int) -> NDArray[np.int64]:
    """[resamples, draws], indices; the same gradients give the same interval."""
    return np.random.default_rng(0).integers(draws, size=(BOOTSTRAP_DRAWS, draws))


def _scale(trace: ArrayLike, squared_gradient: ArrayLike) -> Floats:
    """tr(Sigma) / |G|^2; infinite where |G|^2 cannot be told from 0."""
    square = np.asarray(squared_gradient, dtype=np.float64)
    return np.divide(trace, square, out=np.full(square.shape, math.inf), where=square > 0)
