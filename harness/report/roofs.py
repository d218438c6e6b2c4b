"""The roofs that a run measured of one machine, as the roofline draws them."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from harness.record import ROOF
from harness.report.frame import measured
from harness.report.words import si, si_interval
from harness.statistics import quickest

MEMORY, CACHE = "memory", "cache"  # what harness.roofline calls its copies

_LARGEST = 1e18  # byte/s and FLOP/s


class Roof(NamedTuple):
    """A copy's byte/s, or a product's FLOP/s in a dtype: its quickest stretch, and its median.

    The quickest stretch is what a row's share of the roof is of.
    """

    name: str
    slanted: bool  # a copy's: more FLOPs a byte help
    peak: float
    median: float
    low: float
    high: float

    @property
    def words(self) -> str:
        """e.g. "memory 45.0 GB/s"."""
        return f"{self.name} {si(self.peak, self._unit)}"

    @property
    def median_words(self) -> str:
        """e.g. "42.2 GB/s [41.7, 42.7]"."""
        return si_interval(self.median, self.low, self.high, self._unit)

    @property
    def _unit(self) -> str:
        return "B/s" if self.slanted else "FLOP/s"

    def at(self, intensity: float) -> float:
        """FLOP/s that it allows at so many FLOPs a byte."""
        return self.peak * intensity if self.slanted else self.peak


def roofs(table: pd.DataFrame, run: str, device: str, name: str, mode: str) -> tuple[Roof, ...]:
    """Of the device of that name in a run, copies first.

    The cache's only where the mode leaves it filled.

    Args:
        table: of `harness.report.frame.frame`.
    """
    ours = (table["kind"] == ROOF) & (table["run"] == run) & (table["device"] == device)
    rows = measured(table[ours])
    rows = rows[rows["device_name"] == name]
    found: dict[tuple[str, bool], Roof] = {}
    for row in rows.to_dict("records"):
        copied = row["subject"] == "copy"
        work, called = (row["bytes"], row["case"]) if copied else (row["flops"], row["dtype"])
        if copied and called not in ((MEMORY,) if mode == "cold" else (MEMORY, CACHE)):
            continue
        times = (quickest(row["samples"]), row["median_s"], row["high"], row["low"])
        rates = [work / seconds for seconds in times]
        key = called, copied
        # products are of several sizes: the best is the roof
        if all(1 < rate < _LARGEST for rate in rates) and (
            key not in found or rates[0] > found[key].peak
        ):
            found[key] = Roof(called, copied, *rates)
    return tuple(sorted(found.values(), key=lambda roof: (not roof.slanted, roof.peak)))
