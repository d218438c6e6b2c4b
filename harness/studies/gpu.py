"""GPUs make it fast: their speedup over batch sizes, with and without the transfer of a batch."""

from __future__ import annotations

import math

import pandas as pd

from harness.noise import Floor
from harness.record import ABOUT_MEASURING
from harness.report.crossover import crossing, device_ratio
from harness.report.frame import judgeable
from harness.report.words import count, plain, ratio, tally
from harness.studies.spec import Evidence, Verdict, combined, not_measured
from harness.studies.timed import is_faster, left_out
from harness.verdict import FASTER, SAME, SLOWER, Ratio, verdicts

CLAIM = "GPUs make neural networks fast."
NEEDS = "Workloads and kernels timed on a GPU and on the CPU beside it, and transfers of batches."
FIGURE = "speedup"

KEY = ["subject", "batch", "mode"]


def judge(evidence: Evidence) -> Verdict:
    """Supported where the GPU is faster beyond the noise floor in most cases and slower in none."""
    rows = evidence.rows[~evidence.rows["kind"].isin(ABOUT_MEASURING)]
    pairs = device_ratio(rows)
    # from Python, launches included, is what a user waits for
    host = pairs[pairs["mode"] == "host"]
    pairs = host if len(host) else pairs
    without = left_out(rows) if (evidence.timed()["device"] == "cuda").any() else ""
    if pairs.empty:
        why = evidence.why_not(device="cuda") or (without and f": {without}")
        return not_measured(f"nothing was timed on a GPU and on a CPU alike{why}")
    values = pairs["value"].to_numpy()
    best, worst = pairs.iloc[int(values.argmax())], pairs.iloc[int(values.argmin())]
    effect = f"{_ratio(worst)}× to {_ratio(best)}×"
    names = sorted(set(evidence.timed()["device_name"].dropna()))
    crossings = _crossings(pairs)
    words = [
        f"GPU over CPU, in {count(len(pairs), 'case')}: {tally(pairs['verdict'].tolist())}, "
        f"from {effect} ({worst['subject']} {worst['case']}, {best['subject']} {best['case']})",
        *(["Training eagerly, " + "; ".join(crossings)] if crossings else []),
        *_with_transfer(rows, pairs),
        *(apart for apart in dict.fromkeys(pairs["apart"]) if apart),
        *([without] if without else []),
        f"On {plain(', '.join(names))}",
    ]
    found = combined([*map(is_faster, pairs["verdict"], pairs["low"])])
    return Verdict(found, f"{'. '.join(words)}.", effect, len(pairs))


def _ratio(row: pd.Series) -> str:
    return ratio(row["value"], row["low"], row["high"])


def _crossings(pairs: pd.DataFrame) -> list[str]:
    """From which batch on it is faster, training eagerly."""
    train = pairs[(pairs["direction"] == "train") & (pairs["batch"] > 0)]
    words = []
    for (subject, provider), rows in train.groupby(["subject", "provider"], sort=False):
        line = rows.drop_duplicates("batch").sort_values("batch")
        if provider != "eager" or len(line) < 2 or line["mode"].nunique() > 1:
            continue
        words.append(f"{subject}: {crossing(line).words}")
    return words


def _with_transfer(rows: pd.DataFrame, pairs: pd.DataFrame) -> list[str]:
    """The same cases with the time that the batch takes to get there."""
    exactly = judgeable(rows)
    moved = exactly[(exactly["direction"] == "transfer") & (exactly["provider"] == "pageable")]
    moved = moved.drop_duplicates(KEY, keep="last")[[*KEY, "median_s", "low", "high"]]
    same = ["case", "direction", "dtype", "provider"]
    times = exactly.drop_duplicates([*KEY, *same, "device"], keep="last")
    both = times[times["device"] == "cuda"].merge(
        times[times["device"] == "cpu"], on=[*KEY, *same], suffixes=("", "_cpu")
    )
    both = both[both["mode"].isin(pairs["mode"])].merge(moved, on=KEY, suffixes=("", "_move"))
    columns = (
        both["median_s_cpu"] / (both["median_s"] + both["median_s_move"]),
        both["low_cpu"] / (both["high"] + both["high_move"]),
        both["high_cpu"] / (both["low"] + both["low_move"]),
        both[["noise_floor", "noise_floor_cpu"]].max(axis=1),
    )
    ratios = [
        Ratio(value, low, high, Floor(share, 0))
        for value, low, high, share in zip(*(c.tolist() for c in columns), strict=True)
    ]
    ratios = [r for r in ratios if 0 < r.low <= r.value <= r.high < math.inf]
    if not ratios:
        return ["Transfers to the GPU were not measured"]
    found = verdicts(ratios)
    counts = ", ".join(f"{found.count(v)} {v}" for v in (FASTER, SAME, SLOWER) if v in found)
    return [f"With the batch's transfer, of {count(len(ratios), 'case')} {counts or 'all unclear'}"]
