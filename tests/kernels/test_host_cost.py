"""What a launch does not do again each time: microseconds of Python beside a small kernel's few."""

from types import SimpleNamespace

import pytest
import torch
import triton

import kernels
from kernels import _launch
from kernels.spec import FORWARD_BACKWARD, Case


@pytest.fixture
def asked(monkeypatch):
    """The devices that torch is asked about."""
    devices = []

    def properties(device):
        devices.append(device.index)
        return SimpleNamespace(major=9, minor=device.index, multi_processor_count=132, name="GPU")

    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    _launch.properties.cache_clear()
    yield devices
    _launch.properties.cache_clear()


def test_torch_is_asked_once_about_each_gpu(asked):
    operands = [SimpleNamespace(is_cuda=True, device=torch.device("cuda", i)) for i in (0, 1, 0)]
    assert [_launch.capability(one) for one in operands] == [(9, 0), (9, 1), (9, 0)]
    assert [_launch.multiprocessors(one) for one in operands] == [132] * 3
    assert [_launch.architecture(one) for one in operands] == ["sm_90"] * 3
    assert asked == [0, 1]


@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 2**40 + 1])
def test_blocks_that_hold_so_many(size):
    assert _launch.cdiv(size, 128) == (size + 127) // 128


SHAPES = {
    "matmul": {"M": 9, "N": 17, "K": 5},
    "linear": {"M": 9, "N": 17, "K": 5},
    "bias_activation": {"M": 9, "N": 70},
    "cross_entropy": {"R": 5, "C": 9},
    "linear_cross_entropy": {"R": 5, "H": 7, "C": 9},
}


@pytest.mark.parametrize("name", kernels.NAMES)
def test_no_launch_divides_by_triton(device, monkeypatch, name):
    def slow(*_):
        raise AssertionError("triton.cdiv takes a microsecond")

    monkeypatch.setattr(triton, "cdiv", slow)
    operation = kernels.load(name)
    given = operation.inputs(Case(SHAPES[name], "float32", FORWARD_BACKWARD), device, 0)
    output = operation.providers["triton"]()(*given)
    output.backward(torch.ones_like(output))
