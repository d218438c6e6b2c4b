"""What verdicts on rows say of a claim, and what has none: for the studies that judge times."""

from __future__ import annotations

import pandas as pd

from harness.record import CONVERGENCE
from harness.report.frame import judgeable, measured
from harness.report.words import count
from harness.studies.spec import REFUTED, SUPPORTED, UNCLEAR
from harness.verdict import FASTER, SAME, SLOWER
from harness.verdict import UNCLEAR as UNTOLD

OF_CLAIM = {FASTER: SUPPORTED, SAME: REFUTED, SLOWER: REFUTED, UNTOLD: UNCLEAR}


def is_faster(verdict: str, low: float) -> str:
    """What a verdict on a ratio says of the claim that something is faster.

    The same is not faster; unless its interval, from `low` on, is all above 1, where it is only
    the run's noise that may hide how much it is.
    """
    return UNCLEAR if verdict == SAME and low > 1 else OF_CLAIM[verdict]


def left_out(rows: pd.DataFrame) -> str:
    """How many measured rows no verdict may stand on, e.g. "1 row left out: ..."; "" for none."""
    rows = rows[rows["kind"] != CONVERGENCE]  # of trials, whose samples are seeds
    number = len(measured(rows)) - len(judgeable(rows))
    if not number:
        return ""
    return (
        f"{count(number, 'measured row')} left out: disturbed, above the roof, without an interval "
        "or of a device whose self-check failed"
    )
