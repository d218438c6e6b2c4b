"""Convolution encodes translation: digits moved by a pixel, against a perceptron of equal size."""

from __future__ import annotations

import math

from harness.studies.compare import Side, shifted
from harness.studies.effects import summary
from harness.studies.spec import Evidence, Verdict, not_measured

CLAIM = "Convolution encodes translation: what is moved hurts it less than an equal perceptron."
NEEDS = "The CNN and an MLP of as many parameters, judged on digits moved by a pixel."
FIGURE = "currencies"

GUESS = math.log(10)  # nats, of ten digits that are all as likely
CNN, MLP = Side("the CNN", "cnn"), Side("the MLP", "cnn/mlp")


def judge(evidence: Evidence) -> Verdict:
    """The metric on moved digits, the MLP's over the CNN's, seed by seed."""
    found = shifted(evidence, MLP, CNN, GUESS)
    if not found:
        why = evidence.why_not(kind="convergence", subject=MLP.workload)
        return not_measured(f"CNN and MLP have no metric on moved digits{why}")
    words, effect, n = summary([found])
    return Verdict(found.verdict, words[0].upper() + words[1:], effect, n)
