"""What kernels/matmul.py declares for the harness: inputs, cost, providers."""

import importlib

import pytest
import torch

from kernels import _product
from kernels.spec import FORWARD, FORWARD_BACKWARD, Case
from tests.kernels.rule import assert_close_as_torch

module = importlib.import_module("kernels.matmul")


def test_inputs_are_seeded_and_require_grad_only_for_backward(device):
    shape = {"M": 3, "N": 4, "K": 5}
    a, b = module.inputs(Case(shape, "float16"), device, 7)
    assert (a.shape, b.shape) == ((3, 5), (5, 4))
    assert a.dtype == b.dtype == torch.float16 and a.device.type == device
    assert not a.requires_grad and not b.requires_grad
    same = module.inputs(Case(shape, "float16", FORWARD_BACKWARD), device, 7)
    assert all(t.requires_grad for t in same)
    assert torch.equal(same[0], a) and torch.equal(same[1], b)
    assert not torch.equal(module.inputs(Case(shape, "float16"), device, 8)[0], a)


def test_cost():
    # 2 x 3 x 5 x 4 multiply-adds of 2 flops; 12 + 20 numbers read and 15 written, of 2 bytes.
    case = {"M": 3, "N": 5, "K": 4}
    forward = module.cost(Case(case, "bfloat16", FORWARD))
    assert (forward.flops, forward.bytes) == (120, 2 * (12 + 20 + 15))
    both = module.cost(Case(case, "bfloat16", FORWARD_BACKWARD))
    assert (both.flops, both.bytes) == (360, 2 * (3 * (12 + 20) + 2 * 15))


def test_every_provider_gives_the_product(device):
    a, b = module.inputs(Case({"M": 70, "N": 66, "K": 35}, "float32"), device, 0)
    true, scale = a.cpu().double() @ b.cpu().double(), module.magnitude(a, b)
    for name, provider in module.OPERATION.providers.items():
        if name.startswith("torch.compile") and device == "cpu":
            continue  # would need a C++ compiler
        assert_close_as_torch(provider()(a, b), true, a @ b, scale)
    compiled = ["torch.compile", "torch.compile max-autotune"]
    assert [*module.OPERATION.providers] == ["torch", "triton", *compiled]


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [
        ((16, 8192, 8192), "skinny"),
        ((17, 8192, 64), "small"),
        ((512, 512, 8192), "small"),
        ((2048, 2048, 64), "large"),
        ((2048, 2048, 65), "ragged"),
        ((4095, 4097, 4096), "ragged"),
    ],
)
def test_configuration_follows_the_shape(sizes, shape):
    assert _product.shape_class(*sizes) == shape
    for architecture, tiles in _product.CONFIGS.items():
        for arithmetic in ("half", "tf32", "ieee"):
            default, *_ = _product.candidates(architecture, arithmetic, shape)
            assert default == tiles[arithmetic, shape]
