"""What the tests of linear_cross_entropy share: inputs, and the rule for the loss and gradients."""

import importlib

import pytest
import torch

import kernels
from kernels import _launch
from tests.kernels.row_losses import logits_magnitude, random
from tests.kernels.rule import assert_close_as_torch

module = importlib.import_module("kernels.linear_cross_entropy")
cross_entropy = importlib.import_module("kernels.cross_entropy")

BFLOAT16 = pytest.param(
    torch.bfloat16,
    marks=pytest.mark.skipif(
        _launch.INTERPRETED, reason="Triton's interpreter multiplies bfloat16 wrongly (#11584)"
    ),
)


def gradient_magnitudes(grad, x, w, target, b, *options):
    """S of dinput, dlinear_weight and dlinear_bias: products of the absolute values of the
    logits' gradient, each with the error that the logits bring."""
    x, w = x.double(), w.double()
    b = x.new_zeros(w.shape[0]) if b is None else b.double()
    logits, wrong = x @ w.t() + b, x.abs() @ w.abs().t() + b.abs()
    sizes = cross_entropy.sizes(logits) + 2 * wrong.amax(1, keepdim=True)
    d = logits_magnitude(grad, logits, sizes, target, *options)
    return d @ w.abs(), d.t() @ x.abs(), d.sum(0)


def check(
    input,
    linear_weight,
    target,
    linear_bias=None,
    weight=None,
    ignore_index=-100,
    reduction="mean",
    label_smoothing=0.0,
    grad=None,
):
    """The loss and every gradient by the rule."""
    if grad is None:
        shape = input.shape[:1] if reduction == "none" else ()
        grad = random(input.device.type, input.dtype, *shape, seed=2)

    def run(function, dtype):
        operands = [
            t.detach().to(dtype).requires_grad_()
            for t in (input, linear_weight, linear_bias)
            if t is not None
        ]
        loss = function(
            *operands[:2],
            target,
            linear_bias=operands[2] if operands[2:] else None,
            weight=None if weight is None else weight.to(dtype),
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=label_smoothing,
        )
        return loss, *torch.autograd.grad(loss, operands, grad.to(dtype))

    actual = run(kernels.linear_cross_entropy, input.dtype)
    own = run(module.reference, input.dtype)
    true = run(module.reference, torch.float64)
    options = (weight, ignore_index, reduction, label_smoothing)
    names = ("weight", "ignore_index", "reduction", "label_smoothing")
    scales = (
        module.magnitude(
            input,
            linear_weight,
            target,
            linear_bias=linear_bias,
            **dict(zip(names, options, strict=True)),
        ),
        *gradient_magnitudes(grad, input, linear_weight, target, linear_bias, *options),
    )
    for got, truth, torchs, scale in zip(actual, true, own, scales, strict=False):
        assert_close_as_torch(got, truth, torchs, scale)
