"""Identical code in two runs: how far its time moved, and how far that of any row may have.

Controls are a copy and a product, the rows of the roofs and self-checks, and where both runs had
one torch also its own kernels, the baselines of ours: all are torch's, whatever was changed here.
A run's machine is in another state than the last one's, by row: where memory lies, what the
neighbours do. No interval of one run knows of it; the controls show it. If the compared rows moved
as the controls did, normally about nothing, then the chance that any of them moved by chance beyond
the limit is one in twenty: the limit is the root mean square of the controls' log ratios times the
studentized maximum modulus for so many rows and controls (Stoline & Ury 1979, Technometrics 21,
87). Few controls make it high. Imports neither torch nor triton.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cache
from typing import NamedTuple

from harness.record import CHECK, OK, ROOF, Row, number

COVERED = 0.95  # of comparisons in which nothing changed: no row is beyond the limit
NO_CONTROL = "no copy or product, which tell how far the machine moved, was undisturbed in both"
_HIGHEST = 700.0  # the largest that expm1 takes
_NODES = 2000  # of the integral over how well the controls are known


class Control(NamedTuple):
    """A row of identical code, measured in both runs."""

    id: str
    old_s: float
    new_s: float

    @property
    def share(self) -> float:
        """By how much the longer time is longer, whichever it is."""
        return max(self.old_s, self.new_s) / min(self.old_s, self.new_s) - 1


class Moved(NamedTuple):
    """What the controls of a device say.

    Attributes:
        most: the control that moved most.
        controls: how many there are.
        limit: no change by a smaller share is told; never less than `most` moved by.
    """

    most: Control
    controls: int
    limit: float


def moved(
    old: Iterable[Row], new: Iterable[Row], compared: Mapping[str, int], same_torch: bool
) -> dict[str, Moved]:
    """By device, how far identical code moved; a device without a control is left out.

    Args:
        compared: by device, how many rows are compared.
        same_torch: whether torch is the same in both, and so are its kernels.
    """
    before = {row.id: row for row in old if _is_control(row, same_torch)}
    found: dict[str, list[Control]] = {}
    for row in new:
        if not _is_control(row, same_torch) or row.id not in before:
            continue
        times = [number(r.extra_info, "median_s") or 0.0 for r in (before[row.id], row)]
        if min(times) > 0 and not disturbed(before[row.id], row):
            found.setdefault(row.extra_info["device"], []).append(Control(row.id, *times))
    return {device: _moved(of, compared.get(device, 1)) for device, of in found.items()}


def _moved(controls: list[Control], compared: int) -> Moved:
    most = max(controls, key=lambda control: control.share)
    squares = [math.log1p(control.share) ** 2 for control in controls]
    size = math.sqrt(sum(squares) / len(squares))
    limit = math.expm1(min(_HIGHEST, maximum_modulus(max(compared, 1), len(controls)) * size))
    return Moved(most, len(controls), max(limit, most.share))


def disturbed(old: Row, new: Row) -> str:
    """In which run what disturbed the row, and not the other run's; "" where nothing is known to.

    On a GPU a clock that is held down in both runs for one reason, such as the power that it may
    take, is a state of the device like any other.
    """
    held = [r.extra_info.get("throttled") and _reasons(r) for r in (old, new)]
    for which, why in zip(("old", "new"), held, strict=True):
        if why and (new.extra_info["device"] == "cpu" or held[0] != held[1]):
            return f"{which}: {why}"
    return ""


def _reasons(row: Row) -> str:
    return row.extra_info.get("throttle_reasons") or "disturbed"


def _is_control(row: Row, same_torch: bool) -> bool:
    """A copy or a product, or torch's own kernel; a delay is always the same."""
    info = row.extra_info
    if row.status != OK or info.get("above_roof"):
        return False
    if info["kind"] in (ROOF, CHECK):
        return info["subject"] in ("copy", "product")
    ours = info["kind"] == "kernel" and not row.id.startswith("own:")  # what yours is, you know
    return same_torch and ours and info["provider"] == "torch"


@cache
def maximum_modulus(rows: int, freedom: int) -> float:
    """The studentized maximum modulus: the largest of many normal values, by a size known so well.

    The quantile COVERED of max |z| / s, z being `rows` independent standard normal values and s the
    root mean square of `freedom` others. Values that move together make the true one smaller (Sidak
    1967).
    """
    import numpy as np
    import scipy.optimize
    import scipy.stats

    # s at points of equal probability, which is the integral over it
    shares = (np.arange(_NODES) + 0.5) / _NODES
    sizes = scipy.stats.chi.ppf(shares, freedom) / math.sqrt(freedom)

    def beyond(limit: float) -> float:
        within = 1 - 2 * scipy.stats.norm.sf(limit * sizes)
        return float(np.mean(within**rows)) - COVERED

    return float(scipy.optimize.brentq(beyond, 1e-3, 1e6))
