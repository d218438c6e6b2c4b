"""What both cross-entropies declare for the harness: inputs, cost, providers, builds."""

import importlib
import math
import sys

import pytest
import torch

from harness.comparison import Checker
from harness.subjects import of_operation
from kernels.spec import BACKWARD, FORWARD, FORWARD_BACKWARD, FORWARD_GRADIENT, Case
from tests.kernels.rule import assert_close_as_torch

module = importlib.import_module("kernels.cross_entropy")
linear_module = importlib.import_module("kernels.linear_cross_entropy")
SHAPES = {module: {"R": 70, "C": 300}, linear_module: {"R": 70, "H": 20, "C": 300}}
BOTH = pytest.mark.parametrize("module", SHAPES, ids=lambda module: module.__name__)
PEERS = {
    module: ("liger in place",),
    linear_module: ("torch chunked", "liger", "liger chunk_mem_const=16", "cut-cross-entropy"),
}


@BOTH
def test_inputs_are_seeded_and_require_grad_only_for_backward(device, module):
    shape = SHAPES[module]
    *operands, target = module.inputs(Case(shape, "float16"), device, 7)
    assert operands[0].shape == (shape["R"], shape.get("H", shape["C"]))
    assert all(t.dtype == torch.float16 and t.device.type == device for t in operands)
    assert target.shape == (shape["R"],) and target.dtype == torch.int64
    assert target.min() >= 0 and target.max() < shape["C"] and len(target.unique()) > 10
    assert not any(t.requires_grad for t in operands)
    for direction in (BACKWARD, FORWARD_BACKWARD, FORWARD_GRADIENT):
        *same, same_target = module.inputs(Case(shape, "float16", direction), device, 7)
        assert all(t.requires_grad for t in same)
        assert all(torch.equal(a, b) for a, b in zip(same, operands, strict=True))
        assert torch.equal(target, same_target)
    others = module.inputs(Case(shape, "float16"), device, 8)
    assert not any(torch.equal(a, b) for a, b in zip(others, (*operands, target), strict=True))


def constant(logits, target):
    return torch.full((), math.log(logits.shape[1]) + 0.5, dtype=logits.dtype)


def without(classes):
    """The loss over some of the classes alone."""

    def loss(logits, target):
        logits = logits.float()
        own = logits.gather(1, target[:, None])[:, 0]
        return (logits[:, classes].logsumexp(1) - own).mean().to(torch.bfloat16)

    return loss


@BOTH
@pytest.mark.parametrize(
    "wrong",
    [constant, without(slice(None, None, 2)), without(slice(-64))],
    ids=["constant", "every second class", "not the last classes"],
)
def test_the_check_sees_a_mean_of_bfloat16_that_leaves_classes_out(wrong, module):
    """Each is a loss of about the right size: without peaks in the logits it would be allowed."""
    shape = {"R": 256, "H": 64, "C": 4096}
    shape = {letter: shape[letter] for letter in SHAPES[module]}
    case = Case(shape, "bfloat16")

    def of(loss):
        if module is not linear_module:
            return loss
        return lambda input, weight, target: loss(input @ weight.t(), target)

    checker = Checker(of_operation(module.OPERATION, case, "cpu"))
    assert not checker.check(of(torch.nn.functional.cross_entropy)).wrong
    assert "wrong answer" in checker.check(of(wrong)).wrong


def test_cost():
    # 3 x 5 logits of 2 bytes, 3 targets of 8, one loss of 2.
    case = {"R": 3, "C": 5}
    costs = {d: module.cost(Case(case, "bfloat16", d)) for d in (FORWARD, BACKWARD)}
    assert (costs[FORWARD].flops, costs[FORWARD].bytes) == (75, 30 + 24 + 2)
    assert (costs[BACKWARD].flops, costs[BACKWARD].bytes) == (75, 2 + 30 + 24 + 30)
    both = module.cost(Case(case, "bfloat16", FORWARD_BACKWARD))
    assert (both.flops, both.bytes) == (150, 56 + 86)
    fused = module.cost(Case(case, "bfloat16", FORWARD_GRADIENT))
    assert (fused.flops, fused.bytes) == (150, 56 + 30)  # the logits' gradient is written


