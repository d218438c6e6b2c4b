"""Momentum, Adagrad and Adam get part of a second-order step's gain at a gradient's price."""

from __future__ import annotations

import math

from harness.studies.compare import Side, duel
from harness.studies.duel import Duel
from harness.studies.effects import effects, where
from harness.studies.second_order import settings
from harness.studies.spec import Evidence, Verdict, combined, not_measured

CLAIM = "Momentum, Adagrad and Adam get part of the gain of second-order steps cheaply."
NEEDS = "The optimizer study: each beside plain gradient descent, tuned, to the same target."
FIGURE = "currencies"

BETTER = ("momentum", "adagrad", "adam")
# the first that was trained: on the whole set, at gradient_descent's batch, sgd is the same thing
PLAIN = ("gradient_descent", "sgd")

_OF_NEWTON = " of newton's gain in steps"


def judge(evidence: Evidence) -> Verdict:
    """By the FLOPs to the target, in which the price of a step and their number are both."""
    duels: list[Duel] = []
    words: list[str] = []
    for workload, batch in settings(evidence, PLAIN):
        beside = (_beside(evidence, workload, first, batch) for first in PLAIN)
        if told := next((told for told in beside if told), []):
            duels += [found for found, _ in told]
            words.append(f"{workload} by {told[0][0].of_a.label}: {_words(told)}")
    if not duels:
        why = evidence.why_not(kind="convergence", provider="gradient_descent")
        return not_measured(f"none was trained beside plain gradient descent{why}")
    text = f"{'; '.join(words)}{where(duels)}."
    if _OF_NEWTON in text:
        text += " The gain is counted in powers: 10 times fewer steps are half of 100 times."
    verdict = combined([d.verdict for d in duels])
    return Verdict(verdict, text, effects(duels), min(d.n for d in duels))


def _beside(evidence: Evidence, workload: str, first: str, batch: int) -> list[tuple[Duel, str]]:
    """What each did beside plain gradient descent, and how much of Newton's gain it had."""
    a = Side(first, workload, first, batch)
    newton = duel(evidence, a, Side("newton", workload, "newton", batch))
    return [
        (found, _share(duel(evidence, a, b), newton))
        for b in (Side(name, workload, name, batch) for name in BETTER)
        if (found := duel(evidence, a, b, "flops"))
    ]


def _words(told: list[tuple[Duel, str]]) -> str:
    """e.g. "12.2 MFLOP, momentum 1.75 MFLOP (6.82×, 28% of newton's gain in steps)"."""
    every = all(d.every_seed for d, _ in told)
    first = told[0][0].of_a
    others = [
        f"{d.of_b.label} {d.of_b.text if every else d.of_b.full} "
        f"({d.times}{f', {share}{_OF_NEWTON}' if share else ''})"
        for d, share in told
    ]
    return f"{first.text if every else first.full}, {', '.join(others)}"


def _share(steps: Duel | None, newton: Duel | None) -> str:
    """How much of Newton's gain it has: 50 % where Newton is 100 times ahead, and it 10 times."""
    if not steps or not newton:
        return ""
    gain, most = steps.ratio[0], newton.ratio[0]
    if not (0 < gain < math.inf and 1 < most < math.inf):
        return ""
    return f"{math.log(gain) / math.log(most):.0%}"
