"""Every kernel is given random inputs, and there are enough of them."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

from hypothesis.internal.detection import is_hypothesis_test

import kernels

ROOT = Path(__file__).parents[2]


def drawn(name):
    """How many examples the property tests of a kernel ask for."""
    tests = vars(importlib.import_module(f"tests.kernels.test_{name}")).values()
    properties = [test for test in tests if is_hypothesis_test(test)]
    return sum(t._hypothesis_internal_use_settings.max_examples for t in properties)


def test_500_examples_over_all_kernels_and_some_of_each():
    counts = {name: drawn(name) for name in kernels.NAMES}
    assert min(counts.values()) >= 50 and sum(counts.values()) >= 500, counts


def test_more_can_be_asked_for():
    code = "from tests.kernels.examples import examples; print(examples(70).max_examples)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "FLOPWISE_EXAMPLES": "20"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "1400\n"
