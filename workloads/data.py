"""Data sets that scikit-learn ships or makes, split with a fixed seed, and seeded draws from them.

Every data set is read once and then shared by all callers: do not write into its tensors.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from workloads.spec import Batch, Data, Workload

INPUTS = ("raw", "scaled", "centred", "standardised", "shifted", "whitened")


@functools.cache
def diabetes() -> Data:
    """Disease progression of 442 patients from ten measurements; 353 train, 89 validation.

    Inputs and outcome are standardised with the training set's mean and standard deviation, so
    that predicting 0 costs a mean squared error of exactly 1 in training, up to rounding.

    Source: Efron, Hastie, Johnstone & Tibshirani 2004, "Least Angle Regression".

    Returns:
        x float32 [n, 10], y float32 [n, 1].
    """
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import train_test_split

    x, y = load_diabetes(return_X_y=True, scaled=False)
    y = y.reshape(-1, 1)  # as a linear layer returns it: [n] against [n, 1] would broadcast
    x_train, x_validation, y_train, y_validation = train_test_split(
        x, y, test_size=89, random_state=0
    )
    x_mean, x_std = x_train.mean(axis=0), x_train.std(axis=0)
    y_mean, y_std = y_train.mean(axis=0), y_train.std(axis=0)

    def standardise(x, y) -> Batch:
        return Batch(
            torch.from_numpy((x - x_mean) / x_std).float(),
            torch.from_numpy((y - y_mean) / y_std).float(),
        )

    return Data(standardise(x_train, y_train), standardise(x_validation, y_validation))


@functools.cache
def digits() -> Data:
    """1797 handwritten digits of 8 x 8 pixels in 17 levels; 1437 train, 360 validation.

    Pixels are divided by 16, into [0, 1], and not standardised: the division is exact, keeps the
    pixels comparable with their neighbours, as a convolution needs, and has no trouble with the
    three pixels that are blank in every image, whose standard deviation is 0.

    The split is stratified by class. Which images it holds out matters more than the model: over
    the seeds 0 to 15 the best validation cross-entropy of one small perceptron ran from 0.04 to
    0.11 nats. Seed 11 is about their median, neither a lucky split nor a hard one.

    Source: Alpaydin & Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI; the test set.

    Returns:
        x float32 [n, 64], rows of pixels one after the other; y int64 [n], 0 to 9.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x_train, x_validation, y_train, y_validation = train_test_split(
        x, y, test_size=360, random_state=11, stratify=y
    )

    def scale(x, y) -> Batch:
        return Batch(torch.from_numpy(x / 16).float(), torch.from_numpy(y).long())

    return Data(scale(x_train, y_train), scale(x_validation, y_validation))


@functools.cache
def conditioned_digits(inputs: str) -> Data:
    """The digits, with their pixels mapped so that a Hessian is better or worse conditioned.

    Means and variances are the training set's, in float64:

        raw            levels 0 to 16
        scaled         divided by 16, as `digits` has them
        centred        less each pixel's mean
        standardised   and divided by its standard deviation
        shifted        standardised, and 10 added to each pixel
        whitened       centred, and uncorrelated with variance 1 (ZCA: Bell & Sejnowski 1997)

    What varies less than the rounding to 17 levels, 1/12 of a squared level (Bennett 1948), is
    noise: standardising and whitening set those 10 pixels or 12 directions to 0. Divided by
    their own standard deviation, stray marks would come out at up to 96, or 365 whitened, and
    decide the validation loss.

    Source: LeCun, Bottou, Orr & Müller 1998, "Efficient BackProp", section 4.3.

    Args:
        inputs: one of INPUTS.

    Returns:
        x float32 [n, 64]; y int64 [n], 0 to 9; the split of `digits`.

    Raises:
        ValueError: unknown `inputs`.
    """
    if inputs not in INPUTS:
        raise ValueError(f"unknown inputs {inputs!r}: choose one of {', '.join(INPUTS)}")
    train, validation = digits()
    x = 16 * train.x.double()
    mean, variance = x.mean(0), x.var(0, correction=0)
    identity = torch.eye(x.shape[1], dtype=x.dtype)
    shift, matrix = {
        "raw": (0 * mean, identity),
        "scaled": (0 * mean, identity / 16),
        "centred": (mean, identity / 16),
        "standardised": (mean, torch.diag(_inverse_root(variance))),
        "shifted": (mean, torch.diag(_inverse_root(variance))),
        "whitened": (mean, _whitening((x - mean).T @ (x - mean) / len(x))),
    }[inputs]
    offset = 10 if inputs == "shifted" else 0

    def condition(batch: Batch) -> Batch:
        return Batch(((16 * batch.x.double() - shift) @ matrix + offset).float(), batch.y)

    return Data(condition(train), condition(validation))


def _inverse_root(variance: Tensor) -> Tensor:
    """1 / standard deviation, and 0 where there is no more than the rounding to whole levels."""
    return torch.where(variance > 1 / 12, variance.rsqrt(), 0.0)


def _whitening(covariance: Tensor) -> Tensor:
    variances, directions = torch.linalg.eigh(covariance)
    return directions * _inverse_root(variances) @ directions.T


