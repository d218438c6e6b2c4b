"""The package's table of contents."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import kernels
from kernels.spec import DIRECTIONS, Operation

ROOT = Path(__file__).parents[2]
ALL = pytest.mark.parametrize("name", kernels.NAMES)


def test_importing_the_package_imports_neither_torch_nor_triton():
    code = "import sys, kernels, kernels.spec; print({'torch', 'triton'} & {*sys.modules})"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout == "set()\n"


@ALL
def test_load_gives_the_operation_of_that_name(name):
    operation = kernels.load(name)
    assert isinstance(operation, Operation)
    assert operation.name == name
    assert operation.baseline in operation.providers


@ALL
def test_the_public_function_stays_a_function_whoever_imports_its_file(name):
    importlib.import_module(f"kernels.{name}")
    assert callable(getattr(kernels, name))
    assert name in dir(kernels)


@ALL
def test_cases_are_named_once_and_say_what_they_are(name):
    cases = kernels.load(name).cases
    assert len({case.name for case in cases}) == len(cases)
    for case in cases:
        assert case.direction in DIRECTIONS
        assert {*case.presets} <= {"quick", "full"}
        assert {*case.devices} <= {"cpu", "cuda"}
    assert any("cpu" in case.devices and "quick" in case.presets for case in cases)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="no kernel is named 'matmull'; there is matmul"):
        kernels.load("matmull")
    with pytest.raises(AttributeError, match="no attribute 'matmull'"):
        kernels.matmull  # noqa: B018  # naming it is the test


# One of each public function.
CALLS = (
    "matmul(x, x)",
    "linear(x, x)",
    "bias_activation(x)",
    "cross_entropy(x, t)",
    "linear_cross_entropy(x, x, t)",
)


@pytest.mark.parametrize("call", CALLS)
def test_the_cpu_without_the_interpreter_is_refused_with_both_ways_out(call):
    code = f"import torch, kernels; x, t = torch.ones(2, 2), torch.tensor([0, 1]); kernels.{call}"
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 1
    last = run.stderr.splitlines()[-1]
    assert last.startswith(f"RuntimeError: {call.split('(')[0]}: Triton kernels do not run on cpu")
    assert "CUDA" in last and "TRITON_INTERPRET=1" in last
