"""Seconds to the target against batch size, on both devices."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness import batch_size, survival
from harness.curve import DIVERGED, FAILED, REACHED
from harness.noise import ASSUMED
from harness.report.amounts import amount, reached, spread
from harness.report.frame import drawable
from harness.report.plots import style
from harness.report.plots.style import PAPER, Part
from harness.report.plots.ticks import batch_ticks, limits, log_axis, time_ticks
from harness.report.trials import finals, groups, step_seconds, times
from harness.report.words import counts, processor, whole

SOURCE = "trials"
TITLE = "Which batch size is the quickest"
INTRO = (
    "Seconds of training to the target against batch size, lower is better, both axes "
    "logarithmic: the median over the seeds, with whiskers from the least to the most. A whisker "
    "to the upper edge is a seed that did not get there, an arrow there a batch size of which "
    "half of the seeds or more did not. Dashes are the CPU. Evaluation is "
    "left out, tuning too."
)


def parts(table: pd.DataFrame) -> list[Part]:
    """By workload and optimizer, where two batch sizes or more have times."""
    rows = finals(table)
    rows = rows[drawable(rows["batch"])]
    return [
        Part(workload, optimizer, group)
        for (workload, optimizer), group in groups(rows, ["workload", "optimizer"])
        if any(len(line) > 1 and drawable(line["median"]).any() for line in _lines(group))
    ]


def figure(part: pd.DataFrame) -> Figure:
    """Median seconds with the seeds' range against batch size, both log."""
    lines = [line for line in _lines(part) if not line.empty]
    drawn = pd.concat(lines)
    finite = drawn[drawable(drawn["median"])]
    names = [processor(line["device"].iloc[0]) for line in lines]
    fig, axes = style.panel(style.room_for(names))
    batches = sorted(drawn["batch"])
    shown = pd.concat([finite["low"], finite["high"], finite["median"]])
    up = limits([*shown[drawable(shown)]], margin=0.1)
    log_axis(axes.xaxis, limits(batches), batch_ticks(batches))
    log_axis(axes.yaxis, up, time_ticks(up))
    style.axis_titles(axes, "batch size (samples)", "seconds to the target")
    ends = []
    for name, line in zip(names, lines, strict=True):
        there = line[drawable(line["median"])]
        low = there["low"].clip(lower=up[0])
        rows = there.assign(low=low, high=there["high"].clip(upper=up[1]))
        device = line["device"].iloc[0]
        look, dashed = style.DEVICES.get(device, 3), device == "cpu"
        color = style.line(axes, rows, "median", look, dashed)
        _arrows(axes, line[line["median"] == math.inf], up[1], color)
        if len(there):
            ends.append(style.End(there["batch"].iloc[-1], there["median"].iloc[-1], name, color))
    style.end_labels(axes, ends)
    return fig


def table(part: pd.DataFrame) -> pd.DataFrame:
    """One line for each device and batch size."""
    lines = []
    for (device, batch), rows in groups(part, ["device", "batch"], sort=True):
        seconds = times(rows, "seconds")
        lines.append(
            {
                "device": device,
                "batch": whole(batch),
                "seconds to the target [least, most]": spread(seconds, "seconds")
                if seconds
                else "not known",
                "seconds a step": amount(_step_seconds(rows), "seconds")
                if _step_seconds(rows)
                else "not known",
                "learning rate": f"{rows['learning_rate'].iloc[0]:.3g}",
                "seeds there": reached(seconds) if seconds else "not known",
            }
        )
    return pd.DataFrame(lines)


def caption(part: pd.DataFrame) -> str:
    """The quickest batch size on each device, measured and as the fit of the steps has it."""
    sentences = []
    for line in _lines(part):
        if line.empty:
            continue
        device = line["device"].iloc[0]
        best = line.sort_values("median", kind="stable").iloc[0]
        rows = part[part["device"] == device]
        words = f"{processor(device)}, {counts(line['n'], 'seed')}: "
        if best["median"] < math.inf:
            rivals = _rivals(rows, line, best["batch"])
            words += f"batch {whole(best['batch'])} "
            words += "has the least median with " if rivals else "is the quickest with "
            words += f"{amount(best['median'], 'seconds')}"
            words += f", and cannot be told apart from {_and(rivals)}" if rivals else ""
        else:
            words += "no batch size of which half of the seeds got there"
        sentences.append(words + _predicted(rows) + ".")
        short = line[line["reached"] < line["n"]]
        if len(short):
            which = ", ".join(
                f"batch {whole(batch)} ({k} of {n})"
                for batch, k, n in short[["batch", "reached", "n"]].itertuples(index=False)
            )
            sentences.append(f"Not every seed got there: {which}.")
    if part["device"].nunique() == 1:
        sentences.append(f"Only the {processor(part['device'].iloc[0])} was trained on.")
    return " ".join(sentences)


