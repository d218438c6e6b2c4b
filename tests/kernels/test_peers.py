"""Other people's kernels, as we call them, compute what ours are compared with."""

import importlib

import pytest
import torch

from harness.comparison import Checker
from harness.subjects import of_operation
from kernels.spec import Case
from tests.extras import needs

SHAPES = {"cross_entropy": {"R": 24, "C": 50}, "linear_cross_entropy": {"R": 24, "H": 16, "C": 50}}


@pytest.mark.parametrize(
    ("name", "provider"),
    [
        ("cross_entropy", "liger in place"),
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


@pytest.mark.parametrize("direction", ["forward", "forward+backward", "forward+gradient"])
def test_liger_may_write_over_the_logits_and_is_right(device, direction):
    needs("liger_kernel", "peers")
    operation = importlib.import_module("kernels.cross_entropy").OPERATION
    made = of_operation(operation, Case({"R": 64, "C": 128}, "float32", direction), device)
    call = made.providers["liger in place"]()
    assert Checker(made).check(call, in_place=True).wrong is None
    refused = Checker(made).check(call).wrong
    assert refused == (None if direction == "forward" else "it writes into its inputs")


def test_nothing_of_ligers_backward_pass_is_left_to_time_alone(device):
    operation = importlib.import_module("kernels.cross_entropy").OPERATION
    made = of_operation(operation, Case({"R": 64, "C": 128}, "float32", "backward"), device)
    assert "forward pass" in made.not_measured["liger in place"]


@pytest.mark.parametrize("provider", ["liger", "liger chunk_mem_const=16"])
def test_ligers_loss_of_float16_is_float32_and_not_refused(device, provider):
    needs("liger_kernel", "peers")
    operation = importlib.import_module("kernels.linear_cross_entropy").OPERATION
    made = of_operation(operation, Case({"R": 24, "H": 16, "C": 50}, "float16", "forward"), device)
    call = made.providers[provider]()
    assert call(*made.inputs(0)).dtype == torch.float32
    assert Checker(made).check(call).wrong is None


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
