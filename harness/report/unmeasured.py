"""Rows without any value, told by their reason, and the others in an order to look them up in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from harness.record import NOT_MEASURED, UNSUPPORTED
from harness.report.words import NO_REASON, count, processor

COLUMNS = ("subject", "case", "provider", "mode")
MOST = 400  # lines of one reason

_ORDER = ["subject", "device", "mode", "direction", "batch", "case", "provider"]


class Reason(NamedTuple):
    """How many rows of which status and device, why, and which."""

    what: str
    why: str
    lines: list[tuple[str, ...]]
    more: int


def others(every: pd.DataFrame) -> pd.DataFrame:
    """The rows that were tried, by subject: what was measured and what went wrong."""
    rows = every[~_without(every)]
    return rows.sort_values(_ORDER, kind="stable", na_position="first")


def by_reason(every: pd.DataFrame, columns: Sequence[str] = COLUMNS) -> list[Reason]:
    """The rows that were not, with these columns of each, the commonest reason first."""
    rows = every[_without(every)]
    rows = rows.assign(why=rows["reason"].fillna(NO_REASON))
    groups = rows.groupby(["status", "device", "why"], sort=False)
    found = []
    for (status, device, why), of in sorted(groups, key=lambda group: -len(group[1])):
        lines = of.sort_values(_ORDER, kind="stable")[[*columns]].head(MOST)
        what = f"{count(len(of), 'row')} {status} on {processor(str(device))}"
        listed = list(lines.itertuples(index=False, name=None))
        found.append(Reason(what, str(why), listed, len(of) - len(listed)))
    return found


def _without(every: pd.DataFrame) -> pd.Series:
    return every["status"].isin([NOT_MEASURED, UNSUPPORTED])
