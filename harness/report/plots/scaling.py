"""Several ranks at one trial: strong and weak scaling efficiency, and time to the target."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from harness.report.amounts import amount, reached, spread
from harness.report.frame import drawable
from harness.report.plots import style
from harness.report.plots.style import Part
from harness.report.plots.ticks import batch_ticks, limits, log_axis, time_ticks
from harness.report.trials import finals, groups, step_seconds, times
from harness.report.words import count, counts, processor, whole

SOURCE = "ranks"
TITLE = "More devices at one trial"
INTRO = (
    "Ranks are processes that train one model together, each on its own device and part of the "
    "batch. Efficiency is against the fewest ranks that were measured, for which it is 100 %, and "
    "higher is better. Strong scaling has the same whole batch on more ranks: the seconds of a "
    "step that the fewest would need if they were divided perfectly, by those that it took. Weak "
    "scaling has the same batch for each rank: its seconds of a step by those on more ranks. Time "
    "to the target, lower is better, is at the same whole batch, where steps are the same. All "
    "axes are logarithmic; markers are medians over the seeds, whiskers their least and most."
)

STRONG, WEAK, TARGET = "strong scaling", "weak scaling", "time to the target"
_BY = {STRONG: "batch", WEAK: "each", TARGET: "batch"}
_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


def parts(table: pd.DataFrame) -> list[Part]:
    """By workload and optimizer: each kind, where it has a line of two numbers of ranks."""
    rows = finals(table)
    rows = rows[drawable(rows["ranks"]) & drawable(rows["batch"]) & (rows["shared"] == 0)]
    rows = rows.assign(each=rows["batch"] / rows["ranks"])
    return [
        Part(workload, f"{kind}, {optimizer} on the {processor(device)}", part)
        for (workload, optimizer, device), group in groups(
            rows, ["workload", "optimizer", "device"]
        )
        for kind in _BY
        for part in [group.assign(kind=kind)]
        if any(True for _ in _lines(part))
    ]


def figure(part: pd.DataFrame) -> Figure:
    """A line for each batch size against the number of ranks."""
    lines = [*_lines(part)][: style.MAX_SERIES]
    kind, drawn = part["kind"].iloc[0], pd.concat([line for _, line in lines])
    fig, axes = style.panel(style.room_for([name for name, _ in lines]))
    ranks = sorted(drawn["ranks"])
    up = limits([*drawn["low"], *drawn["high"]], margin=0.1)
    if kind == TARGET:
        labels = time_ticks(up)
    else:
        up = [min(up[0], 0.45), max(up[1], 1.1)]
        labels = {share: f"{share:.0%}" for share in _SHARES if up[0] <= share <= up[1]}
    log_axis(axes.xaxis, limits(ranks), batch_ticks(ranks))
    log_axis(axes.yaxis, up, labels)
    style.axis_titles(axes, "ranks", "seconds to the target" if kind == TARGET else "efficiency")
    ends = []
    for look, (name, line) in enumerate(lines):
        color = style.line(axes, line.assign(batch=line["ranks"]), "value", look, dashed=False)
        ends.append(style.End(line["ranks"].iloc[-1], line["value"].iloc[-1], name, color))
    style.end_labels(axes, ends)
    return fig


def table(part: pd.DataFrame) -> pd.DataFrame:
    """One line for each batch size and number of ranks."""
    lines = []
    kind = part["kind"].iloc[0]
    for name, line in _lines(part):
        for ranks, value in line[["ranks", "value"]].itertuples(index=False):
            rows = _of(part, name)
            rows = rows[rows["ranks"] == ranks]
            seconds = times(rows, "seconds")
            share = rows["communication"].median()
            lines.append(
                {
                    "batch": whole(rows["batch"].iloc[0]),
                    "a rank": whole(rows["each"].iloc[0]),
                    "ranks": whole(ranks),
                    "backend": ", ".join(sorted(set(rows["backend"]))) or "none",
                    "efficiency": "" if kind == TARGET else f"{value:.0%}",
                    "seconds a step": amount(float(step_seconds(rows).median()), "seconds"),
                    "to the target [least, most]": spread(seconds, "seconds")
                    if seconds
                    else "not known",
                    "seeds there": reached(seconds) if seconds else "not known",
                    "on their way between ranks": f"{share:.0%} of the time"
                    if share == share
                    else "not known",
                }
            )
    found = pd.DataFrame(lines)
    return found.drop(columns="efficiency") if kind == TARGET else found


def caption(part: pd.DataFrame) -> str:
    """What the most ranks come to, and where the ranks were."""
    sentences = []
    kind = part["kind"].iloc[0]
    for name, line in _lines(part):
        first, last = line.iloc[0], line.iloc[-1]
        if kind == TARGET:
            told = (
                f"{amount(last['value'], 'seconds')} to the target on "
                f"{count(last['ranks'], 'rank')}, {amount(first['value'], 'seconds')} on "
                f"{whole(first['ranks'])}"
            )
        else:
            told = f"efficiency {last['value']:.0%} on {count(last['ranks'], 'rank')}"
            told += f" against {whole(first['ranks'])}"
        sentences.append(f"{name}: {told}.")
    hosts = sorted({host for text in part["hosts"] for host in text.split(",") if host})
    where = f", hosts {', '.join(hosts)}" if hosts else ""
    seeds = counts((len(rows) for _, rows in groups(part, ["ranks", "batch"])), "seed")
    return f"{processor(part['device'].iloc[0])}, {seeds}{where}. {' '.join(sentences)}"


def absent(table: pd.DataFrame) -> str:
    """Why there is no figure; "" if there is one."""
    if parts(table):
        return ""
    return "No setting was trained on different numbers of ranks with times to compare."


def _lines(part: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Of each batch size, whole or a rank's: ranks, value, low and high, rising in ranks; those of
    two numbers of ranks or more."""
    kind = part["kind"].iloc[0]
    for size in sorted(part[_BY[kind]].unique()):
        name = f"{whole(size)} a rank" if kind == WEAK else f"batch {whole(size)}"
        known = []
        base: tuple[float, float] | None = None
        for ranks, rows in groups(_of(part, name), "ranks", sort=True):
            if kind == TARGET:
                seconds = times(rows, "seconds")
                if seconds and seconds.least > 0 and seconds.most < np.inf:
                    known.append((ranks, seconds.median, seconds.least, seconds.most))
                continue
            steps = step_seconds(rows)
            if steps.empty:
                continue
            base = base or (float(ranks), float(steps.median()))
            perfect = base[1] * (1.0 if kind == WEAK else base[0] / ranks)
            known.append(
                (ranks, *(perfect / s for s in (steps.median(), steps.max(), steps.min())))
            )
        if len(known) > 1:
            yield name, pd.DataFrame(known, columns=["ranks", "value", "low", "high"])


def _of(part: pd.DataFrame, name: str) -> pd.DataFrame:
    sizes = part[_BY[part["kind"].iloc[0]]].map(whole)
    return part[sizes == name.removeprefix("batch ").removesuffix(" a rank")]
