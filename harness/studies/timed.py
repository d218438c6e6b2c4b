"""Rows with intervals, and what their verdicts say of a claim: for the studies that judge times."""

from __future__ import annotations

import pandas as pd

from harness.studies.spec import REFUTED, SUPPORTED, UNCLEAR
from harness.verdict import FASTER, SAME, SLOWER
from harness.verdict import UNCLEAR as UNTOLD

# of a claim that something is faster: the same is not faster
OF_CLAIM = {FASTER: SUPPORTED, SAME: REFUTED, SLOWER: REFUTED, UNTOLD: UNCLEAR}


def exact(rows: pd.DataFrame) -> pd.DataFrame:
    """Of `harness.report.frame.measured`, the rows whose interval is known."""
    known = (rows["low"] == rows["median_low_s"]) & (rows["high"] == rows["median_high_s"])
    return rows[known]
