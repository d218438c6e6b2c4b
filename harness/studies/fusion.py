"""Fusing saves memory traffic: one kernel against several, and the share of the roof of each."""

from __future__ import annotations

import pandas as pd

from harness.report.frame import comparable
from harness.report.words import plain, ratio, si, tally
from harness.studies.spec import Evidence, Verdict, combined, not_measured
from harness.studies.timed import OF_CLAIM

CLAIM = "Fusing operations saves memory traffic."
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
        best = chosen.iloc[int(chosen["speedup"].to_numpy().argmax())]
        effect = f"{subject} {ratio(best['speedup'], best['speedup_low'], best['speedup_high'])}×"
        verdicts += [OF_CLAIM[verdict] for verdict in found]
        effects.append(effect)
        words.append(
            f"{subject} by {best['provider']} on {plain(name)} in mode {best['mode']} is "
            f"{tally(found)}, at best {effect.partition(' ')[2]} ({best['case']})"
            f"{_roof(evidence, best)}{_memory(evidence, best)}"
        )
    if not verdicts:
        why = evidence.why_not(kind="kernel", provider="triton")
        return not_measured(f"no fused kernel was timed beside what it fuses{why}")
    return Verdict(combined(verdicts), f"{'; '.join(words)}.", ", ".join(effects), len(verdicts))


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