@functools.cache
def breast_cancer(standardised: bool = True) -> Data:
    """569 tumours, 30 measurements of each one's cell nuclei; 426 train, 143 validation.

    The split is stratified by class. Over the seeds 0 to 15 the best validation cross-entropy of
    a sigmoid neuron in 60 epochs ran from 0.04 to 0.13 nats; seed 14 is about their median.

    Source: Street, Wolberg & Mangasarian 1993, "Nuclear feature extraction for breast tumor
    diagnosis".

    Args:
        standardised: with the training set's mean and standard deviation; else in the units
            they were measured in, where the largest is 0.05 for one and 4254 for another.

    Returns:
        x float32 [n, 30], y float32 [n, 1]: 1 is benign, 0 malignant.
    """
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    x, y = load_breast_cancer(return_X_y=True)
    y = y.reshape(-1, 1)  # as a linear layer returns it: [n] against [n, 1] would broadcast
    x_train, x_validation, y_train, y_validation = train_test_split(
        x, y, test_size=143, random_state=14, stratify=y
    )
    mean, std = (x_train.mean(axis=0), x_train.std(axis=0)) if standardised else (0, 1)

    def scale(x, y) -> Batch:
        return Batch(torch.from_numpy((x - mean) / std).float(), torch.from_numpy(y).float())

    return Data(scale(x_train, y_train), scale(x_validation, y_validation))


@functools.cache
def friedman1(outliers: bool = False) -> Data:
    """A function of five inputs, given ten, learned from noisy values; 4000 train, 1000 validation.

    f = 10 sin(pi x1 x2) + 20 (x3 - 1/2)^2 + 10 x4 + 5 x5 for x uniform in [0, 1]. Training has
    f + noise with standard deviation 1. Validation has f itself, so that a mean squared error
    there is the excess over the noise's variance, and 0 is the best there is.

    Source: Friedman 1991, "Multivariate Adaptive Regression Splines", section 4.3.

    Args:
        outliers: the twin: the same, and 400 of the 4000 training values have a normal error of
            standard deviation 30 in addition (Tukey's contaminated normal, 1960).

    Returns:
        x float32 [n, 10], scaled to mean 0 and variance 1; y float32 [n, 1].
    """
    import numpy as np
    from sklearn.datasets import make_friedman1

    count, train = 5000, 4000
    x, f = make_friedman1(count, noise=0.0, random_state=0)
    _, noisy = make_friedman1(count, noise=1.0, random_state=0)  # x is drawn before the noise
    if outliers:
        random = np.random.RandomState(1)
        hit = random.permutation(train)[: train // 10]
        noisy[hit] += 30 * random.standard_normal(len(hit))
    x = (x - 1 / 2) * 12**0.5  # a uniform variable on [0, 1] has variance 1/12

    def batch(x, y) -> Batch:
        return Batch(torch.from_numpy(x).float(), torch.from_numpy(y).float().reshape(-1, 1))

    return Data(batch(x[:train], noisy[:train]), batch(x[train:], f[train:]))


def batches(data: Batch, size: int, seed: int) -> Iterator[Batch]:
    """Mini-batches for training, without end, from an order shuffled anew each epoch.

    The epochs follow each other without a gap, so every batch has exactly `size` samples and
    every sample is seen once an epoch; a batch may hold the end of one epoch and the start of
    the next. With `size` = len(data) each batch is the whole data set.

    Args:
        data: what to draw from, on any device; the order is the same on all.
        size: samples in a batch, at least 1.
        seed: of the order.

    Raises:
        ValueError: `size` is not an int of at least 1, or larger than `data`, or `data` is
            empty. Raised by the call, not by the first batch.
    """
    check_size(data, size)
    if size > len(data):
        raise ValueError(f"batch size {size}: the training set has {len(data)} samples")
    return _stream(data, size, torch.Generator().manual_seed(seed))


def stream(
    workload: Workload, model: nn.Module, train: Batch, size: int, seed: int
) -> Iterator[Batch]:
    """The mini-batches that a workload trains on: its own, or shuffled epochs.

    Args:
        workload: whose.
        model: the module in training; an agent acts with it as it then is.
        train: the training set, on the device to train on.
        size, seed: as of `batches`.

    Raises:
        ValueError: as `batches` does.
    """
    if workload.batches is None:
        return batches(train, size, seed)
    check_size(train, size)
    return workload.batches(model, train, size, seed)


def sample(data: Batch, size: int, seed: int) -> Batch:
    """`size` samples drawn with replacement, for timing at sizes beyond the data set's own.

    Args:
        data: what to draw from, on any device; the draw is the same on all.
        size: samples to draw, at least 1.
        seed: of the draw.

    Raises:
        ValueError: `size` is not an int of at least 1, or `data` is empty.
    """
    check_size(data, size)
    generator = torch.Generator().manual_seed(seed)
    return _rows(data, torch.randint(len(data), (size,), generator=generator))


def _stream(data: Batch, size: int, generator: torch.Generator) -> Iterator[Batch]:
    device = data.x.device
    order = torch.empty(0, dtype=torch.int64, device=device)
    while True:
        if len(order) < size:
            # whole epochs at once, drawn on the CPU so that every device has the same order; a
            # copy to the device for each batch would be part of each step
            missing = -(-(size - len(order)) // len(data))
            epochs = [torch.randperm(len(data), generator=generator) for _ in range(missing)]
            order = torch.cat([order, torch.cat(epochs).to(device)])
        yield _rows(data, order[:size])
        order = order[size:]


def _rows(data: Batch, index: Tensor) -> Batch:
    index = index.to(data.x.device)
    return Batch(data.x[index], data.y[index])


def check_size(data: Batch, size: int) -> None:
    """Refuse a batch size that is none.

    Raises:
        ValueError: `size` is not an int of at least 1, or `data` is empty.
    """
    if type(size) is not int or size < 1:  # a bool is an int to isinstance
        raise ValueError(f"batch size {size!r}: must be an int of at least 1")
    if len(data) == 0:
        raise ValueError("no samples to draw from: the data set is empty")
