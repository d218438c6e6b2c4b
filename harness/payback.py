"""When what is done once, compiling and autotuning, has paid for itself. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def once_s(first_call_s: float, median_s: float) -> float:
    """Seconds that the first call took beyond another one: compiling, autotuning, loading.

    A cache on disk from an earlier process makes it short; it is what this process paid.
    """
    return max(first_call_s - median_s, 0.0)


def payback_calls(
    first_call_s: float, median_s: float, baseline_first_call_s: float, baseline_median_s: float
) -> float:
    """The number of calls after which the provider has taken no longer than the baseline, all in.

    The smallest n with first_call_s + (n - 1) median_s no larger than the baseline's. Times in
    seconds; infinite where it never is.
    """
    behind, gain = first_call_s - baseline_first_call_s, baseline_median_s - median_s
    if behind <= 0:
        return 1.0
    return 1.0 + math.ceil(behind / gain) if gain > 0 else math.inf


def fields(info: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields once_s and payback_calls of a row, from its own and its baseline's figures.

    Args:
        info, baseline: first_call_s and median_s of both; the row's speedup_low, 1 for a baseline.
    """
    found: dict[str, Any] = {"once_s": once_s(info["first_call_s"], info["median_s"])}
    if info.get("speedup_low") is None or baseline is None:
        why = info.get("speedup_low_reason") or "it was not compared with its baseline"
        return found | {"payback_calls_reason": why}
    if info["speedup_low"] <= 1:
        why = "it is not clearly faster than the baseline, and so it never pays for itself"
        return found | {"payback_calls_reason": why}
    names = ("first_call_s", "median_s")
    calls = payback_calls(*(info[name] for name in names), *(baseline[name] for name in names))
    if math.isfinite(calls):
        return found | {"payback_calls": int(calls)}
    # blocks side by side say that it is faster, and the medians of all samples do not
    return found | {"payback_calls_reason": "by its median it never pays for itself"}
