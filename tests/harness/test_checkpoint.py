"""Checkpoints: a trial that goes on from one is the trial that was not cut short, counted once."""

import dataclasses
import os
from types import SimpleNamespace

import pytest
import torch

import workloads
from harness import training
from harness.checkpoint import Checkpoint
from harness.curve import Trial
from harness.team import Alone

STEPS = 40
METHODS = ("cartpole", "cartpole/reinforce")


class Kept(Alone):
    """One process that leaves checkpoints, and goes on from one where it is there."""

    def __init__(self, path):
        self.checkpoint = Checkpoint(path, "this trial")

    def saved(self):
        return self.checkpoint.load()

    def save(self, make):
        self.checkpoint.save(make())


class Killed(BaseException):
    """As a signal would end it: no reason of the trial's."""


def trained(name, team, until=None):
    workload = workloads.load(name) if isinstance(name, str) else name
    trial = Trial(workload.name, workload.optimizer, workload.batch_size, workload.learning_rate, 0)

    def look(point):
        if point.steps == until:
            raise Killed

    return training.run(trial, workload, max_steps=STEPS, on_point=look, show=False, team=team)


def counted(curve):
    return [(p.steps, p.samples, p.flops, p.loss, p.metric) for p in curve.points]


# momentum of its own kind in each; pairs that are drawn, and games that are played
@pytest.mark.parametrize(
    "name",
    [
        *("mlp_classification", "deep_mlp", "word2vec"),
        pytest.param("cartpole", marks=pytest.mark.slow),
    ],
)
def test_what_was_cut_short_goes_on_as_if_it_had_not_been(tmp_path, name):
    whole = trained(name, Alone())
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Killed):
        trained(name, Kept(path), until=30)
    seen = []
    again = trained(name, Spied(path, seen))
    assert counted(again) == counted(whole)
    # the evaluation at which it was killed is the first that is made again
    assert seen[0] == 29
    seconds = [point.seconds for point in again.points]
    assert seconds == sorted(seconds)
    inclusive = [point.seconds_inclusive for point in again.points]
    assert inclusive == sorted(inclusive)


def test_batches_without_a_state_start_over(tmp_path):
    own = workloads.load("word2vec")
    plain = dataclasses.replace(own, batches=lambda *given: (b for b in own.batches(*given)))
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Killed):
        trained(plain, Kept(path), until=30)
    assert not path.exists()


# after so many batches: none, within a rollout or a draw, at its end, in the next
@pytest.mark.parametrize("before", [0, 3, 32, 33])
@pytest.mark.parametrize("name", ["word2vec", *METHODS])
def test_batches_go_on_from_their_state(tmp_path, monkeypatch, name, before):
    monkeypatch.setattr("workloads.word2vec.PAIRS", 32 * 256)
    monkeypatch.setattr("workloads.pole.LIMIT", 20)  # so that a game's age counts
    workload, size = workloads.load(name), 256
    model, train = workload.model(0), workload.data().train
    first = workload.batches(model, train, size, 0)
    for _ in range(before):
        next(first)
    torch.save(first.state_dict(), tmp_path / "state")
    again = workload.batches(model, train, size, 1)  # another seed's, until it is told
    again.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    for _ in range(40):
        for expected, got in zip(next(first), next(again), strict=True):
            assert torch.equal(expected, got)


class Spied(Kept):
    """It tells from which step it goes on."""

    def __init__(self, path, seen):
        super().__init__(path)
        self._seen = seen

    def saved(self):
        state = super().saved()
        if state:
            self._seen.append(state["points"][-1][0])
        return state


def test_another_trials_checkpoint_is_not_taken(tmp_path):
    Checkpoint(tmp_path / "c", "one").save({"points": []})
    assert Checkpoint(tmp_path / "c", "other").load() is None
    assert Checkpoint(tmp_path / "c", "one").load() == {"points": [], "of": "one"}
    assert Checkpoint(tmp_path / "none", "one").load() is None


class Evil:
    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return os.mkdir, (self._path,)


@pytest.mark.parametrize(
    "what", ["code", "cut short", b"\x00\x01 noise", b"0", b"h\x00", "no dictionary"]
)
def test_what_is_no_checkpoint_is_named_and_never_run(tmp_path, capsys, what):
    path = tmp_path / "checkpoint.pt"
    torch.save({"of": "t", "points": Evil(str(tmp_path / "run")) if what == "code" else []}, path)
    if what == "cut short":
        path.write_bytes(path.read_bytes()[:100])
    if isinstance(what, bytes):
        path.write_bytes(what)
    if what == "no dictionary":
        torch.save([1], path)
    assert Checkpoint(path, "t").load() is None
    assert not (tmp_path / "run").exists()
    said = capsys.readouterr().err
    assert said.count("\n") == (what != "no dictionary")
    assert "checkpoint.pt" in said or what == "no dictionary"


def test_a_disk_that_is_full_does_not_end_the_trial(tmp_path, capsys):
    Checkpoint(tmp_path / "no folder" / "checkpoint.pt", "t").save({})
    assert "cannot write checkpoint.pt" in capsys.readouterr().err


def test_saving_takes_a_twentieth_of_the_time_at_most(tmp_path, monkeypatch):
    clock = iter([0.0, 1.0, 1.0, 2.0, 20.9, 22.1])
    fake = SimpleNamespace(perf_counter=lambda: next(clock))
    monkeypatch.setattr("harness.checkpoint.time", fake)
    checkpoint = Checkpoint(tmp_path / "c", "t")
    assert checkpoint.due
    checkpoint.save({})  # from 1 to 2
    assert not checkpoint.due
    assert checkpoint.due
