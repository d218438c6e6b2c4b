"""What a study is: a claim of the course, the evidence for or against it, and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import pandas as pd

from harness.curve import FAILED, FINAL, Curve
from harness.probes.spec import Finding
from harness.record import OK
from harness.report.frame import frame

SUPPORTED = "supported"
REFUTED = "refuted"
DEPENDS = "depends"  # it holds here and not there, and the words say where
UNCLEAR = "unclear"  # measured, and the interval does not tell
NOT_MEASURED = "not measured"
VERDICTS = (SUPPORTED, REFUTED, DEPENDS, UNCLEAR, NOT_MEASURED)


class Verdict(NamedTuple):
    """What came of a claim.

    Attributes:
        verdict: one of VERDICTS.
        words: one or two sentences with the numbers that it stands on, devices named.
        effect: the number that decides, as text with its unit and interval; "" where there is
            none.
        n: how many trials, samples or cases it stands on; 0 where it was not measured.
    """

    verdict: str
    words: str
    effect: str = ""
    n: int = 0


@dataclass(frozen=True)
class Evidence:
    """All that a run measured.

    Attributes:
        rows: the table that harness.report.frame.frame makes.
        curves: of all trials.
        findings: of all probes.
        environment: what harness.environment.describe found.
    """

    rows: pd.DataFrame = field(default_factory=lambda: frame([]))
    curves: Sequence[Curve] = ()
    findings: Sequence[Finding] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)

    def finals(
        self,
        workload: str,
        optimizer: str | None = None,
        batch: int | None = None,
        device: str = "cpu",
    ) -> list[Curve]:
        """The trials from fresh seeds of a setting, by seed; the last where one is there twice.

        Where the optimizer or the batch is not given, those of the first trial found, which is
        the workload's own setting. Trials that raised an error are among them, as others that did
        not get there are; but of a setting all of whose trials did, nothing is known.
        """
        mine = [
            curve
            for curve in self.curves
            if (curve.role, curve.trial.workload, curve.trial.device) == (FINAL, workload, device)
            and optimizer in (None, curve.trial.optimizer)
            and batch in (None, curve.trial.batch)
        ]
        first = next((curve.trial for curve in mine if curve.status != FAILED), None)
        if first is None:
            return []
        found = {
            curve.trial.seed: curve
            for curve in mine
            if (curve.trial.optimizer, curve.trial.batch) == (first.optimizer, first.batch)
        }
        return [found[seed] for seed in sorted(found)]

    def found(self, probe: str, subject: str | None = None, device: str = "cpu") -> list[Finding]:
        """What a probe found on a device, of one subject or of all."""
        return [
            finding
            for finding in self.findings
            if finding.probe == probe
            and finding.device == device
            and subject in (None, finding.subject)
        ]

    def timed(self, **wanted: Any) -> pd.DataFrame:
        """The rows that were measured with these values in their columns."""
        return self._where(self.rows["status"] == OK, wanted)

    def why_not(self, **wanted: Any) -> str:
        """Why a row with these values was not measured, as ": ..."; "" where none says."""
        reasons = self._where(self.rows["status"] != OK, wanted)["reason"].dropna()
        return f": {reasons.mode().iloc[0]}" if len(reasons) else ""

    def _where(self, chosen: pd.Series, wanted: Mapping[str, Any]) -> pd.DataFrame:
        rows = self.rows[chosen]
        for column, value in wanted.items():
            rows = rows[rows[column] == value]
        return rows


class Study(Protocol):
    """What every module named in harness.studies.NAMES has.

    Attributes:
        CLAIM: the course's claim, in one sentence.
        NEEDS: what must be run for it, in words.
        FIGURE: the name of the plot in harness.report.plots that shows it.
        judge: the evidence -> the verdict. It never raises for rows that are not there.
    """

    CLAIM: str
    NEEDS: str
    FIGURE: str
    judge: Callable[[Evidence], Verdict]


def not_measured(what: str) -> Verdict:
    """The verdict where the evidence is not there."""
    return Verdict(NOT_MEASURED, f"not measured: {what}")


def combined(verdicts: Sequence[str]) -> str:
    """One verdict of several: DEPENDS where some support the claim and others refute it.

    Otherwise what more than half of them say; what remains is unclear in the words, not here.
    """
    supported, refuted = verdicts.count(SUPPORTED), verdicts.count(REFUTED)
    if DEPENDS in verdicts or (supported and refuted):
        return DEPENDS
    if 2 * supported > len(verdicts):
        return SUPPORTED
    return REFUTED if 2 * refuted > len(verdicts) else UNCLEAR
