"""Counts and ratios as a reader sees them, on a terminal and in the report; imports nothing else.

What the report alone shows is put into words by harness/report/words.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

_MOST = 6  # decimals of a ratio


def count(number: float, noun: str) -> str:
    """e.g. count(2, "row") is "2 rows"."""
    return f"{number:,.0f} {noun}{'' if number == 1 else 's'}"


def skipped(problems: Sequence[str]) -> str:
    """What a refusal adds where lines of a file were skipped: the first, and how many more."""
    lines = [problem for problem in problems if ": skipped: " in problem]
    more = f", and {count(len(lines) - 1, 'more line')}" if len(lines) > 1 else ""
    return f" ({lines[0]}{more})" if lines else ""


def digits(value: float) -> str:
    """Three significant digits, without an exponent between 1e-4 and 1e6."""
    size = abs(value)
    if size == 0 or not 1e-4 <= size < 1e6:
        return f"{value:.3g}"
    return f"{value:,.{decimals(size)}f}"


def ratio(value: float, low: float, high: float) -> str:
    """A speedup and its interval, e.g. "1.42 [1.38, 1.47]"; no end is rounded to 1, and none to
    the other one."""
    if math.isnan(low) or math.isnan(high):
        return f"{digits(value)} [interval not known]"
    if not 1e-4 <= value < 1e6:
        return f"{digits(value)} [{low:.3g}, {high:.3g}]"
    places = decimals(value)
    while places < _MOST and not _told_apart(low, high, places):
        places += 1
    return f"{value:,.{places}f} [{low:,.{places}f}, {high:,.{places}f}]"


def _told_apart(low: float, high: float, places: int) -> bool:
    """Whether the ends differ from 1, and from each other where they can, once they are rounded."""
    if any(round(end, places) == 1 != end for end in (low, high)):
        return False
    return round(low, places) != round(high, places) or round(low, _MOST) == round(high, _MOST)


def decimals(size: float) -> int:
    """That three significant digits of a number above 0 have."""
    return max(0, 2 - math.floor(math.log10(size)))
