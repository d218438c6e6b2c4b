"""torch.autograd.gradcheck of every kernel: gradients against differences of its own outputs.

The kernels take no float64, so the steps are those of float32, and tolerances are theirs: this
finds gradients that are wrong, absent or of the wrong shape, and upstream gradients that are
undefined or not contiguous; how exact they are is measured by the other tests.
"""

import pytest
import torch

import kernels
from kernels import _activations

pytestmark = pytest.mark.filterwarnings("ignore:Input .* requires gradient and is not a double")
SMOOTH = [name for name in _activations.NAMES if name not in ("threshold", "relu")]


def random(device, *shape, seed=0):
    generator = torch.Generator(device).manual_seed(seed)
    return torch.randn(shape, generator=generator, device=device).requires_grad_()


def check(function, *operands):
    torch.autograd.gradcheck(function, operands, eps=2e-2, atol=5e-3, rtol=1e-2)


def test_matmul(device):
    check(kernels.matmul, random(device, 2, 3), random(device, 3, 4, seed=1))


@pytest.mark.parametrize("activation", SMOOTH)
def test_linear_and_bias_activation(device, activation):
    input, bias = random(device, 2, 3), random(device, 3, seed=1)
    check(lambda x, b: kernels.bias_activation(x, b, activation), input, bias)
    layer = random(device, 2, 2), random(device, 3, 2, seed=2), bias
    check(lambda x, w, b: kernels.linear(x, w, b, activation), *layer)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_cross_entropies(device, reduction):
    options = {"reduction": reduction, "label_smoothing": 0.1}
    target = torch.tensor([0, -100, 3], device=device)
    check(lambda x: kernels.cross_entropy(x, target, **options), random(device, 3, 5))
    check(
        lambda x, w, b: kernels.linear_cross_entropy(x, w, target, linear_bias=b, **options),
        random(device, 3, 2),
        random(device, 5, 2, seed=1),
        random(device, 5, seed=2),
    )