def test_linear_cost():
    # A product of 2 x 3 x 4 x 5 flops; 12 + 20 numbers of 2 bytes.
    case = {"R": 3, "H": 4, "C": 5}
    forward = linear_module.cost(Case(case, "bfloat16", FORWARD))
    assert (forward.flops, forward.bytes) == (120 + 75, 64 + 24 + 2)
    both = linear_module.cost(Case(case, "bfloat16", FORWARD_BACKWARD))
    assert (both.flops, both.bytes) == (360 + 150, 3 * 64 + 2 * 24 + 2 * 2)
    fused = linear_module.cost(Case(case, "bfloat16", FORWARD_GRADIENT))
    assert (fused.flops, fused.bytes) == (360 + 150, 2 * 64 + 24 + 2)


@BOTH
def test_the_gradient_for_an_upstream_gradient_of_one(device, module):
    case = Case(SHAPES[module], "float32", FORWARD_GRADIENT)
    comparison = of_operation(module.OPERATION, case, device)
    given = comparison.inputs(0)
    operands = given[:-1]
    found = comparison.providers["torch"]()(*given)
    loss = module.reference(*given)
    loss.backward()
    for got, wanted in zip(found, (loss, *(t.grad for t in operands)), strict=True):
        torch.testing.assert_close(got, wanted)
    for name in comparison.providers:
        if name.startswith("triton"):
            triton = comparison.providers[name]()
            assert Checker(comparison).check(triton).wrong is None

    def in_place(*given):  # as fused losses do
        loss, *gradients = triton(*given)
        with torch.no_grad():
            given[0].copy_(gradients[0])
        return loss, given[0].detach(), *gradients[1:]

    assert Checker(comparison).check(in_place).wrong
    loss_alone = Checker(comparison).check(lambda *given: triton(*given)[0]).wrong
    assert loss_alone


@BOTH
def test_every_provider_gives_the_loss(device, module):
    operands = module.inputs(Case(SHAPES[module], "float32"), device, 0)
    *floating, target = operands
    true = module.reference(*(t.double() for t in floating), target)
    own, scale = module.reference(*operands), module.magnitude(*operands)
    for name, provider in module.OPERATION.providers.items():
        if device == "cpu" and (name.startswith("torch.compile") or name in PEERS[module][-3:]):
            continue  # would need a C++ compiler, or run on GPUs alone
        if name == "cut-cross-entropy":
            continue  # takes no float32
        try:
            function = provider()
        except ModuleNotFoundError:
            assert name in PEERS[module]
            continue
        assert_close_as_torch(function(*operands), true, own, scale)


@BOTH
def test_a_peer_that_is_not_installed_says_so(module, monkeypatch):
    for package in ("liger_kernel", "liger_kernel.transformers.functional", "cut_cross_entropy"):
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delattr(torch.nn.functional, "linear_cross_entropy", raising=False)
    for name, provider in module.OPERATION.providers.items():
        if name in PEERS[module]:
            with pytest.raises(ModuleNotFoundError):
                provider()
    compiled = ("torch.compile", "torch.compile max-autotune")
    own = ["triton", "triton ahead"] if module.__name__ == "kernels.cross_entropy" else ["triton"]
    assert [*module.OPERATION.providers] == ["torch", *own, *compiled, *PEERS[module]]


@BOTH
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100", "sm_120"])
def test_builds_are_complete_and_named_once(module, architecture):
    builds = module.OPERATION.builds(architecture)
    names = [(b.kernel.__name__, b.configuration, b.dtype) for b in builds]
    assert len({*names}) == len(names)
    assert {b.dtype for b in builds} == {"float32", "float16", "bfloat16"}
    for build in builds:
        assert {*build.types, *build.constants} == {*build.kernel.arg_names}
        assert {*build.aligned} <= {*build.types}
