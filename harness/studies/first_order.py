"""Momentum, Adagrad and Adam get part of a second-order step's gain at a gradient's price."""

from __future__ import annotations

import math

from harness.studies.compare import Duel, Side, duel, summary
from harness.studies.second_order import settings
from harness.studies.spec import Evidence, Verdict, combined, not_measured

CLAIM = "Momentum, Adagrad and Adam get part of the gain of second-order steps cheaply."
NEEDS = "The optimizer study: each beside plain gradient descent, tuned, to the same target."
FIGURE = "currencies"

BETTER = ("momentum", "adagrad", "adam")
PLAIN = ("gradient_descent", "sgd")


def judge(evidence: Evidence) -> Verdict:
    """By the FLOPs to the target, in which the price of a step and their number are both."""
    duels: list[Duel] = []
    shares: list[str] = []
    for workload, batch in settings(evidence, PLAIN):
        for first in PLAIN:
            a = Side(f"{first} on {workload}", workload, first, batch)
            newton = duel(evidence, a, Side("newton", workload, "newton", batch))
            for name in BETTER:
                b = Side(name, workload, name, batch)
                found, steps = duel(evidence, a, b, "flops"), duel(evidence, a, b)
                if found:
                    duels.append(found)
                    shares += [f"{name} {s}" for s in _share(steps, newton)]
    if not duels:
        why = evidence.why_not(kind="convergence", provider="gradient_descent")
        return not_measured(f"none was trained beside plain gradient descent{why}")
    words, effect, n = summary(duels)
    if shares:
        words += f" Of newton's gain in steps, in powers, {', '.join(shares)}."
    return Verdict(combined([d.verdict for d in duels]), words, effect, n)


def _share(steps: Duel | None, newton: Duel | None) -> list[str]:
    """How much of Newton's gain it has: 50 % where Newton is 100 times ahead, and it 10 times."""
    if not steps or not newton:
        return []
    gain, most = steps.ratio[0], newton.ratio[0]
    if not (0 < gain < math.inf and 1 < most < math.inf):
        return []
    return [f"{math.log(gain) / math.log(most):.0%}"]
