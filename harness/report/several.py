"""What a report says of its runs and machines; of one run alone, the run's name is left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import pandas as pd

from harness import studies
from harness.faults import faults
from harness.record import OK
from harness.report import claims, summary
from harness.report.made import Made, made
from harness.report.merge import Merged, View
from harness.report.probed import Found, probed
from harness.report.runs import Run
from harness.report.threats import Grounds, threats
from harness.report.tree import tree
from harness.report.words import count, plain, whole
from harness.studies import spec

T = TypeVar("T")


class RunLine(NamedTuple):
    """A run as the report's reader sees it; its environment is what `tree` makes of it."""

    name: str
    machine: str
    started: str
    ended: str
    presets: str
    threads: str
    measured: str
    commit: str
    environment: Any


def runs(merged: Merged) -> list[RunLine]:
    """A line a run, in the order in which they were asked for."""
    return [_line(run, rows) for run, rows in zip(merged.runs, merged.tables, strict=True)]


def _line(run: Run, rows: pd.DataFrame) -> RunLine:
    git = run.environment.get("git")
    commit = git.get("commit") if isinstance(git, dict) else None
    return RunLine(
        name=run.name,
        machine=rows["machine"].iloc[0],
        started=rows["started_at"].min(),
        ended=rows["started_at"].max(),
        presets=", ".join(sorted(rows["preset"].unique())),
        threads=", ".join(map(whole, sorted(rows["threads"].dropna().unique()))) or "not known",
        measured=f"{(rows['status'] == OK).sum():,} of {count(len(rows), 'row')}",
        commit=plain(commit)[:12] if isinstance(commit, str) else "not known",
        environment=tree(run.environment),
    )


def opening(merged: Merged) -> str:
    """One sentence of all rows."""
    told = summary.opening(merged.every)
    return told if len(merged.runs) == 1 else f"{called(merged)}: {told}"


def headline(merged: Merged, claimed: Sequence[tuple[str, claims.Claim]]) -> str:
    """What came of the claims of the course; the opening where none was tested, or on several
    machines, whose verdicts differ."""
    found = [claim for _, claim in claimed]
    tested = any(claim.verdict != spec.NOT_MEASURED for claim in found)
    if len(merged.machines) > 1 or not tested:
        return opening(merged)
    return f"{count(len(found), 'claim')} of the course: {claims.tally(found)}."


def called(merged: Merged) -> str:
    """The name of the run, or e.g. "3 runs of 2 machines"."""
    if len(merged.runs) == 1:
        return merged.runs[0].name
    there = [view.machine for view in merged.machines if view.machine]
    threads = [machine.threads for machine in there if machine.threads]
    with_threads = f" with {' and with '.join(dict.fromkeys(threads))}" if threads else ""
    machines = count(len({machine.name for machine in there}), "machine")
    return f"{count(len(merged.runs), 'run')} of {machines}{with_threads}"


def tally(merged: Merged, claimed: Sequence[tuple[str, claims.Claim]]) -> str:
    """How many claims have which verdict, on each machine, and how many chance would give."""
    told = [
        (name, claims.tally([c for place, c in claimed if place in (name, claims.EVERYWHERE)]))
        for name in (merged.where(view) for view in merged.machines)
    ]
    many = count(len(studies.NAMES), "claim") if claimed else ""
    chance = claims.by_chance([claim for _, claim in claimed])
    more = f". {chance}" if chance else ""
    if len(told) == 1:
        run = "this run" if len(merged.runs) == 1 else "these runs"
        return f"{many} put to the test in {run}: {told[0][1]}{more}"
    counts = "; ".join(f"{name}: {verdicts}" for name, verdicts in told)
    return f"{many} put to the test on each machine{_threads(merged)} by itself. {counts}{more}"


def noise_floors(merged: Merged) -> list[str]:
    """Of each run."""
    return [
        f"{_of_run(merged, run.name)}{floor}"
        for run, rows in zip(merged.runs, merged.tables, strict=True)
        for floor in summary.noise_floors(rows)
    ]


def warnings(merged: Merged) -> list[str]:
    """What to be careful with, of each run."""
    return [
        f"{_of_run(merged, run.name)}{line}"
        for run, rows in zip(merged.runs, merged.tables, strict=True)
        for line in (*summary.void(faults(run.rows)), *summary.warnings(rows))
    ]


def crossings(merged: Merged) -> tuple[list[summary.Crossing], int]:
    """On each machine, and of the CPU of one with the GPU of another; and how many are left out."""
    return _together(
        summary.crossings(view.evidence.rows, "two machines" if view.beside else merged.where(view))
        for view in (*merged.machines, *merged.pairs)
    )


def made_by(merged: Merged) -> tuple[list[Made], int]:
    """What the models of each machine make, and how many are left out."""
    return _together(made(view.evidence.curves, merged.where(view)) for view in merged.machines)


def probed_on(merged: Merged) -> tuple[list[Found], int]:
    """What probes found on each machine, and how many findings are left out."""
    return _together(probed(view.evidence.findings, merged.where(view)) for view in merged.machines)


def threats_by(merged: Merged) -> list[tuple[str, list[str]]]:
    """(machine, its threats to validity), the machine "" where there is one; then of the pairs."""
    found = [
        (merged.where(view), [*threats(Grounds(view.evidence, view.runs)), *_threads_apart(view)])
        for view in merged.machines
    ]
    return found + [(view.name, [_of_two(*view.runs)]) for view in merged.pairs]


def _together(of_views: Iterable[tuple[list[T], int]]) -> tuple[list[T], int]:
    """The lines of all views, and how many are left out of all."""
    found = [*of_views]
    return [line for lines, _ in found for line in lines], sum(more for _, more in found)


def _threads(merged: Merged) -> str:
    apart = any(view.machine and view.machine.threads for view in merged.machines)
    return " and number of threads" if apart else ""


def _threads_apart(view: View) -> list[str]:
    """Where runs of the machine had other numbers of CPU threads."""
    if not view.machine or not view.machine.threads:
        return []
    return [
        f"All of it is of runs with {view.machine.threads} on the CPU: the machine's runs with "
        "others are told of by themselves, and no number here is compared with theirs."
    ]


def _of_two(cpu: Run, gpu: Run) -> str:
    """What is compared where the CPU is of one machine and the GPU of another."""
    versions = [run.environment.get("packages") for run in (cpu, gpu)]
    torch = [v.get("torch") if isinstance(v, dict) else None for v in versions]
    told = " and ".join(plain(str(v)) if v is not None else "a version not known" for v in torch)
    return (
        f"CPU and GPU are of two machines, with torch {told}, in runs {cpu.name} and {gpu.name}: "
        "what else is not the same on both, such as memory, compiler and commit, is in no interval."
    )


def _of_run(merged: Merged, name: str) -> str:
    return f"{name}: " if len(merged.runs) > 1 else ""
