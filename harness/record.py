"""One row: the measurement of one provider in one case and mode, and everything known about it.

A row is what pytest-benchmark calls a benchmark (group, name, params, samples), with all else
flat in `extra_info`. A field that was not measured is None, never 0 or blank, and a sibling
`<field>_reason` says why. Imports neither torch nor triton.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCHEMA = 1

OK = "ok"
OUT_OF_MEMORY = "out_of_memory"
UNSUPPORTED = "unsupported"
FAILED = "failed"
NOT_MEASURED = "not_measured"
CENSORED = "censored"  # a trial's target was not reached in the steps that it had
DIVERGED = "diverged"  # its loss was no number any more
STATUSES = (OK, OUT_OF_MEMORY, UNSUPPORTED, FAILED, CENSORED, DIVERGED, NOT_MEASURED)

TEXT, NUMBER, COUNT, FLAG = "text", "number", "count", "flag"

# kinds of rows that are about the measuring itself, and no result
ROOF, AA, CHECK = "roof", "aa", "check"
ABOUT_MEASURING = (ROOF, AA, CHECK)
CONVERGENCE = "convergence"  # its samples are seeds' seconds to a target

# What stands in extra_info. `True`: must have a value in every row; `False`: None with a reason.
FIELDS: dict[str, tuple[str, bool]] = {
    # what was run
    "kind": (TEXT, True),  # "kernel", "workload", "convergence", "user", or one of ABOUT_MEASURING
    "subject": (TEXT, True),  # the operation's or the workload's name
    "case": (TEXT, True),  # one subject's case, the same for all its providers, modes and devices
    "provider": (TEXT, True),
    "baseline": (TEXT, True),  # the provider in the denominator of this row's speedup
    "device": (TEXT, True),  # "cpu" or "cuda"
    "device_name": (TEXT, True),
    "dtype": (TEXT, True),
    "batch": (COUNT, False),  # samples an iteration; None for an operation without batches
    "mode": (TEXT, True),  # cold, warm, graph or host
    "direction": (TEXT, True),  # forward, forward+backward, inference, train
    "preset": (TEXT, True),
    "threads": (COUNT, True),  # CPU threads torch may use
    # how it ended
    "status": (TEXT, True),
    "reason": (TEXT, False),  # why the status is not ok; None when it is
    "started_at": (TEXT, True),  # ISO 8601, UTC
    # the timing: seconds an iteration
    "iterations": (COUNT, False),  # iterations a sample
    "n": (COUNT, False),  # samples
    "median_s": (NUMBER, False),
    "median_low_s": (NUMBER, False),
    "median_high_s": (NUMBER, False),
    "confidence": (NUMBER, False),
    "n_eff": (NUMBER, False),
    "stop_reason": (TEXT, False),
    "flush_bytes": (COUNT, False),  # overwritten before each sample of mode cold
    "warmup_s": (NUMBER, False),
    "first_call_s": (NUMBER, False),  # compilation and autotuning included
    "once_s": (NUMBER, False),  # what the first call took beyond another one
    "payback_calls": (COUNT, False),  # after which that is made up for, against the baseline
    "launch_s": (NUMBER, False),  # until the Python call returns, while a GPU still works
    "expected_s": (NUMBER, False),  # of a self-check's delay: what it is known to last
    # against the baseline of the same case, device and mode
    "speedup": (NUMBER, False),
    "speedup_low": (NUMBER, False),
    "speedup_high": (NUMBER, False),
    "speedup_freedom": (NUMBER, False),  # degrees of freedom of its interval
    # the work, and the share of what the machine could do
    "flops": (COUNT, False),
    "bytes": (COUNT, False),
    "flop_per_s": (NUMBER, False),
    "byte_per_s": (NUMBER, False),
    "roof_share": (NUMBER, False),
    "roof_bound": (TEXT, False),  # "compute", "memory" or "cache"
    "above_roof": (FLAG, False),
    "launches": (TEXT, False),  # the Triton kernels of an iteration, on a GPU
    "predicted_s": (NUMBER, False),  # from these and the roof (harness/prediction.py): no result
    # correctness, checked before the timing
    "correctness_error": (NUMBER, False),
    "correctness_bound": (NUMBER, False),
    # training to a target; a sample is one seed's seconds to it
    "reached": (COUNT, False),  # seeds that got there, of n
    "learning_rate": (NUMBER, False),
    "rate_on_edge": (FLAG, False),  # the best rate is the grid's first or last
    "tuning_trials": (COUNT, False),
    "steps_to_target": (NUMBER, False),  # medians over the seeds, those not there as infinity
    "samples_to_target": (NUMBER, False),
    "flops_to_target": (NUMBER, False),
    "joules_to_target": (NUMBER, False),
    # past one process: torchrun's ranks, or trials on the machines of a cluster
    "world_size": (COUNT, False),  # ranks that trained one trial together
    "backend": (TEXT, False),  # what they talked through: gloo or nccl
    "host": (TEXT, False),  # where all of its seconds and joules were measured
    "hosts": (TEXT, False),  # all that had a part in its trials, sorted, with commas between
    "communication_share": (NUMBER, False),  # of the trials' seconds, the median
    "shared_device": (FLAG, False),  # other trials had the device too: its time is no claim
    # resources
    "peak_memory_bytes": (COUNT, False),
    "energy_j": (NUMBER, False),  # joules an iteration, gross
    "energy_net_j": (NUMBER, False),  # idle power subtracted
    "energy_method": (TEXT, False),
    "clock_before_hz": (NUMBER, False),
    "clock_after_hz": (NUMBER, False),
    "temperature_c": (NUMBER, False),
    "waited_share": (NUMBER, False),  # of its time, that a thread waited for a core
    "throttled": (FLAG, False),  # a GPU's clock was held down, or a CPU's cores were taken
    "throttle_reasons": (TEXT, False),
}

_TYPES: dict[str, Any] = {TEXT: str, NUMBER: (int, float), COUNT: int, FLAG: bool}


@dataclass(frozen=True)
class Row:
    """One row of a run.

    Attributes:
        id: unique in a run: the pytest node id.
        group: what pytest-benchmark prints together: one case on one device in one mode.
        name: what pytest-benchmark calls it.
        params: strings or ints by parameter name (pytest-benchmark cannot write others).
        samples: seconds per iteration, in the order they were taken; empty unless ok.
        extra_info: every key of FIELDS, and `<key>_reason` beside each None.
    """

    id: str
    group: str
    name: str
    params: Mapping[str, str | int]
    extra_info: Mapping[str, Any]
    samples: tuple[float, ...] = field(default=(), repr=False)

    @property
    def status(self) -> str:
        """One of STATUSES."""
        return self.extra_info["status"]


def extra_info(known: Mapping[str, Any], why: str | Mapping[str, str]) -> dict[str, Any]:
    """All of FIELDS: what is `known`, and None with its reason for the rest.

    Args:
        known: values by field. NaN and infinity become None with the reason "not finite".
        why: the reason for each field that is None or not known: one text for all, or a text
            by field with "" as the default.

    Raises:
        ValueError: a field that FIELDS does not have, or one that must be known and is not.
    """
    strangers = [key for key in known if key not in FIELDS and not key.endswith("_reason")]
    if strangers:
        raise ValueError(f"{strangers[0]!r} is no row field: add it to FIELDS in harness/record.py")
    reasons = {"": why} if isinstance(why, str) else why
    info: dict[str, Any] = {}
    for key, (_, required) in FIELDS.items():
        value = known.get(key)
        if isinstance(value, float) and not math.isfinite(value):
            value, reason = None, "not finite"
        else:
            reason = known.get(f"{key}_reason") or reasons.get(key) or reasons.get("") or "unknown"
        if value is None and required:
            raise ValueError(f"row field {key!r} must be known")
        info[key] = value
        if value is None and not (key == "reason" and known.get("status") == OK):
            info[f"{key}_reason"] = reason
    return info


def number(info: Mapping[str, Any], key: str) -> float | None:
    """A field as a finite float; None where it is missing, or what a file may hold and no float."""
    try:
        value = float(info[key])
    except (KeyError, TypeError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def encode(row: Row) -> str:
    """The row as one line of JSON, without the newline."""
    return json.dumps(
        {
            "schema": SCHEMA,
            "id": row.id,
            "group": row.group,
            "name": row.name,
            "params": dict(row.params),
            "extra_info": dict(row.extra_info),
            "samples": list(row.samples),
        },
        allow_nan=False,
        ensure_ascii=True,
    )


def decode(line: str) -> Row:
    """The row in one line of JSON; its text is data, to be escaped wherever it is shown.

    Raises:
        ValueError: the line is not a row of this version, in one line saying what is wrong.
    """
    raw = parse(line, "a row")
    if not isinstance(raw, dict) or "schema" not in raw:
        raise ValueError("not a flopwise row: it has no schema number")
    if raw["schema"] != SCHEMA:
        raise ValueError(f"row schema {raw['schema']!r}, and this version reads {SCHEMA}")
    for key in ("id", "group", "name"):
        if not isinstance(raw.get(key), str):
            raise ValueError(f"row field {key!r} is missing or not text")
    params, info, samples = raw.get("params"), raw.get("extra_info"), raw.get("samples")
    if not isinstance(params, dict) or not isinstance(info, dict) or not isinstance(samples, list):
        raise ValueError("params, extra_info or samples is missing or of the wrong type")
    if not all(type(s) in (int, float) and 0 < s < 1e308 for s in samples):
        raise ValueError("a sample is not a positive, finite number")
    for key, (wanted, required) in FIELDS.items():
        _check(key, info.get(key), wanted, required)
    if info["status"] not in STATUSES:
        raise ValueError(f"status {info['status']!r} is none of {', '.join(STATUSES)}")
    timed = info["kind"] != CONVERGENCE  # a trial's device may have been shared: that is no time
    if info["status"] == OK and timed and (not samples or info.get("median_s") is None):
        raise ValueError("status ok without samples or a median")
    return Row(raw["id"], raw["group"], raw["name"], params, info, tuple(map(float, samples)))


def parse(line: str, what: str) -> Any:
    """What a line of JSON holds.

    Raises:
        ValueError: it is no JSON, and so not `what`, in one line saying why.
    """
    try:
        return json.loads(line, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError(f"nested too deep to be {what}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON, cut short perhaps ({error.msg})") from None


def _check(key: str, value: Any, kind: str, required: bool) -> None:
    if value is None:
        if required:
            raise ValueError(f"row field {key!r} is missing")
        return
    right = isinstance(value, _TYPES[kind])
    if not right or (kind != FLAG and isinstance(value, bool)):
        raise ValueError(f"row field {key!r} should be a {kind}, and is {str(value)[:40]!r}")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
