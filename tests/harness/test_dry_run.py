"""Launches on a GPU that is not there: compiled as there, recorded, and not run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import predict
from harness.__main__ import main
from harness.predict import Predicted

ROOT = Path(__file__).parents[2]

# What one process without the interpreter finds: some cases' launches, and what it leaves behind.
CODE = """
import json, torch
from triton.runtime import driver
import kernels
from harness import dry_run
from kernels import _launch
from kernels.spec import Case

before = driver._active
def launches(name, case, capability=(9, 0), provider="triton"):
    found = dry_run.run(kernels.load(name), case, provider, _launch.Gpu(capability, 132))
    return [one._asdict() for one in found]

product = Case({"M": 2048, "N": 1024, "K": 1024}, "bfloat16", devices=("cuda",))
unaligned = Case({"M": 250, "N": 250, "K": 125}, "bfloat16", devices=("cuda",))
both = Case({"M": 2048, "N": 1024, "K": 1024}, "bfloat16", "forward+backward", devices=("cuda",))
loss = Case({"R": 8192, "C": 50257}, "bfloat16", "backward", devices=("cuda",))
try:
    kernels.matmul(torch.ones(1, 1), torch.ones(1, 1))
    refused = ""
except RuntimeError as error:
    refused = str(error)
print(json.dumps({
    "product": launches("matmul", product), "older": launches("matmul", product, (8, 0)),
    "unaligned": launches("matmul", unaligned), "both": launches("matmul", both),
    "backward": launches("cross_entropy", loss),
    "left": [_launch.assumed is None, driver._active is before, refused],
}))
"""


@pytest.fixture(scope="module")
def found():
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_product_takes_the_kernel_that_its_gpu_has(found):
    (hopper,), (older,) = found["product"], found["older"]
    assert (hopper["kernel"], hopper["programs"], hopper["tiles"]) == (
        "_persistent_kernel", 128, 128,
    )  # fmt: skip
    assert (older["kernel"], older["programs"]) == ("_matmul_kernel", 512)
    for launch in (hopper, older):
        assert launch["flops"] == 2 * 2048 * 1024 * 1024
        assert launch["size"] == 2 * (2048 * 1024 + 1024 * 1024 + 2048 * 1024)
        assert 32 < launch["registers"] <= 255 and not launch["spilled"]
    assert 100_000 < hopper["shared_bytes"] <= 232_448 and older["shared_bytes"] <= 101_376


def test_narrow_loads_are_marked(found):
    (unaligned,) = found["unaligned"]
    assert unaligned["narrow"] and not found["product"][0]["narrow"]
    assert not found["older"][0]["narrow"]
    assert not found["backward"][0]["narrow"]  # of 50257 classes, whose rows are peeled


def test_the_gradients_are_launched_too_and_alone_where_only_they_are_timed(found):
    assert [one["flops"] for one in found["both"]] == [2 * 2048 * 1024 * 1024] * 3
    assert [one["kernel"] for one in found["backward"]] == ["_gradients_kernel"]


def test_nothing_of_it_stays(found):
    unassumed, same_driver, refused = found["left"]
    assert unassumed and same_driver
    assert "Triton kernels do not run on cpu" in refused


def test_the_interpreter_has_nothing_to_compile():
    code = (
        "import kernels; from harness import dry_run; from kernels._launch import Gpu\n"
        "matmul = kernels.load('matmul')\n"
        "dry_run.run(matmul, matmul.cases[0], 'triton', Gpu((9, 0), 132))"
    )
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.stderr.splitlines()[-1].startswith("RuntimeError: Triton's interpreter compiles")


def test_what_is_predicted_is_told_as_no_measurement(monkeypatch, capsys):
    good = Predicted("matmul", "M1", "triton", 3, 1, 1e-4, 1.5e-4)
    narrow = good._replace(case="M3", narrow=True)
    bad = Predicted("matmul", "M2", "triton", why_not="OutOfResources: too much", failed=True)
    monkeypatch.setattr(predict, "predict", lambda gpu: [good, narrow, bad])
    assert main(["predict", "H200"]) == 1
    told = capsys.readouterr().out
    assert "Nothing here was measured, and no GPU was used." in told
    lines = [" ".join(line.split()) for line in told.splitlines()]
    assert "case provider launches spill roof at least at least / roof" in lines
    assert "matmul M1 triton 3 1 100.0 us 150.0 us 1.50" in lines
    assert "matmul M3 triton 3 1 100.0 us 150.0 us 1.50 narrow loads, not modelled" in lines
    assert told.endswith("matmul M2 triton: OutOfResources: too much\n")
    monkeypatch.setattr(predict, "predict", lambda gpu: [good])
    assert main(["predict", "A100"]) == 0


def test_an_unknown_gpu_is_refused_in_one_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["predict", "RTX"])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "invalid choice: 'RTX'" in line


@pytest.mark.parametrize(
    "gpu",
    [
        pytest.param("H200", marks=pytest.mark.slow),
        pytest.param("A100", marks=pytest.mark.exhaustive),
    ],
)
def test_every_case_can_be_launched_there_without_spills(gpu):
    every = predict.predict(gpu)
    assert len(every) > 60
    for one in every:
        assert not one.failed and not one.spilling, one
        # a kernel may need less than is compulsory for autograd's steps together, never half
        assert one.why_not or 0.9 * one.roof_s < one.predicted_s, one
