"""python -m harness compare OLD NEW: which runs are compared, and which are refused.

Imports neither torch nor triton.
"""

from __future__ import annotations

from pathlib import Path

from harness import store
from harness.changes import Changes, changes
from harness.environment import machine_id
from harness.record import CONVERGENCE, OK, number
from harness.report.runs import Run
from harness.report.words import plain, whole
from harness.words import skipped

_UNTOLD = "None"  # of what an environment does not say


class CannotCompare(Exception):
    """Two runs that are not compared, in one line that says why."""


def read(results: Path, wanted: str) -> Run:
    """The run that `wanted` names, as `store.find` finds it, by its folder's name; no curves.

    Raises:
        StoreError: there is none, or several.
        CannotCompare: nothing was measured in it.
    """
    folder = store.find(results, wanted)
    rows, problems = store.read(folder)
    environment, more = store.read_environment(folder)
    if not any(row.status == OK for row in rows):
        raise CannotCompare(f"nothing was measured in {folder}{skipped(problems)}")
    folder = folder.resolve()
    return Run(plain(folder.name), rows, environment, problems=[*problems, *more], folder=folder)


def compare(old: Run, new: Run, any_machine: bool = False) -> Changes:
    """What changed from one run to the other.

    Args:
        any_machine: also where they are of different machines, or of other numbers of threads.

    Raises:
        CannotCompare: they are one run, of different machines or numbers of CPU threads, or have no
            row in common.
    """
    ids = [run.environment.get("run_id") for run in (old, new)]
    if old.folder == new.folder or (ids[0] is not None and ids[0] == ids[1]):
        raise CannotCompare("OLD and NEW are the same run")
    if not any_machine and (why := _other_machine(old, new) or _other_threads(old, new)):
        raise CannotCompare(f"{why}; --any-machine compares them all the same")
    was, now = (_identity(run)["torch"] for run in (old, new))
    found = changes(old.rows, new.rows, same_torch=was == now != _UNTOLD)
    if not found.both and not found.lost and not found.trials:
        raise CannotCompare(f"no row was measured in both {old.name} and {new.name}")
    return found


def _other_machine(old: Run, new: Run) -> str | None:
    machines = [_machine(run) for run in (old, new)]
    for run, machine in zip((old, new), machines, strict=True):
        if machine is None:
            return f"cannot tell the machine of {run.name}: its {store.ENVIRONMENT} does not say"
    if machines[0] != machines[1]:
        return f"different machines: {machines[0]} and {machines[1]}"
    names = [_device_names(run) for run in (old, new)]
    for device in names[0].keys() & names[1].keys():
        if names[0][device] != names[1][device]:
            both = " and ".join(" or ".join(sorted(n[device])) for n in names)
            return f"different machines: their {device} is {both}"
    return None


def _other_threads(old: Run, new: Run) -> str | None:
    """Twice the threads is up to half the time: on a CPU that is another machine."""
    found = [_threads(run) for run in (old, new)]
    if all(found) and found[0] != found[1]:
        was, now = (" and ".join(map(whole, sorted(threads))) for threads in found)
        return f"different numbers of CPU threads, which OMP_NUM_THREADS sets: {was}, then {now}"
    return None


def _threads(run: Run) -> set[float]:
    """Those that its times on a CPU were measured with."""
    infos = [row.extra_info for row in run.rows if row.status == OK]
    return {
        number(info, "threads") or 0.0
        for info in infos
        if info["device"] == "cpu" and info["kind"] != CONVERGENCE
    }


def _machine(run: Run) -> str | None:
    try:
        return machine_id(run.environment)
    except (AttributeError, KeyError, IndexError, TypeError):
        return None


def _device_names(run: Run) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in run.rows:
        if row.status == OK:
            info = row.extra_info
            found.setdefault(plain(info["device"]), set()).add(plain(info["device_name"]))
    return found


def differences(old: Run, new: Run) -> list[str]:
    """What else is not the same in the two environments, e.g. "torch 2.12.0, then 2.13.0"."""
    was, now = _identity(old), _identity(new)
    return [
        f"{name} {plain(was[name])}, then {plain(now[name])}"
        for name in was
        if was[name] != now[name]
    ]


def _identity(run: Run) -> dict[str, str]:
    packages = run.environment.get("packages")
    found = {name: run.environment.get(name) for name in ("os", "python", "torch_threads")}
    for name in ("torch", "triton"):
        found[name] = packages.get(name) if isinstance(packages, dict) else None
    found["preset"] = ", ".join(sorted({row.extra_info["preset"] for row in run.rows}))
    return {name.replace("_", " "): str(value) for name, value in found.items()}
