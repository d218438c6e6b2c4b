"""The mean cross-entropy whose gradient is made in the forward pass."""

import importlib

import pytest
import torch

import kernels
from tests.kernels.row_losses import check, classes_of, random

ahead = importlib.import_module("kernels._cross_entropy_ahead")
pytestmark = pytest.mark.filterwarnings("ignore:(invalid|divide|overflow):RuntimeWarning")


@pytest.fixture(autouse=True)
def instead(monkeypatch):
    """What the rule is checked of."""
    function = lambda input, target, *options: ahead.mean_loss(input, target)  # noqa: E731
    monkeypatch.setattr(kernels, "cross_entropy", function)


# The interpreter has two programs, so that five rows are several of each.
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (5, 2), (5, 131), (3, 16385)], ids=str)
@pytest.mark.parametrize("upstream", [1.0, -0.7])
def test_loss_and_gradient(device, dtype, shape, upstream):
    target = classes_of(device, *shape)
    target[-1], target[0] = -100, shape[1] - 1
    grad = torch.tensor(upstream, device=device, dtype=dtype)
    check(3 * random(device, dtype, *shape), target, grad=grad)
    check(random(device, dtype, *shape[::-1]).t(), target, grad=grad)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 1e4])
def test_targets_out_of_range_and_logits_that_are_no_numbers(device, value):
    input = random(device, torch.float32, 4, 9)
    input[2, 1] = input[3, 0] = value
    for target in ([1, 2, 3, -100], [-1, 9, 0, 2**40], [-100] * 4):
        check(input, torch.tensor(target, device=device))


def test_no_rows(device):
    input = torch.ones(0, 3, device=device, requires_grad=True)
    loss = ahead.mean_loss(input, torch.ones(0, dtype=torch.int64, device=device))
    loss.backward()
    assert loss.isnan() and input.grad.shape == (0, 3)


def test_backward_can_be_repeated_and_gives_its_memory_away_at_the_end(device, monkeypatch):
    kept, multiply = [], ahead._multiply
    monkeypatch.setattr(
        ahead, "_multiply", lambda x, grad, out: (kept.append(x.data_ptr()), multiply(x, grad, out))
    )
    input = random(device, torch.float32, 7, 20).requires_grad_()
    before = input.detach().clone()
    loss, three = ahead.mean_loss(input, classes_of(device, 7, 20)), torch.tensor(3.0).to(device)
    one, more, last = (
        torch.autograd.grad(loss, input, upstream, retain_graph=retain)[0]
        for upstream, retain in ((three / 3, True), (three, True), (three, False))
    )
    assert torch.equal(more, last) and torch.equal(3 * one, more)
    assert last.data_ptr() == kept[0] and len({one.data_ptr(), more.data_ptr(), *kept}) == 3
    assert torch.equal(input, before)


def test_refusals_and_well_formed_operators(device, monkeypatch):
    input, target = random(device, torch.float32, 3, 4).requires_grad_(), classes_of(device, 3, 4)
    (grad,) = torch.autograd.grad(ahead.mean_loss(input, target), input, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiating twice is not supported"):
        grad.sum().backward()
    with pytest.raises(NotImplementedError, match="float16"):
        ahead.mean_loss(input.half(), target)
    monkeypatch.setattr(ahead._launch, "asked_once", lambda grad: False)  # opcheck looks again
    torch.library.opcheck(ahead._forward, (input, target))
    upstream, plain = torch.tensor(2.0, device=device), input.detach()
    torch.library.opcheck(ahead._backward, (upstream, plain, plain.clone()))
    torch.library.opcheck(ahead._backward_in_place, (upstream, plain.clone()))
