"""Several runs as what one report draws and judges: a view for each machine.

No view has times of two machines in it, so that no figure, table or verdict can mix them unseen,
but for those that set the CPU of one beside the GPU of another, and are called so. Runs of one
machine with other numbers of CPU threads are as apart as machines (harness/report/machines.py). Of
a case that several runs of a machine measured, the newest run's rows are shown; all are in its
history. The roofs of each run that is shown stay with it.
Speedups, verdicts, noise floors and trust are found within each run before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pandas as pd

from harness.curve import FINAL, OF_DEVICE, Curve
from harness.probes.spec import Finding
from harness.record import ABOUT_MEASURING, NOT_MEASURED, OK, ROOF
from harness.report.frame import frame
from harness.report.history import history
from harness.report.machines import Machine, machines
from harness.report.runs import Run
from harness.report.words import processor

# a module, not a name from it: what studies use of the report may be what imports this file
from harness.studies import spec as studies

HOSTS = "measured on several hosts, whose times are not compared"

# what is measured together; all of a row but its provider
_CASE = ["kind", "subject", "case", "direction", "dtype", "device", "mode"]
_DEVICES = ("cpu", "cuda")

T = TypeVar("T")


@dataclass(frozen=True)
class View:
    """What is drawn and judged together: a machine's, or the CPU of one beside the GPU of another.

    Attributes:
        name: the machine's with its threads, or which processor is whose.
        evidence: of each case, setting and probe what the newest run that measured it has; its
            rows have their run and machine in them.
        history: `harness.report.history` of its runs; None of one run alone, and of a pair.
        ranks: the curves on every number of ranks; those of the evidence are on the fewest.
        runs: the runs that it is of, the oldest first; of a pair the newest of each.
        machine: None of a pair.
        apart: of two machines, in words as `harness.report.crossover.device_ratio` has them.
    """

    name: str
    evidence: studies.Evidence
    history: pd.DataFrame | None
    runs: Sequence[Run]
    apart: str = ""
    ranks: Sequence[Curve] = ()
    machine: Machine | None = None

    @property
    def beside(self) -> bool:
        """Whether it is of two machines."""
        return bool(self.apart)

    @property
    def shown(self) -> pd.DataFrame:
        """Its rows with the machine in their device, e.g. "CPU of nvidia-h200"."""
        rows = self.evidence.rows
        return rows.assign(device=rows["device"].map(processor) + f" of {self.name}")


@dataclass(frozen=True)
class Merged:
    """All that one report tells of.

    Attributes:
        runs: in the order in which they were asked for.
        tables: `frame` of each, with its name and machine.
        machines: a view each.
        pairs: views of two machines.
    """

    runs: Sequence[Run]
    tables: Sequence[pd.DataFrame]
    machines: Sequence[View]
    pairs: Sequence[View] = field(default_factory=list)

    @property
    def every(self) -> pd.DataFrame:
        """Every row of every run."""
        return pd.concat(self.tables, ignore_index=True)

    @property
    def evidence(self) -> list[list[tuple[str, studies.Evidence]]]:
        """(name, evidence) of each machine, and of each pair."""
        return [[(self.where(v), v.evidence) for v in of] for of in (self.machines, self.pairs)]

    def where(self, view: View) -> str:
        """What a view is called where there are several; "" where the report has one machine."""
        return view.name if len(self.machines) > 1 else ""

    @property
    def newest(self) -> pd.DataFrame:
        """The newest rows of each case on each machine."""
        return pd.concat([view.evidence.rows for view in self.machines], ignore_index=True)

    @property
    def shown(self) -> pd.DataFrame:
        """The same, where there are several machines with their names in the devices'."""
        if len(self.machines) == 1:
            return self.newest
        return pd.concat([view.shown for view in self.machines], ignore_index=True)


def merge(runs: Sequence[Run]) -> Merged:
    """The runs by machine.

    Raises:
        ValueError: none of them has a row.
    """
    if not any(run.rows for run in runs):
        raise ValueError("no rows to report: the run measured nothing yet, or all was skipped")
    runs = [run for run in runs if run.rows]
    of = machines(runs)
    tables = [frame(run.rows, run.name, str(m)) for run, m in zip(runs, of, strict=True)]
    views = []
    for one in dict.fromkeys(of):
        its = [(t, r) for m, t, r in zip(of, tables, runs, strict=True) if m == one]
        views.append(_view(one, sorted(its, key=lambda pair: pair[0]["started_at"].min())))
    return Merged(runs, tables, views, _pairs(views))


def _view(machine: Machine, runs: Sequence[tuple[pd.DataFrame, Run]]) -> View:
    tables, of = [table for table, _ in runs], [run for _, run in runs]
    curves = _newest((run.curves for run in of), lambda curve: (_setting(curve), curve.world_size))
    evidence = studies.Evidence(
        _newest_rows(tables),
        _on_one_host(_on_fewest_ranks(curves)),
        _newest((run.findings for run in of), _place),
        of[-1].environment,
    )
    past = history(tables) if len(of) > 1 else None
    return View(str(machine), evidence, past, of, ranks=curves, machine=machine)


