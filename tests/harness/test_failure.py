"""What an error says: of the provider that raised it, and of a GPU that it brought down."""

from dataclasses import replace

import pytest
import torch

from harness import case, record
from harness.comparison import Checker, Comparison
from tests.harness.test_case import SETTING, N, inputs, run


@pytest.mark.parametrize(("after", "mode"), [(0, "host"), (6, "host"), (6, "warm")])
@pytest.mark.parametrize("first", [True, False])
def test_a_kernel_that_brings_the_gpu_down_is_its_own_fault_and_no_others(
    after, mode, first, monkeypatch
):
    """Every later call raises, as on a GPU: in its check, or after it has been right for long."""
    down = []

    def answers():
        if down:
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")

    def guarded(call, calls_left=10**9):
        left = [calls_left]

        def guard(*given):
            left[0] -= 1
            if left[0] < 0:
                down.append(True)
            answers()
            return call(*given)

        return guard

    monkeypatch.setattr(case.failure, "is_lost", lambda device: bool(down))
    restore = Checker.restore_timed
    monkeypatch.setattr(Checker, "restore_timed", lambda self: answers() or restore(self))
    others = {"mine": lambda: guarded(torch.mm)}
    guilty = {"guilty": lambda: guarded(torch.mm, after)}
    providers = {"torch": lambda: guarded(torch.mm)}
    providers |= guilty | others if first else others | guilty
    comparison = Comparison(
        "product", f"{N}", "float32", "forward", inputs, providers, "torch", torch.matmul
    )
    found = case.run(comparison, tuple(providers), replace(SETTING, mode=mode))
    fields = {name: result.fields for name, result in found.items()}
    assert fields["guilty"]["status"] == record.FAILED
    assert fields["guilty"]["reason"].endswith("an illegal memory access was encountered")
    for name in ("torch", "mine"):  # to be measured on resuming, without it
        assert fields[name]["status"] == record.NOT_MEASURED
        assert fields[name]["reason"] == "guilty brought the GPU down: go on with --resume"


def test_what_has_no_backward_pass_is_unsupported_and_no_failure():
    found = run(underived=lambda: lambda a, b: _with_gradient(a, b))
    assert found["underived"]["status"] == record.UNSUPPORTED
    assert found["torch"]["status"] == record.OK


def _with_gradient(a, b):
    """As torch has it of its _addmm_activation."""
    a = a.detach().requires_grad_()
    out = torch._addmm_activation(torch.zeros(N), a, b, use_gelu=True)
    return torch.autograd.grad(out.sum(), a)


def test_what_mode_graph_cannot_prepare_has_failed():
    """Nothing is captured yet: a graph's limits say nothing of it."""

    def none(*given):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    comparison = Comparison(
        "product", f"{N}", "float32", "forward", inputs, {"torch": lambda: torch.mm}, "torch", none
    )
    found = case.run(comparison, ["torch"], replace(SETTING, mode="graph"))
    assert found["torch"].fields["status"] == record.FAILED
