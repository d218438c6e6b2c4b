"""The products' bfloat16 path without a GPU, in an interpreter whose one fault is mended here.

Triton's interpreter multiplies bit patterns of bfloat16 (#11584; the canary in test_matmul.py tells
when it no longer does), so the kernels refuse it. Here tl.dot is given the numbers instead: what
remains to a GPU is its rounding, since the interpreter truncates to bfloat16. With a GPU the tests
of each kernel have bfloat16 themselves.
"""

import numpy as np
import pytest
import torch
import triton.language as tl
import triton.runtime.interpreter as interpreter

from kernels import _activations, _launch
from tests.kernels import products
from tests.kernels import test_linear as layers
from tests.kernels import test_linear_cross_entropy as losses
from tests.kernels.test_bias_activation import check as check_layer
from tests.kernels.test_matmul_hopper import hopper

pytestmark = pytest.mark.skipif(not _launch.INTERPRETED, reason="about Triton's interpreter")
DTYPE = torch.bfloat16
__all__ = ["hopper"]  # a fixture


@pytest.fixture(autouse=True)
def mended(monkeypatch):
    """tl.dot multiplies bfloat16 numbers, and the kernels no longer refuse them."""
    create_dot = interpreter.InterpreterBuilder.create_dot

    def widened(operand):
        if operand.dtype.scalar != tl.bfloat16:
            return operand
        bits = operand.data.view(np.uint16).astype(np.uint32) << 16
        return interpreter.TensorHandle(bits.view(np.float32), tl.float32)

    monkeypatch.setattr(
        interpreter.InterpreterBuilder,
        "create_dot",
        lambda self, a, b, *rest: create_dot(self, widened(a), widened(b), *rest),
    )
    monkeypatch.setattr(_launch, "check_dot", lambda function, operand: None)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (16, 67, 71), (67, 16, 71), (131, 129, 67)], ids=str)
def test_matmul(device, sizes):
    M, N, K = sizes
    products.check(
        products.random(device, DTYPE, M, K), products.random(device, DTYPE, K, N, seed=1)
    )


def test_matmul_by_descriptors(device, hopper):
    a = products.random(device, DTYPE, 136, 72)
    products.check(a, products.random(device, DTYPE, 72, 264, seed=1))
    assert hopper == ["tma"] * 3


@pytest.mark.parametrize("activation", _activations.NAMES)
def test_linear(device, activation):
    layer = layers.operands(device, DTYPE, 67, N=71, K=65)
    check_layer(layers.module, layer, activation)


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_linear_cross_entropy(device, monkeypatch, reduction, label_smoothing):
    monkeypatch.setattr(losses.chunks, "CHUNK", 8)
    target = losses.classes_of(device, 19, 67)
    target[4] = -100
    tokens = losses.random(device, DTYPE, 19, 33)
    weight = losses.random(device, DTYPE, 67, 33, seed=3) / 4
    bias = losses.random(device, DTYPE, 67, seed=5)
    losses.check(tokens, weight, target, bias, None, -100, reduction, label_smoothing)
