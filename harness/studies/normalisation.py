"""Normalisation eases optimisation: sixteen layers with and without it."""

from __future__ import annotations

from harness.studies.compare import Side, duel, eased
from harness.studies.effects import summary
from harness.studies.spec import Evidence, Verdict, not_measured

CLAIM = "Normalisation eases optimisation."
NEEDS = "The deep MLP of 16 layers, plain and with skip connections, with and without a norm."
FIGURE = "currencies"

PLAIN = Side("16 plain layers", "deep_mlp/16x64")
SKIP = Side("16 layers with skips", "deep_mlp/16x64-skip")
PAIRS = (
    (PLAIN, Side("layer norm alone", "deep_mlp/16x64-layer")),
    (PLAIN, Side("batch norm alone", "deep_mlp/16x64-batch")),
    (PLAIN, Side("weight norm alone", "deep_mlp/16x64-weight")),
    (SKIP, Side("layer norm and skips", "deep_mlp")),
    (SKIP, Side("batch norm and skips", "deep_mlp/16x64-batch-skip")),
)


def judge(evidence: Evidence) -> Verdict:
    """Each norm against none. Where neither gets there, the norm has not made it trainable."""
    duels = [found for pair in PAIRS if (found := duel(evidence, *pair))]
    if not duels:
        why = evidence.why_not(kind="convergence", subject=PLAIN.workload)
        return not_measured(f"no deep network was trained with and without a norm{why}")
    return Verdict(eased(duels), *summary(duels))
