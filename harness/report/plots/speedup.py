"""Speedup against batch size: the GPU over the CPU, and each provider over the baseline."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure

from harness.report.crossover import Crossover, crossing, device_ratio
from harness.report.frame import comparable, measured, results, workloads
from harness.report.plots import panels, style
from harness.report.plots.style import INK, WIDTH, Part
from harness.report.plots.ticks import batch_ticks, limits, log_axis, ratio_ticks
from harness.report.words import count, processor, ratio, shorten, tally, whole

SOURCE = "rows"
TITLE = "Speedup against batch size"
INTRO = (
    "Above 1× is faster. Whiskers are 95 % intervals: where one reaches 1×, the two are the same "
    "or the measurement cannot tell. Dashes are the CPU. A shaded band is a crossover's "
    "interval. Workloads that were compared at one batch size stand below each other in one figure."
)

MAX_LINES = 24  # workloads at one batch size in one figure

_LEFT, _RIGHT, _TOP, _BELOW, _LINE = 182.0, 20.0, 24.0, 38.0, 15.0  # points, of that figure
_GPU = "GPU over CPU"
_CURVES = ["batch", "value", "low", "high"]


def parts(table: pd.DataFrame) -> list[Part]:
    """GPU over CPU first, then over the baseline; by mode, workload and direction."""
    rows = workloads(style.looks(table))
    look = dict(zip(rows["provider"], rows["look"], strict=True))
    devices = device_ratio(workloads(results(table))).assign(device="", over="CPU")
    devices["look"] = devices["provider"].map(look)
    providers = rows[comparable(rows)].assign(over=lambda t: t["baseline"])
    providers = providers.rename(
        columns={"speedup": "value", "speedup_low": "low", "speedup_high": "high"}
    )
    found = []
    for kind, compare in ((_GPU, devices), ("Over the baseline", providers)):
        alone: dict[str, list[pd.DataFrame]] = {}
        for (mode, subject, direction), part in style.by(compare, ["mode", "subject", "direction"]):
            group = f"{kind}, {mode} mode"
            if part["batch"].nunique() == 1:
                alone.setdefault(group, []).append(part)
            else:
                found.append(Part(group, f"{subject}, {direction}", part))
        for group, each in alone.items():
            found.append(Part(group, "workloads at one batch size", pd.concat(each)))
    return found


def figure(part: pd.DataFrame) -> Figure:
    """Speedup with its interval against batch size, both log, and a line at 1."""
    if _at_one_batch(part):
        return _below_each_other(part)
    series, _ = style.series(part)
    drawn = pd.concat([rows for _, rows in series])
    fig, axes = style.panel(style.room_for([name for name, _ in series]))
    batches = drawn["batch"].tolist()
    across = limits(batches)
    up = limits([*drawn["low"], *drawn["high"], 1.0], least=0.3)
    log_axis(axes.xaxis, across, batch_ticks(batches))
    log_axis(axes.yaxis, up, ratio_ticks(up))
    style.axis_titles(axes, "batch size (samples)", _quantity(part))
    axes.axhline(1.0, color=INK, linewidth=1.0)
    ends = []
    for name, rows in series:
        dashed = rows["device"].iloc[0] == "cpu"
        color = style.line(axes, rows, "value", rows["look"].iloc[0], dashed)
        if (cross := _crossover(rows)) and cross.high > 0 and cross.low < math.inf:
            low, high = max(cross.low, across[0]), min(cross.high, across[1])
            axes.axvspan(low, high, color=color, alpha=0.15, linewidth=0)
        ends.append(style.End(rows["batch"].iloc[-1], rows["value"].iloc[-1], name, color))
    style.end_labels(axes, ends)
    return fig


def table(part: pd.DataFrame) -> pd.DataFrame:
    """One line a point of the figure."""
    if _at_one_batch(part):
        rows = _ordered(part)
    else:
        series, _ = style.series(part)
        rows = pd.concat([rows for _, rows in series])
    ends = rows[["value", "low", "high"]].itertuples(index=False)
    return pd.DataFrame(
        {
            "workload": rows["subject"],
            "direction": rows["direction"],
            "provider": rows["provider"],
            "device": [device or _GPU for device in rows["device"]],
            "dtype": rows["dtype"],
            "batch": [whole(batch) for batch in rows["batch"]],
            "speedup, 95 % interval": [ratio(*end) for end in ends],
            "verdict": rows["verdict"],
            "n": [whole(n) for n in rows["n"]],
        }
    )


def caption(part: pd.DataFrame) -> str:
    """The crossover of each line, or at how many batches it is faster."""
    if _at_one_batch(part):
        rows = _ordered(part)
        words = [f"{count(len(rows), 'comparison')}: {tally(rows['verdict'].tolist())}."]
        first, last = (rows.iloc[i] for i in (0, -1))
        if len(rows) > 1:
            words.append(
                f"From {ratio(*first[_CURVES[1:]])}× ({_called(first, part)}) to "
                f"{ratio(*last[_CURVES[1:]])}× ({_called(last, part)})."
            )
        words += style.left_out(len(rows) - MAX_LINES, "line", "numbers")
        return " ".join([*words, *_apart(part)])
    series, left_out = style.series(part)
    sentences = []
    for name, rows in series:
        if cross := _crossover(rows):
            sentences.append(f"{name}: {cross.words}." if len(series) > 1 else f"{cross.words}.")
            continue
        words = rows["verdict"].tolist()
        if len(words) == 1:
            sentences.append(f"{name} at batch {whole(rows['batch'].iloc[0])}: {words[0]}.")
        else:
            sentences.append(f"{name} at {count(len(words), 'batch size')}: {tally(words)}.")
    return " ".join([*sentences, *_apart(part), *style.left_out(left_out, "line")])


def absent(table: pd.DataFrame) -> str:
    """Why one of the two comparisons, or both, could not be made; "" where both were."""
    rows = workloads(table)
    if rows.empty:
        return "This run has no rows of workloads with a batch size."
    missing = []
    if device_ratio(rows).empty:
        found = [processor(device) for device in measured(rows)["device"].unique()]
        on = f"workloads were measured on the {found[0]} alone" if len(found) == 1 else ""
        on = on or "no workload was measured on both in the same mode with an interval"
        missing.append(f"GPU over CPU is not drawn: {on}.")
    if not comparable(rows).any():
        missing.append(
            "Over the baseline is not drawn: no second provider was measured in the same case, "
            "device and mode."
        )
    return " ".join(missing)


def _at_one_batch(part: pd.DataFrame) -> bool:
    """Whether each of its workloads was compared at one batch size, which makes no line."""
    return bool((part.groupby(["subject", "direction"])["batch"].nunique() == 1).all())


def _ordered(part: pd.DataFrame) -> pd.DataFrame:
    """One line a comparison, the largest speedup first."""
    same = ["subject", "direction", "provider", "device", "dtype", "batch"]
    rows = part.drop_duplicates(same, keep="last")
    return rows.sort_values("value", ascending=False, kind="stable")


def _called(row: pd.Series, part: pd.DataFrame) -> str:
    """What a line is called: its workload and what the part's lines do not share."""
    told = [f"{row['subject']}, {row['direction']}"]
    told += [str(row[name]) for name in ("provider", "device") if part[name].nunique() > 1]
    if part["batch"].nunique() > 1:
        told.append(f"batch {whole(row['batch'])}")
    return " ".join(told)


