"""The data sets are the ones the targets were set on, and the draws from them are exact."""

import functools
import hashlib
import math
from itertools import islice

import pytest
import torch

from workloads import data
from workloads.spec import Batch

SETS = {
    # name: function, train, validation, sha256 of x and y of both
    "diabetes": (
        data.diabetes,
        353,
        89,
        "5616df3a3a9833323f1469b6227a55449a1e82f55386df09e5e5367b21baf3a2",
    ),
    "digits": (
        data.digits,
        1437,
        360,
        "ba992aabb3a90c6e0e8bb6d4a81aa019595ed611e34986316a8179bf5bb54a04",
    ),
    "breast_cancer": (
        data.breast_cancer,
        426,
        143,
        "e390c58b4eb81839cabad977d7b28522314aa51d6dd9674270929d8c60460ecc",
    ),
    "breast_cancer raw": (
        functools.partial(data.breast_cancer, standardised=False),
        426,
        143,
        "26e211aa7cd434c8d2a950669efa631bacf1c20a2d25a587f1466ab96ad475b4",
    ),
    "friedman1": (
        data.friedman1,
        4000,
        1000,
        "31f7c9b2dd2d8d82d0377ca6baa1c0d46390110782c45ae7c42f587c3e748082",
    ),
    "friedman1 outliers": (
        functools.partial(data.friedman1, outliers=True),
        4000,
        1000,
        "494c5ada4baadaa12918204b6e1a1f30ebf71f0b45f9cd5af0b319c4e911b889",
    ),
}
NUMBERED = Batch(torch.arange(10.0).reshape(10, 1), torch.arange(10))


@pytest.fixture(params=SETS)
def split(request):
    return SETS[request.param][0]()


@pytest.mark.parametrize("name", SETS)
def test_the_split_is_the_one_the_targets_were_set_on(name):
    function, train, validation, digest = SETS[name]
    found = hashlib.sha256()
    for batch in function():
        for tensor in batch:
            found.update(tensor.numpy().tobytes())
    assert (len(function().train), len(function().validation)) == (train, validation)
    assert found.hexdigest() == digest


def test_no_sample_is_in_both_training_and_validation(split):
    train, validation = (set(map(tuple, batch.x.tolist())) for batch in split)
    assert len(train) == len(split.train)  # no duplicates either, so that the next line can tell
    assert not train & validation


def test_diabetes_is_standardised_with_the_training_statistics_alone():
    train, validation = data.diabetes()
    for tensor in (train.x, train.y):
        tensor = tensor.double()
        assert tensor.mean(0).abs().max() < 1e-7
        assert (tensor.std(0, correction=0) - 1).abs().max() < 1e-7
    assert validation.x.double().mean(0).abs().max() > 1e-2  # not by its own


def test_digits_are_in_the_unit_interval_and_every_class_on_both_sides():
    for batch in data.digits():
        assert (batch.x.min(), batch.x.max()) == (0, 1)
        assert torch.equal(batch.x * 16, (batch.x * 16).round())
        assert batch.y.dtype == torch.int64
        shares = torch.bincount(batch.y) / len(batch)
        assert len(shares) == 10 and shares.min() > 0.09 and shares.max() < 0.11


def test_breast_cancer_is_standardised_with_the_training_statistics_alone():
    raw, (train, validation) = data.breast_cancer(standardised=False), data.breast_cancer()
    x = raw.train.x.double()
    mean, std = x.mean(0), x.std(0, correction=0)
    for found, measured in ((train.x, raw.train.x), (validation.x, raw.validation.x)):
        expected = (measured.double() - mean) / std
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    assert validation.x.double().mean(0).abs().max() > 1e-2  # not by its own
    assert (x.amax(0).min(), x.amax(0).max()) == (pytest.approx(0.02984), pytest.approx(4254))


def test_breast_cancer_is_benign_as_often_on_both_sides():
    for batch in data.breast_cancer():
        assert batch.y.shape == (len(batch), 1) and set(batch.y.flatten().tolist()) == {0, 1}
        assert batch.y.mean().item() == pytest.approx(0.627, abs=5e-3)


def friedman(x):
    one, two, three, four, five = (x.double()[:, :5] / math.sqrt(12) + 0.5).unbind(1)
    f = 10 * torch.sin(math.pi * one * two) + 20 * (three - 0.5) ** 2 + 10 * four + 5 * five
    return f[:, None]


def test_friedman1_is_its_formula_with_noise_in_training_and_without_in_validation():
    train, validation = data.friedman1()
    torch.testing.assert_close(validation.y.double(), friedman(validation.x), rtol=0, atol=1e-5)
    noise = train.y.double() - friedman(train.x)
    assert abs(noise.mean().item()) < 4 / math.sqrt(4000)
    assert noise.var().item() == pytest.approx(1, abs=4 * math.sqrt(2 / 4000))
    assert train.x.abs().max() <= math.sqrt(3)
    assert train.x.var(0).tolist() == pytest.approx([1] * 10, abs=0.05)


def test_the_outliers_are_one_in_ten_of_the_training_set_and_nothing_else_is_touched():
    (clean, clean_validation), (hit, hit_validation) = (
        data.friedman1(),
        data.friedman1(outliers=True),
    )
    assert torch.equal(clean.x, hit.x)
    assert torch.equal(clean_validation.x, hit_validation.x)
    assert torch.equal(clean_validation.y, hit_validation.y)
    off = (hit.y - clean.y)[hit.y != clean.y]
    assert len(off) == 400
    assert off.std().item() == pytest.approx(30, abs=4 * 30 / math.sqrt(800))


