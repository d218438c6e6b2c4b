"""Fusing saves memory traffic: one kernel against several, and the share of the roof of each."""

from __future__ import annotations

import pandas as pd

from harness.report.frame import comparable
from harness.report.words import plain, ratio, si, tally
from harness.studies.spec import Evidence, Verdict, combined, not_measured
from harness.studies.timed import is_faster

CLAIM = "Fusing operations saves time, as it saves memory traffic."
NEEDS = "Fused kernels beside the operations they fuse, on a device with a measured roof."
FIGURE = "roofline"

FUSED = ("bias_activation", "cross_entropy", "linear_cross_entropy")
PROVIDERS = ("triton", "torch.compile")  # the first that was measured on a device
MODES = ("cold", "warm", "host")  # out of memory first: what stays in a cache has no traffic


def judge(evidence: Evidence) -> Verdict:
    """Supported where the fused kernel is faster beyond the noise floor in most cases."""
    rows = evidence.rows[(evidence.rows["kind"] == "kernel") & comparable(evidence.rows)]
    rows = rows[rows["subject"].isin(FUSED)]
    verdicts: list[str] = []
    words: list[str] = []
    effects: list[str] = []
    for (name, subject), of in rows.groupby(["device_name", "subject"]):
        chosen = _first(_first(of, "provider", PROVIDERS), "mode", MODES)
        if chosen.empty:
            continue
        found = chosen["verdict"].tolist()
        order = chosen.sort_values("speedup", kind="stable")
        # the least and the most: the best alone would be better than what it stands for
        ends = [order.iloc[i] for i in dict.fromkeys((0, len(order) - 1))]
        verdicts += map(is_faster, found, chosen["speedup_low"])
        effects.append(f"{subject} {' to '.join(map(_speedup, ends))}")
        told = (
            f"{_speedup(end)} ({end['case']}{_roof(evidence, end)}{_memory(evidence, end)})"
            for end in ends
        )
        words.append(
            f"{subject} by {ends[0]['provider']} on {plain(name)} in mode {ends[0]['mode']} is "
            f"{tally(found)}, {' to '.join(told)}"
        )
    if not verdicts:
        why = evidence.why_not(kind="kernel", provider="triton")
        return not_measured(f"no fused kernel was timed beside what it fuses{why}")
    return Verdict(combined(verdicts), f"{'; '.join(words)}.", ", ".join(effects), len(verdicts))


def _speedup(row: pd.Series) -> str:
    return f"{ratio(row['speedup'], row['speedup_low'], row['speedup_high'])}×"


def _first(rows: pd.DataFrame, column: str, order: tuple[str, ...]) -> pd.DataFrame:
    found = (rows[rows[column] == value] for value in order)
    return next((some for some in found if len(some)), rows.iloc[:0])


def _baseline(evidence: Evidence, row: pd.Series) -> pd.DataFrame:
    same = {name: row[name] for name in ("subject", "case", "device", "device_name", "mode")}
    return evidence.timed(provider=row["baseline"], **same)


def _roof(evidence: Evidence, row: pd.Series) -> str:
    before = _baseline(evidence, row)["roof_share"].dropna()
    if before.empty or pd.isna(row["roof_share"]):
        return ", the roof not measured"
    return f", {row['roof_share']:.0%} of the roof instead of {before.iloc[-1]:.0%}"


def _memory(evidence: Evidence, row: pd.Series) -> str:
    before = _baseline(evidence, row)["peak_memory_bytes"].dropna()
    if before.empty or pd.isna(row["peak_memory_bytes"]):
        return ""
    return f", {si(row['peak_memory_bytes'], 'B')} at peak instead of {si(before.iloc[-1], 'B')}"
