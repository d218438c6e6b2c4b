"""A multilayer perceptron that reads handwritten digits: 64 pixels -> 128 -> 128 -> 10 classes.

Trained with Adam (Kingma & Ba 2014, arXiv 1412.6980) on softmax cross-entropy. It can fit the
training set without an error, so it is judged on the validation set.

`from_files` is the same on the user's own images, `mnist` on MNIST.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workloads import data, idx, perceptron
from workloads.spec import Batch, Data, Target, Workload

WIDTHS = (64, 128, 128, 10)
BATCH_SIZE = 32
EPOCHS = 30  # a trial that takes longer is censored
MAX_STEPS = EPOCHS * 45

# Adam's default of 1e-3 takes about twice the steps here.
LEARNING_RATE = 3e-3


def model(seed: int, widths: Sequence[int] = WIDTHS) -> nn.Sequential:
    """Three linear layers with ReLU between, [n, 64] -> logits [n, 10], initialised by torch.

    Args:
        seed: of the initialisation.
        widths: pixels, units of the two hidden layers, classes.
    """
    return perceptron.model(seed, widths)


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy in nats, scalar; of x float [n, pixels] and classes y int64 [n]."""
    return F.cross_entropy(model(batch.x), batch.y)


@torch.no_grad()
def metric(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy of `batch`, the validation set, in nats; a scalar without a graph."""
    return loss(model, batch)


WORKLOAD = Workload(
    name="mlp_classification",
    data=data.digits,
    model=model,
    loss=loss,
    metric=metric,
    target=Target("validation cross-entropy", 0.10),
    flops=perceptron.flops(WIDTHS),
    optimizer="adam",
    learning_rate=LEARNING_RATE,
    batch_size=BATCH_SIZE,
    max_steps=MAX_STEPS,
    own_kernels=True,
)


def from_files(images: idx.Path, labels: idx.Path) -> Workload:
    """The perceptron on the user's own images, of any size and number of classes.

    The target is that of the digits, 0.10 nats, as nobody knows what can be had on other images.

    Args:
        images, labels: paths of two IDX files, as of workloads.idx.files.

    Raises:
        ValueError: as workloads.idx.files does.
    """
    return _on(idx.files(images, labels), "mlp_classification/files")


def mnist() -> Workload:
    """The perceptron on MNIST: 784 pixels, 60,000 images for training and 10,000 for validation.

    Raises:
        ConnectionError: MNIST has not been downloaded before and cannot be now.
    """
    return _on(idx.mnist(), "mlp_classification/mnist")


def _on(images: Data, name: str) -> Workload:
    train, validation = images
    classes = 1 + int(max(train.y.max(), validation.y.max()))
    widths = (train.x.shape[1], *WIDTHS[1:-1], classes)
    batch_size = min(BATCH_SIZE, len(train))
    return dataclasses.replace(
        WORKLOAD,
        name=name,
        data=lambda: images,
        model=functools.partial(model, widths=widths),
        flops=perceptron.flops(widths),
        batch_size=batch_size,
        max_steps=EPOCHS * -(-len(train) // batch_size),
    )
