"""One case from declaration to rows: check every provider, time those that are right."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor

from harness import contention, record
from harness.comparison import Checker, Comparison, Verdict
from harness.energy import measure_energy
from harness.environment import DeviceState, device_state
from harness.roofline import Roofs
from harness.statistics import speedup_interval
from harness.timing import FULL, QUICK, Limits, Measurement, measure

PRESETS: Mapping[str, Limits] = {"quick": QUICK, "full": FULL}
CONFIDENCE = 0.95
TIMED_SEED = 1000  # the inputs that are timed are none of those that were checked


@dataclass(frozen=True)
class Setting:
    """Where and how a case runs.

    Attributes:
        device: "cpu" or "cuda"; device_name: its name.
        mode: one of timing.MODES.
        preset: "quick" or "full"; limits: what stops a measurement, the preset's if not given.
        deadline: time.perf_counter() at which to stop early.
        roofs: the peaks of this run, or None where no share of a roof is wanted.
    """

    device: str
    device_name: str
    mode: str
    preset: str
    limits: Limits | None = None
    deadline: float = math.inf
    roofs: Roofs | None = None


@dataclass(frozen=True)
class Result:
    """What is known of one provider: the fields of its row, and its samples if it was timed."""

    fields: dict[str, Any]
    samples: tuple[float, ...] = ()


def run(comparison: Comparison, providers: Sequence[str], setting: Setting) -> dict[str, Result]:
    """Check and time these providers of a case.

    Whatever a provider does wrong, it is its own row that says so: the others are measured.

    Args:
        comparison: the case.
        providers: names out of comparison.providers.
        setting: where and how.

    Returns:
        By name, in the order given.
    """
    # compiled code is kept by function, and past 8 variants torch falls back to eager unasked
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()
    known = _known(comparison, setting)
    failed: dict[str, tuple[str, str]] = {}
    verdicts: dict[str, tuple[Verdict, float | None]] = {}
    calls: dict[str, Any] = {}
    try:
        if any(name not in comparison.not_measured for name in providers):
            checker = Checker(comparison)
            timed = comparison.inputs(TIMED_SEED)
    except Exception as error:
        reason = f"its inputs or reference could not be computed: {_first_line(error)}"
        status = _status_of(error, setting.mode)
        return {n: Result(_row_fields(known, n, status, reason)) for n in providers}
    for name in providers:
        if name in comparison.not_measured:
            failed[name] = (record.NOT_MEASURED, comparison.not_measured[name])
            continue
        try:
            if name not in comparison.providers:
                raise ValueError(f"the benchmark declares no provider {name!r}")
            calls[name] = comparison.providers[name]()
            verdict = checker.check(calls[name])
            verdicts[name] = verdict, checker.first_call_s
            if verdict.wrong:
                failed[name] = (record.FAILED, verdict.wrong)
        except ModuleNotFoundError as error:
            failed[name] = (record.NOT_MEASURED, f"{error.name} is not installed")
        except Exception as error:
            failed[name] = (_status_of(error, ""), _first_line(error))
            _free_memory(setting.device)
    right = {name: call for name, call in calls.items() if name not in failed}
    before, cores_before = device_state(setting.device), contention.read()
    measured: dict[str, Measurement | Exception] = {}
    if right:
        measured = measure(
            {name: _bound(call, timed) for name, call in right.items()},
            device=setting.device,
            mode=setting.mode,
            limits=setting.limits or PRESETS[setting.preset],
            confidence=CONFIDENCE,
            deadline=setting.deadline,
            before_block={n: c.reset for n, c in right.items() if hasattr(c, "reset")},
        )
    cores = contention.shares(cores_before, contention.read())
    after = device_state(setting.device)
    results = {}
    for name in providers:
        fields = dict(known)
        if name in verdicts and not verdicts[name][0].wrong:
            fields["correctness_error"] = verdicts[name][0].error
            fields["correctness_bound"] = verdicts[name][0].bound
        outcome = measured.get(name)
        if isinstance(outcome, Exception):
            failed[name] = (_status_of(outcome, setting.mode), _first_line(outcome))
            _free_memory(setting.device)
        if name in failed:
            results[name] = Result(_row_fields(fields, name, *failed[name]))
            continue
        assert isinstance(outcome, Measurement)
        outcome = replace(outcome, first_call_s=verdicts[name][1] or outcome.first_call_s)
        fields |= _timing(outcome)
        fields |= _speedup(outcome, measured.get(comparison.baseline), comparison.baseline)
        fields |= _work(comparison, outcome, setting)
        fields |= _state(before, after)
        if setting.device == "cpu":
            fields |= _contention(*cores)
        fields |= _resources(_bound(right[name], timed), comparison, setting)
        results[name] = Result(_row_fields(fields, name, record.OK, None), outcome.samples)
    return results


def not_measured(comparison: Comparison, provider: str, setting: Setting, why: str) -> Result:
    """The row of a provider that is left out."""
    return Result(_row_fields(_known(comparison, setting), provider, record.NOT_MEASURED, why))


def unbuilt(subject: str, name: str, provider: str, setting: Setting, error: Exception) -> Result:
    """The row of a benchmark whose case could not be declared, known by its test's name."""

    def nothing(*_: object) -> tuple[Tensor, ...]:
        return ()

    unknown = "unknown"
    case = Comparison(
        subject, name, unknown, unknown, inputs=nothing, providers={}, baseline=unknown,
        reference=nothing,
    )  # fmt: skip
    reason = f"the case cannot be built: {_first_line(error)}"
    return Result(_row_fields(_known(case, setting), provider, record.FAILED, reason))


