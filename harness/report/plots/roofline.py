"""Roofline: what every measured case achieves, below what this machine did at best in this run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.report.amounts import compact
from harness.report.frame import drawable, measured
from harness.report.plots import panels, style
from harness.report.plots.style import GRID, INK, MUTED, PAPER, WIDTH, Part
from harness.report.plots.ticks import log_axis
from harness.report.roofs import CACHE, Roof, roofs
from harness.report.words import count, processor, si_interval, si_tick, whole

SOURCE = "rows"
TITLE = "Roofline"
INTRO = (
    "The FLOP/s of every case against its FLOPs a byte (Williams, Waterman & Patterson 2009), the "
    "bytes being those that it cannot do without: each input read once, each output written once. "
    "The lines are the roofs, all measured in the same run: to the left what a copy in memory or "
    "in the cache allows, at the top a large product in each dtype; a line is the quickest stretch "
    "that was seen, its band the median's 95 % interval. No number of a data sheet is drawn. "
    "Filled markers are providers, hollow ones the baseline; those above each other are one case. "
    "A line joins the batch sizes of a workload, and the larger the marker, the larger the batch."
)

MAX_LINES = 100  # in the table below a figure

_LEFT, _RIGHT, _TOP, _HIGH, _BELOW = 48.0, 14.0, 24.0, 210.0, 48.0  # points
_APART = 11.0  # points between two names of roofs
_CROWDED = 24.0  # points between two slanted roofs that leave no room for a name
_BEYOND = 4.0  # times beyond the cases that a ridge is still in the figure
_SIZES = (3.6, 6.4)  # points, of the smallest batch and the largest


def parts(table: pd.DataFrame) -> list[Part]:
    """By mode, machine, kernels or direction of workloads, and run that measured a roof beside."""
    rows = _cases(style.looks(table).join(table["run"]))
    order = {name: number for number, name in enumerate(dict.fromkeys(rows["subject"]))}
    rows = rows.assign(
        number=rows["subject"].map(order),
        what=("workloads, " + rows["direction"]).where(rows["kind"] == "workload", "kernels"),
    )
    found = []
    for keys, part in style.by(rows, ["mode", "device", "device_name", "what", "run"]):
        mode, device, name, what, run = keys
        of = roofs(table, run, device, name, mode)
        if of:
            part = part.assign(roofs=pd.Series([of] * len(part), part.index, dtype="object"))
            where = name if rows["device_name"].nunique() > 1 else processor(device)
            where += f", run {run}" if rows["run"].nunique() > 1 else ""
            found.append(Part(f"{mode.capitalize()} mode", f"{what} on {where}", part))
    return panels.few_lines(found, "subject", "number")


def figure(part: pd.DataFrame) -> Figure:
    """FLOP/s against FLOPs a byte, both log: a dot a case and provider, the roofs as lines."""
    every, over = _with_rates(part), part["roofs"].iloc[0]
    rows = panels.shown(every)
    looks = panels.looks(rows, "subject", "number")
    below = _TOP + _HIGH + _BELOW
    fig = panels.sheet(below + panels.names_height(looks))
    axes = panels.place(fig, _LEFT, _TOP, WIDTH - _LEFT - _RIGHT, _HIGH)
    across, up = _ends(every, over)
    log_axis(axes.xaxis, across, panels.decades(across, write=compact, most=7))
    log_axis(axes.yaxis, up, panels.decades(up, write=_tick, most=7))
    axes.set_xlabel("FLOPs a byte", labelpad=4)
    panels.write(axes, 8 - _LEFT, 9, "FLOP/s")
    for roof in over:
        _line(axes, roof, over)
    _names_of_roofs(axes, _within(over, across[1]), up)
    for _, dots in rows.groupby(["number", "provider"]):
        _dots(axes, dots.sort_values("batch"), style.of(int(dots["number"].iloc[0])))
    panels.names(fig, looks, below)
    return fig


def table(part: pd.DataFrame) -> pd.DataFrame:
    """One line a dot, those nearest to their roof first, as many as there is room for."""
    rows = _with_rates(panels.shown(part)).sort_values("roof_share", ascending=False, kind="stable")
    rows = rows.iloc[:MAX_LINES]
    ends = zip(rows["rate"], rows["rate_low"], rows["rate_high"], strict=True)
    return pd.DataFrame(
        {
            "subject": rows["subject"],
            "case": rows["case"],
            "provider": rows["provider"],
            "FLOPs a byte": [compact(value) for value in rows["intensity"]],
            "achieved, 95 % interval": [si_interval(*end, "FLOP/s") for end in ends],
            "share of its roof": [_share(value) for value in rows["roof_share"]],
            "bound by": rows["roof_bound"].fillna("not known"),
            "n": [whole(n) for n in rows["n"]],
        }
    )


def caption(part: pd.DataFrame) -> str:
    """The roofs as numbers, the nearest to one, and what is not in the figure or the table."""
    over: tuple[Roof, ...] = part["roofs"].iloc[0]
    told = ", ".join(f"{roof.words} (median {roof.median_words})" for roof in over)
    name, drawn = part["device_name"].iloc[0], panels.shown(part)
    sentences = [f"{count(len(drawn), 'dot')}. Roofs of {name}: {told}."]
    known = drawn[drawn["roof_share"].notna()]
    above = int((known["roof_share"] > 1).sum())
    if above:
        sentences.append(
            f"{count(above, 'dot')} above the roof: it, or their time, was not measured right."
        )
    elif len(known):
        best = known.iloc[int(known["roof_share"].to_numpy().argmax())]
        sentences.append(
            f"Nearest to its roof: {best['subject']} {best['case']} by {best['provider']}, "
            f"{_share(best['roof_share'])}."
        )
    missing = sorted(set(part["dtype"]) - {roof.name for roof in over})
    if missing:
        sentences.append(f"No product was measured in {', '.join(missing)}.")
    return " ".join([*sentences, *style.left_out(len(drawn) - MAX_LINES, "row")])


def absent(table: pd.DataFrame) -> str:
    """Of which device there is no figure and why; "" if each has one."""
    rows = _cases(style.looks(table).join(table["run"]))
    if rows.empty:
        return "No row of this run has a time, FLOPs and bytes, as a roofline needs."
    measured_on = rows[["device", "device_name", "run"]].drop_duplicates()
    several = rows["run"].nunique() > 1
    without = [
        f"{name} in run {run}" if several else str(name)
        for device, name, run in measured_on.itertuples(index=False)
        if not roofs(table, run, device, name, "host")
    ]
    names = ", ".join(without)
    return f"No roof was measured on {names}, so its cases have no figure." if without else ""


def _cases(rows: pd.DataFrame) -> pd.DataFrame:
    """Those that were measured and whose work is known."""
    rows = measured(rows)
    return rows[drawable(rows["flops"]) & drawable(rows["bytes"])]


def _with_rates(part: pd.DataFrame) -> pd.DataFrame:
    """With intensity, and rate between its ends, FLOP/s."""
    return part.assign(
        intensity=part["flops"] / part["bytes"],
        rate=part["flops"] / part["median_s"],
        rate_low=part["flops"] / part["median_high_s"],
        rate_high=part["flops"] / part["median_low_s"],
    )


def _dots(axes: Axes, rows: pd.DataFrame, look: dict[str, Any]) -> None:
    """One provider's cases; those of a workload, rising in batch size, joined by a line."""
    if rows["kind"].iloc[0] == "workload":
        axes.plot(rows["intensity"], rows["rate"], **look | {"marker": "", "linewidth": 1.1})
    hollow = (rows["provider"] == rows["baseline"]).iloc[0]
    sizes = np.linspace(*_SIZES, len(rows)) if rows["batch"].nunique() > 1 else [5.0] * len(rows)
    for x, y, size in zip(rows["intensity"], rows["rate"], sizes, strict=True):
        axes.plot(
            *([x], [y]),
            **look | {"linestyle": "none", "markersize": size},
            markerfacecolor=PAPER if hollow else look["color"],
            markeredgewidth=0.9,
        )


