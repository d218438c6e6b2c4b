"""What training to a target took, in the five currencies, as a reader sees it."""

from __future__ import annotations

import math

from harness.report.trials import Times
from harness.report.words import si, si_tick, whole

INFINITE = "∞"  # half of the seeds or more did not get there

_UNITS = {"flops": "FLOP", "seconds": "s", "joules": "J"}  # steps and samples are counts
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def amount(value: float, currency: str) -> str:
    """e.g. "1,729" steps, "2.05 GFLOP", "81.9 ms"."""
    if math.isinf(value):
        return INFINITE
    if currency in _UNITS:
        return si(value, _UNITS[currency])
    return whole(value)


def spread(times: Times, currency: str) -> str:
    """The median over the seeds, the least and the most: "893 [852, 901]", "∞ [1.20 s, ∞]"."""
    middle, *ends = (amount(value, currency) for value in times[:3])
    return f"{middle} [{', '.join(ends)}]"


def reached(times: Times) -> str:
    """e.g. "2 of 3"."""
    return f"{times.reached} of {times.n}"


def tick(value: float, currency: str) -> str:
    """An amount as it stands at an axis: "20 ms", "1.5k", "0"."""
    if not value:
        return "0"
    return si_tick(value, _UNITS[currency]) if currency in _UNITS else compact(value)


def power(value: float) -> str:
    """A metric's value, with a power of ten where it is small or large: "0.1", "2×10⁻⁶"."""
    if value == 0 or 1e-3 <= abs(value) < 1e5 or not math.isfinite(value):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    mantissa, _, exponent = f"{value:.3e}".partition("e")
    factor = f"{float(mantissa):g}×"
    return f"{'' if factor == '1×' else factor}10{str(int(exponent)).translate(_RAISED)}"


def compact(value: float) -> str:
    """A number for little room, in two digits or three: "0.25", "150", "1.5k", "24k"."""
    if not math.isfinite(value):
        return INFINITE
    if abs(value) >= 1e3:
        value = float(f"{value:.2g}")
    factor, prefix = next((p for p in _PREFIXES if abs(value) >= p[0]), (1.0, ""))
    value /= factor
    if abs(value) >= 1e3:
        return f"{value:.2g}{prefix}"
    return f"{value:.{0 if abs(value) >= 10 else 2}{'f' if abs(value) >= 10 else 'g'}}{prefix}"
