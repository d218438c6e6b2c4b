"""Time per iteration against batch size, by mode: where it stands, and how steeply it rises."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure

from harness.report.frame import doubts, measured, workloads
from harness.report.plots import few_batches, style
from harness.report.plots.style import Part
from harness.report.plots.ticks import batch_ticks, limits, log_axis, time_ticks
from harness.report.words import digits, si_interval, whole

SOURCE = "rows"
TITLE = "Latency against batch size"
INTRO = (
    "Median time of one iteration, lower is faster, on logarithmic axes; whiskers are 95 % "
    "intervals and often smaller than the marker. Workloads with few batch sizes stand below each "
    "other on one axis of time, a dot for each batch size; the others have figures of their own, "
    "in all of which a doubling is equally high: equally steep is an equal rise. Dashes are the "
    "CPU. On hollow markers no verdict may stand; the caption says why."
)

_FEW = 2  # lines of which the caption tells how steep each is
_OCTAVE, _LOWEST, _HIGHEST = 18.0, 60.0, 320.0  # points of a doubling; of the axes, at the least


def parts(table: pd.DataFrame) -> list[Part]:
    """By mode and direction, together those with few batch sizes; where a row was measured."""
    rows = workloads(style.looks(table))
    found: list[Part] = []
    together: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for (mode, subject, direction), part in style.by(rows, ["mode", "subject", "direction"]):
        group = f"{mode.capitalize()} mode"
        if measured(part).empty:
            continue
        if part["batch"].nunique() <= few_batches.MOST:
            together.setdefault((group, direction), []).append(part)
        else:
            found.append(Part(group, f"{subject}, {direction}", part))
    few = [
        part
        for (group, direction), each in together.items()
        for part in few_batches.parts(group, direction, pd.concat(each))
    ]
    return [*few, *found]


def figure(part: pd.DataFrame) -> Figure:
    """Median seconds with their interval against batch size, both log."""
    if few_batches.LINE in part:
        return few_batches.figure(part)
    series, _ = style.series(_doubted(part))
    drawn = pd.concat([rows for _, rows in series])
    up = limits([*drawn["low"], *drawn["high"]], least=0.5)
    high = _OCTAVE * math.log2(up[1] / up[0])
    fig, axes = style.panel(
        style.room_for([name for name, _ in series]), min(max(high, _LOWEST), _HIGHEST)
    )
    if high < _LOWEST:  # the margins grow, a doubling stays as high
        spare = 2 ** ((_LOWEST - high) / _OCTAVE / 2)
        up = [up[0] / spare, up[1] * spare]
    batches = drawn["batch"].tolist()
    log_axis(axes.xaxis, limits(batches), batch_ticks(batches))
    log_axis(axes.yaxis, up, time_ticks(up))
    style.axis_titles(axes, "batch size (samples)", "median time per iteration")
    ends = []
    for name, rows in series:
        dashed = rows["device"].iloc[0] == "cpu"
        color = style.line(axes, rows, "median_s", rows["look"].iloc[0], dashed)
        ends.append(style.End(rows["batch"].iloc[-1], rows["median_s"].iloc[-1], name, color))
    style.end_labels(axes, ends)
    return fig


def table(part: pd.DataFrame) -> pd.DataFrame:
    """One line a point of the figure."""
    if few_batches.LINE in part:
        rows = few_batches.shown(_doubted(part))
    else:
        rows = pd.concat([rows for _, rows in style.series(_doubted(part))[0]])
    ends = (rows["median_s"], rows["median_low_s"], rows["median_high_s"])
    return pd.DataFrame(
        {
            "workload": rows["subject"],
            "provider": rows["provider"],
            "device": rows["device"],
            "dtype": rows["dtype"],
            "batch": [whole(batch) for batch in rows["batch"]],
            "median, 95 % interval": [si_interval(*end, "s") for end in zip(*ends, strict=True)],
            "n": [whole(n) for n in rows["n"]],
            "no verdict": rows["doubt"],
        }
    )


def caption(part: pd.DataFrame) -> str:
    """How much longer the largest batch takes than the smallest, and what is not in the figure.

    No ratio is told of a row on which no verdict may stand.
    """
    if few_batches.LINE in part:
        shown, words = _doubted(part), few_batches.rises(_doubted(part))
        left_out = 0
    else:
        series, left_out = style.series(_doubted(part))
        shown, words = pd.concat([rows for _, rows in series]), []
        for name, rows in series if len(series) <= _FEW else ():
            if rise := few_batches.rise(rows):
                words.append(
                    f"{name}: {digits(rise.times)} times the time for "
                    f"{whole(rise.most / rise.least)} times the samples."
                )
    if told := style.tally_doubts(shown["doubt"]):
        words.append(f"Hollow, and without a verdict: {told}.")
    words += style.without_a_time(part, "point")
    return " ".join([*words, *style.left_out(left_out, "line")])


def absent(table: pd.DataFrame) -> str:
    """Why there is no time of a workload; "" if there is."""
    if parts(table):
        return ""
    if table[table["kind"] == "workload"].empty:
        return "This run has no rows of workloads."
    return "No row of a workload with a batch size was measured; the table of all rows says why."


def _doubted(part: pd.DataFrame) -> pd.DataFrame:
    """The measured rows with `doubt`, why no verdict may stand on each."""
    rows = measured(part)
    return rows.assign(doubt=doubts(rows))
