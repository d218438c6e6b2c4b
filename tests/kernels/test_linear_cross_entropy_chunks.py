"""kernels.linear_cross_entropy takes its rows in chunks, and gives what it gives without."""

import importlib
from unittest.mock import Mock

import pytest
import torch

import kernels
from tests.kernels.linear_losses import BFLOAT16, check
from tests.kernels.row_losses import REDUCTIONS, classes_of, random

chunks = importlib.import_module("kernels._linear_cross_entropy_chunks")


@pytest.fixture
def chunk(monkeypatch):
    """Sets the tokens of a chunk."""
    return lambda tokens: monkeypatch.setattr(chunks, "tokens", lambda *_: tokens)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_number_of_chunks_does_not_matter(device, chunk, reduction):
    rows, options = 21, {"reduction": reduction, "label_smoothing": 0.1}
    operands = [
        random(device, torch.float32, rows, 9).requires_grad_(),
        random(device, torch.float32, 50, 9, seed=1).requires_grad_(),
        random(device, torch.float32, 50, seed=2).requires_grad_(),
    ]
    grad = random(device, torch.float32, *((rows,) if reduction == "none" else ()), seed=3)
    target = classes_of(device, rows, 50)
    outcomes = []
    for tokens in (2048, 21, 20, 7, 1):
        chunk(tokens)
        loss = kernels.linear_cross_entropy(
            *operands[:2], target, linear_bias=operands[2], **options
        )
        outcomes.append((loss, *torch.autograd.grad(loss, operands, grad)))
        check(
            *(t.detach() for t in operands[:2]), target, operands[2].detach(), grad=grad, **options
        )
    for loss, dinput, dweight, dbias in outcomes[1:]:
        # A row does not know of its chunk; sums over rows are rounded in another order.
        torch.testing.assert_close(loss, outcomes[0][0], rtol=1e-6, atol=0)
        torch.testing.assert_close(dinput, outcomes[0][1], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(dweight, outcomes[0][2], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(dbias, outcomes[0][3], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [9, 17, 33, 49])  # 1 to 4 chunks, the last of one row
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, BFLOAT16], ids=str)
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_a_gradient_rounded_once_a_chunk(device, chunk, rows, dtype, reduction):
    chunk(16)
    assert -(-rows // 16) <= chunks.FEW
    check_rounded_gradients(device, dtype, rows, reduction)


def check_rounded_gradients(device, dtype, rows, reduction):
    """Where what the chunks add to dweight has any sign, one sign, and is the same in each."""
    input, linear_weight = random(device, dtype, rows, 24), random(device, dtype, 67, 24, seed=1)
    target = torch.zeros(rows, dtype=torch.int64, device=device)
    for tokens in (input, input.abs(), input[:1].expand(rows, -1)):
        check(tokens, linear_weight / 4, target, reduction=reduction)


def test_many_chunks_are_added_in_float32(device, chunk):
    """64 numbers after one so much larger that float16 would stay at it."""
    chunk(1)
    rows = 65
    input = torch.full((rows, 1), 1.0, dtype=torch.float16, device=device)
    linear_weight = torch.zeros(2, 1, dtype=torch.float16, device=device, requires_grad=True)
    target = torch.zeros(rows, dtype=torch.int64, device=device)
    grad = torch.full((rows,), 2.0**-12, dtype=torch.float16, device=device)
    grad[0] = 1.0
    kernels.linear_cross_entropy(input, linear_weight, target, reduction="none").backward(grad)
    assert linear_weight.grad[:, 0].tolist() == [-0.5 - 2.0**-7, 0.5 + 2.0**-7]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("needed", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 0, 0)])
def test_only_the_gradients_needed_are_computed(device, chunk, monkeypatch, reduction, needed):
    chunk(8)  # of 19 tokens: three chunks
    shapes, target = ((19, 11), (23, 11), (23,)), classes_of(device, 19, 23)
    operands = [random(device, torch.float32, *s, seed=i) for i, s in enumerate(shapes)]

    def run(wanted):
        """The operands that want a gradient and those that do not, and the loss."""
        given = [t.clone().requires_grad_(bool(w)) for t, w in zip(operands, wanted, strict=True)]
        loss = kernels.linear_cross_entropy(
            *given[:2], target, linear_bias=given[2], reduction=reduction
        )
        return given, loss

    counted = ("product", "add_product", "_add_columns")
    made = {name: Mock(wraps=getattr(chunks, name)) for name in counted}
    for name, counting in made.items():
        monkeypatch.setattr(chunks, name, counting)
    given, loss = run(needed)
    assert loss.requires_grad == any(needed)
    if loss.requires_grad:
        loss.sum().backward()
    times = 1 + (reduction == "none" and any(needed))  # the logits are made
    products = 3 * (times + needed[0]) + needed[1]  # dweight's first chunk
    counts = [made[name].call_count for name in counted]
    assert counts == [products, 2 * needed[1], 3 * needed[2]]
    assert [t.grad is not None for t in given] == [*map(bool, needed)]
    full, loss = run((1, 1, 1))
    for operand, grad in zip(given, torch.autograd.grad(loss.sum(), full), strict=True):
        assert operand.grad is None or torch.equal(operand.grad, grad)


def test_without_grad_no_gradient_is_made_ahead(device, monkeypatch):
    operands = tuple(torch.ones(s, device=device, requires_grad=True) for s in ((19, 2), (23, 2)))
    monkeypatch.setattr(chunks.by_row, "gradients", None)
    with torch.no_grad():
        loss = kernels.linear_cross_entropy(*operands, classes_of(device, 19, 23))
    assert not loss.requires_grad
