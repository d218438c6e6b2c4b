"""Initialisation eases optimisation: N(0, 1) and zeros against weights scaled to their layer."""

from __future__ import annotations

from harness.studies.compare import Side, duel, eased
from harness.studies.effects import summary
from harness.studies.spec import Evidence, Verdict, not_measured

CLAIM = "An initialisation scaled to each layer eases optimisation."
NEEDS = "The deep MLP of 4 layers from N(0, 1) or zeros, and from Xavier's, He's or orthogonal."
FIGURE = "currencies"

SCALED = {
    "Xavier": "deep_mlp/4x64",
    "He": "deep_mlp/4x64-he",
    "orthogonal": "deep_mlp/4x64-orthogonal",
}
UNSCALED = (Side("N(0, 1)", "deep_mlp/4x64-normal"), Side("zeros", "deep_mlp/4x64-zeros"))


def judge(evidence: Evidence) -> Verdict:
    """Each scaled initialisation against each that is not."""
    found = [
        duel(evidence, unscaled, Side(name, which))
        for unscaled in UNSCALED
        for name, which in SCALED.items()
    ]
    duels = [d for d in found if d]
    if not duels:
        why = evidence.why_not(kind="convergence", subject=UNSCALED[0].workload)
        return not_measured(f"no trials from N(0, 1) or zeros and from scaled weights{why}")
    return Verdict(eased(duels), *summary(duels))
