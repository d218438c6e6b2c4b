"""One case from declaration to rows: check every provider, time those that are right."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import torch
from torch import Tensor

from harness import contention, failure, launches, payback, record, settings
from harness import fields as fields_of
from harness.comparison import Checker, Comparison
from harness.correctness import Verdict
from harness.environment import device_state
from harness.roofline import Roofs
from harness.timing import FULL, QUICK, Limits, Measurement, measure

PRESETS: Mapping[str, Limits] = {"quick": QUICK, "full": FULL}
CONFIDENCE = 0.95


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

    Whatever a provider does wrong, it is its own row that says so: the others are measured, or, if
    it brought the GPU down, left to a run that goes on with this one.

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
    in_place = comparison.in_place
    calls: dict[str, Any] = {}
    try:
        if any(name not in comparison.not_measured for name in providers):
            checker = Checker(comparison)
    except Exception as error:
        reason = f"its inputs or reference could not be computed: {failure.first_line(error)}"
        status = failure.status(error, "")  # no graph is captured yet
        return {n: Result(_row_fields(known, n, status, reason)) for n in providers}
    as_found = settings.read()
    for name in providers:
        if name in comparison.not_measured:
            failed[name] = (record.NOT_MEASURED, comparison.not_measured[name])
            continue
        try:
            if name not in comparison.providers:
                raise ValueError(f"the benchmark declares no provider {name!r}")
            calls[name] = comparison.providers[name]()
            verdict = checker.check(calls[name], name in in_place)
            verdicts[name] = verdict, checker.first_call_s
            if verdict.wrong:
                failed[name] = (record.FAILED, verdict.wrong)
        except ModuleNotFoundError as error:
            failed[name] = (record.NOT_MEASURED, f"{error.name} is not installed")
        except Exception as error:
            failed[name] = (failure.status(error, ""), failure.first_line(error))
            if failure.is_lost(setting.device):
                return _lost(known, providers, failed, name)
            failure.free_memory(setting.device)
        if changed := settings.restore(as_found):
            failed[name] = (record.FAILED, f"it changes {changed}, for all others too")
    right = {name: call for name, call in calls.items() if name not in failed}
    bound, before_block = {}, {n: c.reset for n, c in right.items() if hasattr(c, "reset")}
    for name, call in right.items():
        inputs = checker.timed
        if name in in_place:
            inputs = checker.own_timed()
            before_block[name] = partial(checker.refill, inputs)
        bound[name] = _bound(call, inputs)
    before, cores_before = device_state(setting.device), contention.read()
    measured: dict[str, Measurement | Exception] = {}
    if right:
        measured = measure(
            bound,
            device=setting.device,
            mode=setting.mode,
            limits=setting.limits or PRESETS[setting.preset],
            confidence=CONFIDENCE,
            deadline=setting.deadline,
            before_block=before_block,
        )
    raised = {name: one for name, one in measured.items() if isinstance(one, Exception)}
    if raised and failure.is_lost(setting.device):
        # the first that did not merely run out of memory: its block is waited for before the next
        name = max(raised, key=lambda n: failure.status(raised[n], "") == record.FAILED)
        failed[name] = (record.FAILED, failure.first_line(raised[name]))
        return _lost(known, providers, failed, name)
    cores = contention.shares(cores_before, contention.read())
    after = device_state(setting.device)
    changed = settings.restore(as_found)
    if right and checker.restore_timed():
        changed = changed or "the inputs"
    for name, call in right.items():
        if isinstance(measured[name], Measurement) and (
            wrong := _wrong_now(checker, call, name in in_place)
        ):
            failed[name] = (record.FAILED, f"right before it was timed, and not after: {wrong}")
            if failure.is_lost(setting.device):
                return _lost(known, providers, failed, name)
        if changed:
            words = f"while the case was timed one of its providers changed {changed}"
            failed.setdefault(name, (record.FAILED, words))
        settings.restore(as_found)
    # the first call was the check's, before any timing
    for name, one in measured.items():
        if isinstance(one, Measurement):
            first = verdicts[name][1] or one.first_call_s
            measured[name] = replace(one, first_call_s=first)
    launched: dict[str, dict[str, Any]] = {}
    for name, one in measured.items():
        if isinstance(one, Measurement) and name not in failed:
            try:
                launched[name] = fields_of.launch(bound[name], setting.device)
            except Exception as error:
                words = f"after it was timed: {failure.first_line(error)}"
                failed[name] = (failure.status(error, ""), words)
    results = {}
    for name in providers:
        fields = dict(known)
        if name in verdicts and not verdicts[name][0].wrong:
            fields["correctness_error"] = verdicts[name][0].error
            fields["correctness_bound"] = verdicts[name][0].bound
        outcome = measured.get(name)
        if isinstance(outcome, Exception):
            failed[name] = (failure.status(outcome, setting.mode), failure.first_line(outcome))
            failure.free_memory(setting.device)
        elif outcome and (
            wrong := fields_of.impossible(comparison, outcome, setting.device, setting.device_name)
        ):
            failed[name] = (record.FAILED, wrong)
        if name in failed:
            results[name] = Result(_row_fields(fields, name, *failed[name]))
            continue
        assert isinstance(outcome, Measurement)
        fields |= fields_of.timing(outcome) | launched[name]
        baseline = measured.get(comparison.baseline)
        if comparison.baseline in failed:
            baseline = None
        fields |= fields_of.speedup(outcome, baseline, comparison.baseline)
        fields |= fields_of.work(comparison, outcome, setting.roofs, setting.mode)
        fields |= launches.fields(bound[name], comparison, setting.device, setting.roofs)
        fields |= fields_of.state(before, after)
        if setting.device == "cpu":
            fields |= fields_of.cores(*cores)
        against = None
        if isinstance(baseline, Measurement):
            against = fields_of.timing(baseline) | launched[comparison.baseline]
        fields |= fields_of.doubts(fields, against)
        fields |= payback.fields(fields, against)
        try:
            fields |= fields_of.resources(
                bound[name],
                comparison.kind,
                setting.device,
                setting.mode,
                setting.preset,
                setting.deadline,
            )
        except Exception as error:
            words = f"after it was timed: {failure.first_line(error)}"
            results[name] = Result(_row_fields(known, name, failure.status(error, ""), words))
            continue
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
    reason = f"the case cannot be built: {failure.first_line(error)}"
    return Result(_row_fields(_known(case, setting), provider, record.FAILED, reason))


def _lost(
    known: Mapping[str, Any],
    providers: Sequence[str],
    failed: Mapping[str, tuple[str, str]],
    culprit: str,
) -> dict[str, Result]:
    """The rows of a case whose GPU was brought down: the others' are not measured, so that a run
    that goes on with this one measures them without the culprit."""
    left = (record.NOT_MEASURED, f"{culprit} {failure.GPU_DOWN}: go on with --resume")
    return {n: Result(_row_fields(known, n, *failed.get(n, left))) for n in providers}


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
        "expected_s": comparison.expected_s,
        "expected_s_reason": "only a delay of a self-check is known beforehand",
    }


def _row_fields(
    known: Mapping[str, Any], provider: str, status: str, reason: str | None
) -> dict[str, Any]:
    fields = {**known, "provider": provider, "status": status, "reason": reason}
    return record.extra_info(fields, f"{status}: see reason" if reason else "not known")


def _wrong_now(checker: Checker, call: Any, in_place: bool) -> str | None:
    """What is wrong with a provider that was right before it was called many times."""
    try:
        if hasattr(call, "reset"):
            call.reset()  # the truth begins where it began
        return checker.check_timed(call, in_place).wrong
    except Exception as error:
        return failure.first_line(error)


def _bound(call: Any, inputs: tuple[Tensor, ...]) -> Callable[[], object]:
    return lambda: call(*inputs)
