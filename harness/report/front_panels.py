"""The panels of the README's figure that are of models: times, GPU over CPU, learning."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes

from harness.report.amounts import compact
from harness.report.crossover import Crossover, crossing, device_ratio
from harness.report.frame import drawable, judgeable, measured, results, workloads
from harness.report.plots import panels, style
from harness.report.plots.style import GRID, INK, MUTED, PAPER
from harness.report.plots.ticks import batch_ticks, limits, log_axis, ratio_ticks, time_ticks
from harness.report.trials import finals, groups, times
from harness.report.words import count, digits, shorten, whole
from harness.trust import NONE
from harness.verdict import FASTER, SLOWER

STUDY = "mlp_classification"  # whose steps and samples to the target are drawn over batch sizes
OPTIMIZER = "sgd"
MOST_BATCHES = 4  # marks in a row: more could not be told apart
COLORS = tuple(style.SERIES[i] for i in (2, 1, 3, 4, 5, 0))  # bright before black
TOLD = (FASTER, SLOWER)  # filled marks; of others the measurement cannot tell, or they are the same

_STEP = {"direction": "train", "provider": "eager", "mode": "host"}


class Panel(NamedTuple):
    """What a panel takes, and how it is drawn.

    Attributes:
        on: the devices that it was measured on, in words.
        words: its mode, n and intervals, for the caption.
        lines: rows that it needs; its height.
        draw: into these axes.
    """

    on: tuple[str, ...]
    words: str
    lines: int
    draw: Callable[[Axes], None]


def step_times(table: pd.DataFrame) -> Panel | None:
    """The time of one sample in a training step of every workload, a mark a batch size.

    On the GPU where it was timed there, else on the CPU; None where it was on neither. Disturbed
    times are drawn hollow, as no verdict may stand on them; those above the roof are left out.
    """
    rows = _steps(table)
    rows = rows[(rows["trust"] != NONE) & rows["median_low_s"].notna()]
    for device in ("cuda", "cpu"):
        found = rows[rows["device"] == device]
        if found.empty:
            continue
        found = _few(found.drop_duplicates(["subject", "batch"], keep="last"))
        found = found.assign(told=found.index.isin(judgeable(found).index))
        words = f"mode host, medians with 95 % intervals, {samples(found['n'])}"
        words += "" if found["told"].all() else "; hollow: disturbed"
        lines = found["subject"].nunique()
        return Panel(devices(found), words, lines, partial(_draw_times, rows=found))
    return None


def gpu_over_cpu(table: pd.DataFrame) -> Panel | None:
    """The speedup of a training step over batch sizes, and from which one on it is above 1.

    None where no step was timed on both devices.
    """
    rows = _steps(table)
    pairs = device_ratio(rows)
    if pairs.empty:
        return None
    pairs = pairs.assign(told=pairs["verdict"].isin(TOLD))
    words = f"mode host, {speedups(pairs)}"
    draw = partial(_draw_speedups, pairs=pairs)
    return Panel(devices(rows), words, pairs["subject"].nunique(), draw)


def learning(table: pd.DataFrame) -> Panel | None:
    """Steps and samples of STUDY by OPTIMIZER to the target over batch sizes.

    On the GPU where it was trained there, else on the CPU.

    Args:
        table: `harness.report.trials.trials` of the curves.

    Returns:
        None where there are not two batch sizes at which half of the seeds got there.
    """
    rows = finals(table)
    rows = rows[(rows["workload"] == STUDY) & (rows["optimizer"] == OPTIMIZER)]
    rows = rows[(rows["ranks"] == 1) & drawable(rows["batch"])]
    for device in ("cuda", "cpu"):
        found = rows[rows["device"] == device]
        if len(_medians(found, "steps")) > 1:
            seeds = found["seed"].nunique()
            reached = int((found["steps_to_target"] < math.inf).sum())
            words = (
                f"rate tuned, {count(seeds, 'seed')} a batch size and their median, "
                f"{reached} of {count(len(found), 'trial')} at the target"
            )
            return Panel(devices(found), words, 0, partial(_draw_learning, rows=found))
    return None


def devices(rows: pd.DataFrame) -> tuple[str, ...]:
    """The devices of the rows in words, the CPU with its threads."""
    names = rows[["device", "device_name", "threads"]].drop_duplicates()
    return tuple(
        f"{name}, {count(threads, 'thread')}" if device == "cpu" else str(name)
        for device, name, threads in names.itertuples(index=False)
    )


def samples(n: Iterable[float]) -> str:
    """e.g. "n = 110 to 500 samples", in which no line is broken after the n."""
    least, most = min(n), max(n)
    return f"n\u00a0=\u00a0{whole(least)}{f' to {whole(most)}' if most > least else ''} samples"


def speedups(rows: pd.DataFrame) -> str:
    """What is drawn of speedups, for the caption."""
    floor = f"{digits(100 * rows['noise_floor'].max())} %"
    hollow = "" if rows["told"].all() else "; hollow: same or unclear"
    return f"95 % intervals, {samples(rows['n'])}; shaded: noise floor, {floor}{hollow}"


def ratio_axis(axes: Axes, rows: pd.DataFrame, low: str, high: str, most: int) -> None:
    """A log axis of speedups with `most` ticks, 1 marked and the noise floor shaded."""
    bound = 1 + rows["noise_floor"].max()
    ends = limits([*rows[low], *rows[high], 1.0], margin=0.08, least=0.3)
    log_axis(axes.xaxis, ends, ratio_ticks(ends, most=most))
    axes.axvspan(max(1 / bound, ends[0]), min(bound, ends[1]), color=GRID, alpha=0.5, linewidth=0)
    axes.axvline(1.0, color=INK, linewidth=1.2)


def marks(
    axes: Axes,
    y: Sequence[float],
    of: pd.DataFrame,
    columns: Sequence[str],
    name: str,
    **look: Any,
) -> None:
    """One series of dots with intervals.

    Args:
        of: with a column told, whether a mark is filled.
        columns: those of the value and of its interval's ends.
        look: color, marker and size.
    """
    look |= {"markersize": look.pop("size", 7.0), "linestyle": "none"}
    value, low, high = (of[column].tolist() for column in columns)
    axes.hlines(y, low, high, color=look["color"], linewidth=1.6)
    for told, fill in ((True, look["color"]), (False, PAPER)):
        at = [(x, up) for x, up, filled in zip(value, y, of["told"], strict=True) if filled == told]
        if at:
            axes.plot(*zip(*at, strict=True), **look, markerfacecolor=fill)
    axes.plot([], [], **look, label=name)


def legend(axes: Axes, columns: int, **how: object) -> None:
    """In rows above the axes, where no mark can be."""
    axes.legend(
        **{"loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": 0.2, "frameon": False},
        **{"ncols": columns, "handletextpad": 0.4, "columnspacing": 1.2} | how,
    )


def _steps(table: pd.DataFrame) -> pd.DataFrame:
    """Training steps that were timed, in the order of the run's workloads."""
    rows = workloads(results(table))
    order = {name: number for number, name in enumerate(dict.fromkeys(rows["subject"]))}
    rows = measured(rows).sort_values("subject", key=lambda of: of.map(order), kind="stable")
    return rows[(rows[[*_STEP]] == pd.Series(_STEP)).all(axis=1)]


