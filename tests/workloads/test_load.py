"""The table of contents: loading by name, at no cost until then, and adding a workload."""

import subprocess
import sys
from pathlib import Path

import pytest

import workloads
from harness import case, convergence, training
from harness.curve import REACHED, Trial
from harness.subjects import TRAIN, of_workload
from harness.timing import Limits

SHORT = Limits(min_sampled_s=0.01, max_samples=30, max_s=0.2, warmup_s=0.01, max_warmup_s=0.05)
ROOT = Path(workloads.__file__).parents[1]

FROM_OUTSIDE = '''
"""A workload that ships with nobody."""
import torch
from torch.nn import functional as F
from workloads import data
from workloads.spec import Flops, Target, Workload

def model(seed):
    torch.manual_seed(seed)
    return torch.nn.Linear(10, 1)

WORKLOAD = Workload(
    name="from_outside",
    data=data.diabetes,
    model=model,
    loss=lambda model, batch: F.l1_loss(model(batch.x), batch.y),
    metric=lambda model, batch: F.l1_loss(model(batch.x), batch.y),
    target=Target("mean absolute error", 0.7),
    flops=Flops(20, 20),
    optimizer="sgd",
    learning_rate=0.1,
    batch_size=32,
    max_steps=100,
)
'''


def test_importing_the_package_imports_no_torch():
    code = (
        "import sys, workloads; assert workloads.NAMES; "
        "print(*sorted({'torch', 'sklearn', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("name", ["resnet", "", "spec", "data", "linear_regression.model", None])
def test_an_unknown_name_is_refused_with_the_names_there_are(name):
    with pytest.raises(ValueError) as caught:
        workloads.load(name)
    assert str(caught.value) == (
        f"unknown workload {name!r}: choose one of {', '.join(workloads.NAMES)}"
    )


def test_the_front_page_lists_every_name_in_order():
    page = workloads.__doc__
    listed = [line.split()[0] for line in page.splitlines() if line.startswith("    ")]
    assert [name for name in listed if name != ">>>"] == list(workloads.NAMES)


def test_a_new_workload_is_one_file_and_one_word(tmp_path, monkeypatch):
    (tmp_path / "from_outside.py").write_text(FROM_OUTSIDE)
    monkeypatch.setattr(workloads, "__path__", [*workloads.__path__, str(tmp_path)])
    with pytest.raises(ValueError, match="unknown workload 'from_outside'"):
        workloads.load("from_outside")
    monkeypatch.setattr(workloads, "NAMES", (*workloads.NAMES, "from_outside"))
    try:
        workload = workloads.load("from_outside")
        assert workload.name == "from_outside"
        curve = training.run(Trial("from_outside", "sgd", 32, 0.05, 0))
        assert (curve.status, curve.reason) == (REACHED, None)
        assert curve.points[-1].flops == curve.points[-1].samples * 40
        setting = case.Setting("cpu", "a processor", "host", "quick", limits=SHORT)
        timed = case.run(of_workload(workload, TRAIN, 8, "cpu"), ["eager"], setting)["eager"]
        assert timed.fields["reason"] is None and timed.fields["median_s"] > 0
        assert "from_outside" in {setting.workload for setting in convergence.settings()}
    finally:
        sys.modules.pop("workloads.from_outside", None)
        vars(workloads).pop("from_outside", None)