def _newest_rows(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Of each case the rows of the last table that measured any of them, else of the last one.

    And of each table that has results among them its roofs, below which these stand.
    """
    if len(tables) == 1:
        return tables[0]
    numbered = [table.assign(number=number) for number, table in enumerate(tables)]
    every = pd.concat(numbered, ignore_index=True)
    tried = (every["status"] != NOT_MEASURED) * len(tables)
    rank = (every["number"] + tried).groupby([every[name] for name in _CASE], sort=False)
    shown = every["number"] == rank.transform("max") % len(tables)
    of = every.loc[shown & ~every["kind"].isin(ABOUT_MEASURING) & (every["status"] == OK), "number"]
    shown |= (every["kind"] == ROOF) & every["number"].isin(of)
    return every[shown].drop(columns="number").reset_index(drop=True)


def _newest(runs: Iterable[Sequence[T]], key: Callable[[T], Hashable]) -> list[T]:
    """What the last of the runs that has a key has of it."""
    found: dict[Hashable, list[T]] = {}
    for run in runs:
        of_run: dict[Hashable, list[T]] = {}
        for one in run:
            of_run.setdefault(key(one), []).append(one)
        found |= of_run
    return [one for of_key in found.values() for one in of_key]


def _setting(curve: Curve) -> Hashable:
    trial = curve.trial
    return trial.workload, trial.optimizer, trial.batch, trial.device, curve.setting


def _on_fewest_ranks(curves: Sequence[Curve]) -> list[Curve]:
    """Of each setting: what is compared with others takes one number of ranks, and one is plain."""
    fewest: dict[Hashable, int] = {}
    for curve in curves:
        key = _setting(curve)
        fewest[key] = min(curve.world_size, fewest.get(key, curve.world_size))
    return [curve for curve in curves if curve.world_size == fewest[_setting(curve)]]


def _on_one_host(curves: Sequence[Curve]) -> list[Curve]:
    """Without the times of those that would be compared over several hosts of a cluster."""
    hosts: dict[Hashable, set[str]] = {}
    for curve in curves:
        if curve.role == FINAL:
            hosts.setdefault(_compared(curve), set()).add(curve.host)
    return [
        _timeless(curve) if len(hosts.get(_compared(curve), ())) > 1 else curve for curve in curves
    ]


def _compared(curve: Curve) -> Hashable:
    """What curves share whose times are set beside each other: a workload, variants included."""
    return curve.trial.workload.partition("/")[0], curve.trial.device


def _timeless(curve: Curve) -> Curve:
    none: dict[str, Any] = {"seconds": math.nan, "seconds_inclusive": math.nan, "joules": None}
    points = tuple(replace(point, **none) for point in curve.points)
    return replace(curve, points=points, why=dict(curve.why) | dict.fromkeys(OF_DEVICE, HOSTS))


def _place(finding: Finding) -> Hashable:
    return finding.probe, finding.subject, finding.device


def _pairs(machines: Sequence[View]) -> list[View]:
    """The CPU of one beside the GPU of another, but of two that have both themselves.

    Nor of one machine with two numbers of threads, which has its own CPU beside its GPU.
    """
    has = {view.name: _processors(view.evidence) for view in machines}
    return [
        _pair(cpu, gpu)
        for cpu in machines
        for gpu in machines
        if _machine_of(cpu) != _machine_of(gpu)
        and "cpu" in has[cpu.name]
        and "cuda" in has[gpu.name]
        and len(has[cpu.name] & has[gpu.name]) < len(_DEVICES)
    ]


def _machine_of(view: View) -> str:
    return view.machine.name if view.machine else ""


def _processors(evidence: studies.Evidence) -> set[str]:
    """Those that something was measured on."""
    rows = evidence.rows
    timed = rows[(rows["status"] == OK) & ~rows["kind"].isin(ABOUT_MEASURING)]["device"]
    return {*timed, *(curve.trial.device for curve in evidence.curves)} & {*_DEVICES}


def _pair(cpu: View, gpu: View) -> View:
    both = [(cpu.evidence, "cpu"), (gpu.evidence, "cuda")]
    rows = [e.rows[(e.rows["device"] == device) & (e.rows["status"] == OK)] for e, device in both]
    evidence = studies.Evidence(
        pd.concat(rows, ignore_index=True),
        [c for e, device in both for c in e.curves if c.trial.device == device],
        [f for e, device in both for f in e.findings if f.device == device],
    )
    name = f"CPU of {cpu.name} beside GPU of {gpu.name}"
    apart = f"Two machines: CPU of {cpu.name}, GPU of {gpu.name}"
    return View(name, evidence, None, [cpu.runs[-1], gpu.runs[-1]], apart)
