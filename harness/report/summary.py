"""The first page of the report: what was measured, what came out, what was not measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from harness import noise
from harness.record import AA, NOT_MEASURED, OK, STATUSES
from harness.report.crossover import crossing, device_ratio
from harness.report.frame import comparable, results, workloads
from harness.report.words import NO_REASON, count, plain, processor, ratio, tally, whole
from harness.verdict import FASTER, SLOWER

MOST = 12  # lines in one list; the report says how many more there are

_MEANING = {
    OK: "measured",
    "out_of_memory": "did not fit into the device's memory",
    "unsupported": "the provider cannot do it",
    "failed": "raised an error or gave a wrong result",
    "censored": "did not reach its target with every seed",
    "diverged": "trained until its loss was no number",
    NOT_MEASURED: "was not run",
}


class Speedup(NamedTuple):
    """The middle case of one provider on one subject, device and mode."""

    subject: str
    provider: str
    baseline: str
    device: str
    mode: str
    case: str
    speedup: str
    verdict: str
    n: str
    cases: str


class Crossing(NamedTuple):
    """From which batch size the GPU is faster than the CPU."""

    subject: str
    provider: str
    mode: str
    words: str
    n: str
    where: str  # the machine, or whose the two are


def opening(frame: pd.DataFrame) -> str:
    """One sentence: how many rows, of what, measured on which devices."""
    ok = frame[frame["status"] == OK]
    subjects = frame.loc[frame["kind"] != "roof", ["kind", "subject"]].drop_duplicates()
    what = [
        count(number, kind)
        for kind, number in subjects["kind"].value_counts(sort=False).items()
        if kind in ("kernel", "workload")
    ]
    devices = ok[["device", "device_name"]].drop_duplicates().itertuples(index=False)
    where = [f"{processor(device)} {name}" for device, name in devices]
    measured = f"{len(ok):,} of {count(len(frame), 'row')} measured"
    about = f" of {' and '.join(what)}" if what else ""
    return f"{measured}{about}, on {' and '.join(where)}." if where else f"{measured}{about}."


def statuses(frame: pd.DataFrame) -> list[tuple[str, str, list[tuple[str, int]]]]:
    """(status, its meaning, (device, rows) of every device), for each status that occurs."""
    devices = list(dict.fromkeys(frame["device"]))
    counts = frame.groupby(["status", "device"]).size()
    return [
        (status, _MEANING[status], [(d, int(counts.get((status, d), 0))) for d in devices])
        for status in STATUSES
        if (frame["status"] == status).any()
    ]


def no_gpu(frame: pd.DataFrame, environment: Mapping[str, Any]) -> str | None:
    """For a run without any figure of a GPU: that there is none and why; else None."""
    ok = frame[frame["status"] == OK]
    if (ok["device"] == "cuda").any():
        return None
    rows = frame[(frame["device"] == "cuda") & frame["reason"].notna()]
    reasons = list(dict.fromkeys(rows["reason"]))
    told = environment.get("gpus_reason")
    if not reasons and isinstance(told, str):
        reasons = [plain(told)]
    why = f": {reasons[0].rstrip('.')}" if reasons else "; the run does not say why"
    only = "every figure here is of the CPU alone" if len(ok) else "there are no figures at all"
    waiting = f" {count(len(rows), 'row')} on a GPU {_is(len(rows))} missing." if len(rows) else ""
    return f"No GPU was measured{why}. So {only}, and nothing here says how fast a GPU is.{waiting}"


def speedups(frame: pd.DataFrame) -> tuple[list[Speedup], int]:
    """One line a subject, provider, device and mode: the case whose speedup is the middle one.

    Those that are faster or slower come first, the largest effects first among them.

    Returns:
        (lines, left_out): at most MOST lines, and the number of those left out.
    """
    found = []
    rows = frame[comparable(frame)].sort_values("speedup", kind="stable")
    keys = ["kind", "subject", "provider", "baseline", "device", "mode"]
    for _, group in rows.groupby(keys, sort=False):
        middle = group.iloc[(len(group) - 1) // 2]
        low, high = middle["speedup_low"], middle["speedup_high"]
        clear = middle["verdict"] in (FASTER, SLOWER)
        effect = max(low, 1 / high)  # above 1 only where the interval excludes 1
        line = Speedup(
            **{key: middle[key] for key in [*keys[1:], "case"]},
            speedup=ratio(middle["speedup"], low, high),
            verdict=middle["verdict"],
            n=whole(middle["n"]),
            cases=tally(group["verdict"].tolist()),
        )
        found.append((clear, effect, line))
    found.sort(key=lambda ranked: ranked[:2], reverse=True)
    return [line for *_, line in found[:MOST]], max(0, len(found) - MOST)


def noise_floors(frame: pd.DataFrame) -> list[str]:
    """The noise floor of each device and mode that has a speedup, in words."""
    pairs: list[Any] = frame[frame["kind"] == AA].to_dict("records")
    floors = noise.floors(pairs)
    keys = frame.loc[comparable(frame), ["device", "mode"]].drop_duplicates()
    return [
        f"{processor(device)}, {mode} mode: {floors.get((device, mode), noise.NO_PAIRS)}"
        for device, mode in keys.itertuples(index=False)
    ]


def crossings(frame: pd.DataFrame, where: str = "") -> tuple[list[Crossing], int]:
    """From which batch size the GPU is faster, a line for each workload, direction and provider.

    Args:
        where: the machine, or whose CPU and whose GPU it is.

    Returns:
        (lines, left_out): at most 2 MOST lines, and the number of those left out.
    """
    both = device_ratio(workloads(frame))
    found = []
    keys = ["subject", "direction", "dtype", "provider", "mode"]
    for _, rows in both.groupby(keys, sort=False):
        subject, direction, dtype, provider, mode = rows[keys].iloc[0]
        rows = rows.drop_duplicates("batch", keep="last").sort_values("batch")
        smallest, largest = whole(rows["n"].min()), whole(rows["n"].max())
        n = smallest if smallest == largest else f"{smallest} to {largest}"
        apart = [f" ({words})" for words in dict.fromkeys(rows["apart"]) if words]
        words = "".join([crossing(rows).words, *apart])
        found.append(Crossing(f"{subject}, {direction}, {dtype}", provider, mode, words, n, where))
    return found[: 2 * MOST], max(0, len(found) - 2 * MOST)


def missing(frame: pd.DataFrame) -> tuple[list[str], int]:
    """What did not end ok, the commonest first: at most MOST lines, and how many are left out."""
    rows = frame[frame["status"] != OK]
    rows = rows.assign(why=rows["reason"].fillna(NO_REASON))
    groups = rows.groupby(["status", "device", "why"], sort=False)
    lines = []
    for _, group in sorted(groups, key=lambda pair: -len(pair[1])):
        status, device, why = group[["status", "device", "why"]].iloc[0]
        subjects = list(dict.fromkeys(group["subject"]))
        of = ", ".join(subjects[:4]) + (f" and {len(subjects) - 4} more" if subjects[4:] else "")
        lines.append(f"{count(len(group), 'row')} {status} on {processor(device)} ({of}): {why}")
    return lines[:MOST], max(0, len(lines) - MOST)


def void(faults: Mapping[str, Sequence[str]]) -> list[str]:
    """What the self-checks found wrong, which leaves no row of the device to be trusted."""
    return [
        f"{plain(wrong)}: no {processor(device)} row of this run is to be trusted"
        for device, found in faults.items()
        for wrong in found
    ]


def warnings(frame: pd.DataFrame) -> list[str]:
    """What makes a row less to be trusted, counted."""
    rows = results(frame)
    rows = rows[rows["status"] == OK]
    error, bound = rows["correctness_error"], rows["correctness_bound"]
    checks = (
        (
            rows["throttled"].eq(True),
            "measured while the clock was held down, or others had the CPU's cores (which leaves "
            "no verdict)",
        ),
        (rows["above_roof"].eq(True), "above the measured roof, and so without a verdict"),
        (
            rows["shared_device"].eq(True),
            "of trials that shared their device, and so without seconds and joules",
        ),
        (
            ~rows["confidence"].isin([0.95]),
            "without an interval of 95 % confidence",
        ),
        (
            (rows["median_high_s"] - rows["median_low_s"] > 0.1 * rows["median_s"])
            | rows["median_high_s"].isna(),
            "with an interval wider than ± 5 % of the median, or none",
        ),
        (error > bound, "with an error above its bound"),
        (error.isna(), "measured without a check of correctness"),
    )
    return [f"{count(int(which.sum()), 'row')} {what}" for which, what in checks if which.any()]


def _is(number: int) -> str:
    return "is" if number == 1 else "are"
