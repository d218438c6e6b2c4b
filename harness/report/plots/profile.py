"""Performance profiles: how often an optimizer is within a factor of the best one."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from harness.report.frame import drawable
from harness.report.plots import panels, style
from harness.report.plots.panels import Look
from harness.report.plots.style import WIDTH, Part
from harness.report.plots.ticks import linear_axis, log_axis, ratio_ticks
from harness.report.trials import finals, groups, positive, why_unknown
from harness.report.words import count, processor

SOURCE = "trials"
TITLE = "Which optimizer is seldom far from the best"
INTRO = (
    "Performance profiles (Dolan & Moré 2002): the share of problems that an optimizer solves "
    "within a factor of the best optimizer's cost, higher and further to the left is better. A "
    "problem is a seed of a workload at a batch size that two optimizers or more were trained at. "
    "Each workload weighs the same, and less than 1 % from the best is as good as it. At 1× "
    "stands how often an optimizer is the best, at the right how often it gets there at all. It "
    "counts on the problems that it was trained on."
)

CURRENCIES = ("steps", "flops", "seconds", "joules")

_NAMES = {"flops": "FLOPs"}
_TIE = 1.01  # evaluations are 3 % apart: what is nearer to the best than 1 % is as good
_FARTHEST = 2.0**14  # a factor beyond which no profile is drawn
_LEFT, _RIGHT, _TOP, _HIGH, _BELOW = 46.0, 16.0, 24.0, 150.0, 48.0  # points


class Profile(NamedTuple):
    """One optimizer: factors over the best in order, and the share of problems within each."""

    name: str
    look: int
    factors: NDArray[np.float64]
    share: NDArray[np.float64]
    problems: int
    workloads: int

    def within(self, factor: float) -> float:
        """The share of problems solved within a factor of the best."""
        at = np.searchsorted(self.factors, factor, side="right")
        return float(self.share[at - 1]) if at else 0.0


def parts(table: pd.DataFrame) -> list[Part]:
    """By device and currency, where two optimizers or more have a problem in common."""
    found = []
    for device, rows in groups(finals(table), "device"):
        for currency in CURRENCIES:
            part = _problems(rows, currency)
            if len(part):
                name = _NAMES.get(currency, currency)
                group = f"On {processor(device)}"
                found.append(Part(group, f"{name} to the target", part))
    return panels.few_lines(found, "optimizer")


def figure(part: pd.DataFrame) -> Figure:
    """Steps that rise with the factor, one line an optimizer."""
    lines = _profiles(part)
    shown = _profiles(panels.shown(part))
    looks = [Look(line.name, line.look) for line in shown]
    below = _TOP + _HIGH + _BELOW
    fig = panels.sheet(below + panels.names_height(looks))
    axes = panels.place(fig, _LEFT, _TOP, WIDTH - _LEFT - _RIGHT, _HIGH)
    far = max((float(line.factors[-1]) for line in lines if len(line.factors)), default=1.0)
    right = min(max(far, 2.0) * 1.15, _FARTHEST)
    log_axis(axes.xaxis, (0.93, right), ratio_ticks((0.93, right), most=7))
    linear_axis(axes.yaxis, (-0.03, 1.05), {s: f"{100 * s:.0f} %" for s in (0, 0.25, 0.5, 0.75, 1)})
    axes.set_xlabel("factor over the best optimizer's cost", labelpad=4)
    panels.write(axes, -40, 9, "share of problems solved within the factor")
    for line in shown:
        look = style.of(line.look)
        x = np.concatenate([[1.0], line.factors, [right]])
        y = np.concatenate([[0.0], line.share, [line.within(math.inf)]])
        axes.step(x, y, where="post", **look | {"marker": ""})
        axes.plot(line.factors, line.share, **look | {"linestyle": "none"})
    panels.names(fig, looks, below)
    return fig


def table(part: pd.DataFrame) -> pd.DataFrame:
    """One line an optimizer."""
    return pd.DataFrame(
        [
            {
                "optimizer": line.name,
                "best": f"{100 * line.within(1.0):.0f} %",
                "within 2×": f"{100 * line.within(2.0):.0f} %",
                "within 10×": f"{100 * line.within(10.0):.0f} %",
                "at all": f"{100 * line.within(math.inf):.0f} %",
                "problems": str(line.problems),
                "workloads": str(line.workloads),
            }
            for line in _profiles(panels.shown(part))
        ]
    )


def caption(part: pd.DataFrame) -> str:
    """Over how many problems; which is the best most often; which does not always get there."""
    lines = _profiles(part)
    workloads = list(dict.fromkeys(part["workload"]))
    problems = part.drop_duplicates(["workload", "batch", "seed"])
    device = processor(part["device"].iloc[0])
    words = [f"{count(len(problems), 'problem')} of {', '.join(workloads)}, on {device}."]
    best = max(line.within(1.0) for line in lines)
    names = [line.name for line in lines if line.within(1.0) == best]
    words.append(f"Best most often: {', '.join(names)} ({100 * best:.0f} %).")
    short = [
        f"{line.name} ({100 * line.within(math.inf):.0f} %)"
        for line in lines
        if line.within(math.inf) < 1
    ]
    if short:
        words.append(f"Not always there: {', '.join(short)}.")
    if len(workloads) == 1:
        words.append("One workload says nothing of others.")
    return " ".join(words)


def absent(table: pd.DataFrame) -> str:
    """Why a currency has no profile, or none has; "" if all have one."""
    missing = []
    for device, rows in groups(finals(table), "device"):
        without = [currency for currency in CURRENCIES if _problems(rows, currency).empty]
        if len(without) == len(CURRENCIES):
            where = processor(device)
            missing.append(
                f"No profile on {where}: no workload was trained with two optimizers at one batch "
                "size."
            )
            continue
        for currency in without:
            why = why_unknown(rows, currency).rstrip(".")
            name = _NAMES.get(currency, currency)
            missing.append(f"No profile of {name} on {processor(device)}: {why}.")
    return " ".join(missing) or ("" if len(finals(table)) else "This run has no trials to compare.")


def _problems(rows: pd.DataFrame, currency: str) -> pd.DataFrame:
    """The trials of problems that two optimizers or more have, with their cost and its factor."""
    cost = rows[f"{currency}_to_target"]
    # infinite where it did not get there; a target met before the first step has no ratio
    rows = rows.assign(cost=cost)[drawable(rows["batch"]) & (positive(cost) | (cost == math.inf))]
    problem = ["workload", "batch", "seed"]
    rows = rows.drop_duplicates([*problem, "optimizer"], keep="last")
    groups = rows.groupby(problem, sort=False)["cost"]
    best, several = groups.transform("min"), groups.transform("size") > 1
    with np.errstate(invalid="ignore"):  # where nobody got there nobody is the best
        factor = (rows["cost"] / best).fillna(math.inf)
    return rows.assign(factor=factor.where(factor > _TIE, 1.0))[several]


def _profiles(part: pd.DataFrame) -> list[Profile]:
    """The optimizers, that with the largest share on the way first."""
    found = []
    for name, rows in groups(part, "optimizer"):
        rows = rows.sort_values("factor", kind="stable")
        weight = 1 / rows.groupby("workload")["factor"].transform("size")
        share = (weight / weight.sum()).cumsum().to_numpy()
        factors = rows["factor"].to_numpy(dtype=float)
        solved = np.isfinite(factors)
        workloads = rows["workload"].nunique()
        look = int(rows["look"].iloc[0])
        found.append(Profile(str(name), look, factors[solved], share[solved], len(rows), workloads))
    return sorted(found, key=_area, reverse=True)


def _area(line: Profile) -> float:
    """The mean share over factors up to 32, on the logarithmic axis."""
    return float(np.mean([line.within(2.0 ** (i / 8)) for i in range(41)]))
