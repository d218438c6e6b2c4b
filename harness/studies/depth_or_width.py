"""Depth or width: networks of equal parameters, from two layers to sixteen."""

from __future__ import annotations

from harness.studies.compare import DEVICES, Side, duel, duel_on, untimed
from harness.studies.effects import summary
from harness.studies.spec import UNCLEAR, Evidence, Verdict, combined, not_measured

CLAIM = "With equal parameters, a deeper network learns sooner than a wider one."
NEEDS = (
    "The deep MLP of 16 x 64 and its equals of 8 x 96, 4 x 161 and 2 x 844, with norm and skips."
)
FIGURE = "currencies"

DEEPEST = Side("16 x 64", "deep_mlp")
WIDER = (
    Side("2 x 844", "deep_mlp/2x844-layer-skip"),
    Side("4 x 161", "deep_mlp/4x161-layer-skip"),
    Side("8 x 96", "deep_mlp/8x96-layer-skip"),
)


def judge(evidence: Evidence) -> Verdict:
    """In steps, and in seconds, in which depth has a price that width has not."""
    found = [duel(evidence, side, DEEPEST) for side in WIDER]
    found += [
        duel_on(device, evidence, side, DEEPEST, "seconds") for device in DEVICES for side in WIDER
    ]
    duels = [d for d in found if d]
    if not duels:
        why = evidence.why_not(kind="convergence", subject=WIDER[0].workload)
        return not_measured(f"no deep and wide network of equal size were trained{why}")
    words, effect, n = summary(duels)
    verdict = combined([d.verdict for d in duels])
    if not any(d.currency == "seconds" for d in duels):
        verdict = UNCLEAR  # in steps alone a deep network has no price
        words += next(filter(None, (untimed(evidence, d, (DEEPEST, *WIDER)) for d in DEVICES)), "")
    return Verdict(verdict, words, effect, n)
