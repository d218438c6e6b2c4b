"""What voids the trust in a run: a self-check whose known answer was not found.

harness/selfcheck.py measures them. Imports neither torch nor triton.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import Any

from harness.record import CHECK, FAILED, OK, Row, number

TOLERANCE = 0.02  # a delay may be off by so much, and a rate above the roof
NOTHING_S = 1e-5  # a call that does nothing lasts less, or what lasts a millisecond is 1% too long


def faults(rows: Iterable[Row]) -> dict[str, list[str]]:
    """By device, what its self-checks found wrong, in words; devices without a fault are left out.

    A self-check that could not be measured is no fault, and neither is a rate above a roof where
    others had the CPU's cores: then it is the roof that may be too low, and no row has a verdict.
    """
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.extra_info["kind"] == CHECK and (wrong := _wrong(row)):
            found.setdefault(row.extra_info["device"], []).append(wrong)
    return found


def _wrong(row: Row) -> str | None:
    info, subject = row.extra_info, row.extra_info["subject"]
    if info["status"] == FAILED:
        return f"self-check {subject}: {info['reason']}"
    if info["status"] != OK:
        return None
    if (expected := number(info, "expected_s") or 0.0) > 0:
        # on a CPU another process may take the core, which makes a delay longer and never
        # shorter: the shortest is the clock's own
        on_cpu = info["device"] == "cpu"
        seen = min(row.samples) if on_cpu else statistics.median(row.samples)
        if abs(seen / expected - 1) > TOLERANCE:
            return (
                f"self-check {subject}: {1e3 * expected:.3f} ms were measured as "
                f"{1e3 * seen:.3f} ms ({seen / expected - 1:+.1%})"
            )
    elif info.get("bytes") is None and (least := min(row.samples)) > NOTHING_S:
        return f"self-check {subject}: a call that does nothing took {1e6 * least:.1f} µs"
    if beyond_roof(info):
        return f"self-check {subject}: {info['roof_share']:.2f} times the roof measured beside it"
    return None


def beyond_roof(info: Mapping[str, Any]) -> bool:
    """Whether even the slow end of its interval is faster than the roof by more than TOLERANCE."""
    share, median = number(info, "roof_share"), number(info, "median_s")
    if not share or not median or (info["device"] == "cpu" and info.get("throttled")):
        return False
    slowest = number(info, "median_high_s") or median
    return share * median / slowest > 1 + TOLERANCE
