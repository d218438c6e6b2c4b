"""The claims of the course, tested: one file a claim. Needs no torch.

A study is a module with CLAIM, NEEDS, FIGURE and judge(evidence) (harness/studies/spec.py). It
reads rows, curves and findings, whoever measured them. To add one, write a module here and put
its name into NAMES, in the order of the course.
"""

from __future__ import annotations

import importlib
from typing import NamedTuple, cast

from harness.report.words import plain
from harness.studies.spec import Evidence, Study, Verdict, not_measured

NAMES: tuple[str, ...] = (
    *("products", "gpu", "minibatch_cost", "minibatch_noise", "minibatch_progress"),
    *("conditioning", "initialisation", "normalisation", "skip"),
    *("second_order", "first_order", "huber", "convolution", "recurrence", "depth_or_width"),
    *("word_vectors", "generation", "agent", "backpropagation", "fusion"),
)


class Judged(NamedTuple):
    """A study's name, its claim and what came of it."""

    name: str
    claim: str
    verdict: Verdict


def load(name: str) -> Study:
    """The study of that name.

    Raises:
        ValueError: NAMES has no such study.
    """
    if name not in NAMES:
        raise ValueError(f"no study {name!r}; there are {', '.join(NAMES)}")
    return cast(Study, importlib.import_module(f"{__name__}.{name}"))


def verdicts(evidence: Evidence) -> list[Judged]:
    """Every study's verdict, in the order of the course; never raises for what a file may hold.

    A study that fails all the same is not measured, and says with what: one study's fault must
    not cost the whole report.
    """
    found = []
    for name in NAMES:
        study = load(name)
        try:
            verdict = study.judge(evidence)
        except Exception as error:
            first = (str(error).strip().splitlines() or ["no message"])[0]
            verdict = not_measured(plain(f"the study failed, {type(error).__name__}: {first}"))
        found.append(Judged(name, study.CLAIM, verdict))
    return found
