"""Eigenvalues of Hessians whose spectrum is planted, all of them and by Lanczos."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness.conditioning import lanczos, of_hessian, of_inputs, of_matrix
from workloads import data, load
from workloads.spec import Batch

NOTHING = Batch(torch.zeros(1, 1), torch.zeros(1))


class Theta(nn.Module):
    """Parameters of two shapes and nothing else; those that are frozen are not among them."""

    def __init__(self, size):
        super().__init__()
        self.first = nn.Parameter(torch.linspace(-1, 1, size - 2))
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)
        self.second = nn.Parameter(torch.ones(2, 1))

    def forward(self, x):
        return torch.cat([self.first, self.second.flatten()])


def quadratic(values, seed=0):
    """A model and a loss whose Hessian has these eigenvalues, in random directions."""
    size = len(values)
    generator = torch.Generator().manual_seed(seed)
    random = torch.randn(size, size, dtype=torch.float64, generator=generator)
    q, _ = torch.linalg.qr(random)
    matrix = q @ torch.diag(torch.as_tensor(values, dtype=torch.float64)) @ q.T
    matrix = (matrix + matrix.T) / 2

    def loss(model, batch):
        theta = model(batch.x)
        return theta @ (matrix @ theta) / 2 + theta.sum()

    return Theta(size), loss


def geometric(low, high, size):
    return torch.logspace(math.log10(low), math.log10(high), size, dtype=torch.float64)


@pytest.mark.parametrize("kappa", [1.0, 50.0, 1e4, 1e8])
def test_exact_finds_a_planted_spectrum(kappa):
    model, loss = quadratic(geometric(0.3, 0.3 * kappa, 40))
    found = of_hessian(model, loss, NOTHING)
    assert (found.method, found.iterations, found.size, found.settled) == ("exact", 0, 40, True)
    # an eigenvalue is off by some eps of the largest
    assert found.largest == pytest.approx(0.3 * kappa, rel=1e-12)
    assert found.smallest == pytest.approx(0.3, rel=1e-13 * kappa + 1e-12)
    assert found.lowest == found.smallest == found.smallest_positive
    assert found.kappa == pytest.approx(kappa, rel=1e-13 * kappa + 1e-12)


@pytest.mark.parametrize("kappa", [1.0, 50.0, 1e4])
def test_lanczos_finds_a_planted_spectrum_in_fewer_products_than_dimensions(kappa):
    model, loss = quadratic(geometric(0.3, 0.3 * kappa, 400))
    found = of_hessian(model, loss, NOTHING, exact_up_to=10, iterations=400)
    assert found.method == "lanczos" and found.settled and found.size == 400
    assert found.iterations <= {1.0: 1, 50.0: 250, 1e4: 380}[kappa]
    assert found.largest == pytest.approx(0.3 * kappa, rel=1e-6)
    assert found.smallest_positive == found.lowest == pytest.approx(0.3, rel=1e-4)
    assert found.kappa == pytest.approx(kappa, rel=1e-4)


def test_lanczos_takes_over_beyond_a_thousand_parameters():
    values = geometric(1, 20, 1200)
    loss = lambda model, batch: (values * model(batch.x) ** 2).sum() / 2  # noqa: E731
    found = of_hessian(Theta(1200), loss, NOTHING)
    assert found.method == "lanczos" and found.settled and found.iterations < 200
    assert (found.largest, found.kappa) == pytest.approx((20, 20), rel=1e-4)
    assert of_hessian(Theta(1000), lambda m, b: m(b.x).square().sum(), NOTHING).method == "exact"


def test_lanczos_keeps_its_vectors_orthogonal():
    # one large eigenvalue converges at once; without orthogonalisation its copies would follow,
    # and 60 products would not use up a space of 60. A negative one keeps it going to the end.
    values = torch.cat([geometric(1, 2, 58), torch.tensor([-1.0, 1e6], dtype=torch.float64)])
    start = torch.randn(60, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    products = []

    def product(v):
        products.append(v)
        return values * v

    found = lanczos(product, start, 60)
    vectors = torch.stack(products)
    assert found.iterations == len(vectors) == 60 and found.settled
    assert found.kappa == pytest.approx(1e6, rel=1e-8)
    gram = vectors @ vectors.T
    assert torch.allclose(gram, torch.eye(len(gram), dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize("exact_up_to", [1000, 10])
def test_null_directions_are_counted_as_0_and_not_as_ill_conditioned(exact_up_to):
    model, loss = quadratic([0.0] * 8 + [2.0, 3.0, 5.0, 7.0] * 10)
    found = of_hessian(model, loss, NOTHING, exact_up_to=exact_up_to)
    assert found.smallest == pytest.approx(0, abs=1e-14)
    assert (found.largest, found.smallest_positive) == pytest.approx((7, 2), rel=1e-11)
    assert found.kappa == pytest.approx(3.5, rel=1e-11) and found.settled


@pytest.mark.parametrize("exact_up_to", [1000, 10])
def test_an_indefinite_hessian_says_so(exact_up_to):
    model, loss = quadratic([-4.0, -1e-3] + [0.5, 1.0, 2.0, 6.0] * 10)
    found = of_hessian(model, loss, NOTHING, exact_up_to=exact_up_to)
    assert (found.largest, found.lowest) == pytest.approx((6, -4), rel=1e-10)
    assert found.smallest == pytest.approx(1e-3, rel=1e-8)
    assert found.smallest_positive == pytest.approx(0.5, rel=1e-10)
    assert found.kappa == pytest.approx(12, rel=1e-10)


def test_too_few_products_give_bounds_and_say_so():
    model, loss = quadratic(geometric(1, 1e6, 300))
    exact = of_hessian(model, loss, NOTHING)
    found = of_hessian(model, loss, NOTHING, exact_up_to=10, iterations=40)
    assert not found.settled and found.iterations == 40
    assert found.largest_settled and not found.lowest_settled
    assert found.largest <= exact.largest * (1 + 1e-12)
    assert found.largest == pytest.approx(exact.largest, rel=1e-6)
    assert found.smallest_positive > exact.smallest_positive and found.kappa < exact.kappa


@pytest.mark.parametrize("low", [-20.0, 0.0])
@pytest.mark.parametrize("iterations", range(14, 36, 3))
def test_what_lanczos_has_not_found_yet_is_not_taken_for_an_eigenvalue(low, iterations):
    # nothing between 0 and 1, where values pass by on their way to an end of the spectrum
    values = torch.cat([geometric(1, 20, 100), torch.linspace(low, low / 20, 100).double()])
    start = torch.randn(200, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = lanczos(lambda v: values * v, start, iterations)
    for value, true in ((found.smallest_positive, values), (found.smallest, values.abs())):
        distance = float((true - value).abs().min())
        assert math.isnan(value) or distance <= max(1e-3 * value, 1e-10)


@pytest.mark.parametrize("name", ["linear_regression", "mlp"])
def test_both_methods_agree_on_a_model(name):
    if name == "mlp":
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
        x = torch.randn(50, 6)
        loss, train = lambda m, b: F.cross_entropy(m(b.x), b.y), Batch(x, torch.arange(50) % 3)
    else:
        workload = load(name)
        model, loss, train = workload.model(0), workload.loss, workload.data().train
    exact = of_hessian(model, loss, train)
    found = of_hessian(model, loss, train, exact_up_to=1)
    assert found.method == "lanczos" and exact.method == "exact"
    assert (found.largest, found.lowest) == pytest.approx((exact.largest, exact.lowest), rel=1e-9)
    assert found.kappa == pytest.approx(exact.kappa, rel=1e-6)


def standardised(x):
    """x over its standard deviation; features that do not vary stay 0."""
    deviation = x.std(dim=0, correction=0)
    return (x - x.mean(dim=0)) / torch.where(deviation > 0, deviation, 1)


def whitened(x):
    """x in as many uncorrelated directions of variance 1 as it has."""
    x = x - x.mean(dim=0)
    values, vectors = torch.linalg.eigh(x.T @ x / len(x))
    kept = values > 1e-10 * values.max()
    return x @ vectors[:, kept] / values[kept].sqrt()


@pytest.fixture(scope="module")
def digits():
    train = data.digits().train
    return {
        "raw": train.x.double(),
        "standardised": standardised(train.x.double()),
        "whitened": whitened(train.x.double()),
    }, train.y


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("raw", 1e7, 1e9), ("standardised", 200, 400), ("whitened", 1, 1 + 1e-8)],
)
def test_softmax_regression_on_digits_has_its_inputs_condition_number(digits, name, low, high):
    inputs, y = digits
    model = nn.Linear(inputs[name].shape[1], 10)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    of_x = of_inputs(inputs[name])
    assert low <= of_x.kappa <= high
    # at weights of 0 the Hessian is (I/10 - 1/100) over classes, times X^T X / n: one null
    # direction, and 1/10
    found = of_hessian(model, lambda m, b: F.cross_entropy(m(b.x), b.y), Batch(inputs[name], y))
    assert found.kappa == pytest.approx(of_x.kappa, rel=1e-5)
    assert found.largest == pytest.approx(of_x.largest / 10, rel=1e-10)
    assert found.smallest == pytest.approx(0, abs=1e-12)


def test_standardising_lowers_the_condition_number_a_thousandfold(digits):
    inputs, _ = digits
    assert of_inputs(inputs["raw"]).kappa > 1000 * of_inputs(inputs["standardised"]).kappa


def test_the_condition_numbers_of_diabetes():
    from sklearn.datasets import load_diabetes

    raw = torch.from_numpy(load_diabetes(scaled=False).data)
    assert of_inputs(raw).kappa == pytest.approx(5.2e7, rel=0.01)
    assert of_inputs(standardised(raw)).kappa == pytest.approx(470, rel=0.001)
    workload = load("linear_regression")
    train = workload.data().train
    assert of_inputs(train.x).kappa == pytest.approx(442, rel=0.002)
    hessian = of_hessian(workload.model(0), workload.loss, train)
    assert hessian.largest == pytest.approx(2 * of_inputs(train.x).largest, rel=1e-10)
    assert hessian.largest == pytest.approx(8.29, abs=0.005)  # as its LEARNING_RATE is told from


def test_inputs_without_an_intercept_and_of_any_shape():
    x = torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]]])
    found = of_inputs(x, intercept=False)  # diag(1, 4) / 2
    assert (found.largest, found.smallest, found.kappa) == (2, 0.5, 4)
    assert of_inputs(x).size == 3


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide = nn.Linear(4, 12)
        self.cell = nn.GRU(4, 1, batch_first=True)

    def forward(self, x):
        q, k, v = self.wide(x)[:, None].chunk(3, dim=-1)
        return self.cell(F.scaled_dot_product_attention(q, k, v)[:, 0])[0].sum(dim=1)


def test_attention_and_recurrent_layers_are_differentiated_twice():
    torch.manual_seed(0)
    batch = Batch(torch.randn(6, 5, 4), torch.randn(6, 1))
    found = of_hessian(Attention(), lambda m, b: F.mse_loss(m(b.x), b.y), batch)
    assert found.largest > 0 and found.size == 60 + 21


def test_the_model_is_left_as_it_was():
    model, loss = quadratic([1.0, 2.0, 3.0, 4.0])
    before = [p.clone() for p in model.parameters()]
    state = torch.random.get_rng_state()
    of_hessian(model, loss, NOTHING)
    of_hessian(model, loss, NOTHING, exact_up_to=1)
    assert torch.equal(state, torch.random.get_rng_state())
    for parameter, value in zip(model.parameters(), before, strict=True):
        assert parameter.dtype == torch.float32 and parameter.grad is None
        assert torch.equal(parameter, value)


@pytest.mark.parametrize("exact_up_to", [1000, 1])
def test_a_loss_that_is_linear_or_part_of_the_parameters_has_zeros(exact_up_to):
    found = of_hessian(Theta(6), lambda m, b: m(b.x).sum(), NOTHING, exact_up_to=exact_up_to)
    assert (found.largest, found.lowest, found.smallest) == (0, 0, 0)
    assert math.isnan(found.kappa) and math.isnan(found.smallest_positive)
    found = of_hessian(
        Theta(6), lambda m, b: 3 * m.second.square().sum(), NOTHING, exact_up_to=exact_up_to
    )
    assert (found.largest, found.smallest_positive) == pytest.approx((6, 6))
    assert found.smallest == pytest.approx(0, abs=1e-12)


def test_bad_input_is_refused():
    model, loss = quadratic([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="no parameters to train"):
        of_hessian(nn.ReLU(), loss, NOTHING)
    with pytest.raises(ValueError, match="0 iterations"):
        of_hessian(model, loss, NOTHING, exact_up_to=1, iterations=0)
    with pytest.raises(ValueError, match="no samples"):
        of_inputs(torch.zeros(0, 3))
    with pytest.raises(ValueError, match="not finite"):
        of_inputs(torch.tensor([[math.inf]]))
    with pytest.raises(ValueError, match="not finite"):
        of_matrix(torch.tensor([[math.nan]], dtype=torch.float64))
    with torch.no_grad():
        model.first.fill_(math.nan)
    for exact_up_to in (1000, 1):
        with pytest.raises(ValueError, match="not finite"):
            of_hessian(model, lambda m, b: m(b.x).pow(3).sum(), NOTHING, exact_up_to=exact_up_to)