def _below_each_other(part: pd.DataFrame) -> Figure:
    """A line a workload: its speedup with its interval, the largest first, and a line at 1."""
    rows = _ordered(part).iloc[:MAX_LINES]
    high = _LINE * len(rows)
    fig = panels.sheet(_TOP + high + _BELOW)
    axes = panels.place(fig, _LEFT, _TOP, WIDTH - _LEFT - _RIGHT, high)
    ends = limits([*rows["low"], *rows["high"], 1.0], least=0.3)
    log_axis(axes.xaxis, ends, ratio_ticks(ends, most=5))
    panels.stacked(axes, len(rows))
    who = f" of {shorten(part['provider'].iloc[0], 16)}" if part["provider"].nunique() == 1 else ""
    batches = part["batch"].unique()
    where = f", batch {whole(batches[0])}" if len(batches) == 1 else ""
    panels.write(axes, 8 - _LEFT, 9, f"{_quantity(part, f'speedup{who}')}{where}")
    axes.axvline(1.0, color=INK, linewidth=1.0)
    axes.set_xlabel("speedup", labelpad=4)
    for line, (_, row) in enumerate(rows.iterrows()):
        look = style.of(int(row["look"])) | {"linestyle": "none"}
        axes.hlines([line + 0.5], row["low"], row["high"], color=look["color"], linewidth=1.4)
        axes.plot([row["value"]], [line + 0.5], **look)
        panels.name_left(axes, line + 0.5, _called(row, part), 32)
    return fig


def _quantity(part: pd.DataFrame, what: str = "speedup") -> str:
    over = set(part["over"])
    return f"{what} over {shorten(over.pop(), 20) if len(over) == 1 else 'the baseline'}"


def _apart(part: pd.DataFrame) -> list[str]:
    """Where the GPU and the CPU were not measured side by side, one sentence for each pair."""
    told = [*part["apart"].dropna()] if "apart" in part else []
    return [f"{words[0].upper()}{words[1:]}." for words in dict.fromkeys(told) if words]


def _crossover(rows: pd.DataFrame) -> Crossover | None:
    return None if rows["device"].iloc[0] else crossing(rows)