def absent(table: pd.DataFrame) -> str:
    """Why there is no figure; "" if there is one."""
    if parts(table):
        return ""
    return "No workload was trained to its target at several batch sizes with one optimizer."


def _lines(part: pd.DataFrame) -> list[pd.DataFrame]:
    """Of each device: batch, median, low, high, reached and n, rising in batch size."""
    found = []
    for device, rows in groups(part, "device"):
        known = [
            {"device": device, "batch": batch} | seconds._asdict()
            for batch, group in groups(rows, "batch", sort=True)
            if (seconds := times(group, "seconds")) and seconds.median > 0
        ]
        columns = ["device", "batch", "median", "least", "most", "reached", "n"]
        line = pd.DataFrame(known, columns=columns)
        found.append(line.rename(columns={"least": "low", "most": "high"}))
    return found


def _rivals(rows: pd.DataFrame, line: pd.DataFrame, best: float) -> list[str]:
    """The batch sizes that may be as quick as the best, e.g. "batch 32 (54.4 ms)"."""
    rows = rows.assign(least=_least(rows))
    first = rows[rows["batch"] == best]
    found = []
    for batch, middle in line[["batch", "median"]].itertuples(index=False):
        pairs = rows[rows["batch"] == batch].merge(first, on="seed", suffixes=("", "_of_best"))
        pairs = pairs.drop_duplicates("seed", keep="last")
        names = ["seconds_to_target", "seconds_to_target_of_best", "least", "least_of_best"]
        known = len(pairs) > 0 and bool((pairs[names] > 0).to_numpy().all())
        a, b, a_least, b_least = (pairs[name] for name in names)
        behind = known and survival.ahead(a, b, a_least, b_least, ASSUMED) == 1
        if batch != best and not behind:
            found.append(f"batch {whole(batch)} ({amount(middle, 'seconds')})")
    return found


def _least(rows: pd.DataFrame) -> pd.Series:
    """Seconds that each trial takes at least: those that were given up, what they spent."""
    spent = rows["seconds_spent"].where(rows["status"] != DIVERGED, math.inf)
    spent = spent.where(rows["status"] != FAILED, 0.0)  # an error is no sign that it takes long
    return rows["seconds_to_target"].where(rows["status"] == REACHED, spent)


def _and(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def _step_seconds(rows: pd.DataFrame) -> float:
    """What a step takes, the median over the trials; 0 where it is not known."""
    seconds = step_seconds(rows)
    return float(seconds.median()) if len(seconds) else 0.0


def _predicted(rows: pd.DataFrame) -> str:
    """S(B) of the fit times the trials' own seconds a step: where the least of it lies."""
    known = list(groups(rows[rows["steps_to_target"] > 0], "batch", sort=True))
    seconds = {int(batch): _step_seconds(group) for batch, group in known}
    try:
        fitted = batch_size.fit({int(b): list(group["steps_to_target"]) for b, group in known})
        best = batch_size.quickest(fitted, {b: s for b, s in seconds.items() if s > 0})
    except ValueError:  # too few batch sizes: the plot of the fit says so
        return ""
    ends = [whole(end) for end in best.batch]
    return (
        f"; the fit of the steps times the seconds a step predicts batch {ends[0]} "
        f"[{ends[1]}, {ends[2]}] with {amount(best.seconds.value, 'seconds')}"
    )


def _arrows(axes: Axes, rows: pd.DataFrame, top: float, color: str) -> None:
    """Batch sizes of which half of the seeds or more did not get there, at the upper edge."""
    axes.plot(
        *(rows["batch"], [top] * len(rows)), color=color, marker="^", markersize=8,
        markerfacecolor=PAPER, linestyle="none", clip_on=False,
    )  # fmt: skip
