"""Skip connections ease optimisation: sixteen layers with and without them."""

from __future__ import annotations

from harness.studies.compare import Side, duel, eased
from harness.studies.effects import summary
from harness.studies.spec import Evidence, Verdict, not_measured

CLAIM = "Skip connections ease the optimisation of deep networks."
NEEDS = "The deep MLP of 16 layers with and without skip connections, with each norm."
FIGURE = "currencies"

PAIRS = (
    (
        Side("16 plain layers", "deep_mlp/16x64"),
        Side("skips alone", "deep_mlp/16x64-skip"),
    ),
    (
        Side("layer norm alone", "deep_mlp/16x64-layer"),
        Side("layer norm and skips", "deep_mlp"),
    ),
    (
        Side("batch norm alone", "deep_mlp/16x64-batch"),
        Side("batch norm and skips", "deep_mlp/16x64-batch-skip"),
    ),
)


def judge(evidence: Evidence) -> Verdict:
    """With skips against without, for each norm."""
    duels = [found for pair in PAIRS if (found := duel(evidence, *pair))]
    if not duels:
        why = evidence.why_not(kind="convergence", subject="deep_mlp/16x64-skip")
        return not_measured(f"no deep network was trained with and without skips{why}")
    return Verdict(eased(duels), *summary(duels))
