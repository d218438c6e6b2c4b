"""The validation metric against samples, FLOPs, seconds and joules, a panel for each known one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.curve import DIVERGED, REACHED
from harness.report.amounts import amount, compact, power, reached, spread, tick
from harness.report.median import Floats, along, middle
from harness.report.plots import metric_axis, panels, style
from harness.report.plots.panels import Look
from harness.report.plots.style import INK, Part
from harness.report.plots.ticks import linear_axis, log_axis
from harness.report.trials import families, groups, positive, times, variants, why_unknown
from harness.report.words import count, counts, processor, shorten
from harness.survival import expected_running_time

SOURCE = "points"
TITLE = "What learning costs"
INTRO = (
    "The validation metric against samples, FLOPs, seconds and joules: settings side by side "
    "first, on logarithmic axes, then each by itself. Thin lines are seeds; the heavy line is "
    "their median, in which a seed that got to the target counts as better than it and one that "
    "diverged as worse than all. It ends in a marker at the median cost of the target, which is "
    "the dashed line. Further to the left is better. In brackets are the least and the most of "
    "the seeds, which are too few for a 95 % interval; ∞ is a seed that did not get there. "
    "Evaluation is in neither the seconds nor the joules."
)

DRAWN = ("samples", "flops", "seconds", "joules")

_NAMES = {"flops": "FLOPs"}
_DASHED = 7  # the CPU's colour, dashed: beside the GPU's line, which may lie below it

_LEFT, _ACROSS, _TOP = 46.0, 140.0, 26.0  # points
_HIGH, _HIGHER = 100.0, 150.0  # of one setting, of several
_BESIDE, _BELOW = 38.0, 44.0  # from one panel to the next
_THREE, _CLOSE = 96.0, 20.0  # the width of three in a row, and from one to the next
_FEW = 4  # lines whose seeds can be told apart
_GRID = 160  # places at which the median over the seeds is taken
_TICK_CHARACTER = 9.0  # points, with some air, that one needs


def parts(table: pd.DataFrame) -> list[Part]:
    """By workload: its families of settings, then each setting, where something was evaluated."""
    found = [
        Part(family.workload, f"{family.title}, on {processor(family.device)}", family.rows)
        for family in (*families(table), *variants(table))
    ]
    devices = table.assign(
        series=table["device"].map(processor), look=table["device"].map(style.DEVICES).fillna(3)
    )
    for _, rows in groups(devices, ["workload", "optimizer", "batch", "setting"]):
        if rows["device"].nunique() > 1:
            rows = rows.assign(look=rows["look"].replace(style.DEVICES["cpu"], _DASHED))
            rows = rows.sort_values("device", ascending=False, kind="stable")  # the CPU on top
        found.append(Part(rows["workload"].iloc[0], rows["title"].iloc[0], rows))
    found = panels.few_lines([part for part in found if _drawable(part.frame)], "series")
    nowhere = _nowhere([part.frame for part in found])
    return [part._replace(frame=part.frame.assign(nowhere=" ".join(nowhere))) for part in found]


def figure(part: pd.DataFrame) -> Figure:
    """A panel for each currency that a line is known in; they share their vertical axis."""
    shown = panels.shown(part)
    looks = [Look(name, int(rows["look"].iloc[0])) for name, rows in _series(shown)]
    several = len(looks) > 1
    high = _HIGHER if several else _HIGH
    drawn = [currency for currency in DRAWN if _in_any(part, currency)]
    columns = 3 if len(drawn) == 3 else 2
    across, beside = (_THREE, _CLOSE) if columns == 3 else (_ACROSS, _BESIDE)
    lines = math.ceil(len(drawn) / columns)
    below = _TOP + lines * high + (lines - 1) * _BELOW + 46
    fig = panels.sheet(below + panels.names_height(looks) * several)
    up, is_log = metric_axis.reach(part)
    for number, currency in enumerate(drawn):
        down, right = divmod(number, columns)
        left, top = _LEFT + right * (across + beside), _TOP + down * (high + _BELOW)
        axes = panels.place(fig, left, top, across, high)
        metric_axis.ticks(axes, up, is_log, labelled=not right)
        _panel(axes, part, currency, len(looks))
    first, one = fig.axes[0], part.iloc[0]
    better = "lower" if one["lower_is_better"] else "higher"
    panels.write(first, -40, 9, f"{shorten(one['metric'], 40)}, {better} is better")
    metric_axis.name_target(first, float(one["target"]), up, is_log)
    if several:
        panels.names(fig, looks, below)
    return fig


def table(part: pd.DataFrame) -> pd.DataFrame:
    """One line for each setting, device and currency."""
    lines = []
    for _, points in _series(panels.shown(part)):
        rows = points.drop_duplicates("trial")
        for currency in ("steps", *DRAWN):
            found = times(rows, currency)
            lines.append(
                {
                    "setting": rows["title"].iloc[0],
                    "device": rows["device"].iloc[0],
                    "currency": _NAMES.get(currency, currency),
                    "median to the target [least, most]": spread(found, currency)
                    if found
                    else f"not known: {why_unknown(rows, currency)}",
                    "expected, failures tried again": _expected(rows, currency),
                    "seeds there": f"{(rows['status'] == REACHED).sum()} of {len(rows)}",
                }
            )
    return pd.DataFrame(lines)


def caption(part: pd.DataFrame) -> str:
    """Of one setting, how many seeds got there; of several, which is the cheapest in what."""
    every = {name: rows.drop_duplicates("trial") for name, rows in _series(part)}
    one = part.iloc[0]
    bound = "at most" if one["lower_is_better"] else "at least"
    what = f"Target: {one['metric']} {bound} {power(one['target'])}"
    if _compared(part):
        sentences = [_cheapest(what, every)]
    else:
        sentences = [f"{what}.", *(_ended(name, rows) for name, rows in every.items())]
    for currency in DRAWN:
        unknown = {name: rows for name, rows in every.items() if not _known(rows, currency)}
        if unknown and currency not in str(one["nowhere"]).split():
            why = why_unknown(next(iter(unknown.values())), currency).rstrip(".")
            some = f" of {', '.join(unknown)}" if len(unknown) < len(every) else ""
            sentences.append(f"No {_NAMES.get(currency, currency)}{some}: {why}.")
    return " ".join(sentences)


def absent(table: pd.DataFrame) -> str:
    """Why there is no curve, or in which currencies there is none in any figure."""
    if found := [part.frame for part in parts(table)]:
        return " ".join(
            f"Without {_NAMES.get(currency, currency)}: {why_unknown(found[0], currency)}."
            for currency in _nowhere(found)
        )
    return (
        "No trial was evaluated at a known cost: what became of each is in the table of all rows."
    )


def _drawable(part: pd.DataFrame) -> bool:
    """Whether something was evaluated at a known cost, against a target that is a number."""
    evaluated = part["value"].notna().any() and part["target"].notna().all()
    return bool(evaluated) and any(_in_any(part, currency) for currency in DRAWN)


def _series(part: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for _, rows in groups(part, ["series", "setting"]):
        yield str(rows["series"].iloc[0]), rows


def _compared(part: pd.DataFrame) -> bool:
    """Whether it is of several settings, and not of one on several devices."""
    return part["device"].nunique() == 1 and part["series"].nunique() > 1


def _ended(name: str, rows: pd.DataFrame) -> str:
    there, diverged = (int((rows["status"] == status).sum()) for status in (REACHED, DIVERGED))
    words = f"{name}, learning rate {rows['learning_rate'].iloc[0]:.3g}: {there} of "
    words += count(len(rows), "seed")
    found = times(rows, "steps")
    if found and math.isfinite(found.median):
        words += f" after {spread(found, 'steps')} steps"
    return f"{words}{f', {diverged} diverged' if diverged else ''}."


def _cheapest(what: str, every: Mapping[str, pd.DataFrame]) -> str:
    """Which setting's median is the least in each currency, and which settings have none."""
    device = processor(next(iter(every.values()))["device"].iloc[0])
    words = f"{what}, {counts(map(len, every.values()), 'seed')} each, {device}."
    found = {}
    for currency in DRAWN:
        medians = {name: t.median for name, rows in every.items() if (t := times(rows, currency))}
        best = min(medians, key=medians.__getitem__, default=None)
        if best is not None and math.isfinite(medians[best]):
            found[currency] = (
                f"{_NAMES.get(currency, currency)} {best} ({amount(medians[best], currency)})"
            )
    if found:
        words += f" Cheapest of all {len(every)} by the median: {', '.join(found.values())}."
    short = [
        f"{name} ({reached(t)})"
        for name, rows in every.items()
        if (t := times(rows, "steps")) and math.isinf(t.median)
    ]
    return (
        f"{words} Not reached by half of the seeds or more: {', '.join(short)}." if short else words
    )


