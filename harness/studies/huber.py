"""Huber's loss is more robust than the squared error: training data with outliers."""

from __future__ import annotations

from harness.studies.compare import Side, duel
from harness.studies.duel import no_interval
from harness.studies.effects import summary
from harness.studies.spec import Evidence, Verdict, not_measured

CLAIM = "Huber's loss is more robust to outliers than the squared error."
NEEDS = "The MLP on Friedman's function with outliers, by both losses; and without, for the price."
FIGURE = "currencies"

SQUARED = Side("the squared error", "mlp_regression/mse_outliers")
HUBER = Side("Huber's loss", "mlp_regression/huber_outliers")


def judge(evidence: Evidence) -> Verdict:
    """Steps to the same clean error from contaminated data; what it costs on clean data is told."""
    found = duel(evidence, SQUARED, HUBER)
    if not found:
        why = evidence.why_not(kind="convergence", subject=HUBER.workload)
        return not_measured(f"the two losses were not both trained on outliers{why}")
    words, effect, n = summary([found])
    clean = duel(
        evidence,
        Side("the squared error", "mlp_regression"),
        Side("Huber's loss", "mlp_regression/huber"),
    )
    price = (
        f" Without outliers: {clean.words}: {clean.times}{no_interval([clean])}." if clean else ""
    )
    return Verdict(found.verdict, f"With outliers: {words}{price}", effect, n)
