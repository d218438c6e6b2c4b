"""What linear and bias_activation declare for the harness: inputs, cost, providers, builds."""

import importlib

import pytest
import torch

from kernels import _activations, _linear_kernel
from kernels.spec import BACKWARD, FORWARD, FORWARD_BACKWARD, Case
from tests.kernels.rule import assert_close_as_torch

linear = importlib.import_module("kernels.linear")
bias_activation = importlib.import_module("kernels.bias_activation")
ALL = pytest.mark.parametrize("file", [linear, bias_activation], ids=["linear", "bias_activation"])
SHAPE = {"M": 70, "N": 66, "K": 35}


@ALL
def test_inputs_are_seeded_and_require_grad_only_for_backward(file, device):
    first = file.inputs(Case(SHAPE, "float16"), device, 7)
    shapes = [(70, 35), (66, 35), (66,)] if file is linear else [(70, 66), (66,)]
    assert [t.shape for t in first] == shapes
    assert all(t.dtype == torch.float16 and t.device.type == device for t in first)
    assert not any(t.requires_grad for t in first)
    for direction in (BACKWARD, FORWARD_BACKWARD):
        same = file.inputs(Case(SHAPE, "float16", direction), device, 7)
        assert all(t.requires_grad and t.is_leaf for t in same)
        assert all(torch.equal(a, b) for a, b in zip(first, same, strict=True))
    assert not torch.equal(file.inputs(Case(SHAPE, "float16"), device, 8)[0], first[0])


def costs(file, shape):
    found = {
        direction: file.cost(Case(shape, "bfloat16", direction))
        for direction in (FORWARD, BACKWARD, FORWARD_BACKWARD)
    }
    return {direction: (cost.flops, cost.bytes) for direction, cost in found.items()}


def test_cost_of_bias_activation():
    # 15 numbers and 5 of the bias, of 2 bytes
    assert costs(bias_activation, {"M": 3, "N": 5}) == {
        FORWARD: (2 * 15, 2 * (15 + 5 + 15)),
        BACKWARD: (4 * 15, 2 * (15 + 15 + 5 + 15 + 5)),
        FORWARD_BACKWARD: (6 * 15, 2 * (35 + 55)),
    }


def test_cost_of_linear():
    # 3 x 5 x 4 multiply-adds of 2 flops; 12 and 20 numbers in, 5 of the bias, 15 out, of 2 bytes
    assert costs(linear, {"M": 3, "N": 5, "K": 4}) == {
        FORWARD: (120 + 30, 2 * (12 + 20 + 5 + 15)),
        BACKWARD: (240 + 45, 2 * (15 + 12 + 20 + 12 + 20 + 5)),
        FORWARD_BACKWARD: (360 + 75, 2 * (52 + 84)),
    }


@ALL
def test_every_provider_gives_the_same(file, device):
    given = file.inputs(Case(SHAPE, "float32"), device, 0)
    operation = file.OPERATION
    true = operation.reference(*(t.cpu().double() for t in given))
    own, scale = operation.reference(*given), operation.magnitude(*given)
    for name, provider in operation.providers.items():
        if name.startswith("torch.compile") and device == "cpu":
            continue  # would need a C++ compiler
        if name == "torch._addmm_activation" and device == "cpu":
            with pytest.raises(NotImplementedError, match="GELU with erf"):
                provider()(*given)
            continue
        assert_close_as_torch(provider()(*given), true, own, scale)
    compiled = {"torch.compile", "torch.compile max-autotune"}
    others = {"torch._addmm_activation"} if file is linear else set()
    assert {*operation.providers} == {"torch", "triton"} | compiled | others


@ALL
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100", "sm_120"])
def test_builds_say_all_that_the_compiler_needs(file, architecture):
    builds = file.OPERATION.builds(architecture)
    for build in builds:
        assert {*build.kernel.arg_names} == {*build.types} | {*build.constants}
        assert not {*build.types} & {*build.constants}
        assert {*build.aligned} <= {*build.types}
    named = [(b.kernel.__name__, b.configuration, b.dtype) for b in builds]
    assert len({*named}) == len(named)
    assert {b.dtype for b in builds} == {"float32", "float16", "bfloat16"}
    activations = {b.constants.get("ACTIVATION") for b in builds}
    assert {*_activations.NAMES} <= activations


def test_builds_of_linear_hold_every_configuration():
    for architecture, family in _linear_kernel.CONFIGS.items():
        named = {
            tuple(b.configuration.split(" gelu")[0].split(" ", 1))
            for b in linear.OPERATION.builds(architecture)
        }
        assert {*family} <= named
