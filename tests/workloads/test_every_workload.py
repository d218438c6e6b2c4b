"""What holds for every workload in NAMES; a new name is tested without another line here."""

import importlib
from itertools import islice

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import workloads
from workloads import data, optimizers
from workloads.spec import Workload

EVALUATE_EVERY = 20  # steps

# torch.utils.flop_counter has no formula for these and reports 0 without a word.
NOT_COUNTED = (nn.LSTM, nn.LSTMCell)


# Weights of zero: the same from every seed, and no gradient gets past the last layer. That is what
# this variant is there to show.
ZEROS = "deep_mlp/4x64-zeros"

ALL = tuple(n for name in workloads.NAMES for n in (name, *workloads.variants(name)))


@pytest.fixture(params=ALL)
def workload(request) -> Workload:
    return workloads.load(request.param)


def train(workload, seed, steps):
    """A plain training loop; yields the model and the loss of each step."""
    model = workload.model(seed)
    step = optimizers.make(workload.optimizer, model, workload.loss, workload.learning_rate)
    train = workload.data().train
    for batch in islice(data.stream(workload, model, train, workload.batch_size, seed), steps):
        yield model, step(batch).item()


@pytest.mark.parametrize("name", workloads.NAMES)
def test_it_has_its_modules_name_and_says_what_it_is(name):
    module = importlib.import_module(f"workloads.{name}")
    assert workloads.load(name) is module.WORKLOAD
    assert module.WORKLOAD.name == name
    assert module.__doc__
    for variant in workloads.variants(name):
        assert variant.startswith(f"{name}/")


def test_its_data_are_the_same_at_every_call_and_on_the_cpu(workload):
    for first, again in zip(workload.data(), workload.data(), strict=True):
        assert len(first.x) == len(first.y) > 0
        assert first.x.device.type == first.y.device.type == "cpu"
        assert torch.equal(first.x, again.x)
        assert torch.equal(first.y, again.y)


def test_the_same_seed_gives_the_same_model_bit_for_bit(workload):
    first, again, other = (list(workload.model(seed).parameters()) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    differs = not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert differs is (workload.name != ZEROS)
    assert all(p.dtype == torch.float32 and p.device.type == "cpu" for p in first)


def test_making_a_model_leaves_the_global_generator_alone(workload, monkeypatch):
    reseeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", reseeded.append)
    before = torch.get_rng_state()
    workload.model(0)
    assert torch.equal(torch.get_rng_state(), before)
    assert not reseeded


@pytest.mark.parametrize("size", [1, 7])
def test_its_flops_are_those_that_torch_counts(workload, size):
    model = workload.model(0)
    if any(isinstance(layer, NOT_COUNTED) for layer in model.modules()):
        pytest.skip("torch.utils.flop_counter counts an LSTM as 0")
    batch = data.sample(workload.data().train, size, seed=0)
    with FlopCounterMode(display=False) as forward:
        loss = workload.loss(model, batch)
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    assert forward.get_total_flops() == workload.flops.forward * size > 0
    assert backward.get_total_flops() == workload.flops.backward * size > 0


def test_its_loss_is_a_scalar_that_reaches_every_parameter(workload):
    model = workload.model(0)
    loss = workload.loss(model, data.sample(workload.data().train, 7, seed=0))
    assert loss.shape == ()
    loss.backward()
    last = list(model.parameters())[-1]
    for name, parameter in model.named_parameters():
        if workload.name == ZEROS and parameter is not last:
            assert parameter.grad is not None and not parameter.grad.any(), name
            continue
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_its_metric_is_a_scalar_without_a_graph_and_starts_off_target(workload):
    value = workload.metric(workload.model(0), workload.data().validation)
    assert value.shape == () and not value.requires_grad
    assert not workload.target.reached(value.item())


@pytest.mark.parametrize("name", workloads.NAMES)
def test_the_same_seed_gives_the_same_curve_bit_for_bit(name):
    workload = workloads.load(name)
    first, again, other = ([loss for _, loss in train(workload, seed, 10)] for seed in (5, 5, 6))
    assert first == again
    assert first != other


# a second each; the others take longer
QUICK = ("neuron", "linear_regression", "mlp_regression", "mlp_classification", "deep_mlp")


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in workloads.NAMES]
)
def test_it_reaches_its_target_in_time(name, seed):
    workload = workloads.load(name)
    validation = workload.data().validation
    values = []
    for step, (model, _) in enumerate(train(workload, seed, workload.max_steps)):
        if step % EVALUATE_EVERY == 0:
            values.append(workload.metric(model, validation).item())
            if workload.target.reached(values[-1]):
                break
    assert workload.target.reached(values[-1]), f"last {values[-1]} of {len(values)} evaluations"
    if workload.floor is not None:
        pick = min if workload.target.lower_is_better else max
        assert pick([workload.floor, *values]) == workload.floor
