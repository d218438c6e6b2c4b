"""The noise scale of gradients whose covariance is known: quadratics and linear models."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness.gradient_noise import measure, variance_of_gradient
from workloads.spec import Batch

SIZE = 12


class Point(nn.Module):
    """Samples are points, and the answer is how far theta is from them."""

    def __init__(self, theta):
        super().__init__()
        self.theta = nn.Parameter(theta)

    def forward(self, x):
        return self.theta - x


def quadratic(seed=0):
    """A quadratic with the Hessian A = diag(1 .. 3): the mean over x of (theta - x)' A (theta - x)
    / 2. Its gradient is A (theta - mean x), a sample's differs from it by A (mean x - x).

    Returns:
        (model, loss, train, |G|^2, tr(Sigma)), the last two by hand.
    """
    generator = torch.Generator().manual_seed(seed)
    hessian = torch.linspace(1, 3, SIZE, dtype=torch.float64)
    x = torch.randn(200, SIZE, generator=generator, dtype=torch.float64)
    x = x * torch.linspace(0.5, 1.5, SIZE, dtype=torch.float64)
    theta = torch.full((SIZE,), 0.2, dtype=torch.float64)

    def loss(model, batch):
        return (hessian * model(batch.x) ** 2).sum(dim=1).mean() / 2

    gradient = hessian * (theta - x.mean(dim=0))
    trace = (hessian**2 * x.var(dim=0, correction=0)).sum()
    train = Batch(x, torch.zeros(len(x)))
    return Point(theta), loss, train, float(gradient @ gradient), float(trace)


def regression():
    """A linear model; its gradient of the squared error, sample by sample, by the formula."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(150, 5, generator=generator)
    y = x @ torch.ones(5, 1) + 2 + torch.randn(150, 1, generator=generator)
    model = nn.Linear(5, 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.1)
        wide = torch.cat([x, torch.ones(150, 1)], dim=1).double()
        errors = wide @ torch.full((6, 1), 0.1, dtype=torch.float64) - y
        gradients = 2 * errors * wide  # [samples, parameters]
    square = float(gradients.mean(dim=0).square().sum())
    trace = float(gradients.var(dim=0, correction=0).sum())
    return model, lambda m, b: F.mse_loss(m(b.x), b.y), Batch(x, y), square, trace


@pytest.mark.parametrize("make", [quadratic, regression])
def test_noise_scale_is_the_trace_over_the_squared_gradient(make):
    model, loss, train, square, trace = make()
    found = measure(model, loss, train, small=8, big=128, draws=200)
    assert found.trace == pytest.approx(trace, rel=0.05)
    assert found.squared_gradient == pytest.approx(square, rel=0.1)
    assert found.value == pytest.approx(trace / square, rel=0.12)
    assert found.value == found.trace / found.squared_gradient
    assert found.low < trace / square < found.high
    assert found.high / found.low < 1.5
    assert (found.small, found.big, found.draws) == (8, 128, 200)


@pytest.mark.slow
def test_its_intervals_cover_it():
    model, loss, train, square, trace = quadratic()
    found = [measure(model, loss, train, 4, 32, draws=50, seed=seed) for seed in range(150)]
    covered = sum(scale.low <= trace / square <= scale.high for scale in found)
    assert 0.89 <= covered / len(found) <= 0.99
    # the two are unbiased each by itself
    for name, true in (("trace", trace), ("squared_gradient", square)):
        values = torch.tensor([getattr(scale, name) for scale in found])
        assert float(values.mean()) == pytest.approx(
            true, abs=float(3 * values.std() / len(found) ** 0.5)
        )


def test_the_sizes_of_the_batches_do_not_matter():
    model, loss, train, square, trace = quadratic()
    for small, big in ((1, 16), (16, 64), (50, 800)):  # 800 of 200 samples: drawn anew each time
        found = measure(model, loss, train, small, big, draws=200)
        assert found.value == pytest.approx(trace / square, rel=0.25), (small, big)


def test_where_the_gradient_is_0_the_noise_scale_is_not_finite_or_not_known():
    model, loss, train, _, trace = quadratic()
    with torch.no_grad():
        model.theta.copy_(train.x.mean(dim=0))
    found = measure(model, loss, train, 4, 32, draws=200)
    assert found.high == math.inf and found.low > 100
    assert found.trace == pytest.approx(trace, rel=0.1)


def test_without_noise_the_noise_scale_is_0():
    model, loss, train, *_ = quadratic()
    same = Batch(train.x[:1].expand(20, -1), train.y[:20])
    found = measure(model, loss, same, 2, 16, draws=10)
    assert found.value == pytest.approx(0, abs=1e-12)
    assert variance_of_gradient(model, loss, same, 4, draws=10) == pytest.approx((0, 0, 0))


@pytest.mark.parametrize("make", [quadratic, regression])
def test_variance_falls_as_one_over_the_batch(make):
    model, loss, train, _, trace = make()
    for batch in (1, 8, 64, 512):
        variance, low, high = variance_of_gradient(model, loss, train, batch, draws=600)
        assert variance * batch == pytest.approx(trace, rel=0.15), batch
        assert low < trace / batch < high
        assert high / low < 1.6


class Everything(nn.Module):
    """A model with all that a look at it might change: buffers, gradients, a frozen parameter."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(5)
        self.layer = nn.Linear(5, 1)
        self.unused = nn.Parameter(torch.ones(3))
        self.frozen = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, x):
        return self.layer(self.norm(x)) * self.frozen


def test_the_model_and_the_random_numbers_are_left_as_they_were():
    _, loss, train, *_ = regression()
    model = Everything()
    loss(model, train).backward()
    before = copy.deepcopy(model.state_dict())
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    state = torch.random.get_rng_state()
    measure(model, loss, train, 4, 32, draws=5)
    variance_of_gradient(model, loss, train, 4, draws=5)
    assert model.training and torch.equal(state, torch.random.get_rng_state())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert (parameter.grad is None) == (gradient is None)
        assert gradient is None or torch.equal(parameter.grad, gradient)


def test_a_seed_gives_the_same_draws_and_another_gives_others():
    model, loss, train, *_ = quadratic()
    first, again, other = (measure(model, loss, train, 4, 32, draws=20, seed=s) for s in (3, 3, 4))
    assert first == again and first.value != other.value


def test_bad_input_is_refused():
    model, loss, train, *_ = quadratic()
    with pytest.raises(ValueError, match="the big batch, 8, should be a multiple of the small one"):
        measure(model, loss, train, 8, 8)
    with pytest.raises(ValueError, match="the big batch, 20, should be a multiple"):
        measure(model, loss, train, 8, 20)
    with pytest.raises(ValueError, match="batch size 0"):
        measure(model, loss, train, 0, 8)
    with pytest.raises(ValueError, match=r"batch size 2\.5"):
        variance_of_gradient(model, loss, train, 2.5)
    with pytest.raises(ValueError, match="4 draws: 5 are the least"):
        measure(model, loss, train, 2, 8, draws=4)
    with pytest.raises(ValueError, match="the data set is empty"):
        variance_of_gradient(model, loss, Batch(train.x[:0], train.y[:0]), 2)
    with torch.no_grad():
        model.theta.fill_(math.nan)
    with pytest.raises(ValueError, match="the gradient is not finite"):
        measure(model, loss, train, 2, 8, draws=5)
