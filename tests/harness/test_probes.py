"""The probes of products and of the backward pass, on little work."""

import math

import pytest
import torch

import workloads
from harness import contention, probes
from harness.probes import backward, products
from harness.probes.spec import decode, encode
from harness.timing import Limits
from workloads import data
from workloads.spec import Batch

FEW = Limits(min_sampled_s=0.0, min_samples=10, max_samples=30, max_s=0.2, warmup_s=0.0)


@pytest.mark.parametrize("name", probes.NAMES)
def test_every_probe_can_be_run(name):
    assert callable(probes.load(name).run)


def test_elements_are_those_of_the_largest_tensor_of_what_computes():
    a, b = torch.randn(3, 4), torch.randn(4)
    with products._Elements() as found:
        a.add(b)  # 12
        a.view(12).clone()
        a.sum()  # 12 read, 1 written
        a @ a.T  # a product is none of these
        torch.cat([a, a])
        a.add_(1.0)  # 12
        torch._foreach_add_([a, b], 1.0)  # 12 + 4
    assert found.total == 12 + 12 + 12 + 16


@pytest.mark.parametrize("name", ["linear_regression", "cnn"])
def test_the_share_of_products_is_one_of_flops_and_of_time(name, monkeypatch):
    monkeypatch.setattr(contention, "shares", lambda before, after: (0.0, 0.0))
    workload = workloads.load(name)
    found = products.of(workload, "cpu", 2)
    values = found.values
    assert found.subject == name and found.n == 2
    assert values["flops_products"] == workload.flops.step * workload.batch_size
    assert values["flops_rest"] > 0
    assert 0 < values["flops_share"] < 1
    assert 0 < values["time_share_low"] <= values["time_share"] <= values["time_share_high"] < 1
    assert decode(encode(found)) == found


def test_convolutions_are_products():
    assert products.of(workloads.load("cnn"), "cpu", 1).values["flops_share"] > 0.9


@pytest.mark.parametrize("name", backward.SUBJECTS)
def test_a_checkpointed_model_is_the_same_function_and_holds_less(name):
    workload = workloads.load(name)
    model = workload.model(0)
    twin = backward.checkpointed(model)
    batch = data.sample(workload.data().train, 8, 0)
    parameters = list(model.parameters())
    assert torch.equal(workload.loss(model, batch), workload.loss(twin, batch))
    both = [torch.autograd.grad(workload.loss(m, batch), parameters) for m in (model, twin)]
    for one, other in zip(*both, strict=True):
        torch.testing.assert_close(one, other)
    held = [backward.saved_bytes(workload, m, batch) for m in (model, twin)]
    assert 0 < held[1] < held[0]


def test_bytes_held_are_counted_once_and_without_what_is_there_anyway():
    class OfSquare:
        @staticmethod
        def loss(model, batch):
            h = model(batch.x)  # keeps x and the weight, which are there anyway
            return (h.relu() * h.relu().detach()).exp().sum()

    model = torch.nn.Linear(4, 4, bias=False)
    batch = Batch(torch.randn(5, 4), torch.randn(5, 1))
    # relu's output, its detached twin (of another relu) and exp's output: 5 x 4 floats each
    assert backward.saved_bytes(OfSquare, model, batch) == 3 * 5 * 4 * 4


def test_a_model_without_segments_is_refused():
    with pytest.raises(ValueError, match="Linear has no blocks"):
        backward.checkpointed(torch.nn.Linear(2, 2))


def test_the_backward_pass_is_timed_beside_the_forward_one():
    found = backward.of(workloads.load("deep_mlp"), "cpu", FEW)
    values = found.values
    for name in ("forward_s", "forward_backward_s", "checkpointed_s", "saved_bytes"):
        assert values[name] > 0
    assert math.isfinite(values["backward_over_forward"])
    assert values["saved_bytes_checkpointed"] < values["saved_bytes"]
    for name, value in values.items():
        assert value is not None or found.why.get(name), name
    assert decode(encode(found)) == found


@pytest.mark.parametrize(
    ("shares", "why"),
    [
        ((0.3, 0.0), "not to be trusted: contended: a thread waited 30% of the time for a core"),
        ((0.0, 0.3), "not to be trusted: the hypervisor gave the cores to others 30% of the time"),
        ((0.0, 0.0), None),
    ],
)
def test_no_interval_stands_on_a_time_that_others_had_the_cores_for(monkeypatch, shares, why):
    monkeypatch.setattr(contention, "shares", lambda before, after: shares)
    limits = Limits(min_sampled_s=0.01, max_samples=8, max_s=0.1, warmup_s=0.0, max_warmup_s=0.0)
    timed = backward.of(workloads.load("deep_mlp"), "cpu", limits)
    shared = products.of(workloads.load("neuron"), "cpu", 2)
    for found, end in ((timed, "backward_over_forward_low"), (shared, "time_share_high")):
        if why:
            assert (found.values[end], found.why[end]) == (None, why)
        else:  # so short a look may have no interval
            assert "not to be trusted" not in found.why.get(end, "")
    assert shared.values["time_share"] is not None and shared.values["flops_share"] is not None
