"""The report's figures: one file a plot, named in NAMES in the order of the report.

A plot is a module with
    SOURCE               the table that it is of: "rows", "trials", "points", "ranks", "findings",
                         "history"
    TITLE, INTRO         the section's heading and what holds for all its figures
    parts(table)         the table's lines, split into one Part for each figure
    figure(part)         a part's rows drawn
    table(part)          the numbers in the figure, as text with units
    caption(part)        what the figure shows in words; may be ""
    absent(table)        why there is no figure, or not every kind of it; "" if nothing is absent
in which `part` is a Part's frame, and `table` is what `harness.report.frame.frame` makes of the
rows, or what `trials` or `points` of `harness.report.trials` make of the training curves: a line
for each trial, with "ranks" on every number of them, or each evaluation; or what
`harness.report.findings.findings` makes of what probes found; or `harness.report.history.history`
of several runs. A plot is drawn inside `style.applied()`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Protocol, cast

import pandas as pd
from matplotlib.figure import Figure

from harness.report.plots.style import Part

NAMES = (
    *("speedup", "latency", "kernels", "roofline", "prediction", "distributions"),
    *("currencies", "time_to_target", "batch_size", "learning_rates", "profile", "survival"),
    "scaling",
    *("products", "backpropagation", "gradient_noise"),
    *("energy", "correctness"),
    "history",
)


class Plot(Protocol):
    """What every module named in NAMES has."""

    SOURCE: str
    TITLE: str
    INTRO: str
    parts: Callable[[pd.DataFrame], list[Part]]
    figure: Callable[[pd.DataFrame], Figure]
    table: Callable[[pd.DataFrame], pd.DataFrame]
    caption: Callable[[pd.DataFrame], str]
    absent: Callable[[pd.DataFrame], str]


def load(name: str) -> Plot:
    """The plot of that name.

    Raises:
        ValueError: NAMES has no such plot.
    """
    if name not in NAMES:
        raise ValueError(f"no plot {name!r}; there are {', '.join(NAMES)}")
    return cast(Plot, importlib.import_module(f"{__name__}.{name}"))
