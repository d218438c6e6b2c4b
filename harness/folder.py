"""A run's folder: a new one, or one that is gone on with, and what is on disk in it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import environment, record, store, trials
from harness.curve import Curve
from harness.record import Row


class Folder:
    """Rows and curves of one run, on disk and at hand.

    Args:
        results: the folder of all runs.
        resume: the run to go on with, as `store.find` takes it; None for a new one.
        own: the digests of the user's own files, by name.

    Attributes:
        rows: by id; those that were not measured are measured now, and so left out.
        curves: the trials that are done.
        problems: one line for each line of a file that was skipped.

    Raises:
        StoreError: the results folder cannot be used, or there is no such run to resume.
    """

    def __init__(self, results: Path, resume: str | None, own: Mapping[str, str] | None = None):
        self.environment: dict[str, Any] = environment.describe() | {"own": dict(own or {})}
        machine = results / environment.machine_id(self.environment)
        self.run = self._resumed(results, resume, machine.name) if resume else self._new(machine)
        self.store = store.Store(self.run, self.environment | {"run_id": self.run.name})
        self.problems: list[str] = []
        self.rows: dict[str, Row] = {}
        self.curves: dict[trials.Key, Curve] = {}
        if resume:
            found, unread = store.read(self.run)
            curves, more = store.read_curves(self.run)
            self.problems += unread + more
            self.rows = {r.id: r for r in found if r.status != record.NOT_MEASURED}
            self.curves = {trials.key(curve): curve for curve in curves}

    def _new(self, machine: Path) -> Path:
        git = self.environment.get("git") or {}
        commit = f"-{git['commit'][:7]}" if git.get("commit") else ""
        stem = f"{datetime.now(UTC):%Y%m%d-%H%M%S}{commit}"
        names = (stem if i == 1 else f"{stem}-{i}" for i in range(1, 100))
        try:
            machine.mkdir(parents=True, exist_ok=True)
            for name in names:
                with contextlib.suppress(FileExistsError):  # of a run that began in this second
                    (machine / name).mkdir()
                    return machine / name
        except OSError as error:
            raise store.StoreError(store.cannot_begin(machine, error)) from None
        raise store.StoreError(f"too many runs in {machine} began in one second: try again")

    def _resumed(self, results: Path, resume: str, machine: str) -> Path:
        run = store.find(results, resume)
        if run.resolve().parent.name != machine:
            raise store.StoreError(
                f"cannot resume {run.name}: it was measured on {run.resolve().parent.name}, "
                f"and this machine is {machine}"
            )
        before, _ = store.read_environment(run)
        for name, now in _identity(self.environment).items():
            then = _identity(before)[name]
            if then != now:
                raise store.StoreError(
                    f"cannot resume {run.name}: its {name} was {then}, and is {now} now; "
                    "start a new run"
                )
        return run

    def put(self, rows: Sequence[Row]) -> None:
        """Put rows on disk, all at once.

        Raises:
            StoreError: they could not be written.
        """
        self.store.append(rows)
        self.rows |= {row.id: row for row in rows}

    def keep(self, curve: Curve) -> None:
        """Put a finished trial on disk.

        Raises:
            StoreError: it could not be written.
        """
        self.store.append_curve(curve)
        self.curves[trials.key(curve)] = curve

    def finish(self) -> dict[str, int]:
        """Write benchmark.json from all rows on disk; rows by status.

        Raises:
            StoreError: it cannot be written.
        """
        rows: list[Row] = []
        if self.rows:
            rows, self.problems[:] = store.read(self.run)
        store.write_benchmark_json(self.run, self.environment, rows)
        counts = dict.fromkeys(record.STATUSES, 0)
        for row in rows:
            counts[row.status] += row.extra_info["kind"] not in record.ABOUT_MEASURING
        return counts


def _identity(described: Mapping[str, Any]) -> dict[str, Any]:
    """What must not change within a run."""
    git, packages = described.get("git") or {}, described.get("packages") or {}
    return {
        "commit": git.get("commit"),
        "dirty": git.get("dirty"),
        "torch": packages.get("torch"),
        "threads": described.get("torch_threads"),
        "own file": described.get("own") or {},
    }
