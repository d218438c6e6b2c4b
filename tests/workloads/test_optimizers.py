"""Every optimizer by name: it descends, it says what it costs, it refuses what it cannot do."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import workloads
from workloads import data, optimizers, second_order
from workloads.flops import UnknownFlops
from workloads.spec import Batch, Flops

RATES = dict.fromkeys(optimizers.NAMES, 0.05) | {"lbfgs": 1.0}
RATES |= dict.fromkeys(optimizers.SECOND_ORDER, 1.0)


def toy(seed=0):
    """A small classifier and a batch for it: 4 features, 3 classes, not separable."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * 0.5)
    x = torch.randn(40, 4, generator=generator)
    return model, Batch(x, torch.randint(3, (40,), generator=generator))


def loss(model, batch):
    return F.cross_entropy(model(batch.x), batch.y)


@pytest.mark.parametrize("name", optimizers.NAMES)
def test_it_lowers_the_loss_and_returns_the_one_before(name):
    model, batch = toy()
    step = optimizers.make(name, model, loss, RATES[name])
    before = loss(model, batch).item()
    first = step(batch)
    assert first.item() == pytest.approx(before, rel=1e-6) and not first.requires_grad
    for _ in range(10):
        step(batch)
    assert loss(model, batch).item() < before - 0.01


@pytest.mark.parametrize("name", optimizers.NAMES)
def test_it_says_what_a_step_costs(name):
    model, batch = toy()
    step = optimizers.make(name, model, loss, RATES[name])
    step(batch)
    gradient = Flops(forward=2 * (20 + 15), backward=2 * (2 * (20 + 15) - 20))
    cost = step.flops(gradient, len(batch))
    one = gradient.step * len(batch)
    if name in optimizers.SECOND_ORDER or name == "lbfgs":
        assert cost > one
    else:
        assert cost == one
        with pytest.raises(UnknownFlops):
            step.flops(None, len(batch))


@pytest.mark.parametrize("name", ["newton", "natural_gradient", "natural_gradient_cg"])
def test_on_a_quadratic_one_step_is_enough(name):
    workload = workloads.load("linear_regression")
    model, train = workload.model(0), workload.data().train
    optimizers.make(name, model, workload.loss, 1.0)(train)
    assert workload.metric(model, train).item() < 1e-9


def test_half_a_step_leaves_a_quarter_of_a_quadratic():
    workload = workloads.load("linear_regression")
    model, train = workload.model(0), workload.data().train
    before = workload.metric(model, train).item()
    optimizers.make("newton", model, workload.loss, 0.5)(train)
    assert workload.metric(model, train).item() == pytest.approx(before / 4, rel=1e-3)


def flat(model):
    return torch.cat([p.detach().double().flatten() for p in model.parameters()])


def matrix_of(name, model, batch):
    step = second_order.make(name, model, loss, 1.0)
    return step._curvature(flat(model), batch.to("cpu", torch.float64))


def test_newtons_matrix_is_the_hessian():
    model, batch = toy()
    model, batch = model.double(), batch.to("cpu", torch.float64)
    parameters = list(model.parameters())
    gradient = torch.autograd.grad(loss(model, batch), parameters, create_graph=True)
    rows = [
        torch.cat([g.flatten() for g in torch.autograd.grad(x, parameters, retain_graph=True)])
        for g in gradient
        for x in g.flatten()
    ]
    torch.testing.assert_close(matrix_of("newton", model, batch), torch.stack(rows))


def test_the_fisher_is_the_models_own_and_not_the_labels():
    # sum over classes of p times the outer product of that class's gradient, sample by sample
    model, batch = toy()
    model, batch = model.double(), batch.to("cpu", torch.float64)
    expected = 0
    for x in batch.x:
        probability = model(x).softmax(-1).detach()
        for label, p in enumerate(probability):
            one = F.cross_entropy(model(x)[None], torch.tensor([label]))
            g = torch.cat([t.flatten() for t in torch.autograd.grad(one, model.parameters())])
            expected = expected + p * torch.outer(g, g) / len(batch)
    fisher = matrix_of("natural_gradient", model, batch)
    torch.testing.assert_close(fisher, expected)
    other = Batch(batch.x, (batch.y + 1) % 3)
    torch.testing.assert_close(matrix_of("natural_gradient", model, other), fisher)


