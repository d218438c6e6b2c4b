"""Loads the plugin; keeps tests and benchmarks apart; lets Triton run where there is no GPU."""

import os
from pathlib import Path

import pytest
import torch

pytest_plugins = ["harness.plugin"]

# Before anything imports triton: without a GPU its kernels run in the interpreter.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

BENCHMARKS = Path(__file__).parent / "benchmarks"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`pytest --benchmark-only` collects the benchmarks, plain `pytest` the tests."""
    if any(
        collection_path.is_relative_to(Path(arg.split("::")[0]).resolve())
        and Path(arg.split("::")[0]).resolve().is_relative_to(BENCHMARKS)
        for arg in config.args
    ):
        return None  # named on the command line
    only = config.getoption("benchmark_only")
    if collection_path == BENCHMARKS:
        return None if only else True
    if only and collection_path.is_file() and BENCHMARKS not in collection_path.parents:
        return True
    return None
