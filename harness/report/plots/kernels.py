"""Kernels: median time and speedup of every case, as dots with whiskers, the best first."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from harness.report.frame import comparable, doubts, measured
from harness.report.plots import panels, style
from harness.report.plots.style import INK, MUTED, PAPER, WIDTH, Part
from harness.report.plots.ticks import limits, log_axis, ratio_ticks, time_ticks
from harness.report.words import count, ratio, shorten, si_interval, tally, whole

SOURCE = "rows"
TITLE = "Kernels"
INTRO = (
    "Each case with the median time of every provider (left, lower is faster) and its speedup over "
    "the baseline (right, above 1× is faster), the largest speedup first. Whiskers are 95 % "
    "intervals: where one reaches 1×, the two are the same or the measurement cannot tell. On "
    "hollow dots no verdict may stand, and they have no speedup; the caption says why."
)

MAX_CASES = 16  # in one figure
MAX_PROVIDERS = 6

_LEFT, _RIGHT, _BETWEEN = 14.0, 16.0, 22.0  # points
_LINE, _DOT, _SPACE = 14.0, 10.0, 6.0  # a case's name, one provider's dot, between two cases
_LEGEND_COLUMNS = 3


def parts(table: pd.DataFrame) -> list[Part]:
    """By mode, operation and device, where at least one row was measured."""
    rows = style.looks(table)
    rows = rows[rows["kind"].isin(["kernel", "user"])]
    found = []
    for (mode, subject, device), part in style.by(rows, ["mode", "subject", "device"]):
        if not measured(part).empty:
            found.append(Part(f"{mode.capitalize()} mode", f"{subject} on {device}", part))
    return found


def figure(part: pd.DataFrame) -> Figure:
    """One line a case: its name, and below it a dot a provider for time and for speedup."""
    rows, _ = _drawn(part)
    case_starts = rows["case"] != rows["case"].shift()
    rows["y"] = (case_starts.cumsum() * (_LINE + _SPACE) + _DOT * np.arange(len(rows))) - _SPACE
    body = rows["y"].iloc[-1] + _DOT
    names = rows.drop_duplicates("provider").sort_values("look")
    top = _LINE * math.ceil(len(names) / _LEGEND_COLUMNS) + 26
    bottom = 24.0
    height = top + body + bottom
    fig = panels.sheet(height)
    width = (WIDTH - _LEFT - _RIGHT - _BETWEEN) / 2
    time = panels.place(fig, _LEFT, top, width, body)
    speedup = panels.place(fig, _LEFT + width + _BETWEEN, top, width, body)
    _axes(time, speedup, rows, body)
    _legend(fig, names, height)
    for case, y in zip(rows["case"][case_starts], rows["y"][case_starts], strict=True):
        _heading(fig, case, top + y, height)
    for _, dots in rows.groupby("look"):
        _dots(time, dots, "median_s", "low", "high")
        _dots(speedup, dots[comparable(dots)], "speedup", "speedup_low", "speedup_high")
    return fig


def table(part: pd.DataFrame) -> pd.DataFrame:
    """One line a dot of the figure."""
    rows, _ = _drawn(part)
    times = (rows["median_s"], rows["median_low_s"], rows["median_high_s"])
    has = comparable(rows)
    ends = rows[["speedup", "speedup_low", "speedup_high"]].itertuples(index=False)
    speedups = [tuple(end) if known else None for end, known in zip(ends, has, strict=True)]
    return pd.DataFrame(
        {
            "case": rows["case"],
            "provider": rows["provider"],
            "median, 95 % interval": [si_interval(*end, "s") for end in zip(*times, strict=True)],
            "speedup, 95 % interval": [
                ratio(*end) if end else why
                for end, why in zip(speedups, _why_no_speedup(rows), strict=True)
            ],
            "verdict": rows["verdict"].where(has, "not compared"),
            "n": [whole(n) for n in rows["n"]],
        }
    )


def caption(part: pd.DataFrame) -> str:
    """In how many cases a provider is faster, and what is not in the figure."""
    rows, left_out = _drawn(part)
    sentences = []
    for provider, block in rows[comparable(rows)].groupby("provider", sort=False):
        words = tally(block["verdict"].tolist())
        sentences.append(f"{provider} in {count(len(block), 'case')}: {words}.")
    compared = rows[(rows["provider"] != rows["baseline"]) & ~comparable(rows)]
    if why := style.tally_doubts(_why_no_verdict(compared, rows)):
        sentences.append(f"{len(compared)} without a verdict: {why}.")
    sentences += style.without_a_time(part, "dot")
    return " ".join([*sentences, *style.left_out(left_out, "row")])


def absent(table: pd.DataFrame) -> str:
    """Why there is no time of a kernel; "" if there is."""
    if parts(table):
        return ""
    rows = table[table["kind"].isin(["kernel", "user"])]
    if rows.empty:
        return "This run has no rows of kernels."
    reasons = rows["reason"].dropna()
    why = f"; the commonest reason: {reasons.mode().iloc[0]}" if len(reasons) else ""
    return f"None of {count(len(rows), 'row')} of kernels was measured{why}."


def _drawn(part: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The rows in the figure in its order, and how many measured ones are not in it."""
    rows = measured(part)
    once = rows.drop_duplicates(["case", "provider"], keep="last").sort_values(
        "look", kind="stable"
    )
    once = once.assign(known=once["speedup"].where(comparable(once)))
    providers = list(dict.fromkeys(once["provider"]))[:MAX_PROVIDERS]
    once = once[once["provider"].isin(providers)]
    best = once.groupby("case", sort=False)["known"].max().sort_values(ascending=False)
    place = {case: i for i, case in enumerate(best.index[:MAX_CASES])}
    drawn = once[once["case"].isin(place)]
    order = drawn["case"].map(place).sort_values(kind="stable").index
    return drawn.loc[order], len(rows) - len(drawn)


