"""Time per iteration against batch size, by mode: one panel a workload and direction."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from harness.record import OK
from harness.report.frame import measured, workloads
from harness.report.plots import style
from harness.report.plots.style import Part
from harness.report.plots.ticks import batch_ticks, limits, log_axis, time_ticks
from harness.report.words import count, digits, si_interval, whole

SOURCE = "rows"
TITLE = "Latency against batch size"
INTRO = (
    "Median time of one iteration, lower is faster; whiskers are 95 % intervals and often smaller "
    "than the marker. Both axes are logarithmic. Hollow markers and dashes are the CPU."
)

_FEW = 2  # lines of which the caption tells how steep each is


def parts(table: pd.DataFrame) -> list[Part]:
    """By mode, workload and direction, where at least one row was measured."""
    rows = workloads(style.looks(table))
    return [
        Part(f"{mode.capitalize()} mode", f"{subject}, {direction}", part)
        for mode, subject, direction, part in style.panels(rows)
        if not measured(part).empty
    ]


def figure(part: pd.DataFrame) -> Figure | None:
    """Median seconds with their interval against batch size, both log."""
    if measured(part).empty:
        return None
    series, _ = style.series(measured(part))
    drawn = pd.concat([rows for _, rows in series])
    fig, axes = style.panel(style.room_for([name for name, _ in series]))
    batches = drawn["batch"].tolist()
    up = limits([*drawn["low"], *drawn["high"]])
    log_axis(axes.xaxis, limits(batches), batch_ticks(batches))
    log_axis(axes.yaxis, up, time_ticks(up))
    style.axis_titles(axes, "batch size (samples)", "median time per iteration")
    ends = []
    for name, rows in series:
        hollow = rows["device"].iloc[0] == "cpu"
        color = style.line(axes, rows, "median_s", "low", "high", rows["look"].iloc[0], hollow)
        ends.append(style.End(rows["batch"].iloc[-1], rows["median_s"].iloc[-1], name, color))
    style.end_labels(axes, ends)
    return fig


def table(part: pd.DataFrame) -> pd.DataFrame:
    """One line a point of the figure."""
    series, _ = style.series(measured(part))
    rows = pd.concat([rows for _, rows in series])
    ends = (rows["median_s"], rows["median_low_s"], rows["median_high_s"])
    return pd.DataFrame(
        {
            "provider": rows["provider"],
            "device": rows["device"],
            "dtype": rows["dtype"],
            "batch": [whole(batch) for batch in rows["batch"]],
            "median, 95 % interval": [si_interval(*end, "s") for end in zip(*ends, strict=True)],
            "n": [whole(n) for n in rows["n"]],
        }
    )


def caption(part: pd.DataFrame) -> str:
    """How much longer the largest batch takes than the smallest, and what is not in the figure."""
    series, left_out = style.series(measured(part))
    grown = []
    for name, rows in series:
        least, most = rows.iloc[0], rows.iloc[-1]
        if most["batch"] > least["batch"] and len(series) <= _FEW:
            grown.append(
                f"{name}: {digits(most['median_s'] / least['median_s'])} times the time for "
                f"{whole(most['batch'] / least['batch'])} times the samples."
            )
    states = part.loc[part["status"] != OK, "status"].value_counts()
    missing = ", ".join(f"{number} {state}" for state, number in states.items())
    words = [f"No point for {count(int(states.sum()), 'row')}: {missing}."] if missing else []
    return " ".join([*grown, *words, *style.left_out_words(left_out)])


def absent(table: pd.DataFrame) -> str:
    """Why there is no time of a workload; "" if there is."""
    if parts(table):
        return ""
    if table[table["kind"] == "workload"].empty:
        return "This run has no rows of workloads."
    return "No row of a workload with a batch size was measured; the table of all rows says why."
