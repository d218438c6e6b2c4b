"""The table of all rows: every key figure with its unit and interval, or the reason why not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from harness import datasheet
from harness.record import OK
from harness.report import words
from harness.trust import LOW, NONE

Record = Mapping[str, Any]


class Cell(NamedTuple):
    """What stands in the table, what it sorts by if that is a number, and its footnote."""

    text: str
    value: str | None = None
    note: int | None = None
    look: str = ""  # a class of style.css


class Column(NamedTuple):
    """A heading and the cell below it; `field` is the one whose absence has a reason."""

    heading: str
    field: str
    show: Callable[[Record], Cell]


def told_once(numbers: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """A figure's numbers without the columns that say the same in every line, and those in words.

    A narrow table then has room for what differs. One line alone keeps all its columns, and so do
    lines that are all alike.

    Returns:
        the numbers, and e.g. "device cpu, dtype float32"; "" where nothing was dropped.
    """
    same = [name for name in numbers if len(numbers) > 1 and numbers[name].nunique(False) == 1]
    if len(same) == len(numbers.columns):
        return numbers, ""
    words = ", ".join(f"{name} {numbers[name].iloc[0]}" for name in same)
    return numbers.drop(columns=same), words


class Footnotes:
    """Reasons why values are missing, each once, numbered as they come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, reason: str) -> int:
        """The number of a reason, a new one if it is new."""
        return self._numbers.setdefault(reason, len(self._numbers) + 1)

    def all(self) -> list[tuple[int, str]]:
        """(number, reason) in the order of the numbers."""
        return [(number, reason) for reason, number in self._numbers.items()]


def cells(frame: pd.DataFrame, columns: tuple[Column, ...], notes: Footnotes) -> list[list[Cell]]:
    """The table's body; a value that is missing is a dash with the footnote of its reason."""
    return [
        [_cell(record, column, notes) for column in columns] for record in frame.to_dict("records")
    ]


def _cell(record: Any, column: Column, notes: Footnotes) -> Cell:
    if not _missing(record[column.field]):
        return column.show(record)
    if column.field == "reason" and record["status"] == OK:
        return Cell("")
    reason = record[f"{column.field}_reason"] or words.NO_REASON
    return Cell("–", note=notes.number(reason), look="none")


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _number(value: float, text: str, look: str = "") -> Cell:
    return Cell(text, f"{value:.6g}", look=look)


def _text(field: str) -> Column:
    return Column(field.replace("_", " "), field, lambda r: Cell(r[field]))


def _si(heading: str, field: str, unit: str) -> Column:
    return Column(heading, field, lambda r: _number(r[field], words.si(r[field], unit)))


def _whole(heading: str, field: str) -> Column:
    return Column(heading, field, lambda r: _number(r[field], words.whole(r[field])))


def _median(r: Record) -> Cell:
    ends = (r["median_s"], r["median_low_s"], r["median_high_s"])
    return _number(r["median_s"], words.si_interval(*ends, unit="s"))


def _datasheet(r: Record) -> Cell:
    """The maker's peak beside a measured one; of a cache no datasheet tells."""
    known = datasheet.peaks(r["device_name"])
    product = r["subject"] == "product"
    peak = None
    if known and product:
        peak = known.flop_per_s.get(r["dtype"])
    elif known and r["case"] == "memory":
        peak = known.byte_per_s
    if peak is None:
        return Cell("not known")
    return _number(peak, words.si(peak, "FLOP/s" if product else "B/s"))


def _speedup(r: Record) -> Cell:
    low, high = r["speedup_low"], r["speedup_high"]
    return _number(r["speedup"], words.ratio(r["speedup"], low, high))


def _verdict(r: Record) -> Cell:
    if r["provider"] == r["baseline"]:
        return Cell("the baseline")
    if _missing(r["speedup_low"]) or _missing(r["speedup_high"]):
        return Cell("no interval")
    return Cell(r["verdict"] or "not compared", look=r["verdict"] or "")


def _trust(r: Record) -> Cell:
    grade = r["trust"]
    text = f"{grade}: {r['trust_reasons']}" if r["trust_reasons"] else grade
    return Cell(text, look="flag" if grade in (LOW, NONE) and r["status"] == OK else "")


def _share(r: Record) -> Cell:
    text = f"{100 * r['roof_share']:.1f} %"
    if r["roof_bound"]:
        text += f" of {r['roof_bound']}"
    if r["above_roof"]:
        return _number(r["roof_share"], f"{text}: above the roof", "flag")
    return _number(r["roof_share"], text)


def _error(r: Record) -> Cell:
    error, bound = r["correctness_error"], r["correctness_bound"]
    if _missing(bound):
        return _number(error, f"{error:.2g}, bound not known")
    if error <= bound:
        return _number(error, f"{error:.2g} ≤ {bound:.2g}")
    return _number(error, f"{error:.2g} > {bound:.2g}", "flag")


def _throttled(r: Record) -> Cell:
    if not r["throttled"]:
        return Cell("no")
    return Cell(f"yes: {r['throttle_reasons'] or 'reason not known'}", look="flag")


_STATUS = Column(
    "status", "status", lambda r: Cell(r["status"], look="" if r["status"] == OK else "bad")
)
_WHY = Column("why not ok", "reason", lambda r: Cell(r["reason"], look="long"))

RUN, MACHINE = map(_text, ("run", "machine"))

ROWS = (
    *map(_text, ("subject", "case", "provider", "device", "mode")),
    _STATUS,
    Column("median, 95 % interval", "median_s", _median),
    Column("speedup, 95 % interval", "speedup", _speedup),
    Column("verdict", "speedup", _verdict),
    Column("trust", "trust", _trust),
    _whole("n", "n"),
    _whole("n_eff", "n_eff"),
    _text("stop_reason"),
    _WHY,
    _whole("batch", "batch"),
    *map(_text, ("direction", "dtype")),
    Column("roof share", "roof_share", _share),
    _si("rate of work", "flop_per_s", "FLOP/s"),
    _si("rate of bytes", "byte_per_s", "B/s"),
    Column("error and bound", "correctness_error", _error),
    _si("peak memory", "peak_memory_bytes", "B"),
    _si("energy", "energy_j", "J"),
    _si("net energy", "energy_net_j", "J"),
    _si("first call", "first_call_s", "s"),
    _whole("calls until that has paid", "payback_calls"),
    _si("launch", "launch_s", "s"),
    Column("throttled", "throttled", _throttled),
    *map(_text, ("kind", "id")),
)

ROOFS = (
    *map(_text, ("subject", "case", "provider", "device", "device_name", "dtype", "mode")),
    _STATUS,
    _si("rate of work", "flop_per_s", "FLOP/s"),
    _si("rate of bytes", "byte_per_s", "B/s"),
    Column("by the datasheet", "device_name", _datasheet),
    Column("median, 95 % interval", "median_s", _median),
    _whole("n", "n"),
    _WHY,
)