def _why_no_speedup(rows: pd.DataFrame) -> list[str]:
    is_baseline = rows["provider"] == rows["baseline"]
    reasons = _why_no_verdict(rows, rows)
    return [
        "the baseline" if base else reason
        for base, reason in zip(is_baseline, reasons, strict=True)
    ]


def _why_no_verdict(compared: pd.DataFrame, rows: pd.DataFrame) -> pd.Series:
    """Of rows without a speedup: their own doubt, their baseline's or the reason on file."""
    baselines = rows[rows["provider"] == rows["baseline"]].drop_duplicates("case", keep="last")
    doubt = dict(zip(baselines["case"], doubts(baselines), strict=True))
    own = doubts(compared)
    told = [
        mine
        or (f"with the baseline {theirs}" if (theirs := doubt.get(case, "")) else "")
        or reason
        or "with no interval known"
        for mine, case, reason in zip(
            own, compared["case"], compared["speedup_reason"], strict=True
        )
    ]
    return pd.Series(told, index=compared.index, dtype="object")


def _heading(fig: Figure, case: str, down: float, height: float) -> None:
    """A case's name over both panels, whose lines stop there: names are long."""
    strip = Rectangle(
        (0, 1 - (down + 1) / height), 1, (_LINE + 1) / height, facecolor=PAPER, edgecolor="none",
        transform=fig.transFigure, zorder=5,
    )  # fmt: skip
    fig.add_artist(strip)
    fig.text(_LEFT / WIDTH, 1 - (down - 3) / height, shorten(case, 58), color=INK, zorder=6)


def _axes(time: Axes, speedup: Axes, rows: pd.DataFrame, body: float) -> None:
    """Scales, ticks and titles."""
    compared = rows[comparable(rows)]
    ends = limits([*rows["low"], *rows["high"]], margin=0.08)
    log_axis(time.xaxis, ends, time_ticks(ends, most=4))
    ends = limits([1.0, *compared["speedup_low"], *compared["speedup_high"]], 0.08, least=0.3)
    log_axis(speedup.xaxis, ends, ratio_ticks(ends, most=4))
    over = set(rows["baseline"])
    baseline = shorten(over.pop(), 16) if len(over) == 1 else "the baseline"
    for axes, title in ((time, "median time"), (speedup, f"speedup over {baseline}")):
        panels.stacked(axes, body)
        panels.write(axes, 0, 5, title)
    if compared.empty:
        words = "no provider to compare"
        speedup.text(0.5, 0.5, words, transform=speedup.transAxes, ha="center", color=MUTED)
    speedup.axvline(1.0, color=INK, linewidth=1.0)


def _dots(axes: Axes, rows: pd.DataFrame, value: str, low: str, high: str) -> None:
    """One provider's values with their intervals."""
    if rows.empty:
        return
    look = rows["look"].iloc[0]
    color, marker = style.color_of(look), style.marker_of(look)
    y = rows["y"] + _DOT / 2
    axes.hlines(y, rows[low], rows[high], color=color, linewidth=1.4)
    axes.plot(rows[value], y, color=color, linestyle="none", marker=marker, markersize=5.5)
    open_ones = doubts(rows) != ""
    style.hollow(axes, np.column_stack([rows[value], y])[open_ones], look)


def _legend(fig: Figure, names: pd.DataFrame, height: float) -> None:
    for i, (provider, look) in enumerate(zip(names["provider"], names["look"], strict=True)):
        down, across = divmod(i, _LEGEND_COLUMNS)
        x = (_LEFT + across * (WIDTH - _LEFT) / _LEGEND_COLUMNS) / WIDTH
        y = 1 - (10 + down * _LINE) / height
        color, marker = style.color_of(look), style.marker_of(look)
        fig.add_artist(Line2D([x + 4 / WIDTH], [y], color=color, marker=marker, markersize=5.5))
        fig.text(x + 12 / WIDTH, y, shorten(provider, 18), color=color, va="center_baseline")
