"""How much memory kernels.linear_cross_entropy takes: the logits are never whole."""

import importlib
import itertools

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import kernels
from kernels import _launch
from tests.kernels.row_losses import REDUCTIONS, classes_of, random

autograd = importlib.import_module("kernels._linear_cross_entropy_autograd")
chunks = importlib.import_module("kernels._linear_cross_entropy_chunks")


class Allocations(TorchDispatchMode):
    """Keeps the sizes of all tensors that operators return."""

    def __init__(self):
        super().__init__()
        self.numel = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.numel.append(out.numel())
        return out


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_logits_are_never_whole(device, monkeypatch, reduction):
    monkeypatch.setattr(chunks, "tokens", lambda *_: 16)
    rows, hidden, classes = 50, 8, 700
    input = random(device, torch.float32, rows, hidden).requires_grad_()
    linear_weight = random(device, torch.float32, classes, hidden, seed=1).requires_grad_()
    target = classes_of(device, rows, classes)
    buffers, product = [], chunks.product
    monkeypatch.setattr(
        chunks, "product", lambda a, b, out: (buffers.append(out), product(a, b, out))
    )

    def logits_memory():
        found = {t.data_ptr() for t in buffers if t.shape[1] == classes}
        buffers.clear()
        return found

    with Allocations() as seen:
        loss = kernels.linear_cross_entropy(input, linear_weight, target, reduction=reduction)
    assert len(logits_memory()) == 1  # one buffer, used again
    with Allocations() as seen_backward:
        loss.sum().backward()
    assert len(logits_memory()) == (reduction == "none")  # made again only there
    assert max(seen.numel + seen_backward.numel) < rows * classes
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        kernels.linear_cross_entropy(input, linear_weight, target, reduction=reduction)
        more = torch.cuda.max_memory_allocated() - before
        assert more < 4 * (16 * classes + classes * hidden + rows * hidden + 8 * rows) + 8192


def test_the_length_of_chunks():
    """CHUNK, or a quarter of more than four of those while that takes less memory."""
    for rows in (0, 1, 2048, 8192):
        assert chunks.tokens(rows, 4096, True) == 2048
    assert chunks.tokens(8193, 4096, True) == 2176  # a multiple of 128
    assert chunks.tokens(16384, 4096, True) == 4096
    assert chunks.tokens(32768, 4096, True) == 8192
    assert chunks.tokens(32769, 4096, True) == 2048  # and dweight in float32
    assert chunks.tokens(16384, 4096, False) == 2048
    assert chunks.tokens(16384, 512, True) == 2048


def peak_bytes(function):
    """The most memory that is allocated beyond what there was, by the allocator's own account."""
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        function()
    events = profile.kineto_results.events()
    live = itertools.accumulate(e.nbytes() for e in events if e.name() == "[memory]")
    return max(live)


# That of DESIGN's language model; 8 chunks, added up in float32.
@pytest.mark.parametrize("sizes", [(8192, 4096, 128256), (16384, 32, 1000)], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_memory_by_the_formula(monkeypatch, sizes, reduction):
    """The kernels are left out, so that memory that only they would touch is never made real."""
    for name in ("product", "add_product", "_add_columns", "scale"):
        monkeypatch.setattr(chunks, name, lambda *operands: None)
    for name in ("losses", "gradients"):
        monkeypatch.setattr(chunks.by_row, name, lambda *operands: None)
    monkeypatch.setattr(autograd, "reduce", lambda *operands: None)
    monkeypatch.setattr(_launch, "check_runnable", lambda *operand: None)
    monkeypatch.setattr(_launch, "check_dot", lambda *operand: None)
    rows, hidden, classes = sizes
    input, linear_weight = (
        torch.empty(size, hidden, dtype=torch.bfloat16, requires_grad=True)
        for size in (rows, classes)
    )
    target = torch.zeros(rows, dtype=torch.int64)

    def run():
        loss = kernels.linear_cross_entropy(input, linear_weight, target, reduction=reduction)
        loss.backward(torch.ones_like(loss))

    width = classes + -classes % 16
    logits, many = min(rows, chunks.CHUNK) * width, rows > 4 * chunks.CHUNK
    dinput, dweight = rows * hidden, classes * hidden
    formula = dinput + (max(2 * dweight + logits, 3 * dweight) if many else dweight + logits)
    peak = peak_bytes(run)
    assert 0 <= peak - 2 * formula < 24 * rows + 4096  # statistics, losses, and their gradient
    assert many or peak < 1.7 * 2**30


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.slow
def test_the_memory_of_a_language_model(device):
    rows, hidden, classes = 8192, 4096, 128256
    if torch.cuda.mem_get_info()[0] < 16e9:
        pytest.skip("needs 16 GB of free device memory")
    input = random(device, torch.bfloat16, rows, hidden).requires_grad_()
    linear_weight = random(device, torch.bfloat16, classes, hidden).requires_grad_()
    target = classes_of(device, rows, classes)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    kernels.linear_cross_entropy(input, linear_weight, target).backward()
    assert torch.cuda.max_memory_allocated() - before < 1.7 * 2**30  # the gradients among it
