"""Word vectors hold relations: the share of analogies that they answer."""

from __future__ import annotations

import re

from harness.report.words import plain
from harness.studies.alone import alone, every_seed, initially, made
from harness.studies.spec import Evidence, Verdict, not_measured

CLAIM = "Word vectors hold relations: man is to woman as king is to queen."
NEEDS = "word2vec trained from several seeds on the planted corpus, and its answers."
FIGURE = "currencies"


def judge(evidence: Evidence) -> Verdict:
    """By the seeds that answer as many analogies as the target asks."""
    curves = alone(evidence, "word2vec")
    if not curves:
        why = evidence.why_not(kind="convergence", subject="word2vec")
        return not_measured(f"word2vec was not trained{why}")
    verdict, words, effect = every_seed(curves)
    start = initially(curves)
    before = f"; before training {start:.1%}" if start is not None else ""
    asked = [line for line in made(curves).splitlines() if " king is to" in f" {line}"]
    shown = f". Asked {_answer(plain(asked[0]))}" if asked else ""
    return Verdict(verdict, f"{words}{before}{shown}.", effect, len(curves))


def _answer(line: str) -> str:
    """A line of the workload's table, in words: "“man ... is to”, it finds “queen”: right"."""
    asked, *cells = (cell.strip() for cell in re.split(" {2,}", line.strip()))
    if len(cells) < 2:
        return f"so: “{asked}”"
    found, expected, *verdict = cells
    told = verdict[0] if verdict else "right" if found == expected else "wrong"
    return f"“{asked}”, it finds “{found}”, expected is “{expected}”: {told}"
