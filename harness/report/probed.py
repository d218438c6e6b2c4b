"""What probes found, one line a finding, as the report's table shows it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from harness.probes.spec import Finding
from harness.report.words import digits, plain, whole

RANGES = ("products",)  # probes whose _low and _high are the least and the most of what was seen
MOST, MOST_VALUES = 300, 60  # lines, and values of one


class Found(NamedTuple):
    """One finding; its numbers with their intervals, or why there is none, are one text."""

    probe: str
    subject: str
    at: str
    device: str
    n: str
    values: str


def probed(findings: Sequence[Finding]) -> tuple[list[Found], int]:
    """The lines that are shown, and how many more there are."""
    lines = [
        Found(
            probe=plain(finding.probe),
            subject=plain(finding.subject),
            at=plain(finding.at),
            device=plain(f"{finding.device}, {finding.device_name}"),
            n=whole(min(finding.n, 10**15)),
            values="; ".join(_values(finding)[:MOST_VALUES]) or "none",
        )
        for finding in findings[:MOST]
    ]
    return lines, len(findings) - len(lines)


def _values(finding: Finding) -> list[str]:
    """e.g. "noise scale 85.0 [70.0, 101]", "trace: not known (it is inf)".

    The ends of a probe of RANGES are no interval: "time share 0.5 (seen: 0.4 to 0.6)".
    """
    values = finding.values
    ends = {f"{name}_{end}" for name in values for end in ("low", "high")} & values.keys()
    paired = {name for name in values if {f"{name}_low", f"{name}_high"} <= ends}
    inside = {f"{name}_{end}" for name in paired for end in ("low", "high")}
    found = []
    for name, value in values.items():
        if name in inside:
            continue
        called = plain(name).replace("_", " ")
        if value is None:
            why = plain(str(finding.why.get(name) or "no reason was recorded"))
            found.append(f"{called}: not known ({why})")
            continue
        text = f"{called} {_digits(value)}"
        if name in paired:
            low, high = (_end(finding, f"{name}_{end}") for end in ("low", "high"))
            ends_told = (
                f"(seen: {low} to {high})" if finding.probe in RANGES else f"[{low}, {high}]"
            )
            text += f" {ends_told}"
        found.append(text)
    return found


def _end(finding: Finding, name: str) -> str:
    value = finding.values[name]
    if value is not None:
        return _digits(value)
    return f"not known: {plain(str(finding.why.get(name) or 'no reason was recorded'))}"


def _digits(value: float) -> str:
    try:
        number = float(value)
    except OverflowError:  # files hold integers of any length
        return "too large to show"
    if math.isfinite(number) and number == int(number) and abs(number) < 1e6:
        return f"{number:,.0f}"
    return digits(number) if math.isfinite(number) else str(number)
