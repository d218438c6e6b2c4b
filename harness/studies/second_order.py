"""Second-order steps are better and too expensive: steps and FLOPs to the same target."""

from __future__ import annotations

from harness.studies.compare import Side, duel
from harness.studies.duel import Duel
from harness.studies.effects import effects, where
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
    words: list[str] = []
    for workload, batch in settings(evidence, SECOND):
        for second in SECOND:
            b = Side(second, workload, second, batch)
            against = []
            for first in FIRST:
                a = Side(first, workload, first, batch)
                steps, flops = duel(evidence, a, b), duel(evidence, a, b, "flops")
                if steps and flops:
                    against.append((steps, flops))
            if against:
                words.append(f"{second} on {workload}: {_words(against)}")
            pairs += against
    if not pairs:
        why = evidence.why_not(kind="convergence", provider="newton")
        return not_measured(f"no second-order optimizer has steps and FLOPs beside another{why}")
    every = [d for pair in pairs for d in pair]
    by_steps, by_flops = (list(of) for of in zip(*pairs, strict=True))
    effect = f"{effects(by_steps)}, {effects(by_flops)}"
    found = [_of_both(steps.verdict, flops.verdict) for steps, flops in pairs]
    n = min(d.n for d in every)
    return Verdict(combined(found), f"{'; '.join(words)}{where(every)}.", effect, n)


def _words(against: list[tuple[Duel, Duel]]) -> str:
    """e.g. "1.0 steps, 192 kFLOP against adam 208 steps (208×), 2.94 MFLOP (15.3×)"."""
    every = all(d.every_seed for pair in against for d in pair)
    own = ", ".join((d.of_b.text if every else d.of_b.full) for d in against[0])
    others = [
        f"{pair[0].of_a.label} "
        + ", ".join(f"{d.of_a.text if every else d.of_a.full} ({d.times})" for d in pair)
        for pair in against
    ]
    return f"{own} against {', and '.join(others)}"


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
