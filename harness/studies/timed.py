"""What verdicts on rows say of a claim, and what has none: for the studies that judge times."""

from __future__ import annotations

import pandas as pd

from harness.record import CONVERGENCE
from harness.report.frame import judgeable, measured
from harness.report.words import count
from harness.studies.spec import REFUTED, SUPPORTED, UNCLEAR
from harness.verdict import FASTER, SAME, SLOWER
from harness.verdict import UNCLEAR as UNTOLD

# of a claim that something is faster: the same is not faster
OF_CLAIM = {FASTER: SUPPORTED, SAME: REFUTED, SLOWER: REFUTED, UNTOLD: UNCLEAR}


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
