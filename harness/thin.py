"""A run small enough to be committed: without the rows that its preset or its budget leaves out,
with fewer samples of each row and fewer digits of each number, and, of a trial that tuned a
learning rate, the evaluations alone by which it was judged.

python -m harness.thin RUN FOLDER

RUN is a run's folder or, as everywhere, "last": the newest below results/. Medians, intervals and
all other figures of a row stay those of all its samples, n among them.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

from harness import store
from harness.curve import TUNING, Curve, Point
from harness.record import NOT_MEASURED, Row

SAMPLES = 120  # of a row, evenly spread over all of them
DIGITS = 5  # of a sample: a millionth of it is far below what a clock resolves
CURVE_DIGITS = 9


def thin(run: Path, folder: Path) -> Path:
    """Copy a run into folder/<machine>/<run>/, thinned; environment.json says so.

    Args:
        run: the run's folder, at <machine>/<run>/ itself.
        folder: where reference runs are.

    Returns:
        The new folder.

    Raises:
        StoreError: there is no such run, its rows are not whole, or the new one cannot be written
            or is there already.
    """
    rows, problems = store.read(run)
    curves, more = store.read_curves(run)
    findings, still_more = store.read_findings(run)
    environment, last = store.read_environment(run)
    if problems := [*problems, *more, *still_more, *last]:
        raise store.StoreError(f"not thinned, for it would be lost: {problems[0]}")
    run = run.resolve()
    new = folder / run.parent.name / run.name
    if (new / store.ROWS).exists():
        raise store.StoreError(f"{new} is there already: remove it first")
    there = [row for row in rows if not _left_out(row)]
    thinned = {
        "rows_of_another_preset_or_past_the_budget_left_out": len(rows) - len(there),
        "samples_of_a_row_at_most": SAMPLES,
        "digits_of_a_sample": DIGITS,
        "of_tuning_trials_only": "the first and last evaluation, and those around the target",
    }
    kept = store.Store(new, environment | {"thinned": thinned})
    kept.append([_row(row) for row in there])
    for curve in curves:
        kept.append_curve(_curve(curve))
    for finding in findings:
        kept.append_finding(finding)
    return new


def _left_out(row: Row) -> bool:
    left_out = row.extra_info["reason"] or ""
    return row.status == NOT_MEASURED and left_out.startswith(("preset:", "budget:"))


def _row(row: Row) -> Row:
    samples = row.samples
    if len(samples) > SAMPLES:
        step = (len(samples) - 1) / (SAMPLES - 1)
        samples = tuple(samples[round(i * step)] for i in range(SAMPLES))
    return dataclasses.replace(row, samples=tuple(_rounded(s, DIGITS) for s in samples))


def _curve(curve: Curve) -> Curve:
    points = []
    for point in _judging(curve) if curve.role == TUNING else curve.points:
        floats = {k: v for k, v in vars(point).items() if isinstance(v, float)}
        rounded: dict[str, Any] = {k: _rounded(v, CURVE_DIGITS) for k, v in floats.items()}
        points.append(dataclasses.replace(point, **rounded))
    return dataclasses.replace(curve, points=tuple(points))


def _judging(curve: Curve) -> list[Point]:
    """The evaluations that `Curve.to_target` and `Curve.spent` look at, and the first."""
    points = curve.points
    met = next((i for i, point in enumerate(points) if curve.met(point.metric)), 0)
    return [points[i] for i in sorted({0, max(met - 1, 0), met, len(points) - 1}) if points]


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


if __name__ == "__main__":
    try:
        wanted, to = sys.argv[1:]
        print(thin(store.find(Path("results"), wanted), Path(to)))
    except (ValueError, store.StoreError) as error:
        usage = "usage: python -m harness.thin RUN FOLDER"
        sys.exit(str(error) if isinstance(error, store.StoreError) else usage)