def _few(rows: pd.DataFrame) -> pd.DataFrame:
    """Those of the smallest and the largest batch size and of some between them."""
    batches = sorted(rows["batch"].unique())
    last = min(MOST_BATCHES, len(batches)) - 1
    kept = {batches[round(i * (len(batches) - 1) / max(last, 1))] for i in range(last + 1)}
    return rows[rows["batch"].isin(kept)]


def _by_batch(axes: Axes, rows: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """A row a workload and a mark a batch size; returns the workloads in their order."""
    names = list(dict.fromkeys(rows["subject"]))
    for look, (batch, at) in enumerate(groups(rows, "batch", sort=True)):
        y = [names.index(name) for name in at["subject"]]
        called = f"batch {whole(batch)}" if not look else whole(batch)
        shape = style.marker_of(look)
        marks(axes, y, at, columns, called, color=COLORS[look], marker=shape)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(range(len(names)), [shorten(name, 20) for name in names])
    legend(axes, MOST_BATCHES)
    return names


def _draw_times(axes: Axes, rows: pd.DataFrame) -> None:
    columns = ["median_s", "low", "high"]
    each = rows[columns].div(rows["batch"], axis=0)
    _by_batch(axes, rows.assign(**each), columns)
    ends = limits([*each["low"], *each["high"]])
    log_axis(axes.xaxis, ends, time_ticks(ends, most=3))
    axes.set_xlabel("time of a sample in a training step\n(lower is faster)")


def _draw_speedups(axes: Axes, pairs: pd.DataFrame) -> None:
    shown = _few(pairs)
    ratio_axis(axes, shown, "low", "high", most=3)
    names = _by_batch(axes, shown, ["value", "low", "high"])
    for y, name in enumerate(names):
        line = pairs[pairs["subject"] == name].drop_duplicates("batch", keep="last")
        line = line.sort_values("batch")
        batches = line["batch"].tolist()
        words = _from(crossing(line), batches[0], batches[-1])
        axes.text(1.05, y, words, transform=axes.get_yaxis_transform(), va="center_baseline")
    words = "GPU faster\nfrom batch"
    axes.text(1.05, -0.03, words, transform=axes.transAxes, va="top", color=MUTED)
    axes.set_xlabel("training step, GPU over CPU\n(above 1× is faster)")


def _from(cross: Crossover, smallest: float, largest: float) -> str:
    """A crossover in little room, e.g. "12 [8, 20]"; `Crossover.words` has it in a sentence."""
    if cross.low == math.inf:
        return "none"
    if cross.high == 0:
        return "any"
    if cross.low == 0 and cross.high == math.inf:
        return "unclear"
    at, low, high = (
        f"<{whole(smallest)}" if not b else f">{whole(largest)}" if b == math.inf else whole(b)
        for b in (cross.batch, cross.low, cross.high)
    )
    return f"{at} [{low}, {high}]"


def _medians(rows: pd.DataFrame, currency: str) -> dict[float, float]:
    """By batch size, where half of the seeds got there and what it took them is known."""
    found = {batch: times(at, currency) for batch, at in groups(rows, "batch", sort=True)}
    return {b: t.median for b, t in found.items() if t and 0 < t.median < math.inf}


def _draw_learning(axes: Axes, rows: pd.DataFrame) -> None:
    """The median over seeds, and a dot a seed."""
    values: list[float] = []
    for look, currency in enumerate(("samples", "steps")):
        seeds = rows.loc[drawable(rows[f"{currency}_to_target"])]
        taken = seeds[f"{currency}_to_target"]
        color = COLORS[look]
        medians = _medians(rows, currency)
        axes.plot(seeds["batch"], taken, ".", color=color, markersize=5, alpha=0.6)
        axes.plot(
            [*medians], [*medians.values()], color=color, marker=style.marker_of(look),
            markersize=7, linestyle=style.DASHES[look], label=currency,
        )  # fmt: skip
        values += taken.tolist()
    batches = rows["batch"].tolist()
    log_axis(axes.xaxis, limits(batches), batch_ticks(batches))
    ends = limits(values)
    log_axis(axes.yaxis, ends, panels.decades(ends, compact))
    axes.set_xlabel(f"batch size\n({STUDY}, {OPTIMIZER})")
    axes.set_ylabel("samples or steps to the target")
    legend(axes, 2, handlelength=2.6)
