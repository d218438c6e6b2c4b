"""What backpropagation costs: time and held bytes beside the forward pass, and checkpointing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.report.findings import machines, numbers, why_unknown
from harness.report.frame import drawable
from harness.report.plots import panels, style
from harness.report.plots.panels import Look
from harness.report.plots.style import GRID, INK, WIDTH, Part
from harness.report.plots.ticks import limits, log_axis, ratio_ticks
from harness.report.words import digits, processor, ratio, si, si_tick, whole
from harness.studies.backpropagation import ABOUT_TWICE

SOURCE = "findings"
TITLE = "What backpropagation costs"
INTRO = (
    "Left: the backward pass's time over the forward pass's, and a whole step's with "
    "checkpointing over one without, each with its 95 % interval; the line is at 2×, as the claim "
    "has it, the band is what counts as about twice. Right: the bytes that the forward pass keeps "
    "for the backward one, and, where the device tells, the peak of its memory beyond what was "
    "held before. Checkpointing (Chen et al. 2016) keeps only what enters a segment and computes "
    "the rest again."
)

MAX_LINES = 16

_LEFT, _RIGHT, _BETWEEN, _TOP, _LINE, _BELOW = 14.0, 22.0, 26.0, 24.0, 50.0, 46.0  # points
_BACKWARD, _PLAIN = Look("backward over forward", 1), Look("kept, or at peak", 3)
_AGAIN, _CHECKED = Look("checkpointed over plain", 2), Look("the same, checkpointed", 4)
_TIMES = ("backward_over_forward", "checkpointed_over_plain")
_BYTES = ("saved_bytes", "saved_bytes_checkpointed", "peak_bytes", "peak_bytes_checkpointed")
_ENDS = ("", "_low", "_high")


def parts(table: pd.DataFrame) -> list[Part]:
    """By machine, where a ratio of times is known."""
    names = [f"{name}{end}" for name in _TIMES for end in _ENDS]
    found = []
    for name, rows in machines(numbers(table, *names, *_BYTES), "backward"):
        known = rows[drawable(rows[_TIMES[0]])]
        if len(known):
            where = processor(str(rows["device"].iloc[0]))
            found.append(Part(f"On {where}", f"backward and forward on {name}", known))
    return found


def figure(part: pd.DataFrame) -> Figure:
    """A line a model: ratios of times at the left, bytes at the right, both log."""
    rows = part.iloc[:MAX_LINES]
    high = _LINE * len(rows)
    looks = [_BACKWARD, _AGAIN, _PLAIN, _CHECKED]
    below = _TOP + high + _BELOW
    fig = panels.sheet(below + panels.names_height(looks))
    wide = (WIDTH - _LEFT - _RIGHT - _BETWEEN) / 2
    times = panels.place(fig, _LEFT, _TOP, wide, high)
    held = panels.place(fig, _LEFT + wide + _BETWEEN, _TOP, wide, high)
    values = rows[[f"{name}{end}" for name in _TIMES for end in _ENDS]].to_numpy().ravel()
    ends = limits([1.0, *ABOUT_TWICE, *_on_axis(values)], margin=0.08)
    log_axis(times.xaxis, ends, ratio_ticks(ends, most=5))
    values = rows[[*_BYTES]].to_numpy().ravel()
    ends = limits(_on_axis(values) or [1.0], margin=0.1)
    log_axis(held.xaxis, ends, panels.decades(ends, partial(si_tick, unit="B"), most=3))
    for axes, title in ((times, "times the time"), (held, "bytes kept, or at peak")):
        panels.stacked(axes, high)
        panels.write(axes, 0, 9, title)
    times.axvspan(*ABOUT_TWICE, color=GRID, alpha=0.4, linewidth=0)
    times.axvline(2.0, color=INK, linewidth=1.0)
    for line, row in enumerate(rows.to_dict("records")):
        panels.heading(times, _LINE * line + 12, f"{row['subject']}, {row['at']}")
        _draw(times, held, _LINE * line, row)
    panels.names(fig, looks, below)
    return fig


def table(part: pd.DataFrame) -> pd.DataFrame:
    """One line a model."""
    lines = []
    for row in part.to_dict("records"):
        line = {"workload": row["subject"], "at": row["at"]}
        for name, heading in zip(_TIMES, (_BACKWARD.name, _AGAIN.name), strict=True):
            line[f"{heading}, 95 % interval"] = _ratio(row, name)
        for name in ("forward_s", "forward_backward_s", "checkpointed_s"):
            line[name.removesuffix("_s").replace("_", " and ")] = _told(row["values"], name, "s")
        for name in _BYTES:
            line[name.replace("_bytes", " bytes").replace("_", ", ")] = _told(row["values"], name)
        lines.append(line | {"n": whole(row["n"])})
    return pd.DataFrame(lines)


def caption(part: pd.DataFrame) -> str:
    """The ratio of each model, what checkpointing saves, and why a number is not there."""
    sentences = []
    for row in part.iloc[:MAX_LINES].to_dict("records"):
        words = f"{row['subject']} ({whole(row['n'])} samples): backward takes "
        words += f"{_ratio(row, _TIMES[0])} times the forward pass"
        kept, fewer = row["saved_bytes"], row["saved_bytes_checkpointed"]
        if kept > 0 and fewer > 0:
            words += f"; checkpointing keeps {fewer / kept:.0%} of {si(kept, 'B')}"
            words += f" for {_ratio(row, _TIMES[1])} times the time"
        sentences.append(f"{words}.")
    for name, what in ((f"{_TIMES[0]}_low", "interval"), ("peak_bytes", "peak of memory")):
        if part[name].isna().any():
            why = why_unknown(part[part[name].isna()], name)
            sentences.append(f"No {what} is known: {why}.")
    return " ".join([*sentences, *style.left_out(len(part) - MAX_LINES, "model", "numbers")])


def absent(table: pd.DataFrame) -> str:
    """Why there is no figure; "" if there is one."""
    return "" if parts(table) else "The probe backward found no times in this run."


def _draw(times: Axes, held: Axes, top: float, row: Mapping[Any, Any]) -> None:
    """One model: two ratios, and below each other what is kept and what is at peak."""
    for name, look, y in ((_TIMES[0], _BACKWARD.look, 23), (_TIMES[1], _AGAIN.look, 36)):
        value, low, high = (row[f"{name}{end}"] for end in _ENDS)
        if _on_axis([value]):
            times.hlines([top + y], low, high, color=style.color_of(look), linewidth=1.6)
            times.plot([value], [top + y], **style.of(look))
    for first, y in ((_BYTES[:2], 23), (_BYTES[2:], 36)):
        for name, look in zip(first, (_PLAIN.look, _CHECKED.look), strict=True):
            if _on_axis([row[name]]):
                held.plot([row[name]], [top + y], **style.of(look))
        known = [row[name] for name in first if _on_axis([row[name]])]
        if known:
            word = "kept" if first == _BYTES[:2] else "peak"
            held.annotate(
                *(word, (max(known), top + y), (7, 0)), textcoords="offset points",
                va="center_baseline", color=style.MUTED, fontsize=9,
            )  # fmt: skip


def _on_axis(values: Iterable[float]) -> list[float]:
    return [float(value) for value in values if 1e-12 < value < 1e24]


def _ratio(row: Mapping[Any, Any], name: str) -> str:
    value = row[name]
    if math.isnan(value):
        return "not known"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return digits(value) if math.isnan(low) or math.isnan(high) else ratio(value, low, high)


def _told(values: Mapping[str, float], name: str, unit: str = "B") -> str:
    value = values.get(name, math.nan)
    return "not known" if math.isnan(value) else si(value, unit)
