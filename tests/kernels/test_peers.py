"""Other people's kernels, as we call them, compute what ours are compared with."""

import importlib

import pytest
import torch

from kernels.spec import Case
from tests.extras import needs

SHAPES = {"cross_entropy": {"R": 24, "C": 50}, "linear_cross_entropy": {"R": 24, "H": 16, "C": 50}}


@pytest.mark.parametrize(
    ("name", "provider"),
    [
        ("cross_entropy", "liger"),
        ("linear_cross_entropy", "liger"),
        ("linear_cross_entropy", "liger chunk_mem_const=16"),
    ],
)
def test_ligers_loss_and_gradients(device, name, provider):
    needs("liger_kernel", "peers")
    module = importlib.import_module(f"kernels.{name}")
    *floating, target = module.inputs(Case(SHAPES[name], "float32", "forward+backward"), device, 0)

    def both(function, operands):
        loss = function(*operands, target)
        return loss, *torch.autograd.grad(loss, [t for t in operands if t.requires_grad])

    doubles = [t.detach().double().requires_grad_(t.requires_grad) for t in floating]
    found = both(module.OPERATION.providers[provider](), floating)
    own, true = both(module.reference, floating), both(module.reference, doubles)
    for peers, torchs, exact in zip(found, own, true, strict=True):
        # not our rule: what a peer makes of rounding is its own affair, and its row says so
        slack = 1e-5 * exact.abs().max()
        assert (peers - exact).abs().max() <= 2 * (torchs - exact).abs().max() + slack


def test_cut_cross_entropy(device):
    needs("cut_cross_entropy", "peers")
    module = importlib.import_module("kernels.linear_cross_entropy")
    function = module.OPERATION.providers["cut-cross-entropy"]()
    assert callable(function)
    if device == "cpu":
        return  # it is there and built; its kernels fail in Triton's interpreter
    case = Case({"R": 256, "H": 128, "C": 512}, "bfloat16")
    *floating, target = module.inputs(case, device, 0)
    exact = module.reference(*(t.double() for t in floating), target)
    assert abs(float(function(*floating, target)) / float(exact) - 1) < 0.01