def _ends(rows: pd.DataFrame, over: Sequence[Roof]) -> tuple[list[float], list[float]]:
    """Of both axes: the cases, the ridges that are not far from them, and the roofs above them."""
    x = [float(f(rows["intensity"])) for f in (min, max)]
    flat = [roof.peak for roof in over if not roof.slanted]
    ridges = [top / roof.peak for roof in over if roof.slanted for top in flat]
    near = [ridge for ridge in ridges if x[0] / _BEYOND < ridge < x[1] * _BEYOND]
    x = [min(x[0], *near) / 1.6, max(x[1], *near) * 1.6] if near else [x[0] / 1.6, x[1] * 1.6]
    tops = [min(roof.at(x[1]), max(flat, default=math.inf)) for roof in over if roof.slanted]
    y = [*rows["rate"], *(roof.peak for roof in _within(over, x[1])), *tops]
    return x, [min(y) / 2, max(y) * 2.5]


def _within(over: Sequence[Roof], right: float) -> list[Roof]:
    """The products whose roof begins, at the steepest copy's, before so many FLOPs a byte."""
    steepest = max((roof.peak for roof in over if roof.slanted), default=math.inf)
    return [roof for roof in over if not roof.slanted and roof.peak / steepest < right]


def _line(axes: Axes, roof: Roof, over: Sequence[Roof]) -> None:
    """One roof as far as it is the roof, with the name of a slanted one along it."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    flat = max((r.peak for r in over if not r.slanted), default=math.inf)
    steepest = max((r.peak for r in over if r.slanted), default=math.inf)
    if roof.slanted:
        start, end = max(left, bottom / roof.peak), min(right, flat / roof.peak, top / roof.peak)
    else:
        start, end = max(left, roof.peak / steepest), right
    if start >= end:
        return
    at = [start, end]
    dash = style.DASHES[1] if roof.name == CACHE else "-"
    axes.plot(at, [roof.at(x) for x in at], color=INK, linewidth=1.2, linestyle=dash)
    low, high = ([roof.at(x) * end / roof.peak for x in at] for end in (roof.low, roof.high))
    axes.fill_between(at, low, high, color=GRID, alpha=0.8, linewidth=0)
    if roof.slanted:
        _along(axes, roof, start, end, steepest)


def _along(axes: Axes, roof: Roof, start: float, end: float, steepest: float) -> None:
    """A slanted roof's name above it, below it where the steepest is near; if it is long enough."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    wide = (WIDTH - _LEFT - _RIGHT) / math.log(right / left)  # points
    high = _HIGH / math.log(top / bottom)
    long = math.log(end / start) * math.hypot(wide, high)
    if long < 5.4 * len(roof.words):
        return
    below = 0 < high * math.log(steepest / roof.peak) < _CROWDED
    offset, side = ((12, 0), "top") if below else ((6, 9), "baseline")
    axes.annotate(
        *(roof.words, (start, roof.at(start)), offset), textcoords="offset points", fontsize=9,
        va=side, rotation=math.degrees(math.atan2(high, wide)), rotation_mode="anchor", color=MUTED,
    )  # fmt: skip


def _names_of_roofs(axes: Axes, roofs: list[Roof], up: list[float]) -> None:
    """The products' names at the right, above their lines and apart from each other."""
    height = math.log(up[1] / up[0])
    places = [_HIGH * math.log(roof.peak / up[0]) / height + 3 for roof in roofs]
    moved = style.spread(places, _APART, (0.0, _HIGH + 6))
    for roof, place in zip(roofs, moved, strict=True):
        axes.text(
            *(1.0, place / _HIGH, roof.words), transform=axes.transAxes, ha="right",
            fontsize=9, color=MUTED,
        )  # fmt: skip


def _tick(rate: float) -> str:
    """e.g. "500G"."""
    return si_tick(rate, "FLOP/s").removesuffix("FLOP/s").replace(" ", "")


def _share(value: float) -> str:
    return "not known" if math.isnan(value) else f"{value:.1%}" if value < 0.1 else f"{value:.0%}"
