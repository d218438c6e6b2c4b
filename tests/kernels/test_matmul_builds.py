"""Every shipped configuration becomes machine code that fits its architecture, with no GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Bytes a block may have. "sm_80" stands for 8.6, 8.9 and 12.x too, which have the least.
SHARED = {"sm_80": 101_376, "sm_90": 232_448}
MATRIX_INSTRUCTION = {"sm_80": "mma.sync", "sm_90": "wgmma.mma_async"}


@pytest.fixture(scope="module")
def builds():
    """architecture -> what its builds reported; the architectures compile side by side."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = str(ROOT)
    script = Path(__file__).with_name("builds.py")
    running = {
        architecture: subprocess.Popen(
            [sys.executable, str(script), architecture],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for architecture in SHARED
    }
    reports = {}
    for architecture, process in running.items():
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        reports[architecture] = json.loads(output)
    return reports


@pytest.mark.parametrize("architecture", SHARED)
def test_nothing_spills_and_shared_memory_fits(builds, architecture):
    assert len(builds[architecture]) == 16  # 12 configurations, the 4 of half for two dtypes
    for build in builds[architecture]:
        assert build["spilled_bytes"] == 0, build
        assert 0 < build["shared_bytes"] <= SHARED[architecture], build
        assert 0 < build["registers"] <= 255, build


@pytest.mark.parametrize("architecture", SHARED)
def test_matrix_units_do_the_products(builds, architecture):
    for build in builds[architecture]:
        if build["configuration"].startswith("ieee"):
            expected = []  # exact float32 has no matrix instruction
        elif build["block_m"] < 64:
            expected = ["mma.sync"]  # Hopper's own instruction takes 64 rows at least
        else:
            expected = [MATRIX_INSTRUCTION[architecture]]
        assert build["matrix_instructions"] == expected, build
