"""The noise floor: how far apart identical code appears, on this machine and in this run.

The first timed cases of each device and mode have a second, separately built copy of their
baseline, which takes its turns beside it (an A/A run); these are the rows of kind "aa". An
interval knows how much samples scatter. It does not know what two builds of the same thing differ
by for as long as they live: where their memory lies, who warmed which cache. The A/A rows show it.

The floor is Student's 95% prediction limit for the next such pair: the quantile for so many
degrees of freedom as there are pairs, times the root mean square of their log ratios, whose true
mean is 0. A pair weighs the less the wider its own interval is, and counts as less than one (Kish
1965, "Survey Sampling"): else one pair that was disturbed would blind the run. Few pairs make the
floor high. Imports neither torch nor triton.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.record import AA, OK, number

PAIRS = 4  # wanted for each device and mode: 8 copies take about 10 s of a quick run on a CPU
TRIES = 6  # cases that get a copy at most, where others take the cores while it is measured
LEAST = 0.01  # no floor is lower: timers, clocks and layouts differ by so much from run to run
ASSUMED = 0.02  # where a run has no A/A row
COVERED = 0.95  # of further pairs that lie within the floor
NARROWEST = 1e-4  # no pair is taken to be known better, however equal its samples


@dataclass(frozen=True)
class Floor:
    """What a ratio has to exceed before it is taken for a difference.

    Attributes:
        share: 0.02 means that ratios between 1 / 1.02 and 1.02 say nothing.
        pairs: A/A pairs that it is made of; 0 where it is assumed.
    """

    share: float
    pairs: int

    def __str__(self) -> str:
        """e.g. "1.3 % (3 A/A pairs)"."""
        if not self.pairs:
            return f"{100 * self.share:.1f} % (assumed: no A/A pair was measured)"
        return f"{100 * self.share:.1f} % ({self.pairs} A/A pair{'' if self.pairs == 1 else 's'})"


NO_PAIRS = Floor(ASSUMED, 0)


def floor(pairs: Iterable[tuple[float, float, float]]) -> Floor:
    """The floor that pairs of identical code show, each a ratio and its interval's low and high."""
    import scipy.stats

    weights, squares = [], []
    for ratio, low, high in pairs:
        half = max((math.log(high) - math.log(low)) / 2, NARROWEST)
        weights.append(half**-2)
        squares.append(math.log(ratio) ** 2)
    if not weights:
        return NO_PAIRS
    total = sum(weights)
    size = math.sqrt(sum(w * x for w, x in zip(weights, squares, strict=True)) / total)
    freedom = total**2 / sum(w * w for w in weights)
    limit = float(scipy.stats.t.ppf((1 + COVERED) / 2, freedom)) * size
    return Floor(max(math.expm1(min(limit, 700.0)), LEAST), len(weights))


def floors(infos: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Floor]:
    """The floors of a run, by device and mode, from the extra_info of its rows.

    A pair in whose time others had the cores has no interval, and takes no part: no verdict is
    given of such a case either.
    """
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for info in infos:
        if info["kind"] == AA and is_pair(info):
            pair = (info["speedup"], info["speedup_low"], info["speedup_high"])
            found.setdefault((info["device"], info["mode"]), []).append(pair)
    return {key: floor(pairs) for key, pairs in found.items()}


def is_pair(info: Mapping[str, Any]) -> bool:
    """Whether a row of kind "aa" has a ratio that counts."""
    low, ratio, high = (number(info, f"speedup{end}") or 0.0 for end in ("_low", "", "_high"))
    return info["status"] == OK and 0 < low <= ratio <= high


def wanted(infos: Iterable[Mapping[str, Any]], device: str, mode: str) -> bool:
    """Whether the next case should have a copy of its baseline, after these rows."""
    here = [i for i in infos if (i["kind"], i["device"], i["mode"]) == (AA, device, mode)]
    return len(here) < TRIES and sum(map(is_pair, here)) < PAIRS


def again(baseline: str) -> str:
    """What the second copy of a baseline is called."""
    return f"{baseline} (again)"
