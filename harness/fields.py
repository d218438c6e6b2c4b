"""The fields of a row that was timed, from what was measured; harness/record.py lists them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from harness import contention, datasheet
from harness.clocks import LEAD_S, launch_s
from harness.comparison import Comparison
from harness.energy import measure_energy
from harness.environment import DeviceState
from harness.record import ABOUT_MEASURING
from harness.roofline import Roofs, cache_bytes
from harness.statistics import speedup_freedom, speedup_interval
from harness.timing import Measurement

UNSTEADY = 1.25  # a launch may take so many times its median
NOTICED = 0.01  # a share of a time that may be wrong: no less is told apart as faster or slower


def timing(m: Measurement) -> dict[str, Any]:
    """Seconds an iteration, and how they were come by."""
    few = f"{m.n_eff:.0f} effective samples are too few for {m.confidence:.0%}"
    return {
        "iterations": m.iterations,
        "n": len(m.samples),
        "median_s": m.median,
        "median_low_s": m.low if math.isfinite(m.low) else None,
        "median_low_s_reason": few,
        "median_high_s": m.high if math.isfinite(m.high) else None,
        "median_high_s_reason": few,
        "confidence": m.confidence,
        "n_eff": m.n_eff,
        "stop_reason": m.stop_reason,
        "flush_bytes": m.flush_bytes,
        "flush_bytes_reason": "only mode cold overwrites the caches",
        "warmup_s": m.warmup_s,
        "first_call_s": m.first_call_s,
    }


def speedup(m: Measurement, baseline: object, name: str) -> dict[str, Any]:
    """Against the baseline, where that was measured beside it."""
    fields = ("speedup", "speedup_low", "speedup_high", "speedup_freedom")
    if not isinstance(baseline, Measurement):
        why = f"the baseline {name} was not measured beside it"
        return {f"{field}_reason": why for field in fields}
    ratio, low, high = speedup_interval(baseline.blocks, m.blocks, m.confidence)
    few = f"{len(m.blocks)} blocks are too few for an interval"
    values: tuple[float | None, ...] = (ratio, None, None, None)
    if math.isfinite(high):
        values = (ratio, low, high, speedup_freedom(baseline.blocks, m.blocks))
    return dict(zip(fields, values, strict=True)) | {f"{field}_reason": few for field in fields}


def work(comparison: Comparison, m: Measurement, roofs: Roofs | None, mode: str) -> dict[str, Any]:
    """Rates, and the share of the roof."""
    flops, size = comparison.flops, comparison.bytes
    fields: dict[str, Any] = {
        "flop_per_s": flops / m.median if flops else None,
        "flop_per_s_reason": "it has no FLOPs" if flops == 0 else "its FLOPs are not known",
        "byte_per_s": size / m.median if size else None,
        "byte_per_s_reason": "its bytes are not known",
    }
    if roofs is None or comparison.direction == "transfer":
        link = "the link between host and device has no roof measured in this run"
        why = "a roof has no roof" if roofs is None else link
        names = ("roof_share_reason", "roof_bound_reason", "above_roof_reason")
        return fields | dict.fromkeys(names, why)
    high = m.high if math.isfinite(m.high) else m.median
    return fields | roofs.share(comparison, m.median, high, mode)


def impossible(comparison: Comparison, m: Measurement, device: str, name: str) -> str | None:
    """Why the time cannot be: it is below what the GPU's datasheet allows; None if it can."""
    if device != "cuda":
        return None
    rounded = torch.backends.cuda.matmul.fp32_precision == datasheet.TF32
    dtype = datasheet.TF32 if rounded and comparison.dtype == "float32" else comparison.dtype
    cache = cache_bytes(device)
    least = datasheet.least_s(name, dtype, comparison.flops, comparison.bytes, cache)
    slowest = m.high if math.isfinite(m.high) else m.median
    if least is None or slowest >= least:
        return None
    return (
        f"measured wrong: {slowest:.3g} s an iteration, and {name} cannot take less than "
        f"{least:.3g} s by its datasheet"
    )


