"""The data sets are the ones the targets were set on, and the draws from them are exact."""

import hashlib
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
