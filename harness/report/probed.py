"""What probes found, one line a finding, as the report's table shows it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from harness.probes.spec import Finding
from harness.report.words import NO_REASON, digits, plain, si, whole

RANGES = ("products",)  # probes whose _low and _high are the least and the most of what was seen
MOST, MOST_VALUES = 300, 60  # lines, and values of one

_WORDS = {"kappa": "condition number", "flops": "FLOPs"}


class Found(NamedTuple):
    """One finding; its numbers with their intervals, or why there is none, are one text."""

    probe: str
    subject: str
    at: str
    device: str
    n: str
    values: str


def probed(findings: Sequence[Finding], where: str = "") -> tuple[list[Found], int]:
    """The lines that are shown, with the machine where it is given; how many more there are."""
    machine = f", {where}" if where else ""
    lines = [
        Found(
            probe=plain(finding.probe),
            subject=plain(finding.subject),
            at=plain(finding.at),
            device=plain(f"{finding.device}, {finding.device_name}") + machine,
            n=whole(min(finding.n, 10**15)),
            values="; ".join(_values(finding)[:MOST_VALUES]) or "none",
        )
        for finding in findings[:MOST]
    ]
    return lines, len(findings) - len(lines)


def _values(finding: Finding) -> list[str]:
    """e.g. "noise scale 85.0 [70.0, 101]", "trace: not known (it is inf)".

    The ends of a probe of RANGES are no interval: "time share 50.0 % (seen: 40.0 % to 60.0 %)".
    """
    values = finding.values
    ends = {f"{name}_{end}" for name in values for end in ("low", "high")} & values.keys()
    paired = {name for name in values if {f"{name}_low", f"{name}_high"} <= ends}
    inside = {f"{name}_{end}" for name in paired for end in ("low", "high")}
    found = []
    for name, value in values.items():
        if name in inside:
            continue
        called, unit = _called(plain(name))
        if value is None:
            why = plain(str(finding.why.get(name) or NO_REASON))
            found.append(f"{called}: not known ({why})")
            continue
        text = f"{called} {_told(value, unit)}"
        if name in paired:
            low, high = (_end(finding, f"{name}_{end}", unit) for end in ("low", "high"))
            ends_told = (
                f"(seen: {low} to {high})" if finding.probe in RANGES else f"[{low}, {high}]"
            )
            text += f" {ends_told}"
        found.append(text)
    return found


def _called(name: str) -> tuple[str, str]:
    """A number's name in words, and the unit that its name has: "saved_bytes" is "saved", "B"."""
    words = name.replace("forward_backward", "forward_and_backward").split("_")
    if len(words) > 1 and words[-1] == "s":
        return " ".join(_WORDS.get(word, word) for word in words[:-1]), "s"
    if len(words) > 1 and "bytes" in words:
        return " ".join(word for word in words if word != "bytes"), "B"
    unit = "%" if words[-1] == "share" else "FLOP" if words[0] == "flops" else ""
    unit = "×" if "over" in words[1:-1] else unit
    return " ".join(_WORDS.get(word, word) for word in words), unit


def _told(value: float, unit: str) -> str:
    """e.g. "1.10 ms", "14.0 %", "1.85×"; a number that no unit suits stays one."""
    text = _digits(value)
    try:
        number = float(value)
    except OverflowError:  # files hold integers of any length
        return text
    if not unit or not math.isfinite(number):
        return text
    if unit == "×":
        return f"{text}×"
    return f"{digits(100 * number)} %" if unit == "%" else si(number, unit)


def _end(finding: Finding, name: str, unit: str) -> str:
    value = finding.values[name]
    if value is not None:
        return _told(value, unit)
    return f"not known: {plain(str(finding.why.get(name) or NO_REASON))}"


def _digits(value: float) -> str:
    try:
        number = float(value)
    except OverflowError:  # files hold integers of any length
        return "too large to show"
    if math.isfinite(number) and number == int(number) and abs(number) < 1e6:
        return f"{number:,.0f}"
    return digits(number) if math.isfinite(number) else str(number)
