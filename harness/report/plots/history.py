"""Speedup over the first run of a machine, run by run: whether a case became faster or slower."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure

from harness.report.plots import style
from harness.report.plots.style import INK, Part
from harness.report.plots.ticks import limits, log_axis, ratio_ticks
from harness.report.words import count, processor, ratio, shorten, si_interval, whole
from harness.trust import LOW, NONE

SOURCE = "history"
TITLE = "History"
INTRO = (
    "Each case's speedup over the first run that has it, in the order of the runs; above 1× is "
    "faster. Whiskers are 95 % intervals of the samples, which do not know what the machine was "
    "like that day: its roofs, drawn likewise, tell how it changed itself."
)

MOST_TICKS = 7
MOST_TOLD = 3  # lines, in words


def parts(table: pd.DataFrame) -> list[Part]:
    """By device, mode and subject, where more than one run has a case."""
    found = []
    for (device, mode, subject), rows in table.groupby(["device", "mode", "subject"], sort=False):
        repeated = rows[rows["id"].duplicated(keep=False)]
        if not repeated.empty:
            heading = f"{processor(str(device))}, {mode} mode"
            found.append(Part(heading, str(subject), repeated))
    return found


def figure(part: pd.DataFrame) -> Figure:
    """Speedup on a log axis against the runs, one line a case and provider."""
    series = _series(part)[: style.MAX_SERIES]
    drawn = pd.concat([rows for _, rows in series])
    fig, axes = style.panel(style.room_for([name for name, _ in series]))
    numbers = sorted(drawn["number"].unique())
    axes.set_xlim(numbers[0] - 0.3, numbers[-1] + 0.3)
    axes.set_xticks(numbers[:: -(-len(numbers) // MOST_TICKS)])
    ends = [*drawn["value"], *drawn["value_low"].dropna(), *drawn["value_high"].dropna()]
    up = limits([*ends, 1.0], least=0.1)
    log_axis(axes.yaxis, up, ratio_ticks(up))
    style.axis_titles(axes, "run, in the order of time", "speedup over the first run")
    axes.axhline(1.0, color=INK, linewidth=1.0)
    for look, (name, rows) in enumerate(series):
        drawing = style.of(look)
        axes.vlines(rows["number"], rows["value_low"], rows["value_high"], color=drawing["color"])
        axes.plot(rows["number"], rows["value"], label=name, **drawing)
    axes.legend(
        loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, handlelength=1.6, fontsize=9
    )
    return fig


def table(part: pd.DataFrame) -> pd.DataFrame:
    """One line a point of the figure, and those it has no room for."""
    rows = part.sort_values("number", kind="stable")
    times = zip(rows["median_s"], rows["low"], rows["high"], strict=True)
    values = zip(rows["value"], rows["value_low"], rows["value_high"], strict=True)
    return pd.DataFrame(
        {
            "number": [whole(number) for number in rows["number"]],
            "run": rows["run"],
            "case": rows["case"],
            "provider": rows["provider"],
            "median, 95 % interval": [si_interval(*end, "s") for end in times],
            "speedup over the first run": [ratio(*end) for end in values],
            "trust": rows["trust"],
            "n": [whole(n) for n in rows["n"]],
        }
    )


def caption(part: pd.DataFrame) -> str:
    """How many runs, and what the newest says of the lines that changed most."""
    series = _series(part)
    sentences = [f"{count(part['number'].nunique(), 'run')}."]
    for _, rows in series[:MOST_TOLD]:
        last = rows.iloc[-1]
        ends = ratio(*last[["value", "value_low", "value_high"]])
        where = f"run {whole(last['number'])}"
        where += f", trust {last['trust']}" if last["trust"] in (LOW, NONE) else ""
        sentences.append(f"{last['case']}, {last['provider']}: {ends} in {where}.")
    return " ".join(
        [*sentences, *style.left_out(len(series) - style.MAX_SERIES, "line", "numbers")]
    )


def absent(table: pd.DataFrame) -> str:
    """Why there is no history; "" if there is."""
    return "" if parts(table) else "No case was measured in more than one of these runs."


def _series(part: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The lines, named, each in the order of time; those with the largest change first."""
    found = [
        (shorten(f"{rows['case'].iloc[0]}, {rows['provider'].iloc[0]}", 24), rows)
        for _, rows in part.sort_values("number", kind="stable").groupby("id", sort=False)
    ]
    return sorted(found, key=lambda pair: -abs(_last_log(pair[1])))


def _last_log(rows: pd.DataFrame) -> float:
    return math.log(rows["value"].iloc[-1])
