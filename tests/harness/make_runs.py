"""Synthetic runs of several machines for tests of what reads them. No number here was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.curve import Curve
from harness.probes.spec import Finding
from harness.record import Row
from harness.report.runs import Run
from tests.harness.make_curves import curve, findings
from tests.harness.make_rows import SYNTHETIC, cpu_and_gpu, cpu_only

GPU = f"{SYNTHETIC} GPU"


def environment(run_id: str, cpu: str = "Small CPU", gpu: str | None = None) -> dict[str, Any]:
    """What `harness.environment.describe` would find there."""
    return {
        "run_id": run_id,
        "cpu": {"model": cpu, "usable_cores": 2},
        "gpus": [{"name": gpu}] if gpu else None,
        "git": {"commit": "0123456789abcdef", "dirty": False},
    }


def run(
    run_id: str,
    rows: Sequence[Row],
    day: int = 1,
    curves: Sequence[Curve] = (),
    findings: Sequence[Finding] = (),
    **machine: Any,
) -> Run:
    """A run of that day; `machine` as `environment` takes it."""
    started = f"2026-01-{day:02}T00:00:00+00:00"
    dated = [replace(row, extra_info=row.extra_info | {"started_at": started}) for row in rows]
    return Run(run_id, dated, environment(run_id, **machine), curves, findings)


def faster(rows: Sequence[Row], share: float = 0.9) -> list[Row]:
    """The same rows with shorter times, by no two subjects alike."""
    names = ("median_s", "median_low_s", "median_high_s")
    found = []
    for row in rows:
        factor = share - 0.01 * len(row.extra_info["subject"])
        times = {name: row.extra_info[name] for name in names if row.extra_info[name]}
        info = row.extra_info | {name: factor * value for name, value in times.items()}
        samples = tuple(factor * sample for sample in row.samples)
        found.append(replace(row, extra_info=info, samples=samples))
    return found


def few(rows: Sequence[Row]) -> list[Row]:
    """Of one workload's training, one kernel and the roofs: enough for a figure of each plot."""
    infos = [(row, row.extra_info) for row in rows]
    chosen = {("cnn", "train"), *((name, "forward") for name in ("matmul", "copy", "product"))}
    return [row for row, info in infos if (info["subject"], info["direction"]) in chosen]


def several() -> list[Run]:
    """A machine without a GPU, twice, and one with it; curves and findings of both."""
    cpu, cuda = (
        [curve(batch=batch, seed=seed, device=device) for batch in (8, 64) for seed in (0, 1)]
        for device in ("cpu", "cuda")
    )
    return [
        run("monday", few(cpu_only()), 5, cpu, findings()),
        run("tuesday", faster(few(cpu_only())), 6),
        run("cloud", few(cpu_and_gpu()), 7, [*cpu, *cuda], findings(), cpu="Big CPU", gpu=GPU),
    ]