def _known(comparison: Comparison, setting: Setting) -> dict[str, Any]:
    return {
        "kind": comparison.kind,
        "subject": comparison.subject,
        "case": comparison.case,
        "baseline": comparison.baseline,
        "device": setting.device,
        "device_name": setting.device_name,
        "dtype": comparison.dtype,
        "batch": comparison.batch,
        "batch_reason": "this case has no batch",
        "mode": setting.mode,
        "direction": comparison.direction,
        "preset": setting.preset,
        "threads": torch.get_num_threads(),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "flops": comparison.flops,
        "flops_reason": "the benchmark does not declare them",
        "bytes": comparison.bytes,
        "bytes_reason": "the benchmark does not declare them",
    }


def _row_fields(
    known: Mapping[str, Any], provider: str, status: str, reason: str | None
) -> dict[str, Any]:
    fields = {**known, "provider": provider, "status": status, "reason": reason}
    return record.extra_info(fields, f"{status}: {reason}" if reason else "not known")


def _timing(m: Measurement) -> dict[str, Any]:
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


def _speedup(m: Measurement, baseline: object, name: str) -> dict[str, Any]:
    fields = ("speedup", "speedup_low", "speedup_high")
    if not isinstance(baseline, Measurement):
        why = f"the baseline {name} was not measured beside it"
        return {f"{field}_reason": why for field in fields}
    ratio, low, high = speedup_interval(baseline.blocks, m.blocks, m.confidence)
    few = f"{len(m.blocks)} blocks are too few for an interval"
    known = math.isfinite(high)
    values = (ratio, low if known else None, high if known else None)
    return dict(zip(fields, values, strict=True)) | {f"{field}_reason": few for field in fields}


def _work(comparison: Comparison, m: Measurement, setting: Setting) -> dict[str, Any]:
    flops, size = comparison.flops, comparison.bytes
    fields: dict[str, Any] = {
        "flop_per_s": flops / m.median if flops else None,
        "flop_per_s_reason": "its FLOPs are not known",
        "byte_per_s": size / m.median if size else None,
        "byte_per_s_reason": "its bytes are not known",
    }
    if setting.roofs is None:
        why = "a roof has no roof"
        return (
            fields
            | dict.fromkeys(("roof_share_reason", "roof_bound_reason"), why)
            | {"above_roof_reason": why}
        )
    high = m.high if math.isfinite(m.high) else m.median
    return fields | setting.roofs.share(comparison, m.median, high, setting.mode)


def _state(before: DeviceState, after: DeviceState) -> dict[str, Any]:
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


def _contention(waited: float | None, stolen: float | None) -> dict[str, Any]:
    """Whether others had the cores; told of a CPU, where it is what throttling is to a GPU."""
    if waited is None:
        why = "the operating system does not tell how long threads wait for a core"
        return dict.fromkeys(("waited_share_reason", "throttled_reason"), why)
    reasons = []
    if waited > contention.BUSY:
        reasons.append(f"other processes: threads waited {waited:.0%} of the time for a core")
    if stolen is not None and stolen > contention.BUSY:
        reasons.append(f"the hypervisor gave the cores to others {stolen:.0%} of the time")
    return {
        "waited_share": waited,
        "throttled": bool(reasons),
        "throttle_reasons": "; ".join(reasons) or "none",
    }


def _resources(
    call: Callable[[], object], comparison: Comparison, setting: Setting
) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if setting.device == "cuda":
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
    mode = "warm" if setting.device == "cuda" else "host"
    if setting.preset != "full" or setting.mode != mode or comparison.kind == "roof":
        why = f"windows of 5 s are spent in the preset full, mode {mode}"
        return fields | {f"{name}_reason": why for name in names}
    energy = measure_energy(lambda: _drop(call()), setting.device)
    for name in names:
        fields[name] = getattr(energy, name)
        fields[f"{name}_reason"] = energy.reasons.get(name)
    return fields


def _drop(_: object) -> None:
    """Energy's windows take a function without a result."""


def _bound(call: Any, inputs: tuple[Tensor, ...]) -> Callable[[], object]:
    return lambda: call(*inputs)


def _status_of(error: Exception, mode: str) -> str:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return record.OUT_OF_MEMORY
    if "can't allocate memory" in str(error):  # torch's CPU allocator raises a RuntimeError
        return record.OUT_OF_MEMORY
    if mode == "graph" or isinstance(error, NotImplementedError):
        return record.UNSUPPORTED
    return record.FAILED


def _free_memory(device: str) -> None:
    if device == "cuda":
        torch.cuda.empty_cache()


def _first_line(error: Exception) -> str:
    """The error in one line, whatever it says."""
    words = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {words[0]}"[:300]
