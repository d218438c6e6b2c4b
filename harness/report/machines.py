"""Which machine each run is of, and with how many CPU threads: what is told of together.

Twice the threads is up to half the time, so that on a CPU another number of threads is another
machine: where runs of one machine differ in them, each number is told of by itself.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from harness.environment import machine_id
from harness.record import CONVERGENCE, NOT_MEASURED, number
from harness.report.runs import Run
from harness.report.words import count, whole

UNKNOWN = "machine not known"


class Machine(NamedTuple):
    """A machine, with the CPU threads of its runs where these differ in them.

    Attributes:
        name: what it is called in the report.
        threads: e.g. "2 threads"; "" where all runs of the machine have as many.
    """

    name: str
    threads: str = ""

    def __str__(self) -> str:
        """e.g. "amd-epyc-2-cores, 2 threads"."""
        return ", ".join(filter(None, self))


def machines(runs: Sequence[Run]) -> list[Machine]:
    """The machine of each run; one that does not say is taken for a machine of its own."""
    called: dict[Hashable, str] = {}
    taken: dict[str, int] = {}
    names = []
    for run in runs:
        key, name = _machine(run)
        if key not in called:
            taken[name] = taken.get(name, 0) + 1
            called[key] = name if taken[name] == 1 else f"{name} ({taken[name]})"
        names.append(called[key])
    threads = [_threads(run) for run in runs]
    found = []
    for name, own in zip(names, threads, strict=True):
        alike = [
            (_started(r), t) for n, r, t in zip(names, runs, threads, strict=True) if n == name
        ]
        found.append(Machine(name, _told(own, [t for _, t in sorted(alike)])))
    return found


def _told(own: tuple[float, ...], of_machine: Sequence[tuple[float, ...]]) -> str:
    """Where the runs of the machine differ: those of this one, or of the newest that has any."""
    there = [threads for threads in of_machine if threads]
    if len(set(there)) < 2:
        return ""
    *more, last = own or there[-1]
    return " and ".join([*map(whole, more), count(last, "thread")])


def _threads(run: Run) -> tuple[float, ...]:
    """Those that its times on a CPU are of, rising.

    Ranks that train together divide the cores among them, whatever one of them has.
    """
    infos = [row.extra_info for row in run.rows if row.status != NOT_MEASURED]
    found = {number(i, "threads") or 0.0 for i in infos if i["device"] == "cpu" and _alone(i)}
    return tuple(sorted(found))


def _started(run: Run) -> str:
    return min(row.extra_info["started_at"] for row in run.rows)


def _alone(info: Mapping[str, Any]) -> bool:
    return info["kind"] != CONVERGENCE or (number(info, "world_size") or 1) == 1


def _machine(run: Run) -> tuple[Hashable, str]:
    environment: Any = run.environment
    try:
        name = machine_id(environment)
        gpus = [gpu["name"] for gpu in environment["gpus"] or ()]
        cpu = [environment["cpu"][what] for what in ("model", "usable_cores")]
    except (AttributeError, KeyError, IndexError, TypeError):
        return ("", run.name), UNKNOWN
    return (name, str(gpus), str(cpu)), name or UNKNOWN
