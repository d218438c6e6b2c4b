"""The gradient noise scale that the probe "noise" measured on a workload's way to its target.

It is of plain stochastic gradient descent (harness/probes/noise.py), and is held against the
critical batch size of that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from harness.batch_size import Estimate
from harness.probes.spec import Finding
from harness.report.words import plain

PROBE, OPTIMIZER = "noise", "sgd"
_INFINITE = "it is inf"  # what stands in a file instead of a number that is


class Noise(NamedTuple):
    """The noise scale at one moment of training, in samples: infinite where the draws cannot tell.

    Attributes:
        at: the moment, e.g. "step 100".
        scale: with its interval; the value is above 0.
        draws: that it stands on.
    """

    at: str
    scale: Estimate
    draws: int

    @property
    def known(self) -> bool:
        """Whether it is a number."""
        return math.isfinite(self.scale.value)


def noise_scales(findings: Sequence[Finding]) -> dict[tuple[str, str], tuple[Noise, ...]]:
    """By workload and device, in the order of the steps."""
    found: dict[tuple[str, str], list[tuple[float, Noise]]] = {}
    for finding in findings:
        scale = Estimate(*(_number(finding, f"noise_scale{end}") for end in ("", "_low", "_high")))
        if finding.probe == PROBE and scale.value > 0 and not any(map(math.isnan, scale)):
            step = _number(finding, "step")
            noise = Noise(plain(finding.at), scale, min(finding.n, 10**15))
            key = plain(finding.subject), plain(finding.device)
            found.setdefault(key, []).append((-1.0 if math.isnan(step) else step, noise))
    return {
        key: tuple(noise for _, noise in sorted(of, key=lambda pair: pair[0]))
        for key, of in found.items()
    }


def _number(finding: Finding, name: str) -> float:
    value = finding.values.get(name)
    if value is None:
        return math.inf if finding.why.get(name) == _INFINITE else math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf
