"""What the tuning of the learning rates took, setting by setting."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd

from harness import learning_rates
from harness.curve import CENSORED, DIVERGED, TUNING
from harness.report.frame import drawable
from harness.report.trials import SETTING, batch_name, finals, groups
from harness.survival import median


class Cell(NamedTuple):
    """What the tuning seeds of one setting took at one rate.

    Attributes:
        steps: the median; infinite where half of the seeds or more did not get there.
        spent: the most steps that one had.
        reached, diverged, n: seeds.
    """

    steps: float
    spent: float
    reached: int
    diverged: int
    n: int


class Grid(NamedTuple):
    """One line of the map: a setting, its rates in order, the chosen one and its edges."""

    title: str
    optimizer: str
    batch: str
    cells: dict[float, Cell]
    chosen: float | None
    edges: tuple[str, ...]


def tuned(table: pd.DataFrame) -> pd.DataFrame:
    """The tuning trials that have a place in a grid."""
    known = table[["batch", "steps_to_target", "steps_spent"]].notna().all(axis=1)
    return table[(table["role"] == TUNING) & drawable(table["learning_rate"]) & known]


def grids(part: pd.DataFrame) -> list[Grid]:
    """The settings with tuning trials, by optimizer and batch size."""
    tuning = tuned(part)
    chosen = finals(part).drop_duplicates(SETTING, keep="last")
    rates = {
        tuple(row[key] for key in SETTING): row["learning_rate"] for _, row in chosen.iterrows()
    }
    found = []
    for setting, rows in groups(tuning, SETTING):
        by_rate = [(float(rate), group) for rate, group in groups(rows, "learning_rate", sort=True)]
        times = {rate: tuple(group["steps_to_target"]) for rate, group in by_rate}
        limit = rows.loc[rows["status"] == CENSORED, "steps_spent"].min()
        spent = {rate: tuple(_used(group, limit)) for rate, group in by_rate}
        grid = Grid(
            rows["title"].iloc[0],
            rows["optimizer"].iloc[0],
            batch_name(rows["batch"].iloc[0]),
            {rate: _cell(group) for rate, group in by_rate},
            rates.get(setting),
            learning_rates.edges(times, spent) if len(by_rate) > 1 else (),
        )
        found.append((int(rows["look"].iloc[0]), setting[2], grid))
    return [grid for *_, grid in sorted(found, key=lambda item: item[:2])]


def _used(rows: pd.DataFrame, limit: float) -> pd.Series:
    """Steps up to the target, or up to the trial's end, as `learning_rates.Grid.spent` has them."""
    there = rows["steps_to_target"] < math.inf
    return rows["steps_to_target"].where(there, rows["steps_spent"].clip(upper=limit))


def _cell(rows: pd.DataFrame) -> Cell:
    steps = rows["steps_to_target"]
    return Cell(
        median(steps),
        float(rows["steps_spent"].max()),
        int((steps < math.inf).sum()),
        int((rows["status"] == DIVERGED).sum()),
        len(rows),
    )
