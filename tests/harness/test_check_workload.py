"""python -m harness check FILE of a workload: each of its parts, right or wrong, and its steps."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import workloads
from harness import check_workload, own
from harness.__main__ import main
from harness.check import RIGHT, UNKNOWN, WRONG
from tests.harness.test_check import DEVICE, found
from tests.harness.test_own import WORKLOAD
from workloads.spec import Batch, Data, Flops, Target


@pytest.fixture
def workload(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)  # seconds each
    (tmp_path / "mine.py").write_text(WORKLOAD)
    return own.load(tmp_path / "mine.py")[0]


def test_a_workload_that_is_right(workload):
    lines = found(workload)
    wrong = [line for line in lines.values() if line.verdict == WRONG]
    assert not wrong
    assert {"data", "model", "loss", "metric", "FLOPs", "train at batch 32 eager"} <= set(lines)
    assert lines["FLOPs"].words == "6 forward and 6 backward a sample, as counted"
    graph = lines["inference at batch 32 graph"]
    assert graph.verdict == (UNKNOWN if DEVICE == "cpu" else RIGHT)


def test_a_compiled_step_that_is_wrong(workload, monkeypatch):
    def compiled(function, **_):
        return lambda *given: function(*given) * 1.01

    monkeypatch.setattr(torch, "compile", compiled)
    lines = found(workload)
    assert lines["train at batch 32 compile"].verdict == WRONG
    assert lines["inference at batch 32 compile"].verdict == WRONG
    assert lines["train at batch 32 eager"].verdict == RIGHT


def unseeded(seed):
    return nn.Linear(3, 1)


def moving():
    x = torch.randn(60, 3)
    return Data(Batch(x[:50], x[:50, :1]), Batch(x[50:], x[50:, :1]))


def recurrent(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Unflatten(1, (3, 1)), nn.LSTM(1, 2, batch_first=True), Last())


class Last(nn.Module):
    def forward(self, given):
        return given[0][:, -1, :1]


def leaking(shared, values=10**9):
    """Of 100 validation samples so many are training samples; x are three of so many values."""

    def data():
        generator = torch.Generator().manual_seed(0)
        x = torch.randint(values, (600, 3), generator=generator).float()
        held = torch.cat([x[:shared], x[500 : 600 - shared]])
        return Data(Batch(x[:500], x[:500, :1]), Batch(held, torch.zeros(100, 1)))

    return data


def broadcasting(model, batch):
    return nn.functional.mse_loss(model(batch.x), batch.y[:, 0])


@pytest.mark.filterwarnings("ignore:Using a target size")  # which the command does by itself
@pytest.mark.parametrize(
    ("part", "changed", "verdict", "words"),
    [
        (
            "data",
            {"data": leaking(100)},
            WRONG,
            "100 of 100 validation samples are training samples too",
        ),
        ("data", {"data": leaking(11)}, WRONG, "11 of 100 validation samples are training"),
        ("data", {"data": leaking(10)}, RIGHT, "; 10 of 100 validation samples are training"),
        ("data", {"data": leaking(0)}, RIGHT, "100 samples for validation, the same at every call"),
        # of eight kinds of samples all are in both
        ("data", {"data": leaking(0, 2)}, RIGHT, "; 100 of 100 validation samples are training"),
        ("loss", {"loss": broadcasting}, WRONG, "UserWarning: Using a target size (torch.Size([7"),
        ("metric", {"metric": broadcasting}, WRONG, "UserWarning: Using a target size"),
        ("data", {"data": moving}, WRONG, "training differs from one call to the next"),
        ("model", {"model": unseeded}, WRONG, "the same seed gives two different models"),
        (
            "model",
            {"model": lambda seed: nn.Linear(3, 1).double()},
            WRONG,
            "it is not in float32 on the CPU",
        ),
        (
            "loss",
            {"loss": lambda model, batch: (model(batch.x) - batch.y).square()},
            WRONG,
            "its shape is [7, 1], and it is to be a scalar",
        ),
        (
            "loss",
            {"loss": lambda model, batch: model.bias.square().sum()},
            WRONG,
            "it does not reach weight",
        ),
        (
            "metric",
            {"target": Target("error", 1e9)},
            WRONG,
            "there is nothing to reach",
        ),
        (
            "FLOPs",
            {"flops": Flops(6, 12)},
            WRONG,
            "backward, 12 declared and 6 counted at batch 1",
        ),
        ("FLOPs", {"flops": Flops(6, 6, answer=3)}, WRONG, "inference, 3 declared and 6 counted"),
        ("FLOPs", {"model": recurrent}, UNKNOWN, "UnknownFlops: the FLOPs of aten"),
        ("generate", {"generate": lambda model, seed: 7}, WRONG, "it gives int, and not text"),
        ("generate", {"generate": lambda model, seed: "ab"}, RIGHT, "2 characters"),
    ],
)
def test_a_part_of_a_workload(workload, part, changed, verdict, words):
    finding = found(replace(workload, **changed))[part]
    assert finding.verdict == verdict and words in finding.words


def test_a_loss_that_broadcasts_is_a_line_and_no_warning(tmp_path, recwarn, monkeypatch, capsys):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    path = tmp_path / "mine.py"
    path.write_text(WORKLOAD.replace("batch.y)", "batch.y[:, 0])"))
    assert main(["check", str(path)]) == 1
    out, err = capsys.readouterr()
    assert "WRONG        loss: UserWarning: Using a target size" in out
    assert "right        train at batch 32 eager" in out
    assert err == "" and not [w for w in recwarn if "broadcasting" in str(w.message)]


@pytest.mark.parametrize("name", [*workloads.NAMES, "char_rnn/topics"])
def test_our_own_data_are_right(name):
    told = check_workload.PARTS["data"](workloads.load(name))
    assert ("training samples too" in told) == (name == "char_rnn/topics")
