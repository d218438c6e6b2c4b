"""A multilayer perceptron that reads handwritten digits: 64 pixels -> 128 -> 128 -> 10 classes.

Trained with Adam (Kingma & Ba 2014, arXiv 1412.6980) on softmax cross-entropy. It can fit the
training set without an error, so it is judged on the validation set.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from workloads import data
from workloads.spec import Batch, Flops, Target, Workload

WIDTHS = (64, 128, 128, 10)
BATCH_SIZE = 32
MAX_STEPS = 30 * 45  # 30 epochs; a trial that takes longer is censored

# Adam's default of 1e-3 takes about twice the steps here.
LEARNING_RATE = 3e-3


def model(seed: int) -> nn.Sequential:
    """Three linear layers with ReLU between, [n, 64] -> logits [n, 10], initialised by torch."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the GPUs too
        inputs, first, second, classes = WIDTHS
        return nn.Sequential(
            nn.Linear(inputs, first),
            nn.ReLU(),
            nn.Linear(first, second),
            nn.ReLU(),
            nn.Linear(second, classes),
        )


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy in nats, scalar."""
    return F.cross_entropy(model(batch.x), batch.y)


@torch.no_grad()
def metric(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy of `batch`, the validation set, in nats; scalar."""
    return loss(model, batch)


def _flops() -> Flops:
    products = [2 * rows * columns for rows, columns in itertools.pairwise(WIDTHS)]
    # backward: a gradient for each weight and each layer's input, but not for the pixels
    return Flops(forward=sum(products), backward=2 * sum(products) - products[0])


WORKLOAD = Workload(
    name="mlp_classification",
    data=data.digits,
    model=model,
    loss=loss,
    metric=metric,
    target=Target("validation cross-entropy", 0.10),
    flops=_flops(),
    optimizer="adam",
    learning_rate=LEARNING_RATE,
    batch_size=BATCH_SIZE,
    max_steps=MAX_STEPS,
    own_kernels=True,
)
