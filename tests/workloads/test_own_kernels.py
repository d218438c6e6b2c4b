"""The switch to this project's kernels: the same losses and gradients, and torch's where not."""

import pytest
import torch
from torch.nn import functional as F

import workloads
from tests.kernels.rule import assert_close_as_torch
from workloads import data
from workloads.own_kernels import linear_cross_entropy, own_kernels

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CAN = [name for name in workloads.NAMES if workloads.load(name).own_kernels]


def losses_and_gradients(workload, dtype, batch):
    model = workload.model(0).to(DEVICE, dtype)
    loss = workload.loss(model, batch.to(DEVICE, dtype))
    return [loss, *torch.autograd.grad(loss, list(model.parameters()))]


@pytest.mark.parametrize("name", CAN)
def test_losses_and_gradients_are_torchs(name):
    workload = workloads.load(name)
    batch = data.sample(workload.data().train, 3, seed=0)
    true = losses_and_gradients(workload, torch.float64, batch)
    torchs = losses_and_gradients(workload, torch.float32, batch)
    with own_kernels() as ours:
        found = losses_and_gradients(workload, torch.float32, batch)
    assert ours.calls, "nothing ran on a kernel"
    for value, exact, own in zip(found, true, torchs, strict=True):
        # the errors of all layers before it add up in a gradient, so its scale is its largest
        scale = torch.full_like(exact, exact.abs().max().item()).clamp(min=1e-30)
        assert_close_as_torch(value, exact, own, scale)


def test_a_fault_in_a_kernel_would_show(monkeypatch):
    from workloads import own_kernels as module

    name = "mlp_classification"  # one whose loss is the cross-entropy
    faulty = dict(module._OURS)
    right = faulty[F.cross_entropy]
    faulty[F.cross_entropy] = module._Ours(
        right.name, right.fits, lambda *args, **kwargs: right.call(*args, **kwargs) * 1.0001
    )
    monkeypatch.setattr(module, "_OURS", faulty)
    with pytest.raises(AssertionError):
        test_losses_and_gradients_are_torchs(name)


def test_a_loss_of_a_linear_layer_is_fused():
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(n, 8, generator=generator).to(DEVICE) for n in (5, 11))
    bias = torch.randn(11, generator=generator).to(DEVICE)
    target = torch.tensor([0, 3, 10, -100, 7], device=DEVICE)
    plain = linear_cross_entropy(x, weight, bias, target)
    torch.testing.assert_close(plain, F.cross_entropy(F.linear(x, weight, bias), target))
    with own_kernels() as ours:
        fused = linear_cross_entropy(x, weight, bias, target)
    assert ours.calls == {"linear_cross_entropy": 1}
    torch.testing.assert_close(fused, plain)


def test_what_the_kernels_do_not_take_stays_torchs():
    logits = torch.zeros(2, 3, dtype=torch.float64)
    with own_kernels() as ours:
        F.linear(logits, logits)  # float64
        F.cross_entropy(torch.zeros(2, 3), torch.full((2, 3), 1 / 3))  # probabilities
        F.cross_entropy(torch.zeros(2, 3, 4), torch.zeros(2, 4, dtype=torch.int64))
    assert ours.calls == {}


def test_outside_of_it_torch_is_torch_again():
    with own_kernels() as ours:
        pass
    F.linear(torch.zeros(2, 3), torch.zeros(4, 3))
    assert ours.calls == {}
