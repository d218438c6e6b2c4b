"""One setting by itself: whether training gets to the target from every seed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness import survival
from harness.curve import FAILED, REACHED, Curve
from harness.report.amounts import amount, power
from harness.report.words import count, plain
from harness.studies.compare import DEVICES, took, usable
from harness.studies.spec import DEPENDS, REFUTED, SUPPORTED, UNCLEAR, Evidence


def alone(evidence: Evidence, workload: str) -> list[Curve]:
    """The trials of a workload's own setting, on the first device that has any."""
    found = (evidence.finals(workload, device=device) for device in DEVICES)
    return next((curves for curves in found if curves), [])


def every_seed(curves: Sequence[Curve]) -> tuple[str, str, str]:
    """Whether a model gets to its target from every seed: the verdict, words and effect.

    Args:
        curves: the trials of one setting, one at least.
    """
    # a target that was met before the first step took nothing
    values = [took(c, "samples") or (0.0 if c.status == REACHED else math.inf) for c in curves]
    first = curves[0]
    k, n, low, high = survival.reached(values)
    ends = _metrics(curves, -1)
    got = f"; at the end {power(survival.median(ends))}" if ends else ""
    middle = survival.median(values)
    after = f" after {amount(middle, 'samples')} samples" if math.isfinite(middle) else ""
    words = (
        f"{plain(first.trial.workload)}: {k} of {count(n, 'seed')} reached a "
        f"{plain(first.metric)} of {power(first.target)}{after}{got} "
        f"(on {plain(first.device_name)})"
    )
    verdict = SUPPORTED if k == n else DEPENDS if k else REFUTED
    if failed := sum(curve.status == FAILED for curve in curves):
        words += f", {failed} raised an error"
    if early := values.count(0.0):
        words += f", {early} met it before any step: that says nothing of training"
    effect = f"{k} of {n} [{low:.0%}, {high:.0%}]"
    return (verdict if n >= survival.FEWEST and not early else UNCLEAR), words, effect


def initially(curves: Sequence[Curve]) -> float | None:
    """The median metric before training; None where it is not known."""
    starts = _metrics(curves, 0)
    return survival.median(starts) if starts else None


def made(curves: Sequence[Curve]) -> str:
    """What a trained model wrote, drew or did; "" where none did."""
    return next((c.generated for c in curves if c.status == REACHED and c.generated), "")


def _metrics(curves: Sequence[Curve], place: int) -> list[float]:
    """What the curves' points there say of the metric, where they say a number."""
    told = (usable(curve.points[place].metric, zero=True) for curve in curves if curve.points)
    return [metric for metric in told if metric is not None]
