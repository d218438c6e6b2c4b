"""How a run's time is shared: what trains and what probes would wait for ever behind all timing."""

from __future__ import annotations

import math
from collections.abc import Collection

COMPARE, CONVERGE, PROBE = "compare", "converge", "probe"  # the fixtures
# Under a budget, in this order: what is left of a share goes to those that come after it.
SHARES = {CONVERGE: 0.35, COMPARE: 0.5, PROBE: 0.15}


def ends(budget_s: float | None, there: Collection[str]) -> dict[str, float]:
    """By fixture, the second of the run after which none of its cases is started.

    Args:
        budget_s: of the whole run; None is without end.
        there: the fixtures of which the run has cases; they share what the others leave.
    """
    if budget_s is None:
        return dict.fromkeys(there, math.inf)
    present = [fixture for fixture in SHARES if fixture in there]
    whole = sum(SHARES[fixture] for fixture in present)
    found, spent = {}, 0.0
    for fixture in present:
        spent += SHARES[fixture]
        found[fixture] = budget_s * spent / whole
    return found
