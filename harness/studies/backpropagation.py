"""Backpropagation costs about twice the forward pass and holds its intermediates."""

from __future__ import annotations

import math

from harness.probes.spec import Finding
from harness.report.words import NO_REASON, digits, plain, ratio, si
from harness.studies.compare import DEVICES
from harness.studies.spec import (
    REFUTED,
    SUPPORTED,
    UNCLEAR,
    Evidence,
    Verdict,
    combined,
    not_measured,
)

CLAIM = "Backpropagation costs about twice the forward pass and holds its intermediates."
NEEDS = "The probe backward: time and held bytes of both passes, with and without checkpointing."
FIGURE = "backpropagation"

ABOUT_TWICE = (1.5, 2.5)  # nearer to twice than to once or three times


def judge(evidence: Evidence) -> Verdict:
    """By the interval of backward over forward in each model.

    That something is held is told, and judges nothing: there is no model of which it is not so.
    """
    found = [
        finding
        for device in DEVICES
        for finding in evidence.found("backward", device=device)
        if finding.values.get("backward_over_forward") is not None
    ]
    if not found:
        return not_measured("the probe of the backward pass found no times")
    words = "; ".join(f"{plain(f.subject)} on {plain(f.device_name)}: {_words(f)}" for f in found)
    effect = ", ".join(f"{plain(f.subject)} {_ratio(f, 'backward_over_forward')}×" for f in found)
    verdict = combined([_of_time(finding) for finding in found])
    return Verdict(verdict, f"{words}.", effect, min(f.n for f in found))


def _of_time(finding: Finding) -> str:
    low, high = (finding.values.get(f"backward_over_forward_{end}") for end in ("low", "high"))
    least, most = ABOUT_TWICE
    if low is None or high is None:
        return UNCLEAR
    if least <= low and high <= most:
        return SUPPORTED
    return REFUTED if high < least or low > most else UNCLEAR


def _ratio(finding: Finding, name: str) -> str:
    value = finding.values[name]
    low, high = (finding.values.get(f"{name}_{end}") for end in ("low", "high"))
    if low is None or high is None:
        return "not known" if value is None else digits(value)
    return ratio(value or math.nan, low, high)


def _words(finding: Finding) -> str:
    told = [f"backward takes {_ratio(finding, 'backward_over_forward')}× the forward pass"]
    if finding.values.get("backward_over_forward_low") is None:
        why = finding.why.get("backward_over_forward_low") or NO_REASON
        told[0] += f" (no interval: {plain(str(why))})"
    held = finding.values.get("saved_bytes")
    if held is not None:
        told.append(f"{si(held, 'B')} are held in between")
    fewer = finding.values.get("saved_bytes_checkpointed")
    if fewer is not None and finding.values.get("checkpointed_over_plain") is not None:
        time = _ratio(finding, "checkpointed_over_plain")
        told.append(f"with checkpointing {si(fewer, 'B')} at {time}× the time")
    peaks = [finding.values.get(f"peak_bytes{which}") for which in ("", "_checkpointed")]
    if None not in peaks:
        told.append(f"the peak is {' and '.join(si(peak, 'B') for peak in peaks if peak)}")
    return ", ".join(told)