def state(before: DeviceState, after: DeviceState) -> dict[str, Any]:
    """The device around the whole case: its providers took turns, so they share the readings."""
    reasons = {**before.reasons, **after.reasons}
    throttled = before.throttled or after.throttled if after.throttled is not None else None
    names = {*(before.throttle_reasons or ()), *(after.throttle_reasons or ())}
    fields: dict[str, Any] = {
        "clock_before_hz": before.clock_hz,
        "clock_before_hz_reason": reasons.get("clock_hz"),
        "clock_after_hz": after.clock_hz,
        "clock_after_hz_reason": reasons.get("clock_hz"),
        "temperature_c": after.temperature_c,
        "throttled": throttled,
        "throttle_reasons": None if throttled is None else ", ".join(sorted(names)) or "none",
    }
    told = ("temperature_c", "throttled", "throttle_reasons")
    return fields | {f"{key}_reason": reasons.get(key) for key in told}


def cores(waited: float | None, stolen: float | None) -> dict[str, Any]:
    """Whether others had the cores; told of a CPU, where it is what throttling is to a GPU."""
    why = "the operating system does not tell how long threads wait for a core"
    found = contention.reasons(waited, stolen)
    fields = {"waited_share": waited, "waited_share_reason": why}
    if waited is None and not found:  # what is known does not say that it was left alone
        return fields | {"throttled_reason": why}
    return fields | {"throttled": bool(found), "throttle_reasons": "; ".join(found) or "none"}


def doubts(fields: Mapping[str, Any], baseline: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """No interval, and so no verdict, for a speedup that the figures speak against.

    Args:
        fields: the row's, timing and launch among them.
        baseline: median_s and launch_s of what the speedup is against, where it was timed.
    """
    device, mode = fields["device"], fields.get("mode")
    launched = device == "cuda" and fields.get("direction") != "transfer"  # which the host does
    if device == "cpu" and fields.get("throttled"):
        why = f"not to be trusted: {fields['throttle_reasons']}"
    elif fields.get("above_roof"):
        why = "not to be trusted: it is faster than the roof measured in this run"
    elif launched and (waited := _waited(fields, mode)):
        why = waited
    elif launched and baseline and (waited := _waited(baseline, mode)):
        why = f"as for the baseline, {waited}"
    else:
        return {}
    ends = ("speedup_low", "speedup_high")
    return dict.fromkeys(ends) | {f"{end}_reason": why for end in ends}


def _waited(timed: Mapping[str, Any], mode: str | None) -> str | None:
    """Why the time may be Python's and not the GPU's; None where it is the GPU's, or meant to be
    both."""
    launch, median = timed.get("launch_s"), timed.get("median_s")
    if launch is None or median is None:
        return None
    launch_at_most = launch * UNSTEADY
    if mode == "warm" and launch_at_most > median:
        meant = f"of {1e6 * median:.3g} µs"
    elif mode == "cold" and launch_at_most - LEAD_S > NOTICED * median:
        meant = f"where the caches are flushed for {1e6 * LEAD_S:.3g} µs"
    else:
        return None
    return f"the GPU waited for Python: launch {1e6 * launch:.3g} µs {meant}; see mode graph"


def launch(call: Callable[[], object], device: str) -> dict[str, Any]:
    """The field launch_s, of an iteration."""
    if device == "cpu":
        return {"launch_s_reason": "on a CPU the call returns when its work is done"}
    return {"launch_s": launch_s(call)}


def resources(
    call: Callable[[], object],
    kind: str,
    device: str,
    mode: str,
    preset: str,
    deadline: float = math.inf,
) -> dict[str, Any]:
    """Peak memory and, up to time.perf_counter() = deadline, energy of one iteration."""
    fields: dict[str, Any] = {}
    if device == "cuda":
        call()  # what is kept from the last call with these inputs is there before it is counted
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        # inputs are held before the call, so this is what the call adds to them
        fields["peak_memory_bytes"] = torch.cuda.max_memory_allocated() - held
    else:
        fields["peak_memory_bytes_reason"] = "torch keeps no peak of its memory on the CPU"
    names = ("energy_j", "energy_net_j", "energy_method")
    one = "warm" if device == "cuda" else "host"
    if preset != "full" or mode != one or kind in ABOUT_MEASURING:
        why = f"windows of 5 s are spent in the preset full, mode {one}"
        return fields | {f"{name}_reason": why for name in names}
    if time.perf_counter() > deadline:
        why = "budget: spent before its windows of 5 s"
        return fields | {f"{name}_reason": why for name in names}
    energy = measure_energy(lambda: _drop(call()), device)
    for name in names:
        fields[name] = getattr(energy, name)
        fields[f"{name}_reason"] = energy.reasons.get(name)
    return fields


def _drop(_: object) -> None:
    """Energy's windows take a function without a result."""
