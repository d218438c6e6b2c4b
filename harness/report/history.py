"""Several runs of one machine as one table: how each case's time changed from run to run."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from harness.record import AA, CHECK, CONVERGENCE
from harness.report.frame import frame, measured

_APART = (AA, CHECK, CONVERGENCE)
_KEPT = [
    *("id", "kind", "subject", "case", "direction", "dtype", "provider", "device", "mode"),
    *("started_at", "median_s", "low", "high", "n", "trust", "run"),
]


def history(runs: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """One line for each row that was measured in each run, the runs in the order of their time.

    Args:
        runs: `harness.report.frame.frame` of runs of one machine, in any order, each with its name.

    Returns:
        what identifies a row, its median and the ends of its interval in seconds, and
            number: the run's place in time, from 1;
            value, value_low, value_high: the speedup over the first run that has the row, 1 for
                that run itself; above 1 is faster. The interval is made of both medians' (Zou &
                Donner 2008, doi 10.1002/sim.3095), NaN where one is not known, and does not know
                what changed between the runs.
        Roofs are among them: they tell how the machine itself changed.
    """
    tables = [_one(table) for table in runs] or [_one(frame([]))]
    tables.sort(key=lambda table: table["started_at"].min() if len(table) else "")
    numbered = [table.assign(number=number) for number, table in enumerate(tables, 1)]
    table = pd.concat(numbered, ignore_index=True)
    logs = table[["median_s", "low", "high"]].apply(np.log)
    first = logs.groupby(table["id"], sort=False).transform("first")
    below, above = logs["median_s"] - logs["low"], logs["high"] - logs["median_s"]
    first_below = first["median_s"] - first["low"]
    first_above = first["high"] - first["median_s"]
    value = np.exp(first["median_s"] - logs["median_s"])
    later = table["id"].duplicated()  # the first run itself is 1 for certain
    return table.assign(
        value=value,
        value_low=value / np.exp(np.where(later, np.hypot(first_below, above), 0.0)),
        value_high=value * np.exp(np.where(later, np.hypot(first_above, below), 0.0)),
    )


def _one(run: pd.DataFrame) -> pd.DataFrame:
    table = measured(run)
    known = (table["low"] == table["median_low_s"]) & (table["high"] == table["median_high_s"])
    table[["low", "high"]] = table[["low", "high"]].where(known)
    return table.loc[~table["kind"].isin(_APART), _KEPT]