def _nowhere(found: Sequence[pd.DataFrame]) -> list[str]:
    """The currencies that no line of any figure is known in, told once for all of them."""
    return [name for name in DRAWN if found and not any(_in_any(part, name) for part in found)]


def _in_any(part: pd.DataFrame, currency: str) -> bool:
    """Whether what a line of the figure took is known."""
    return any(_known(rows, currency) for _, rows in _series(part))


def _known(rows: pd.DataFrame, currency: str) -> bool:
    """Whether all seeds say what they used."""
    return bool(rows[f"{currency}_spent"].notna().all()) and times(rows, currency) is not None


def _expected(rows: pd.DataFrame, currency: str) -> str:
    if not _known(rows, currency):
        return "not known"
    there = rows["status"] == REACHED
    cost = rows[f"{currency}_to_target"].where(there, rows[f"{currency}_spent"])
    return amount(expected_running_time(cost, there), currency)


def _panel(axes: Axes, part: pd.DataFrame, currency: str, lines: int) -> None:
    """One currency: the median of each line and its seeds.

    The axis reaches as far as all lines need, those of the part's other figures too.
    """
    known = [rows for _, rows in _series(part) if _known(rows, currency)]
    axes.set_xlabel(_NAMES.get(currency, currency), labelpad=2)
    target = float(part["target"].iloc[0])
    axes.axhline(target, color=INK, linewidth=1.0, linestyle=(0, (4, 2)))
    x = _horizontal(axes, pd.concat(known)[currency], currency, several=lines > 1)
    for rows in known:
        rows = panels.shown(rows)
        if rows.empty:
            continue
        look = style.of(int(rows["look"].iloc[0]))
        bare = look | {"marker": ""}
        seeds = [(along(seed, currency, x), seed) for _, seed in groups(rows, "trial")]
        for y, _ in seeds if lines <= _FEW else ():
            axes.plot(x, y, **bare | {"linestyle": "-"}, linewidth=0.7, alpha=0.5)
        found = times(rows, currency)
        crossing = math.inf if found is None else found.median
        axes.plot(*middle(x, seeds, crossing), **bare, linewidth=2.2)
        if x[0] <= crossing <= x[-1]:
            axes.plot([crossing], [target], **look)