def test_conjugate_gradients_take_the_step_of_the_matrix():
    model, batch = toy()
    batch = batch.to("cpu", torch.float64)
    gradient = torch.autograd.grad(loss(model.double(), batch), model.parameters())
    gradient = torch.cat([g.flatten() for g in gradient])
    steps = []
    for name in ("natural_gradient", "natural_gradient_cg"):
        solver = second_order.make(name, model, loss, 1.0)
        solver._prepare(flat(model), batch)
        solver._scale, solver._damping = torch.tensor(0.02, dtype=torch.float64), 0.1
        steps.append(solver._solve(gradient))
    (exact, predicted), (found, also_predicted) = steps
    assert (found - exact).norm() < 1e-3 * exact.norm()
    assert also_predicted.item() == pytest.approx(predicted.item(), rel=1e-3)


def test_where_the_hessian_is_indefinite_newton_leaves_the_saddle():
    class Saddle(nn.Module):
        def __init__(self):
            super().__init__()
            self.at = nn.Parameter(torch.tensor([0.5, 0.01]))

        def forward(self, x):
            a, b = self.at
            return a**2 - b**2 + b**4 + 0 * x.sum()

    model = Saddle()
    batch = Batch(torch.zeros(1, 1), torch.zeros(1))
    step = optimizers.make("newton", model, lambda m, b: m(b.x), 1.0)
    for _ in range(30):
        step(batch)
    # plain Newton is drawn to (0, 0); the minima are at b^2 = 1/2, 1/4 lower
    assert model(batch.x).item() == pytest.approx(-0.25, abs=1e-4)


def test_a_step_that_would_raise_the_loss_is_not_taken():
    model, batch = toy()
    step = optimizers.make("newton", model, loss, 1.0)
    values = [step(batch).item() for _ in range(15)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(values))


@pytest.mark.parametrize("name", ["newton", "natural_gradient"])
def test_a_model_too_large_is_refused_with_the_size_it_would_need(name, monkeypatch):
    monkeypatch.setattr(second_order, "_memory", lambda device: 10**9)
    with pytest.raises(ValueError) as caught:
        optimizers.make(name, nn.Linear(100, 100), loss, 1.0)
    assert str(caught.value) == (
        f"{name}: 10,100 parameters need matrices of 3.3 GB, and 1.0 GB are to be had; "
        "natural_gradient_cg needs no matrix"
    )
    optimizers.make("natural_gradient_cg", nn.Linear(100, 100), loss, 1.0)


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(ValueError) as caught:
        optimizers.make("sgdd", nn.Linear(2, 2), loss, 0.1)
    assert str(caught.value) == (
        f"unknown optimizer 'sgdd': choose one of {', '.join(optimizers.NAMES)}"
    )


@pytest.mark.parametrize("rate", [0, -1.0, math.nan, math.inf])
def test_a_learning_rate_that_is_none_is_refused(rate):
    with pytest.raises(ValueError, match="must be a number above 0"):
        optimizers.make("sgd", nn.Linear(2, 2), loss, rate)


def test_a_model_with_nothing_to_train_is_refused():
    with pytest.raises(ValueError, match="no parameters to train"):
        optimizers.make("sgd", nn.ReLU(), loss, 0.1)


@pytest.mark.parametrize("name", optimizers.NAMES)
def test_a_frozen_part_stays_as_it_is(name):
    model, batch = toy()
    model[0].requires_grad_(False)
    frozen = model[0].weight.clone()
    moving = model[2].weight.clone()
    optimizers.make(name, model, loss, RATES[name])(batch)
    assert torch.equal(model[0].weight, frozen)
    assert not torch.equal(model[2].weight, moving)


def test_muon_takes_matrices_and_leaves_the_rest_to_adamw():
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3))
    muon, adamw = optimizers._muon(model, 0.1)
    assert [p.shape for p in muon.param_groups[0]["params"]] == [(3, 4)]
    assert [p.shape for p in adamw.param_groups[0]["params"]] == [(5, 4), (3,)]


def test_the_state_is_what_setting_back_must_reach():
    model, batch = toy()
    step = optimizers.make("adam", model, loss, 0.1)
    assert step.state() == []
    step(batch)
    assert len(step.state()) == 3 * 4  # step count and two moments of each parameter
    assert data.sample(batch, 3, 0).x.shape == (3, 4)
