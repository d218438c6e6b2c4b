"""Synthetic evidence for tests of what judges it. No number here was measured."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from harness.curve import CENSORED, REACHED, Curve, Point, Trial
from harness.probes.spec import Finding
from harness.report.frame import frame
from harness.studies.spec import Evidence
from tests.harness.make_rows import SYNTHETIC, row

NAME = f"{SYNTHETIC} cpu"
FIVE = (1.0, 1.05, 0.95, 1.02, 0.98)
NEVER = math.inf


def trials(workload, steps, optimizer="adam", batch=32, flops=1.0, seconds=0.01, **known):
    """One trial a seed, with so many steps to the target, or censored where that is infinite."""
    found = []
    for seed, needed in enumerate(steps):
        reached = math.isfinite(needed)
        end = needed if reached else 200
        points = tuple(
            Point(int(s), int(s) * batch, s * flops, s * seconds, s * seconds, None, None, metric)
            for s, metric in ((0, 2.0), (end, 0.1 if reached else 1.0))
        )
        fields = {
            **{"metric": "validation loss", "target": 0.1, "lower_is_better": True},
            **{"status": REACHED if reached else CENSORED, "points": points},
            **{"reason": None if reached else "not reached in 200 steps"},
            **{"device_name": NAME, "threads": 2},
        }
        found.append(Curve(Trial(workload, optimizer, batch, 0.01, seed, "cpu"), **fields | known))
    return found


def about(middle):
    """Five seeds around a number of steps."""
    return [middle * share for share in FIVE]


def finding(
    probe: str,
    subject: str = "mlp",
    at: str = "batch 32",
    why: dict[str, str] | None = None,
    device_name: str = NAME,
    n: int = 60,
    **values: Any,
) -> Finding:
    """What a probe found, by the names of its values."""
    return Finding(probe, subject, at, "cpu", device_name, n, values, why or {})


def moved(workload, values):
    """Trials alike but for what the metric is on the moved data."""
    return [
        dataclasses.replace(curve, shifted=value)
        for curve, value in zip(trials(workload, about(100)), values, strict=True)
    ]


def noise(power, subject="mlp_classification", within=1.1):
    """Findings whose variance goes as batch to a power, each known to a tenth, or to a factor."""
    return _variances(subject, {b: b**power for b in (1, 4, 16, 64, 256)}, within)


def bent_noise():
    """Flat first and steep then: the slope over all of it is that of 1 / B, and it is no line."""
    return _variances("m", {1: 1.0, 8: 1.0, 64: 1 / 64}, 1.05)


def _variances(subject, values, within):
    return [
        finding(
            "noise",
            subject,
            f"batch {batch}",
            batch=batch,
            variance=variance,
            variance_low=variance / within,
            variance_high=variance * within,
        )
        for batch, variance in values.items()
    ]


def flat_noise():
    """Nothing is to be seen: each variance may be a thousand times as large."""
    ends = {"variance": 1.0, "variance_low": 1e-3, "variance_high": 1e3}
    return [finding("noise", "m", f"batch {b}", batch=b, **ends) for b in (1, 2, 4)]


def share(flops, time, spread=0.01):
    """How much of a workload's FLOPs and time its products are."""
    ends = {"time_share_low": time - spread, "time_share_high": time + spread}
    return finding("products", "cnn", "batch 32", flops_share=flops, time_share=time, **ends)


def backward(value, low, high, **more):
    """How many times the forward pass the backward pass takes."""
    name = "backward_over_forward"
    ends = {name: value, f"{name}_low": low, f"{name}_high": high}
    return finding("backward", "deep_mlp", "batch 128", **ends, **more)


def timed(values, device="cpu", **known):
    """Rows of training steps, by batch."""
    return [
        row(seconds, provider="eager", baseline="eager", batch=batch, device=device, mode="host",
            **{"direction": "train"} | known)
        for batch, seconds in values.items()
    ]  # fmt: skip


def fused(speedups):
    """Rows of a fused kernel against torch, one case a speedup."""
    return [
        made
        for i, speedup in enumerate(speedups)
        for provider, faster in (("torch", None), ("triton", speedup))
        for made in [
            row(1e-3 / (faster or 1), provider=provider, speedup=faster, kind="kernel",
                subject="cross_entropy", case=f"R{i}", direction="forward", device="cuda",
                mode="cold", roof_share=0.3, peak_memory_bytes=4096)
        ]
    ]  # fmt: skip


def E(rows=(), curves=(), findings=()):
    """Evidence of these alone."""
    return Evidence(frame(list(rows)), list(curves), list(findings))


def from_trials(*groups):
    return E(curves=[curve for group in groups for curve in group])


def target(workload, *values, **known):
    """Trials by the steps that each took."""
    return trials(workload, values, **known)
