"""The panel of the README's figure that is of kernels: ours beside their peers on a GPU."""

from __future__ import annotations

import math
from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator

from harness.report import front_panels
from harness.report.frame import comparable, judgeable, results
from harness.report.front_panels import COLORS, Panel
from harness.report.plots import style
from harness.report.words import shorten

OURS = "triton"  # what the providers' names begin with that are our kernels
DIRECTIONS = ("forward", "forward+backward")
MODES = ("cold", "warm", "graph", "host")  # out of memory first; from Python last
MOST_CASES = 10

_CASE = ["subject", "case", "mode"]
_SPEEDUP = ["speedup", "speedup_low", "speedup_high"]
_DRAWN = [*_CASE, "direction", "dtype", "provider", "baseline", "flops", *_SPEEDUP]
_DRAWN += ["n", "noise_floor", "verdict", "device", "device_name", "threads"]
_APART, _SPREAD = 0.18, 0.6  # of a row, between two marks and between the first and the last
_COLUMNS = 3  # of names


def kernels(table: pd.DataFrame) -> Panel | None:
    """The speedup over the baseline of our kernels and their peers, a row a case.

    The cases are those of most FLOPs of each operation, forward and with its gradients, whatever
    came of them; the mode is the one with most such cases.

    Returns:
        None where no kernel of ours was compared on a GPU.
    """
    rows = judgeable(results(table))
    rows = rows[(rows["kind"] == "kernel") & (rows["device"] == "cuda")]
    rows = rows.drop_duplicates([*_CASE, "provider"], keep="last")
    # a speedup is over a baseline that may be believed, too
    bases = rows.loc[rows["provider"] == rows["baseline"], _CASE]
    compared = rows.loc[comparable(rows), _DRAWN].merge(bases, on=_CASE)
    by_mode = [_telling(compared[compared["mode"] == mode]) for mode in MODES]
    chosen = max(by_mode, key=_cases)  # of equals the first
    if chosen.empty:
        return None
    dtypes = ", ".join(dict.fromkeys(chosen["dtype"]))
    words = (
        f"the largest case of each operation, {dtypes}, mode {chosen['mode'].iloc[0]}, "
        f"{front_panels.speedups(chosen)}"
    )
    lines = _cases(chosen) + chosen["subject"].nunique()
    lines += math.ceil(chosen["provider"].nunique() / _COLUMNS)
    return Panel(front_panels.devices(chosen), words, lines, partial(_draw, rows=chosen))


def _telling(compared: pd.DataFrame) -> pd.DataFrame:
    """All providers of the cases to draw, by operation in the order of the rows."""
    ours = compared[compared["provider"].str.startswith(OURS)]
    ours = ours[ours["direction"].isin(DIRECTIONS)]
    order = {name: number for number, name in enumerate(dict.fromkeys(compared["subject"]))}
    cases = (
        ours.sort_values("flops", ascending=False, kind="stable")
        .drop_duplicates(["subject", "direction"])[["subject", "case", "direction"]]
        .assign(place=lambda rows: rows["subject"].map(order))
        .sort_values(["place", "direction"])  # forward comes first in the alphabet too
        .head(MOST_CASES)
    )
    found = cases[["subject", "case"]].merge(compared, on=["subject", "case"])
    return found.assign(told=found["verdict"].isin(front_panels.TOLD))


def _cases(rows: pd.DataFrame) -> int:
    # two operations may have cases of one name
    return len(rows[["subject", "case"]].drop_duplicates())


def _draw(axes: Axes, rows: pd.DataFrame) -> None:
    """A heading an operation, below it a row a case and in it a mark a provider, ours on top."""
    front_panels.ratio_axis(axes, rows, "speedup_low", "speedup_high", most=8)
    providers = sorted(dict.fromkeys(rows["provider"]), key=lambda name: not _is_ours(name))
    headings, names, placed, y = {}, {}, [], 0.0
    for subject, part in rows.groupby("subject", sort=False):
        headings[y] = shorten(str(subject), 40)
        for _, of in part.groupby("case", sort=False):
            y += 1
            names[y] = _called(of.iloc[0], rows["dtype"].nunique() > 1)
            placed.append(of.assign(y=_side_by_side(of["provider"].map(providers.index), y)))
        y += 1.2
    rows = pd.concat(placed)
    ours = sum(map(_is_ours, providers))
    for number, provider in enumerate(providers):
        of = rows[rows["provider"] == provider]
        peer = 1 + (number - ours) % (len(COLORS) - 1)
        front_panels.marks(
            *(axes, of["y"].tolist(), of, _SPEEDUP, shorten(provider, 26)),
            color=COLORS[0 if number < ours else peer],
            marker=style.marker_of(number),
            size=8.5 if number < ours else 6.5,
        )
    axes.set_ylim(max(names) + 0.6, -0.5)
    axes.set_yticks([*names], [*names.values()])
    axes.yaxis.set_minor_locator(FixedLocator([*headings]))
    axes.yaxis.set_minor_formatter(FixedFormatter([*headings.values()]))
    for label in axes.get_yticklabels(minor=True):
        label.set_fontweight("bold")
    over = set(rows["baseline"])
    baseline = over.pop() if len(over) == 1 else "the baseline"
    axes.set_xlabel(f"speedup over {shorten(baseline, 20)} (above 1× is faster)")
    front_panels.legend(axes, _COLUMNS)


def _is_ours(provider: str) -> bool:
    return provider.startswith(OURS)


def _side_by_side(order: pd.Series, y: float) -> pd.Series:
    """The heights of the marks of one row about its own, so that equal speedups are all seen."""
    apart = min(_APART, _SPREAD / max(len(order) - 1, 1))
    return y + apart * (order.rank() - (len(order) + 1) / 2)


def _called(row: pd.Series, with_dtype: bool) -> str:
    """A case without what its heading, or the caption, says of it."""
    sizes = row["case"].removesuffix(f"-{row['dtype']}-{row['direction']}")
    dtype = f" {row['dtype']}" if with_dtype else ""
    return shorten(f"{row['direction']}, {sizes}{dtype}", 46)
