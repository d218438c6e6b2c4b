"""Samples that were taken elsewhere, handed to pytest-benchmark through its public API.

pytest-benchmark times a call with a clock. `now` is that clock: perf_counter, except while
`replay` hands samples in, when it is a virtual clock that each round moves on by its sample.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import pytest
from packaging.version import Version

TIMER = "harness.replay.now"  # for pytest-benchmark's option benchmark_timer

_virtual: float | None = None


def unfit() -> str:
    """What to do where pytest-benchmark and pytest do not go together, in one line; else ""."""
    found = version("pytest-benchmark")
    # what 5.2.3 looks at, and pytest 9.2 has no more: every single test would end in its error
    if hasattr(pytest.Item, "_nodeid") or Version(found) >= Version("5.3.1"):
        return ""
    return (
        f"pytest-benchmark {found} does not work with pytest {pytest.__version__}: "
        "pip install 'pytest-benchmark>=5.3.1'"
    )


def now() -> float:
    """Seconds: of the real clock, or of the virtual one while samples are handed in."""
    return time.perf_counter() if _virtual is None else _virtual


def replay(benchmark: Any, samples: Sequence[float], iterations: int) -> None:
    """Make `benchmark` report these samples as its own.

    Args:
        benchmark: pytest-benchmark's fixture, not used before.
        samples: seconds per iteration, one a round.
        iterations: iterations a round.

    Raises:
        RuntimeError: pytest-benchmark recorded something else (a version that times otherwise).
    """
    global _virtual
    rounds = iter(samples)

    def iteration() -> None:
        # the first call of a round brings the whole round's time; pedantic's extra call at the
        # end finds no round left
        global _virtual
        if _virtual == 0.0:
            _virtual = next(rounds, 0.0) * iterations

    def end_of_round() -> None:
        global _virtual
        _virtual = 0.0

    _virtual = 0.0
    try:
        benchmark.pedantic(
            iteration, rounds=len(samples), iterations=iterations, teardown=end_of_round
        )
    finally:
        _virtual = None
    if not benchmark.disabled:
        recorded = benchmark.stats.stats.data
        if len(recorded) != len(samples) or not all(
            math.isclose(a, b, rel_tol=1e-9) for a, b in zip(recorded, samples, strict=True)
        ):
            raise RuntimeError("pytest-benchmark did not take over the samples it was handed")
