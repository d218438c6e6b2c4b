"""All of it is matrix multiplication: the share of FLOPs, and the share of time."""

from __future__ import annotations

from harness.report.words import plain
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

CLAIM = "All computation of a neural network is matrix multiplication."
NEEDS = "The probe products: a training step of every workload, counted and profiled."
FIGURE = "products"

NEARLY_ALL = 0.9  # what "all" is taken to mean, of a step's FLOPs and of its time


def judge(evidence: Evidence) -> Verdict:
    """Supported where products have nearly all of FLOPs and time in every workload."""
    verdicts, words, effects, total = [], [], [], 0
    for device in DEVICES:
        found = evidence.found("products", device=device)
        counted = [v for f in found if (v := f.values.get("flops_share")) is not None]
        timed = [
            (share, *ends)
            for f in found
            if (share := f.values.get("time_share")) is not None
            for ends in [[f.values.get(f"time_share_{end}") for end in ("low", "high")]]
        ]
        # of FLOPs as the probe counts them, one an element whatever is done to it: at most so many
        verdicts += [SUPPORTED if share >= NEARLY_ALL else REFUTED for share in counted]
        verdicts += [_of_time(low, high) for _, low, high in timed]
        total += len(found)
        if counted and timed:
            flops = [f"{share:.0%}" for share in (min(counted), max(counted))]
            times = [f"{share:.0%}" for share in (min(timed)[0], max(timed)[0])]
            of_flops = f"at most {flops[0]} to {flops[1]} of FLOPs"
            effects.append(f"{of_flops}, {times[0]} to {times[1]} of time")
            many = sum(share >= NEARLY_ALL for share in counted)
            often = sum(_of_time(*ends) == SUPPORTED for _, *ends in timed)
            words.append(
                f"products and convolutions have {effects[-1]} of a training step, and "
                f"{NEARLY_ALL:.0%} or more of the FLOPs in {many} of {len(counted)} workloads, "
                f"of the time in {often} of {len(timed)} "
                f"(on {plain(found[0].device_name)})"
            )
    if not words:
        return not_measured("the probe of products found no share of FLOPs and time")
    text = "; ".join(words)
    return Verdict(combined(verdicts), text[0].upper() + text[1:] + ".", "; ".join(effects), total)


def _of_time(low: float | None, high: float | None) -> str:
    """By the least and the most of the steps that were profiled."""
    if low is None or high is None or low < NEARLY_ALL <= high:
        return UNCLEAR
    return SUPPORTED if low >= NEARLY_ALL else REFUTED
