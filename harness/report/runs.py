"""The runs that one report tells of: which are meant, and what is in their folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import store
from harness.curve import Curve
from harness.probes.spec import Finding
from harness.record import Row
from harness.report.words import plain


@dataclass(frozen=True)
class Run:
    """A run as it was read.

    Attributes:
        name: its id; "" where it has none.
        environment: what `harness.environment.describe` found.
        problems: one line for each line or file that was skipped.
        folder: where it was read from; None for one that was handed over.
    """

    name: str
    rows: Sequence[Row]
    environment: Mapping[str, Any]
    curves: Sequence[Curve] = ()
    findings: Sequence[Finding] = ()
    problems: Sequence[str] = ()
    folder: Path | None = None


def name(environment: Mapping[str, Any], otherwise: str = "") -> str:
    """A run's id, of its environment."""
    run_id = environment.get("run_id")
    return plain(run_id) if isinstance(run_id, str) else plain(otherwise)


def read(results: Path, wanted: Sequence[str]) -> tuple[list[Run], Path]:
    """The runs of these names or folders, and where their report belongs.

    Args:
        wanted: as `store.find` takes them; none is the newest run.

    Returns:
        (runs, folder): that of a run alone, `results` for several.

    Raises:
        StoreError: one is not there or cannot be read, or two of them are the same run.
    """
    folders = [_find(results, one) for one in wanted or ["last"]]
    found: dict[str, Run] = {}
    for folder in folders:
        run = _read(folder)
        if run.name in found:
            raise store.StoreError(f"two of these are the run {run.name!r}: give each run once")
        found[run.name] = run
    return list(found.values()), folders[0] if len(folders) == 1 else results


def _find(results: Path, wanted: str) -> Path:
    if wanted == "last" and not store.runs(results):
        committed = store.runs(results / "reference")
        raise store.StoreError(
            f"no run in {results}: there are none before pytest --benchmark-only has measured one"
            + (f"; the committed one is {committed[0]}" if committed else "")
        )
    try:
        return store.find(results, wanted)
    except store.StoreError:
        if not Path(wanted).is_dir():
            raise
    raise store.StoreError(
        f"no run in {wanted}: it has no {store.ROWS}; a run is a folder <results>/<machine>/<run>"
    )


def _read(folder: Path) -> Run:
    rows, problems = store.read(folder)
    environment, more = store.read_environment(folder)
    curves, unread = store.read_curves(folder)
    findings, unfound = store.read_findings(folder)
    problems += more + unread + unfound
    called = name(environment, folder.resolve().name)
    if not rows:
        problems.append(f"{called}: it has no rows, and is left out")
    return Run(called, rows, environment, curves, findings, problems, folder)
