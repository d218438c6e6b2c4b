"""Kaplan-Meier curves: the share of seeds that has reached the target, as time goes by."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from harness import survival
from harness.curve import CENSORED, REACHED
from harness.report.amounts import amount
from harness.report.frame import drawable
from harness.report.plots import panels, style
from harness.report.plots.panels import Look
from harness.report.plots.style import WIDTH, Part
from harness.report.plots.ticks import limits, linear_axis, log_axis, time_ticks
from harness.report.trials import families, finals, groups, variants, why_unknown
from harness.report.words import count, counts, processor

SOURCE = "trials"
TITLE = "How surely and how soon the target is reached"
INTRO = (
    "The share of seeds that has reached the target after so many seconds of training (Kaplan & "
    "Meier 1958), higher and further to the left is better; the axis of seconds is logarithmic. A "
    "cross is where a seed was stopped that had not got there yet: the estimate knows that it "
    "might have. One that diverged never gets there. Bands, where there are one or two lines, and "
    "the intervals in the numbers are 95 % for each time by itself."
)


_LEFT, _RIGHT, _TOP, _HIGH, _NAMES = 46.0, 14.0, 24.0, 160.0, 48.0  # points
_BANDS = 2  # lines at most that have their interval drawn


class Line(NamedTuple):
    """One setting: its curve as steps that hold from t[i] on, and where seeds were stopped."""

    name: str
    look: int
    t: NDArray[np.float64]
    share: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    stopped: NDArray[np.float64]
    median: float
    reached: int
    n: int


def parts(table: pd.DataFrame) -> list[Part]:
    """Families of settings by workload and device; then, together, workloads with one setting."""
    rows = finals(table)
    rows = rows[drawable(rows["batch"])]
    of_settings, of_variants = families(rows), variants(rows)
    found = [
        Part(family.workload, f"{family.title}, on {processor(family.device)}", family.rows)
        for family in (*of_settings, *of_variants)
    ]
    told = [family.rows for family in of_settings]
    told += [family.rows[family.rows["workload"] != family.workload] for family in of_variants]
    alone = rows[~rows.index.isin(pd.concat([rows.iloc[:0], *told]).index)]
    for device, each in groups(alone, "device"):
        names = list(dict.fromkeys(each["workload"]))
        look = each["workload"].map({name: number for number, name in enumerate(names)})
        each = each.assign(look=look, series=each["workload"])
        found.append(Part("Workloads", f"each at its own setting, on {processor(device)}", each))
    found = [part._replace(frame=_timed(part.frame)) for part in found]
    return panels.few_lines([part for part in found if len(part.frame)], "series")


def figure(part: pd.DataFrame) -> Figure:
    """Steps that rise, one line a setting."""
    lines = _lines(part)
    shown = _lines(panels.shown(part))
    looks = [Look(line.name, line.look) for line in shown]
    below = _TOP + _HIGH + _NAMES
    fig = panels.sheet(below + panels.names_height(looks))
    axes = panels.place(fig, _LEFT, _TOP, WIDTH - _LEFT - _RIGHT, _HIGH)
    seen = [t for line in lines for t in (*line.t, *line.stopped) if 1e-15 < t < 1e15]
    across = limits(seen or [1.0], margin=0.05)
    log_axis(axes.xaxis, across, time_ticks(across))
    linear_axis(axes.yaxis, (-0.03, 1.03), {s: f"{100 * s:.0f} %" for s in (0, 0.25, 0.5, 0.75, 1)})
    axes.set_xlabel("seconds of training", labelpad=4)
    panels.write(axes, -40, 9, "share of seeds that reached the target")
    for line in shown:
        _draw(axes, line, across[0], band=len(shown) <= _BANDS)
    panels.names(fig, looks, below)
    return fig


def table(part: pd.DataFrame) -> pd.DataFrame:
    """One line for each setting and time at which its share changes."""
    lines = []
    for line in _lines(panels.shown(part)):
        changes = (
            np.flatnonzero(np.diff(line.share, prepend=0.0)) if line.reached else [len(line.t) - 1]
        )
        for i in changes:
            lines.append(
                {
                    "setting": line.name,
                    "from": amount(float(line.t[i]), "seconds"),
                    "share, 95 % interval": f"{100 * line.share[i]:.0f} % "
                    f"[{100 * line.low[i]:.0f}, {100 * line.high[i]:.0f}]",
                    "seeds there": f"{line.reached} of {line.n}",
                }
            )
    return pd.DataFrame(lines)


def caption(part: pd.DataFrame) -> str:
    """How many seeds of each line, which got there with all, and which did not."""
    lines = _lines(part)
    seeds = [line.n for line in lines]
    n = f"{processor(part['device'].iloc[0])}, {counts(seeds, 'seed')} a line"
    words = [f"{n}, so each interval is wide." if max(seeds) < 10 else f"{n}."]
    short = [f"{line.name} ({line.reached} of {line.n})" for line in lines if line.reached < line.n]
    every = len(lines) - len(short)
    words.append(f"Of {count(len(lines), 'setting')}, {every} got there with every seed.")
    if short:
        words.append(f"Not with every seed: {', '.join(short)}.")
    if untimed := part["untimed"].iloc[0]:
        words.append(f"No times of {untimed}.")
    return " ".join(words)


def absent(table: pd.DataFrame) -> str:
    """Why there is no figure; "" if there is one."""
    if parts(table):
        return ""
    return "No trial of this run has a time: what became of each is in the table of all rows."


def _timed(rows: pd.DataFrame) -> pd.DataFrame:
    """The trials of settings that have a line; `untimed` says which have none, and why."""
    settings = [of for _, of in groups(rows, ["series", "setting"])]
    known = [of for of in settings if _line(of)]
    untimed = [of for of in settings if not _line(of)]
    names = ", ".join(dict.fromkeys(str(of["series"].iloc[0]) for of in untimed))
    why = why_unknown(untimed[0], "seconds").rstrip(".") if untimed else ""
    told = f"{names}: {why}" if untimed else ""
    return pd.concat([rows.iloc[:0], *known]).assign(untimed=told)


def _lines(part: pd.DataFrame) -> list[Line]:
    """The settings, the one with the least median first."""
    found = (_line(rows) for _, rows in groups(part, ["series", "setting"]))
    return sorted(filter(None, found), key=lambda line: (line.median, -line.reached / line.n))


def _line(rows: pd.DataFrame) -> Line | None:
    there = (rows["status"] == REACHED).to_numpy()
    stopped = rows["seconds_spent"].where(rows["status"] == CENSORED, math.inf)
    seconds = np.where(there, rows["seconds_to_target"], stopped).astype(float)
    if not (seconds >= 0).all():  # a time that is not known has no place
        return None
    t, alive, low, high = survival.kaplan_meier(seconds, there)
    ends = seconds[~there]
    return Line(
        name=str(rows["series"].iloc[0]),
        look=int(rows["look"].iloc[0]),
        t=t,
        share=1 - alive,
        low=1 - high,
        high=1 - low,
        stopped=ends[np.isfinite(ends)],
        median=survival.median(np.where(there, seconds, math.inf)),
        reached=int(there.sum()),
        n=len(rows),
    )


def _draw(axes: Axes, line: Line, left: float, band: bool) -> None:
    look = style.of(line.look)
    # what happened before the axis begins is drawn where it begins
    x = np.maximum(line.t, left)
    axes.step(x, line.share, where="post", **look | {"marker": ""})
    rises = np.flatnonzero(np.diff(line.share, prepend=0.0))
    axes.plot(x[rises], line.share[rises], **look | {"linestyle": "none"})
    at = np.searchsorted(line.t, line.stopped, side="right") - 1
    axes.plot(line.stopped, line.share[at], "+", color=look["color"], markersize=8)
    if band:
        axes.fill_between(
            *(x, line.low, line.high), step="post", color=look["color"], alpha=0.15, linewidth=0
        )
