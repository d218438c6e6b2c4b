"""Second-order steps are better and too expensive: steps and FLOPs to the same target."""

from __future__ import annotations

from harness.studies.compare import Duel, Side, duel, summary
from harness.studies.spec import (
    DEPENDS,
    REFUTED,
    SUPPORTED,
    UNCLEAR,
    Evidence,
    Verdict,
    combined,
    not_measured,
)

CLAIM = "Second-order steps are better, and too expensive."
NEEDS = "The optimizer study: Newton or the natural gradient beside first-order optimizers."
FIGURE = "currencies"

SECOND = ("newton", "natural_gradient")
FIRST = ("gradient_descent", "adam")


def judge(evidence: Evidence) -> Verdict:
    """Better is fewer steps to the target, too expensive is more FLOPs to it all the same."""
    pairs: list[tuple[Duel, Duel]] = []
    for workload, batch in settings(evidence, SECOND):
        for second in SECOND:
            for first in FIRST:
                sides = (
                    Side(f"{name} on {workload}", workload, name, batch) for name in (first, second)
                )
                a, b = sides
                steps, flops = duel(evidence, a, b), duel(evidence, a, b, "flops")
                if steps and flops:
                    pairs.append((steps, flops))
    if not pairs:
        why = evidence.why_not(kind="convergence", provider="newton")
        return not_measured(f"no second-order optimizer has steps and FLOPs beside another{why}")
    words, effect, n = summary([d for pair in pairs for d in pair])
    found = [_of_both(steps.verdict, flops.verdict) for steps, flops in pairs]
    return Verdict(combined(found), words, effect, n)


def _of_both(fewer_steps: str, fewer_flops: str) -> str:
    if fewer_steps == SUPPORTED:
        # cheaper in all is half of the claim: better, and not too expensive
        return {REFUTED: SUPPORTED, SUPPORTED: DEPENDS}.get(fewer_flops, UNCLEAR)
    return fewer_steps


def settings(evidence: Evidence, optimizers: tuple[str, ...]) -> list[tuple[str, int]]:
    """The workloads and batch sizes that one of these was trained at."""
    found = (
        (c.trial.workload, c.trial.batch)
        for c in evidence.curves
        if c.trial.optimizer in optimizers
    )
    return list(dict.fromkeys(found))
