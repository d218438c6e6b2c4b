"""Heat map of the tuning: steps to the target by learning rate and setting."""

from __future__ import annotations

import math
from itertools import pairwise

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from harness.curve import TUNING
from harness.report.amounts import amount, compact
from harness.report.plots import panels, style
from harness.report.plots.style import GRID, INK, MUTED, WIDTH, Part
from harness.report.plots.ticks import log_axis
from harness.report.trials import groups, why_unknown
from harness.report.tuning import Grid, grids, tuned
from harness.report.words import count, counts, processor

SOURCE = "trials"
TITLE = "How the learning rates were chosen"
INTRO = (
    "Median steps to the target over the tuning seeds, by learning rate: fewer is better, and the "
    "stronger the colour, the nearer to the best of its line. ∞: half of the seeds or more did "
    "not get there in the steps that they had, which are few once another rate is far ahead; ✕: "
    "they diverged. The frame is the rate that was chosen, and an arrow says that it lies on the "
    "edge of what was tried, so that a better one may lie beyond."
)

MAX_LINES = 24  # in one figure

_LEFT, _RIGHT, _TOP, _LINE = 104.0, 14.0, 22.0, 19.0  # points
_COLOR, _EDGE = style.SERIES[1], style.SERIES[2]
_STRONGEST, _FADED = 0.5, 3.0  # opacity of the best; octaves behind it that have no colour
_NAME = 17  # characters of a setting


def parts(table: pd.DataFrame) -> list[Part]:
    """By workload and device, where a setting was tuned; with the trials of the result."""
    found = []
    for (workload, device), rows in groups(table, ["workload", "device"]):
        if len(tuned(rows)):
            found.append(Part(workload, f"tuned on {processor(device)}", rows))
    return found


def figure(part: pd.DataFrame) -> Figure:
    """One line a setting, a cell for each rate that it tried."""
    drawn = grids(part)[:MAX_LINES]
    high = _LINE * len(drawn)
    fig = panels.sheet(_TOP + high + 36)
    axes = panels.place(fig, _LEFT, _TOP, WIDTH - _LEFT - _RIGHT, high)
    rates = sorted({rate for grid in drawn for rate in grid.cells})
    ends = (rates[0] / 1.6, rates[-1] * 1.6)
    log_axis(axes.xaxis, ends, panels.decades(ends, write="{:g}".format, most=6))
    panels.stacked(axes, len(drawn))
    axes.set_xlabel("learning rate", labelpad=4)
    panels.write(axes, 0, 7, "median steps to the target")
    names = _names(drawn)
    octave = (WIDTH - _LEFT - _RIGHT) / math.log2(ends[1] / ends[0])
    for line, grid in enumerate(drawn):
        panels.name_left(axes, line + 0.5, names[line], _NAME, away=6)
        _draw(axes, line, grid, octave)
    return fig


def table(part: pd.DataFrame) -> pd.DataFrame:
    """One line a cell."""
    lines = []
    for grid in grids(part):
        for rate, cell in grid.cells.items():
            lines.append(
                {
                    "setting": grid.title,
                    "learning rate": f"{rate:.3g}",
                    "median steps": amount(cell.steps, "steps")
                    if math.isfinite(cell.steps)
                    else f"not in {amount(cell.spent, 'steps')}",
                    "seeds there": f"{cell.reached} of {cell.n}",
                    "diverged": str(cell.diverged),
                    "chosen": _chosen(grid, rate),
                }
            )
    return pd.DataFrame(lines)


def caption(part: pd.DataFrame) -> str:
    """Seeds, trials and steps that the tuning took, and which optima lie on the edge."""
    found = grids(part)
    rows = part[part["role"] == TUNING]
    seeds = counts((cell.n for grid in found for cell in grid.cells.values()), "tuning seed")
    where = processor(part["device"].iloc[0])
    took = f"{amount(float(rows['steps_spent'].sum()), 'steps')} steps"
    if rows["seconds_spent"].notna().all():
        took += f" and {amount(float(rows['seconds_spent'].sum()), 'seconds')} in all"
    else:
        took += f" in all; no seconds: {why_unknown(rows, 'seconds').rstrip('.')}"
    words = [
        f"{count(len(found), 'setting')} on {where}, {seeds} a rate: "
        f"{count(len(rows), 'trial')}, {took}."
    ]
    nowhere = [grid.title for grid in found if len(grid.edges) == 2]
    edge = [grid.title for grid in found if len(grid.edges) == 1]
    if edge:
        words.append(f"Best rate on the edge: {'; '.join(edge)}.")
    if nowhere:
        words.append(f"No rate reached the target: {'; '.join(nowhere)}.")
    return " ".join([*words, *style.left_out(len(found) - MAX_LINES, "setting", "numbers")])


def absent(table: pd.DataFrame) -> str:
    """Why there is no map; "" if there is one."""
    return "" if parts(table) else "No learning rate was tuned in this run: each was given."


def _names(drawn: list[Grid]) -> list[str]:
    """What tells the settings apart."""
    if len({grid.batch for grid in drawn}) == 1:
        return [grid.optimizer for grid in drawn]
    if len({grid.optimizer for grid in drawn}) == 1:
        return [grid.batch for grid in drawn]
    return [grid.title.replace("batch ", "") for grid in drawn]


def _chosen(grid: Grid, rate: float) -> str:
    if rate != grid.chosen:
        return "no"
    return "yes, on the edge" if grid.edges else "yes"


def _draw(axes: Axes, line: int, grid: Grid, octave: float) -> None:
    """The cells of one setting; `octave` points are a factor of two."""
    best = min(max(cell.steps, 1.0) for cell in grid.cells.values())
    rates = list(grid.cells)
    gaps = [high / low for low, high in pairwise(rates)]
    half = math.sqrt(min([2.0, *gaps]))
    across = octave * 2 * math.log2(half)
    for rate, cell in grid.cells.items():
        if math.isfinite(cell.steps):
            shade = _STRONGEST * max(0.0, 1 - math.log2(max(cell.steps, 1.0) / best) / _FADED)
            _box(axes, rate, half, line, fc=_COLOR, ec="none", alpha=shade)
        else:
            _box(axes, rate, half, line, fc="none", ec=GRID, linewidth=0.8)
        word = compact(cell.steps)
        if math.isinf(cell.steps) and cell.diverged > cell.n / 2:
            word = "✕"
        if across > 17:
            axes.text(
                *(rate, line + 0.5, word), ha="center", va="center_baseline",
                fontsize=min(8.5, across / (0.62 * max(3, len(word)))),
                color=INK if math.isfinite(cell.steps) else MUTED,
            )  # fmt: skip
    if grid.chosen in grid.cells:
        color = _EDGE if grid.edges else INK
        _box(axes, grid.chosen, half, line, fc="none", ec=color, linewidth=1.8)
    for edge, end, sign, arrow in (
        ("low", rates[0], 1 / half, "<"),
        ("high", rates[-1], half, ">"),
    ):
        if edge in grid.edges:
            at = end * sign ** (1 + 7 / octave)
            axes.plot([at], [line + 0.5], arrow, color=_EDGE, markersize=5, clip_on=False)


def _box(axes: Axes, rate: float, half: float, line: int, **how: object) -> None:
    low, high = rate / half, rate * half
    axes.add_patch(Rectangle((low, line + 0.06), high - low, 0.88, **how))  # type: ignore[arg-type]
