"""Rows as one pandas table, the only form in which the report handles them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from harness import noise
from harness.faults import faults
from harness.record import ABOUT_MEASURING, COUNT, FIELDS, FLAG, NUMBER, OK, TEXT, Row
from harness.report.words import plain
from harness.trust import NONE, trust
from harness.verdict import UNCLEAR, Ratio, verdicts

DISTURBED = "disturbed"  # others had the CPU's cores

_KEY = ("device", "mode")
_LARGEST = 1e15  # on a log axis, its inverse the smallest
_TOO_LARGE = "not finite, or too large to show"


def frame(rows: Sequence[Row], run: str = "", machine: str = "") -> pd.DataFrame:
    """One line a row: id, group, name, every field of FIELDS and every `<field>_reason`.

    And run and machine, their names, "" where none is given. And noise_floor, the share that a
    speedup has to exceed on its device in its mode, and verdict, one of `harness.verdict.VERDICTS`
    for rows that are compared, all of them judged together. And trust, one of
    `harness.trust.GRADES`, with trust_reasons in words. And samples, the row's own tuple of seconds
    in the order they were taken, which is not copied.
    Numbers and counts are float64 with NaN where there is none; text and flags are objects
    with None. Text is made printable here (`words.plain`), escaping is left to who writes it.
    """
    columns: dict[str, list[Any]] = {
        "id": [plain(row.id) for row in rows],
        "group": [plain(row.group) for row in rows],
        "name": [plain(row.name) for row in rows],
        "run": [plain(run)] * len(rows),
        "machine": [plain(machine)] * len(rows),
    }
    for field in FIELDS:
        columns[field] = []
        columns[f"{field}_reason"] = []
    for row in rows:
        info = row.extra_info
        for field, (kind, _) in FIELDS.items():
            value, reason = info.get(field), info.get(f"{field}_reason")
            if value is not None and kind == TEXT:
                value = plain(value)
            elif value is not None and kind in (NUMBER, COUNT):
                value = _finite(value)
                reason = _TOO_LARGE if value is None else None
            columns[field].append(value)
            columns[f"{field}_reason"].append(plain(reason) if isinstance(reason, str) else None)
    table = pd.DataFrame(
        {name: pd.Series(values, dtype=_dtype(name)) for name, values in columns.items()}
    )
    return _judged(table, rows)


def _judged(table: pd.DataFrame, rows: Sequence[Row]) -> pd.DataFrame:
    """With the noise floor, the trust and the verdict of each row."""
    floors, wrong = noise.floors(row.extra_info for row in rows), faults(rows)
    found = [floors.get(key, noise.NO_PAIRS) for key in zip(*(table[n] for n in _KEY), strict=True)]
    grades = [
        trust(row.extra_info, row.samples, wrong.get(row.extra_info["device"], ())) for row in rows
    ]
    told = [plain("; ".join(grade.reasons)) if grade else "" for grade in grades]
    table = table.assign(
        noise_floor=pd.Series([floor.share for floor in found], dtype="float64"),
        trust=pd.Series([grade and grade.grade for grade in grades], dtype="object"),
        trust_reason="a trial's samples are its seeds",
        trust_reasons=pd.Series(told, dtype="object"),
        samples=pd.Series([row.samples for row in rows], dtype="object"),
        verdict=pd.Series([None] * len(table), dtype="object"),
    )
    compared = comparable(table)
    table.loc[compared, "verdict"] = UNCLEAR  # of a device whose self-checks failed
    judged = table.index[compared & ~table["device"].isin([*wrong])]
    ends = (table.loc[judged, name] for name in ("speedup", "speedup_low", "speedup_high"))
    numbers = zip(judged, *ends, strict=True)
    # rows from before it was kept are taken to have many blocks
    freedom = table["speedup_freedom"].where(table["speedup_freedom"] >= 1, math.inf)
    ratios = [
        Ratio(value, low, high, found[i], freedom=freedom[i]) for i, value, low, high in numbers
    ]
    table.loc[judged, "verdict"] = verdicts(ratios)
    return table


def results(table: pd.DataFrame) -> pd.DataFrame:
    """Without the rows that are about the measuring itself."""
    return table[~table["kind"].isin(ABOUT_MEASURING)]


def workloads(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of workloads with a batch size that can be drawn."""
    return table[(table["kind"] == "workload") & drawable(table["batch"])]


def measured(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with a time that can be drawn, and the ends of its interval as `low` and `high`.

    Where the interval is not known, or is none, both ends are the median.
    """
    rows = table[(table["status"] == OK) & drawable(table["median_s"])]
    median, low, high = (rows[f"median{end}_s"] for end in ("", "_low", "_high"))
    return rows.assign(
        low=low.where(drawable(low) & (low <= median), median),
        high=high.where(drawable(high) & (high >= median), median),
    )


def judgeable(table: pd.DataFrame) -> pd.DataFrame:
    """Of `measured`, the rows that a verdict may stand on.

    Their interval is known, nobody else had the CPU's cores, and nothing leaves them without any
    trust: no failed self-check of their device, no time above the roof.
    """
    rows = measured(table)
    return rows[doubts(rows) == ""]


def doubts(rows: pd.DataFrame) -> pd.Series:
    """Why no verdict may stand on each row of `measured`, in a word or two; "" where one may."""
    known = (rows["low"] == rows["median_low_s"]) & (rows["high"] == rows["median_high_s"])
    taken = rows["throttled"].eq(True) & (rows["device"] == "cpu")
    found = pd.Series("", index=rows.index, dtype="object")
    found = found.where(known, "without an interval")
    found = found.where(rows["trust"] != NONE, "without trust")
    return found.where(~taken, DISTURBED)


def comparable(table: pd.DataFrame) -> pd.Series:
    """Which results have a speedup, with its interval, over a baseline other than themselves."""
    low, middle, high = (table[f"speedup{end}"] for end in ("_low", "", "_high"))
    return (
        (table["status"] == OK)
        & ~table["kind"].isin(ABOUT_MEASURING)
        & (table["provider"] != table["baseline"])
        & (drawable(low) & (low <= middle))
        & (drawable(high) & (middle <= high))
    )


def drawable(values: pd.Series) -> pd.Series:
    """Which values have a place on a log axis: files may hold any, those of a machine all do."""
    return (values > 1 / _LARGEST) & (values < _LARGEST)


def _finite(value: float) -> float | None:
    # JSON holds 1e999, which is infinity here, and integers of any length
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _dtype(column: str) -> str:
    kind = FIELDS.get(column, (TEXT, False))[0]
    return "object" if kind in (TEXT, FLAG) else "float64"
