"""python -m harness check FILE of a workload: each of its parts, right or wrong, and its steps."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from harness import own
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


@pytest.mark.parametrize(
    ("part", "changed", "verdict", "words"),
    [
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
