"""A finding: some numbers about one subject at one place. Needs no torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from harness.record import parse

SCHEMA = 1


@dataclass(frozen=True)
class Finding:
    """What a probe found.

    Attributes:
        probe: the probe's name.
        subject: the workload's, or a variant's.
        at: what tells its findings apart, e.g. "step 100" or "batch 32".
        device: "cpu" or "cuda"; device_name: its name.
        n: how many draws, samples or products the numbers stand on.
        values: by name, with the unit in the name; None where a number is not known.
        why: by name, why a value is None.
    """

    probe: str
    subject: str
    at: str
    device: str
    device_name: str
    n: int
    values: Mapping[str, float | None]
    why: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What tells it apart in a run."""
        return self.probe, self.subject, self.at, self.device


def encode(finding: Finding) -> str:
    """The finding as one line of JSON; a value that is not finite becomes None with its reason."""
    values, why = dict(finding.values), dict(finding.why)
    for name, value in values.items():
        if value is not None and not math.isfinite(value):
            values[name], why[name] = None, f"it is {value}"
    raw = asdict(finding) | {"values": values, "why": why, "schema": SCHEMA}
    return json.dumps(raw, allow_nan=False, ensure_ascii=True)


def decode(line: str) -> Finding:
    """The finding in one line of JSON; its text is data, to be escaped wherever it is shown.

    Raises:
        ValueError: the line is not a finding of this version.
    """
    raw = parse(line, "a finding")
    if not isinstance(raw, dict) or raw.pop("schema", None) != SCHEMA:
        raise ValueError(f"not a finding of this version, whose schema is {SCHEMA}")
    try:
        found = Finding(**raw)
    except TypeError as error:
        raise ValueError(f"not a finding: {str(error)[:80]}") from None
    texts = (found.probe, found.subject, found.at, found.device, found.device_name)
    if not all(isinstance(text, str) for text in texts) or type(found.n) is not int:
        raise ValueError("a finding's names should be text and its n a whole number")
    if not isinstance(found.values, dict) or not isinstance(found.why, dict):
        raise ValueError("a finding's values and reasons should be objects")
    for name, value in found.values.items():
        number = type(value) in (int, float) and -1e308 < value < 1e308
        if value is not None and not number:
            raise ValueError(f"value {name[:40]!r} is {str(value)[:40]!r}")
    return found
