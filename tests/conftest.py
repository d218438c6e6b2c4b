"""Keeps tests and benchmarks apart; lets Triton run where there is no GPU."""

import os
from pathlib import Path

import pytest
import torch

pytest_plugins = ["pytester"]

# Before anything imports triton: without a GPU its kernels run in the interpreter.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# `pytest -n 2`: two processes of two threads each on two cores would wait for each other.
if os.environ.pop("PYTEST_XDIST_WORKER", None):
    # popped, for in its presence pytest-benchmark measures nothing; children are to be alike
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"

BENCHMARKS = Path(__file__).parent / "benchmarks"


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has the cores besides the test, whoever has: what trials take is a time."""
    monkeypatch.setattr("harness.contention.reasons", lambda waited, stolen: [])


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`pytest --benchmark-only` collects the benchmarks, plain `pytest` the tests."""
    named = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    if any(path.is_relative_to(BENCHMARKS) for path in named):
        return None  # benchmarks that are named are wanted
    if config.getoption("benchmark_only"):
        is_test = collection_path.is_file() and BENCHMARKS not in collection_path.parents
        return True if is_test else None
    return True if collection_path == BENCHMARKS else None
