"""What two ranks can share of a trial and of a batch: told without starting any."""

import pytest
import torch
from torch import nn

import workloads
from harness import trials
from harness.curve import Trial
from harness.ranks import Ranks
from tests.harness.test_training import parabola


def of_two(rank=0):
    found = object.__new__(Ranks)
    found.rank, found.size = rank, 2
    return found


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, ""),
        ({"batch": 7}, "2 ranks cannot share a batch of 7 evenly"),
        ({"optimizer": "newton"}, "newton looks at the loss of the whole batch"),
        ({"optimizer": "lbfgs"}, "lbfgs looks at the loss of the whole batch"),
    ],
)
def test_what_ranks_cannot_share_is_refused_in_words(more, words):
    trial = Trial(**{"workload": "neuron", "optimizer": "sgd", "batch": 8} | {
        "learning_rate": 0.1, "seed": 0} | more)  # fmt: skip
    why = of_two().why_not(trial, workloads.load("neuron"))
    assert words in why and bool(why) == bool(words)


def test_torchs_own_batch_norm_is_refused():
    own = parabola(model=lambda seed: nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 1)))
    why = of_two().why_not(Trial("parabola", "sgd", 8, 0.1, 0), own)
    assert "BatchNorm1d" in why and "workloads.deep_mlp.BatchNorm" in why


def test_a_refused_trial_is_a_reason_and_not_a_crash():
    job = trials.Job(Trial("neuron", "sgd", 7, 0.1, 0), 10, False)
    with pytest.raises(trials.Refused, match="7 evenly"):
        next(of_two().engine([job]))


def test_the_parts_of_a_batch_are_the_batch():
    train = workloads.load("neuron").data().train
    batch = workloads.spec.Batch(train.x[:32], train.y[:32])
    parts = [of_two(rank).part(batch) for rank in (0, 1)]
    assert torch.equal(torch.cat([part.x for part in parts]), batch.x)
    assert torch.equal(torch.cat([part.y for part in parts]), batch.y)
