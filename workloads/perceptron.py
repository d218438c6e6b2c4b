"""The multilayer perceptron that several workloads train: linear layers, an activation between."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from torch import nn

from workloads.seeding import seeded
from workloads.spec import Flops


def model(
    seed: int, widths: Sequence[int], activation: Callable[[], nn.Module] = nn.ReLU
) -> nn.Sequential:
    """[n, widths[0]] -> [n, widths[-1]] in float32, initialised by torch.

    Args:
        seed: of the initialisation.
        widths: of the inputs, of each hidden layer and of the outputs.
        activation: makes what stands between two linear layers.
    """
    with seeded(seed):
        first, *others = (nn.Linear(*sizes) for sizes in itertools.pairwise(widths))
    return nn.Sequential(first, *(part for layer in others for part in (activation(), layer)))


def flops(widths: Sequence[int]) -> Flops:
    """Of one sample, 2 for each weight; no gradient is computed for the inputs."""
    products = [2 * rows * columns for rows, columns in itertools.pairwise(widths)]
    return Flops(forward=sum(products), backward=2 * sum(products) - products[0])
