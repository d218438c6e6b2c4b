"""The claims of the course with their verdicts, as the report's first section shows them."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

# modules, not names from them: what studies use of the report may be what imports this file
from harness import studies, survival
from harness.report import plots
from harness.report.words import count, plain, whole
from harness.studies import spec

UNTRAINED = "training"  # the section that stands for all plots of curves where there are none

EVERYWHERE = "each machine"
BESIDE = "gpu"  # the study that sets a GPU beside a CPU, of whichever machines

_OF_CURVES = ("trials", "points")  # the tables of what was trained
_NONE = "–"
_MOST = 4000  # characters of a verdict's words, whose parts from files are short by then
_FEW = re.compile(r"\(no interval from (\d{1,2}) seeds?\)")  # as harness.studies.compare has it
_PART = re.compile(r"; |\. ")  # what comparisons and sentences end with
_MANY = {"depends": "depend"}  # "3 depend", and "1 depends"


class Claim(NamedTuple):
    """A claim of the course and what came of it.

    Attributes:
        claim: in one sentence.
        verdict: one of harness.studies.spec.VERDICTS.
        effect, n: as text, a dash where there is none.
        words: what the verdict stands on, or why nothing was measured.
        needs: what must be run for it; "" where it was measured.
        figure: the name of the plot that shows it; "" where the study does not say.
    """

    claim: str
    verdict: str
    effect: str
    n: str
    words: str
    needs: str
    figure: str

    @property
    def look(self) -> str:
        """A class of report.css."""
        return self.verdict.replace(" ", "-")

    @property
    def first(self) -> str:
        """The first of the comparisons that `words` tells, or its first sentence."""
        return _PART.split(self.words, maxsplit=1)[0]

    @property
    def others(self) -> str:
        """`words` without the first of them."""
        return self.words.removeprefix(self.first).lstrip(";. ")

    def section(self, there: Collection[str]) -> str:
        """The id of the report's section that shows it, of those that are there; "" if none is."""
        if self.figure in there:
            return self.figure
        of_curves = self.figure in plots.NAMES and plots.load(self.figure).SOURCE in _OF_CURVES
        return UNTRAINED if of_curves and UNTRAINED in there else ""


def claims(evidence: spec.Evidence) -> list[Claim]:
    """Every study's claim and verdict, in the order of the course."""
    return [_claim(*judged) for judged in studies.verdicts(evidence)]


def by_machine(
    machines: Sequence[tuple[str, spec.Evidence]], pairs: Sequence[tuple[str, spec.Evidence]]
) -> list[tuple[str, Claim]]:
    """(where, claim) for each claim on each machine, the verdicts on one claim together.

    One that none of several machines has evidence for is there once, EVERYWHERE.

    Args:
        machines: (name, evidence) of each: no verdict stands on two of them.
        pairs: likewise of the CPU of one with the GPU of another, on which only the claim that
            sets the two beside each other is judged, where it can be.
    """
    found, beside = (
        [(name, claims(evidence)) for name, evidence in of] for of in (machines, pairs)
    )
    lines = []
    for number, study in enumerate(studies.NAMES):
        here = [(name, judged[number]) for name, judged in found]
        alike = len(here) > 1 and len({claim for _, claim in here}) == 1
        unmeasured = all(claim.verdict == spec.NOT_MEASURED for _, claim in here)
        lines += [(EVERYWHERE, here[0][1])] if alike and unmeasured else here
        if study == BESIDE:
            told = [(name, judged[number]) for name, judged in beside]
            lines += [(name, claim) for name, claim in told if claim.verdict != spec.NOT_MEASURED]
    return lines


def tally(found: Sequence[Claim]) -> str:
    """e.g. "7 supported, 2 refuted, 3 depend, 1 unclear, 7 not measured"; "" of none."""
    given = [claim.verdict for claim in found]
    counts = [(given.count(verdict), verdict) for verdict in spec.VERDICTS if verdict in given]
    return ", ".join(f"{n} {_MANY.get(word, word) if n > 1 else word}" for n, word in counts)


def by_chance(found: Sequence[Claim]) -> str:
    """What chance alone makes of the verdicts that go by the order of few seeds, in a sentence.

    n seeds of one setting are all ahead of n of the other with a chance of one in (2n over n) where
    the two are the same. Each claim is taken for one comparison: where it stands on several, all
    or most of them have to agree, over the same seeds.

    Returns:
        "" where no verdict goes by that.
    """
    seeds = [
        min(map(int, told))
        for claim in found
        if claim.verdict != spec.NOT_MEASURED and (told := _FEW.findall(claim.effect))
    ]
    chances = [1 / math.comb(2 * n, n) for n in seeds if n >= survival.FEWEST]
    if not chances:
        return ""
    return (
        f"{count(len(chances), 'verdict')} went by the order of few seeds, and not corrected for "
        f"one another: were no such claim true, chance alone would support {sum(chances):.2g} of "
        "them, and refute as many"
    )


def _claim(name: str, claim: str, verdict: spec.Verdict) -> Claim:
    study = studies.load(name)
    unmeasured = verdict.verdict == spec.NOT_MEASURED
    words = plain(verdict.words, _MOST)
    return Claim(
        claim=plain(claim),
        verdict=verdict.verdict,
        effect=plain(verdict.effect) or _NONE,
        n=_NONE if unmeasured and verdict.n == 0 else whole(min(verdict.n, 10**15)),
        words=words.removeprefix(f"{spec.NOT_MEASURED}: ") if unmeasured else words,
        needs=plain(study.NEEDS) if unmeasured else "",
        figure=study.FIGURE,
    )
