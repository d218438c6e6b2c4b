"""The products' bfloat16 path without a GPU, in an interpreter whose two faults are mended here.

Triton's interpreter multiplies bit patterns of bfloat16 (#11584; the canary in test_matmul.py tells
when it no longer does), so the kernels refuse it. Here tl.dot is given the numbers instead, and
float32 is rounded to the nearest bfloat16, as a GPU does, where the interpreter truncates. With a
GPU the tests of each kernel have bfloat16 themselves.
"""

import numpy as np
import pytest
import torch
import triton.language as tl
import triton.runtime.interpreter as interpreter

from kernels import _activations, _launch
from tests.kernels import linear_losses as losses
from tests.kernels import products, test_added_product
from tests.kernels import test_linear as layers
from tests.kernels import test_linear_cross_entropy_chunks as by_chunk
from tests.kernels.row_losses import classes_of, random
from tests.kernels.test_bias_activation import check as check_layer
from tests.kernels.test_matmul_hopper import hopper

pytestmark = pytest.mark.skipif(not _launch.INTERPRETED, reason="about Triton's interpreter")
DTYPE = torch.bfloat16
__all__ = ["hopper"]  # a fixture


@pytest.fixture(autouse=True)
def mended(monkeypatch):
    """tl.dot multiplies bfloat16 numbers, they are rounded, and the kernels do not refuse them."""
    create_dot, convert = interpreter.InterpreterBuilder.create_dot, interpreter._convert_float

    def rounded(input, source, destination, mode):
        if (source, destination) != (tl.float32, tl.bfloat16):
            return convert(input, source, destination, mode)
        bits = np.ascontiguousarray(input).view(np.uint32)
        nearest = bits + 0x7FFF + (bits >> 16 & 1)  # ties to even
        return (np.where(np.isnan(input), bits | 1 << 22, nearest) >> 16).astype(np.uint16)

    monkeypatch.setattr(interpreter, "_convert_float", rounded)

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
    monkeypatch.setattr(by_chunk.chunks, "tokens", lambda *_: 8)
    target = classes_of(device, 19, 67)
    target[4] = -100
    tokens = random(device, DTYPE, 19, 33)
    weight = random(device, DTYPE, 67, 33, seed=3) / 4
    bias = random(device, DTYPE, 67, seed=5)
    losses.check(tokens, weight, target, bias, None, -100, reduction, label_smoothing)


@pytest.mark.parametrize("rows", [9, 17, 33, 49])  # 1 to 4 chunks, the last of one row
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_a_gradient_rounded_once_a_chunk(device, monkeypatch, rows, reduction):
    monkeypatch.setattr(by_chunk.chunks, "tokens", lambda *_: 16)
    by_chunk.check_rounded_gradients(device, DTYPE, rows, reduction)


def test_the_added_product_by_descriptors(device, monkeypatch):
    sizes = (136, 264, 72)
    test_added_product.test_the_added_product_by_descriptors(device, monkeypatch, sizes, DTYPE)
