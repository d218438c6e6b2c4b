"""An agent learns by acting: the returns of games that it plays, and learns from nothing else."""

from __future__ import annotations

from harness.report.amounts import power
from harness.studies.alone import alone, every_seed, initially
from harness.studies.spec import Evidence, Verdict, combined, not_measured

CLAIM = "An agent learns by acting."
NEEDS = "The cart-pole agent, by PPO or REINFORCE, trained from several seeds."
FIGURE = "currencies"

AGENTS = ("cartpole", "cartpole/reinforce")


def judge(evidence: Evidence) -> Verdict:
    """By the seeds whose agent gets to the mean return that the target asks."""
    verdicts, words, effects, n = [], [], [], 0
    for name in AGENTS:
        curves = alone(evidence, name)
        if not curves:
            continue
        verdict, told, effect = every_seed(curves)
        start = initially(curves)
        verdicts.append(verdict)
        words.append(f"{told}, before training {power(start)}" if start is not None else told)
        effects.append(f"{name} {effect}")
        n += len(curves)
    if not verdicts:
        why = evidence.why_not(kind="convergence", subject=AGENTS[0])
        return not_measured(f"no agent was trained{why}")
    return Verdict(combined(verdicts), f"{'; '.join(words)}.", ", ".join(effects), n)
