"""What kernels/matmul.py declares to be built is what it launches, in each configuration."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.compile import ARCHITECTURES
from kernels._product import CONFIGS
from kernels._product_builds import FAMILY
from kernels.tuning import Config

module = importlib.import_module("kernels.matmul")
DTYPES = {"half": {"bfloat16", "float16"}, "tf32": {"float32"}, "ieee": {"float32"}}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_configuration_in_every_dtype_and_layout(architecture):
    builds = module.OPERATION.builds(architecture)
    configurations = dict(CONFIGS[FAMILY[architecture]])
    if FAMILY[architecture] == "sm_90":  # no default, but code of its own
        configurations["half", "tma halves"] = Config(128, 256, 64, 8, 4)
    assert {(b.configuration, b.dtype) for b in builds} == {
        (f"{arithmetic} {shape} {layout}", dtype)
        for arithmetic, shape in configurations
        for layout in ("nn", "nt", "tn")
        for dtype in DTYPES[arithmetic]
    }
    for build in builds:
        arithmetic, *shape, _ = build.configuration.split()
        tile = configurations[arithmetic, " ".join(shape)]
        assert (build.num_warps, build.num_stages) == (tile.num_warps, tile.num_stages)
        assert build.constants["BLOCK_N"] == tile.BLOCK_N
        assert build.constants.get("HALVES", False) == ("halves" in shape)
        assert {*build.types} | {*build.constants} == {*build.kernel.arg_names}
        assert {*build.aligned} <= {*build.types}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_only_exact_float32_and_few_rows_may_do_without_matrix_units(architecture):
    for build in module.OPERATION.builds(architecture):
        assert build.matrix != ("ieee" in build.configuration or "skinny" in build.configuration)


ROUNDINGS = """
import json
from harness.compile import _build
from kernels import _added_product, _linear_builds, _product_builds

def rounds(build):
    return "cvt.rna.tf32" in _build(build, "sm_80").asm["ptx"]

def by_arithmetic(builds):
    words = [(build.configuration.split(), build) for build in builds]
    some = {name: build for (name, shape, *_), build in words if shape in ("small", "whole")}
    return {arithmetic: rounds(build) for arithmetic, build in some.items()}

each = (_product_builds, _linear_builds, _added_product)
print(json.dumps([by_arithmetic(module.builds("sm_80")) for module in each]))
"""


def test_only_tf32_is_rounded_and_in_every_product():
    """By the kernel: the matrix units would cut the bits off, which is beyond twice torch's error.

    A child, since here Triton may have been imported as an interpreter.
    """
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", ROUNDINGS], capture_output=True, text=True, cwd=root, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [{"half": False, "tf32": True, "ieee": False}] * 3
