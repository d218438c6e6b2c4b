"""Several runs as what one report draws and judges: a view for each machine.

No view has times of two machines in it, so that no figure, table or verdict can mix them unseen,
but for those that set the CPU of one beside the GPU of another, and are called so. Of a case that
several runs of a machine measured, the newest run's rows are shown; all are in its history.
Speedups, verdicts, noise floors and trust are found within each run before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pandas as pd

from harness.curve import FINAL, OF_DEVICE, Curve
from harness.environment import machine_id
from harness.probes.spec import Finding
from harness.record import ABOUT_MEASURING, NOT_MEASURED, OK
from harness.report.frame import frame
from harness.report.history import history
from harness.report.runs import Run
from harness.report.words import processor

# a module, not a name from it: what studies use of the report may be what imports this file
from harness.studies import spec as studies

UNKNOWN = "machine not known"
HOSTS = "measured on several hosts, whose times are not compared"

# what is measured together; all of a row but its provider
_CASE = ["kind", "subject", "case", "direction", "dtype", "device", "mode"]
_DEVICES = ("cpu", "cuda")

T = TypeVar("T")


@dataclass(frozen=True)
class View:
    """What is drawn and judged together: a machine's, or the CPU of one beside the GPU of another.

    Attributes:
        name: the machine's, or which processor is whose.
        evidence: of each case, setting and probe what the newest run that measured it has; its
            rows have their run and machine in them.
        history: `harness.report.history` of its runs; None of one run alone, and of a pair.
        ranks: the curves on every number of ranks; those of the evidence are on the fewest.
        runs: the runs that it is of, the oldest first; of a pair the newest of each.
        apart: of two machines, in words as `harness.report.crossover.device_ratio` has them.
    """

    name: str
    evidence: studies.Evidence
    history: pd.DataFrame | None
    runs: Sequence[Run]
    apart: str = ""
    ranks: Sequence[Curve] = ()

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
    names = _machines(runs)
    tables = [frame(run.rows, run.name, name) for run, name in zip(runs, names, strict=True)]
    machines = []
    for name in dict.fromkeys(names):
        of = [(t, r) for n, t, r in zip(names, tables, runs, strict=True) if n == name]
        machines.append(_view(name, sorted(of, key=lambda pair: pair[0]["started_at"].min())))
    return Merged(runs, tables, machines, _pairs(machines))


def _machines(runs: Iterable[Run]) -> list[str]:
    """The name of each run's machine; one that does not say is taken for a machine of its own."""
    called: dict[Hashable, str] = {}
    taken: dict[str, int] = {}
    names = []
    for run in runs:
        key, name = _machine(run)
        if key not in called:
            taken[name] = taken.get(name, 0) + 1
            called[key] = name if taken[name] == 1 else f"{name} ({taken[name]})"
        names.append(called[key])
    return names


def _machine(run: Run) -> tuple[Hashable, str]:
    environment: Any = run.environment
    try:
        name = machine_id(environment)
        gpus = [gpu["name"] for gpu in environment["gpus"] or ()]
        cpu = [environment["cpu"][what] for what in ("model", "usable_cores")]
    except (AttributeError, KeyError, IndexError, TypeError):
        return ("", run.name), UNKNOWN
    return (name, str(gpus), str(cpu)), name or UNKNOWN


def _view(name: str, runs: Sequence[tuple[pd.DataFrame, Run]]) -> View:
    tables, of = [table for table, _ in runs], [run for _, run in runs]
    curves = _newest((run.curves for run in of), lambda curve: (_setting(curve), curve.world_size))
    evidence = studies.Evidence(
        _newest_rows(tables),
        _on_one_host(_on_fewest_ranks(curves)),
        _newest((run.findings for run in of), _place),
        of[-1].environment,
    )
    return View(name, evidence, history(tables) if len(of) > 1 else None, of, ranks=curves)


def _newest_rows(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Of each case the rows of the last table that measured any of them, else of the last one."""
    if len(tables) == 1:
        return tables[0]
    numbered = [table.assign(number=number) for number, table in enumerate(tables)]
    every = pd.concat(numbered, ignore_index=True)
    tried = (every["status"] != NOT_MEASURED) * len(tables)
    rank = (every["number"] + tried).groupby([every[name] for name in _CASE], sort=False)
    newest = rank.transform("max") % len(tables)
    return every[every["number"] == newest].drop(columns="number").reset_index(drop=True)


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
    """The CPU of one beside the GPU of another, but of two that have both themselves."""
    has = {view.name: _processors(view.evidence) for view in machines}
    return [
        _pair(cpu, gpu)
        for cpu in machines
        for gpu in machines
        if cpu is not gpu
        and "cpu" in has[cpu.name]
        and "cuda" in has[gpu.name]
        and len(has[cpu.name] & has[gpu.name]) < len(_DEVICES)
    ]


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
