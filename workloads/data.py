"""Data sets that ship with scikit-learn, split with a fixed seed, and seeded draws from them.

Every data set is read once and then shared by all callers: do not write into its tensors.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from workloads.spec import Batch, Data, Workload


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
