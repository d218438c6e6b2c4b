"""Rows that plots are made of, and a plot's parts taken apart: what the tests of plots ask."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from harness.curve import Curve
from harness.report import plots
from harness.report.plots import style
from harness.report.trials import points, trials
from tests.harness.make_rows import row


def kernel(median=1e-3, samples=(), **known):
    """A row of a kernel on the CPU whose samples are given, or all its median."""
    made = row(median, **{"kind": "kernel", "subject": "matmul", "mode": "host"} | known)
    return dataclasses.replace(made, samples=tuple(samples)) if samples else made


def roofs():
    """A copy of 10 GB/s that was once at 20, one of 100 in the cache, products of 1 TFLOP/s."""
    return [
        kernel(1e-3, kind="roof", subject="copy", case="memory", bytes=10_000_000,
               samples=[1e-3] * 20 + [5e-4] * 5),
        kernel(1e-4, kind="roof", subject="copy", case="cache", bytes=10_000_000),
        kernel(1e-2, kind="roof", subject="product", case="n", flops=10**10),
    ]  # fmt: skip


def only(name, table):
    """The only part of the plot."""
    (part,) = plots.load(name).parts(table)
    return part


def drawn(name, part):
    with style.applied():
        return plots.load(name).figure(part)


def dots(figure):
    """How many points with a marker stand in the axes."""
    return sum(
        int(np.isfinite(np.array(line.get_xydata(), dtype=float)).all(axis=1).sum())
        for axes in figure.axes
        for line in axes.lines
        if line.get_marker() not in ("", "None", None)
    )


def told(name, part):
    """The numbers beside the figure, line by line."""
    return plots.load(name).table(part).to_dict("records")


def table(name: str, of: list[Curve]) -> pd.DataFrame:
    """What the plot is given of a run with these curves."""
    found = trials(of)
    return points(of, found) if plots.load(name).SOURCE == "points" else found


def parts(name: str, of: list[Curve]) -> dict[str, pd.DataFrame]:
    """The plot's parts of these curves, by title."""
    return {part.title: part.frame for part in plots.load(name).parts(table(name, of))}
