"""The noise floor: how far apart identical code appears, on this machine and in this run.

The first timed cases of each device and mode, and some later ones, have a second, separately built
copy of their baseline, which takes its turns beside it (an A/A run); these are the rows of kind
"aa". An interval knows how much samples scatter. It does not know what two builds of the same thing
differ by for as long as they live: where their memory lies, who warmed which cache. The A/A rows
show it.

The floor is Student's 95% prediction limit for the next such pair: the root mean square of the
pairs' log ratios, whose true mean is 0, times the quantile for as many degrees of freedom as there
are pairs. No pair weighs more than another: a quiet case's, known to a tenth of a percent, says
nothing of how far apart two builds of a noisy one lie. Where a few pairs make the sum there are
fewer degrees of freedom (Satterthwaite 1946, doi 10.2307/3002019). Few pairs make the floor high.
What of it lasts, however long one measures, is the mean square less that of the pairs' own errors
(Hedges 1983, doi 10.1037/0033-2909.93.2.388), and weighed with a ratio's own error (verdict.py).
Imports neither torch nor triton.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.record import AA, ABOUT_MEASURING, OK, number

PAIRS = 5  # of the first cases of each device and mode: a copy on a CPU takes 1 to 2 s
MOST = 10  # pairs in the end: with 4 of them a slowdown of 10% was missed by half, with 10 by 4%
EVERY = 10  # so many cases are timed for each pair past the first, which so see all of a run
TRIES = 2  # further cases that get a copy, where others take the cores while it is measured
LEAST = 0.01  # no floor is lower: timers, clocks and layouts differ by so much from run to run
ASSUMED = 0.02  # where a run has no A/A row
APART = 0.1  # assumed of what was not measured in turn but minutes apart, which no pair shows
COVERED = 0.95  # of further pairs that lie within the floor
WIDE = math.log(1.1)  # half of an interval from which a pair tells of what disturbed it alone


@dataclass(frozen=True)
class Floor:
    """What a ratio has to exceed before it is taken for a difference.

    Attributes:
        share: 0.02 means that ratios between 1 / 1.02 and 1.02 say nothing.
        pairs: A/A pairs that it is made of; 0 where it is assumed.
        scatter: the standard deviation of the log ratio of two copies that were measured for ever;
            None where only share is known, which then is taken for its limit.
        freedom: degrees of freedom of either.
    """

    share: float
    pairs: int
    scatter: float | None = None
    freedom: float = math.inf

    @property
    def lasting(self) -> float:
        """`scatter`, or what it is taken to be."""
        known = self.scatter
        return math.log1p(self.share) / limit(self.freedom) if known is None else known

    def __str__(self) -> str:
        """e.g. "1.3 % (3 A/A pairs)"."""
        if not self.pairs:
            return f"{100 * self.share:.1f} % (assumed: no A/A pair was measured)"
        return f"{100 * self.share:.1f} % ({self.pairs} A/A pair{'' if self.pairs == 1 else 's'})"


NO_PAIRS = Floor(ASSUMED, 0)


def floor(pairs: Iterable[tuple[float, ...]]) -> Floor:
    """The floor that pairs of identical code show.

    Args:
        pairs: each a ratio, its interval's low and high, and the degrees of freedom of that;
            infinitely many where they are left out.
    """
    known = [
        (math.log(r) ** 2, (math.log(high) - math.log(low)) / 2, freedom[0] if freedom else None)
        for r, low, high, *freedom in pairs
    ]
    known = [pair for pair in known if pair[1] <= WIDE] or known
    n = len(known)
    if not n:
        return NO_PAIRS
    total, fourth = sum(x for x, *_ in known), sum(x * x for x, *_ in known)
    # a normal deviate's fourth power is 3 on average
    freedom = min(3 * total**2 / fourth, n) if fourth else n
    far = limit(freedom)
    share = max(math.expm1(min(far * math.sqrt(total / n), 700.0)), LEAST)
    error = sum((half / limit(of or math.inf)) ** 2 for _, half, of in known)
    scatter = max(math.sqrt(max(total - error, 0.0) / n), math.log1p(LEAST) / far)
    return Floor(share, n, scatter, freedom)


def limit(freedom: float = math.inf) -> float:
    """Student's quantile that covers COVERED; of infinitely many degrees of freedom 1.96."""
    import scipy.special

    return float(scipy.special.stdtrit(freedom, (1 + COVERED) / 2))


def floors(infos: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Floor]:
    """The floors of a run, by device and mode, from the extra_info of its rows.

    A pair in whose time others had the cores has no interval, and takes no part: no verdict is
    given of such a case either.
    """
    found: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for info in infos:
        if info["kind"] == AA and is_pair(info):
            freedom = number(info, "speedup_freedom") or math.inf
            pair = (info["speedup"], info["speedup_low"], info["speedup_high"], freedom)
            found.setdefault((info["device"], info["mode"]), []).append(pair)
    return {key: floor(pairs) for key, pairs in found.items()}


def is_pair(info: Mapping[str, Any]) -> bool:
    """Whether a row of kind "aa" has a ratio that counts."""
    low, ratio, high = (number(info, f"speedup{end}") or 0.0 for end in ("_low", "", "_high"))
    return info["status"] == OK and 0 < low <= ratio <= high


def wanted(infos: Iterable[Mapping[str, Any]], device: str, mode: str) -> bool:
    """Whether the next case should have a copy of its baseline, after these rows."""
    here = [i for i in infos if (i["device"], i["mode"]) == (device, mode)]
    copies = [i for i in here if i["kind"] == AA]
    results = (i for i in here if i["status"] == OK and i["kind"] not in ABOUT_MEASURING)
    cases = {(i["subject"], i["case"]) for i in results}
    pairs = min(max(PAIRS, len(cases) // EVERY), MOST)
    return len(copies) < pairs + TRIES and sum(map(is_pair, copies)) < pairs


def again(baseline: str) -> str:
    """What the second copy of a baseline is called."""
    return f"{baseline} (again)"
