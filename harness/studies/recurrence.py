"""Recurrence encodes time: digits a row late or early, against a perceptron of equal size."""

from __future__ import annotations

import math

from harness.studies.compare import Side, shifted
from harness.studies.effects import summary
from harness.studies.spec import Evidence, Verdict, combined, not_measured

CLAIM = "Recurrence encodes time: what comes late or early hurts it less than an equal perceptron."
NEEDS = "RNN, GRU, LSTM and an MLP of as many parameters, judged on digits a row late or early."
FIGURE = "currencies"

GUESS = math.log(10)  # nats, of ten digits that are all as likely
MLP = Side("the MLP", "rnn/mlp")
RECURRENT = (Side("the RNN", "rnn"), Side("the GRU", "rnn/gru"), Side("the LSTM", "rnn/lstm"))


def judge(evidence: Evidence) -> Verdict:
    """The metric on moved digits, the MLP's over each recurrent network's, seed by seed."""
    duels = [found for side in RECURRENT if (found := shifted(evidence, MLP, side, GUESS))]
    if not duels:
        why = evidence.why_not(kind="convergence", subject=MLP.workload)
        return not_measured(f"no recurrent network and MLP have a metric on moved digits{why}")
    words, effect, n = summary(duels)
    return Verdict(combined([d.verdict for d in duels]), words[0].upper() + words[1:], effect, n)
