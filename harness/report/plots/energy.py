"""Energy: joules an iteration and a sample, from the counters that the devices keep."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.record import CONVERGENCE, OK
from harness.report.amounts import tick
from harness.report.frame import drawable
from harness.report.plots import panels, style
from harness.report.plots.style import PAPER, WIDTH, Part
from harness.report.plots.ticks import limits, log_axis
from harness.report.words import NO_REASON, count, processor, si

SOURCE = "rows"
TITLE = "Energy"
INTRO = (
    "Joules of one iteration (left) and, where an iteration is a batch, of one sample of it "
    "(right); fewer is better, both axes are logarithmic. Filled markers are all that the device "
    "used in the window, hollow ones what is left when the power that it uses idle is subtracted. "
    "A value stands on one window, so it has no interval: differences of a few per cent mean "
    "nothing."
)

MAX_CASES = 20  # in one figure
MAX_PROVIDERS = 6

_LEFT, _RIGHT, _BETWEEN, _TOP, _BELOW = 14.0, 16.0, 22.0, 24.0, 46.0  # points
_LINE, _DOT, _SPACE = 14.0, 10.0, 6.0  # a case's name, one provider's dot, between two cases
_TICKS = 4


def parts(table: pd.DataFrame) -> list[Part]:
    """By mode, subject and machine, where the joules of a row are known."""
    rows = _known(style.looks(table))
    found = []
    for keys, part in style.by(rows, ["mode", "subject", "device", "device_name"]):
        mode, subject, device, name = keys
        where = name if rows["device_name"].nunique() > 1 else processor(device)
        found.append(Part(f"{mode.capitalize()} mode", f"{subject} on {where}", part))
    return found


def figure(part: pd.DataFrame) -> Figure:
    """A line a case, below it a dot a provider: an iteration's joules, and a sample's."""
    rows = _drawn(part)
    starts = rows["case"] != rows["case"].shift()
    rows["y"] = starts.cumsum() * (_LINE + _SPACE) + _DOT * np.arange(len(rows)) - _SPACE
    body = float(rows["y"].max()) + _DOT
    looks = panels.looks(rows, "provider")
    below = _TOP + body + _BELOW
    fig = panels.sheet(below + panels.names_height(looks))
    wanted = [("energy_j", "energy_net_j", "joules an iteration")]
    if drawable(rows["batch"]).any():
        wanted.append(("sample_j", "sample_net_j", "joules a sample"))
    wide = (WIDTH - _LEFT - _RIGHT - _BETWEEN * (len(wanted) - 1)) / len(wanted)
    for column, (gross, net, title) in enumerate(wanted):
        axes = panels.place(fig, _LEFT + column * (wide + _BETWEEN), _TOP, wide, body)
        _panel(axes, rows, gross, net, body, title)
        if column == 0:
            for case, y in zip(rows["case"][starts], rows["y"][starts], strict=True):
                panels.heading(axes, y - 4, case)
    panels.names(fig, looks, below)
    return fig


def table(part: pd.DataFrame) -> pd.DataFrame:
    """One line a dot of the figure."""
    rows = _drawn(part)
    reasons = rows["energy_net_j_reason"].fillna(NO_REASON)
    net = [si(v, "J") if math.isfinite(v) else "not known" for v in rows["energy_net_j"]]
    return pd.DataFrame(
        {
            "case": rows["case"],
            "provider": rows["provider"],
            "an iteration": [si(value, "J") for value in rows["energy_j"]],
            "idle power subtracted": [
                text if text != "not known" else f"not known: {why}"
                for text, why in zip(net, reasons, strict=True)
            ],
            "a sample": [
                si(value, "J") if math.isfinite(value) else "it has no batch"
                for value in rows["sample_j"]
            ],
            "method and window": rows["energy_method"].fillna("not recorded"),
        }
    )


def caption(part: pd.DataFrame) -> str:
    """By which method, over which window; the least joules; what is not in the figure."""
    rows = _drawn(part)
    methods = list(dict.fromkeys(rows["energy_method"].fillna("a method that was not recorded")))
    sentences = [f"{part['device_name'].iloc[0]}, read from: {methods[0]}."]
    if len(methods) > 1:
        others = count(len(methods) - 1, "other window")
        sentences = [f"{sentences[0][:-1]}, and {others}, in the numbers."]
    best = rows.iloc[int(rows["energy_j"].to_numpy().argmin())]
    words = f"The least: {si(best['energy_j'], 'J')} by {best['provider']} in {best['case']}"
    sentences.append(f"{words}.")
    return " ".join([*sentences, *style.left_out(len(part) - len(rows), "row")])


def absent(table: pd.DataFrame) -> str:
    """For each device without a figure the reasons that its rows give; "" if each has one."""
    rows = style.looks(table)
    rows = rows[(rows["status"] == OK) & (rows["kind"] != CONVERGENCE)]
    if rows.empty:
        return "No row of this run was timed, so none has joules."
    told = []
    for name, of in rows.groupby("device_name", sort=False):
        if not _known(of).empty:
            continue
        reasons = of["energy_j_reason"].dropna().value_counts().index[:2]
        why = f": {'; '.join(reasons)}" if len(reasons) else f", and {NO_REASON}"
        told.append(f"No joules are known on {name}{why}.")
    return " ".join(told)


def _known(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with joules, an iteration's and a sample's."""
    rows = rows[(rows["status"] == OK) & drawable(rows["energy_j"])]
    batch = rows["batch"].where(drawable(rows["batch"]))
    net = rows["energy_net_j"].where(drawable(rows["energy_net_j"]))
    return rows.assign(
        energy_net_j=net, sample_j=rows["energy_j"] / batch, sample_net_j=net / batch
    )


def _drawn(part: pd.DataFrame) -> pd.DataFrame:
    """Case by case in order of the batch, and in each provider by provider."""
    rows = part.drop_duplicates(["case", "direction", "dtype", "provider"], keep="last")
    named = sorted(rows["look"].unique())[:MAX_PROVIDERS]
    rows = rows[rows["look"].isin(named)]
    order = rows.sort_values("batch", kind="stable").drop_duplicates("case")["case"]
    place = {case: number for number, case in enumerate(order[:MAX_CASES])}
    rows = rows[rows["case"].isin(place)]
    rows = rows.assign(place=rows["case"].map(place))
    return rows.sort_values(["place", "look"], kind="stable")


def _panel(axes: Axes, rows: pd.DataFrame, gross: str, net: str, body: float, title: str) -> None:
    """The dots of one quantity, all used and, hollow, without what is used idle."""
    values = pd.concat([rows[gross], rows[net]])
    ends = limits([*values[drawable(values)]] or [1.0], margin=0.08)
    log_axis(axes.xaxis, ends, panels.decades(ends, lambda v: tick(v, "joules"), _TICKS))
    panels.stacked(axes, body)
    panels.write(axes, 0, 9, title)
    for _, of in rows.groupby("look"):
        look = style.of(int(of["look"].iloc[0])) | {"linestyle": "none"}
        y = of["y"] + _DOT / 2
        axes.hlines(y, of[net], of[gross], color=look["color"], linewidth=0.8)
        axes.plot(of[net], y, **look, markerfacecolor=PAPER)
        axes.plot(of[gross], y, **look)
