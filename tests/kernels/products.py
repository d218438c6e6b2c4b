"""What the tests of kernels.matmul share: random matrices, and the rule for a product."""

import importlib

import pytest
import torch

import kernels
from kernels import _launch
from tests.kernels.rule import assert_close_as_torch

# The file, not the function that `kernels.matmul` is.
module = importlib.import_module("kernels.matmul")

BFLOAT16 = pytest.param(
    torch.bfloat16,
    marks=pytest.mark.skipif(
        _launch.INTERPRETED, reason="Triton's interpreter multiplies bfloat16 wrongly (#11584)"
    ),
)
ALL_DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float16, BFLOAT16], ids=str)


def random(device, dtype, *shape, seed=0):
    generator = torch.Generator(device).manual_seed(seed)
    return torch.randn(shape, generator=generator, device=device, dtype=dtype)


def check(a, b, grad=None, fixed=False):
    """Output and both gradients by the rule, for any a and b; `fixed`: see the rule."""
    a, b = a.detach().requires_grad_(), b.detach().requires_grad_()
    if grad is None:
        grad = random(a.device.type, a.dtype, a.shape[0], b.shape[1], seed=2)

    def run(matmul, *operands):
        a, b, grad = operands
        c = matmul(a, b)
        return c, *torch.autograd.grad(c, (a, b), grad)

    actual = run(kernels.matmul, a, b, grad)
    own = run(module.reference, a, b, grad)
    true = run(
        module.reference,
        *(t.detach().cpu().double().requires_grad_() for t in (a, b)),
        grad.cpu().double(),
    )
    a, b = a.detach(), b.detach()
    scales = (
        module.magnitude(a, b),
        module.magnitude(grad, b.t()),
        module.magnitude(a.t(), grad),
    )
    for got, reference64, torchs, scale in zip(actual, true, own, scales, strict=True):
        assert_close_as_torch(got, reference64, torchs, None if fixed else scale)
