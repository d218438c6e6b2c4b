"""What probes found as one pandas table: a line a finding, its numbers under their names."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from harness.probes.spec import Finding
from harness.report.trials import finite
from harness.report.words import NO_REASON, plain

_KEY = ["probe", "subject", "at", "device", "device_name"]


def findings(found: Sequence[Finding]) -> pd.DataFrame:
    """One line a finding, the last one where a finding is there twice.

    Its columns: probe, subject, at, device, device_name and n; `values`, by name, NaN where a
    number is not known; and `why`, by name, the reasons of those. Text is made printable here
    (`words.plain`), escaping is left to who writes it.
    """
    lines = [
        {name: plain(getattr(finding, name)) for name in _KEY}
        | {
            "n": float(min(finding.n, 10**15)),
            "values": {plain(name): finite(value) for name, value in finding.values.items()},
            "why": {plain(name): plain(str(why)) for name, why in finding.why.items()},
        }
        for finding in found
    ]
    table = pd.DataFrame(lines, columns=[*_KEY, "n", "values", "why"])
    return table[~table.duplicated(_KEY, keep="last")].reset_index(drop=True)


def numbers(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    """With these of `values` as columns, float64, NaN where one is not known or not there."""
    return table.assign(
        **{
            name: pd.Series(
                [values.get(name, math.nan) for values in table["values"]],
                index=table.index,
                dtype="float64",
            )
            for name in names
        }
    )


def why_unknown(table: pd.DataFrame, name: str) -> str:
    """Why a number is not known of these findings, in the words of the first that says."""
    return next((why[name] for why in table["why"] if why.get(name)), NO_REASON)


def machines(table: pd.DataFrame, probe: str) -> list[tuple[str, pd.DataFrame]]:
    """(name, what a probe found there) for each machine's device."""
    rows = table[table["probe"] == probe]
    groups = rows.groupby(["device", "device_name"], sort=False)
    return [(str(name), of) for (_, name), of in groups]