def test_conditioned_digits_are_the_digits_mapped_as_said():
    (train, validation), conditioned = data.digits(), data.conditioned_digits
    assert torch.equal(conditioned("scaled").train.x, train.x)
    assert torch.equal(conditioned("raw").validation.x, 16 * validation.x)
    mean = train.x.double().mean(0)
    for index, batch in enumerate((train, validation)):
        expected = batch.x.double() - mean  # the training set's, for both
        found = conditioned("centred")[index].x.double()
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    for inputs in data.INPUTS:
        for found, batch in zip(conditioned(inputs), (train, validation), strict=True):
            assert torch.equal(found.y, batch.y) and found.x.dtype == torch.float32


def test_standardised_digits_have_variance_1_but_for_pixels_within_rounding():
    train = data.conditioned_digits("standardised").train.x.double()
    variance = 256 * data.digits().train.x.double().var(0, correction=0)
    kept = variance > 1 / 12
    assert kept.sum() == 54
    assert (train[:, ~kept] == 0).all()
    assert train.mean(0).abs().max() < 1e-6
    assert (train[:, kept].var(0, correction=0) - 1).abs().max() < 1e-6
    for standardised, shifted in zip(
        data.conditioned_digits("standardised"), data.conditioned_digits("shifted"), strict=True
    ):
        torch.testing.assert_close(shifted.x, standardised.x + 10)


def test_whitened_digits_have_the_identity_for_their_covariance_where_there_is_one():
    train, validation = data.conditioned_digits("whitened")
    x = train.x.double()
    assert x.mean(0).abs().max() < 1e-6
    eigenvalues = torch.linalg.eigvalsh(x.T @ x / len(x))
    assert eigenvalues[:12].abs().max() < 1e-6
    assert (eigenvalues[12:] - 1).abs().max() < 1e-6
    assert validation.x.abs().max() < 20  # no stray mark decides the loss


def test_condition_numbers_of_softmax_regression():
    # its Hessian at zero weights is a Kronecker product of this with a matrix of the classes,
    # whose eigenvalues are 0 and 1/10
    kappa = {}
    for inputs in data.INPUTS:
        x = data.conditioned_digits(inputs).train.x.double()
        x = torch.cat([x, torch.ones_like(x[:, :1])], 1)
        eigenvalues = torch.linalg.eigvalsh(x.T @ x / len(x))
        eigenvalues = eigenvalues[eigenvalues > 1e-12 * eigenvalues[-1]]
        kappa[inputs] = (eigenvalues[-1] / eigenvalues[0]).item()
    assert kappa["whitened"] == pytest.approx(1, abs=1e-6)
    assert kappa["standardised"] == pytest.approx(143, rel=0.01)
    assert kappa["shifted"] == pytest.approx(1.26e5, rel=0.01)
    assert kappa["centred"] == pytest.approx(7.9e6, rel=0.01)
    assert kappa["raw"] == pytest.approx(8.2e7, rel=0.01)
    assert kappa["scaled"] == pytest.approx(9.0e7, rel=0.01)


@pytest.mark.parametrize("inputs", ["normalised", "", None])
def test_unknown_inputs_are_refused(inputs):
    with pytest.raises(ValueError) as caught:
        data.conditioned_digits(inputs)
    assert str(caught.value) == (
        f"unknown inputs {inputs!r}: choose one of "
        "raw, scaled, centred, standardised, shifted, whitened"
    )


def test_an_epoch_holds_every_sample_once_whatever_the_batch_size():
    seen = torch.cat([batch.y for batch in islice(data.batches(NUMBERED, 4, seed=0), 5)])
    first, second = seen[:10], seen[10:]
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(10))
    assert first.tolist() != second.tolist()  # shuffled anew
    assert first.tolist() != list(range(10))


@pytest.mark.parametrize("size", [1, 3, 10])
def test_batches_have_exactly_the_size_asked_for(size):
    for batch in islice(data.batches(NUMBERED, size, seed=0), 12):
        assert batch.x.shape == (size, 1) and batch.y.shape == (size,)
        assert torch.equal(batch.x[:, 0], batch.y.float())  # x and y stay together


def test_batches_and_sample_follow_their_seed_alone():
    def draw(seed):
        return next(data.batches(NUMBERED, 10, seed)).y, data.sample(NUMBERED, 10, seed).y

    before = torch.get_rng_state()
    for first, again, other in zip(draw(1), draw(1), draw(2), strict=True):
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_sample_goes_beyond_the_data_set_and_reaches_all_of_it():
    drawn = data.sample(NUMBERED, 1024, seed=0)
    assert drawn.x.shape == (1024, 1)
    assert torch.equal(drawn.x[:, 0], drawn.y.float())
    assert drawn.y.unique().tolist() == list(range(10))


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(ValueError) as caught:
        data.batches(NUMBERED, 11, seed=0)
    assert str(caught.value) == "batch size 11: the training set has 10 samples"


@pytest.mark.parametrize("draw", [data.batches, data.sample])
@pytest.mark.parametrize("size", [0, -1, 2.0, True, "8", None])
def test_a_batch_size_that_is_none_is_refused_at_once(draw, size):
    with pytest.raises(ValueError) as caught:
        draw(NUMBERED, size, seed=0)
    assert str(caught.value) == f"batch size {size!r}: must be an int of at least 1"


@pytest.mark.parametrize("draw", [data.batches, data.sample])
def test_an_empty_data_set_is_refused(draw):
    with pytest.raises(ValueError, match="the data set is empty"):
        draw(Batch(torch.empty(0, 1), torch.empty(0)), 1, seed=0)
