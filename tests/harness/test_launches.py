"""What a row tells of the kernels that were launched."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from harness import launches
from harness.comparison import Comparison


@pytest.fixture
def jit(monkeypatch):
    """A stand-in for triton.jit's functions: each launch is run by nobody."""
    module = pytest.importorskip("triton.runtime.jit")
    compiled = SimpleNamespace(
        metadata=SimpleNamespace(num_warps=8, shared=1024),
        n_regs=90,
        n_spills=0,
        asm={"ptx": "ld.global.b16 %rs1, [%rd1];"},
    )
    monkeypatch.setattr(module.JITFunction, "run", lambda self, *a, **k: compiled)

    def function(*names):
        made = object.__new__(module.JITFunction)
        made.arg_names = list(names)
        made.fn = SimpleNamespace(__name__="kernel")
        return made

    gpu = SimpleNamespace(multi_processor_count=132)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: gpu)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    return function


def comparison(**more):
    return Comparison(
        "s", "c", "float16", "forward", inputs=lambda seed: (), providers={}, baseline="torch",
        reference=lambda: torch.ones(1), kind="kernel", **more,
    )  # fmt: skip


class Roofs:
    """1e15 FLOP/s, 1e12 byte/s."""

    def peak(self, what, dtype):
        return {"memory": 1e12, "product": 1e15}[what]


def test_launches_are_recorded_while_asked_for(jit):
    copy = jit("x_ptr", "y_ptr", "size", "BLOCK")
    x = torch.ones(1000)
    with launches.recorded() as found:
        copy[(4,)](x, x, 1000, BLOCK=256, num_warps=8)
        copy[lambda given: (given["size"] // 500,)](x, None, size=1000, BLOCK=256)
    copy[(4,)](x, x, 1000, BLOCK=256)
    assert [(one.programs, one.tiles, one.size) for one in found] == [(4, 4, 8000), (2, 4, 4000)]
    assert {(one.kernel, one.registers, one.flops) for one in found} == {("kernel", 90, 0)}


def test_recording_ends_with_an_error_too(jit):
    with pytest.raises(ZeroDivisionError):
        launches.of(lambda: 1 / 0)
    copy = jit("size")
    assert launches.of(lambda: copy[(1,)](5))[0].programs == 1


def test_a_product_is_known_by_its_sizes_names(jit):
    product = jit("a", "b", "M", "N", "K", "BLOCK_M", "BLOCK_N")
    (one,) = launches.of(lambda: product[(2,)](None, None, 100, 60, 7, BLOCK_M=64, BLOCK_N=64))
    assert (one.tiles, one.flops) == (2, 2 * 2 * 64 * 64 * 7)  # the edges' parts included


def test_a_row_has_what_was_launched_and_predicted(jit):
    copy, x = jit("x_ptr", "size", "BLOCK"), torch.ones(250_000)

    def call():
        copy[(132,)](x, 250_000, BLOCK=256)

    told = launches.fields(call, comparison(bytes=10**6), "cuda", Roofs())
    assert told["launches"].startswith("kernel: 132 programs of 8 warps, 977 tiles, 90 registers")
    assert told["launches"].endswith("narrow loads, not modelled")
    assert told["predicted_s"] == pytest.approx(1e-6 / (977 / (8 * 132)))


@pytest.mark.parametrize(
    ("device", "more", "roofs", "call", "why"),
    [
        ("cpu", {}, Roofs(), None, "Triton kernels run on GPUs"),
        ("cuda", {"kind": "workload"}, Roofs(), None, "only of kernels"),
        ("cuda", {}, Roofs(), lambda: None, "triton.jit launched nothing"),
        ("cuda", {}, Roofs(), lambda: 1 / 0, "could not be recorded: ZeroDivisionError"),
    ],
)
def test_why_nothing_is_told(jit, device, more, roofs, call, why):
    case = dataclasses.replace(comparison(), **more)
    told = launches.fields(call, case, device, roofs)
    assert told.keys() == {"launches_reason", "predicted_s_reason"}
    assert all(why in reason for reason in told.values())


def test_a_product_that_no_argument_names_is_not_predicted(jit):
    product = jit("x_ptr", "V", "D")
    x = torch.ones(10)
    case = comparison(flops=10**12, bytes=10**6)
    told = launches.fields(lambda: product[(1,)](x, 5, 5), case, "cuda", Roofs())
    assert told["launches"].startswith("kernel: 1 program")
    assert "M, N and K" in told["predicted_s_reason"] and "predicted_s" not in told