def _horizontal(axes: Axes, used: pd.Series, currency: str, several: bool) -> Floats:
    """The horizontal axis, logarithmic where lines are compared; the places on it."""
    right = max(float(used.max()), 0.0) if used.notna().any() else 0.0
    if several and positive(used).any():
        left = float(used[positive(used)].min()) / 1.5
        ends = (left / 1.2, right * 1.2)
        log_axis(axes.xaxis, ends, _few_ticks(axes, panels.decades, ends, currency))
        return np.geomspace(left, max(right, left), _GRID)
    ends = (0.0, 1.04 * right or 1.0)
    linear_axis(axes.xaxis, ends, _few_ticks(axes, panels.even, ends, currency))
    return np.linspace(0.0, right, _GRID)


def _few_ticks(
    axes: Axes, ticks: Callable[..., dict[float, str]], ends: tuple[float, float], currency: str
) -> dict[float, str]:
    """As many as do not run together in the axes' width."""
    room = axes.get_position().width * style.WIDTH / _TICK_CHARACTER
    for most in (3, 2, 1):
        labels = ticks(ends, write=_write(currency), most=most)
        if sum(len(label) + 1 for label in labels.values()) <= room:
            break
    return labels


def _write(currency: str) -> Callable[[float], str]:
    return compact if currency in ("samples", "flops") else partial(tick, currency=currency)
