"""The perceptron that several workloads train: its layers in their order, and its FLOPs."""

import itertools

import pytest
import torch
from torch import nn

from workloads import perceptron


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
@pytest.mark.parametrize("widths", [(3, 2), (3, 5, 4, 2)])
def test_it_is_its_layers_drawn_one_after_the_other(widths, activation):
    made = perceptron.model(7, widths, activation)
    assert [type(part) for part in made] == ([nn.Linear, activation] * len(widths))[: len(made)]
    assert len(made) == 2 * len(widths) - 3
    x = h = torch.randn(6, 3)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        layers = [nn.Linear(*sizes) for sizes in itertools.pairwise(widths)]
    for layer in layers[:-1]:
        h = activation()(layer(h))
    assert torch.equal(made(x), layers[-1](h))


def test_its_flops_leave_out_the_gradient_of_the_inputs():
    flops = perceptron.flops((3, 5, 2))
    assert flops.forward == 2 * (3 * 5 + 5 * 2)
    assert flops.backward == 2 * (3 * 5 + 2 * 5 * 2)
