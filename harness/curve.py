"""A trial's curve: what it was, how it ended, and what each evaluation found. Needs no torch.

Time-to-target is read off a curve in five currencies: steps, samples, FLOPs, seconds and joules.
The crossing is interpolated between the last evaluation that missed the target and the first
that met it. A trial that did not get there is censored: its time-to-target is infinite, and it
counts (Kaplan & Meier 1958).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from harness import contention
from harness.record import parse

SCHEMA = 1

REACHED = "reached"
CENSORED = "censored"  # the steps or the seconds ran out first
DIVERGED = "diverged"  # the loss or the metric is no number any more
FAILED = "failed"  # it raised an error
STATUSES = (REACHED, CENSORED, DIVERGED, FAILED)

FINAL, TUNING = "final", "tuning"  # what a trial is for: the result, or choosing a learning rate

CURRENCIES = ("steps", "samples", "flops", "seconds", "joules")
OF_DEVICE = ("seconds", "joules")  # no measure of a trial that had not its device to itself
SHARED = "measured on a shared device, beside other trials"


@dataclass(frozen=True)
class Trial:
    """One seeded training run.

    Attributes:
        workload: its name in workloads, or a variant's ("rnn/gru").
        optimizer: its name in workloads.optimizers.
        batch: samples a step.
        learning_rate: of the optimizer.
        seed: of the model's initialisation and of the order of the samples.
        device: "cpu" or "cuda".
    """

    workload: str
    optimizer: str
    batch: int
    learning_rate: float
    seed: int
    device: str = "cpu"


@dataclass(frozen=True)
class Point:
    """One evaluation. All but the metric and the loss are sums since the start.

    Attributes:
        steps, samples: updates, and samples that these have seen.
        flops: of the updates; None where they are not known.
        seconds: of drawing batches and of updates, evaluation left out.
        seconds_inclusive: evaluation included.
        joules: gross, evaluation left out, as of seconds; in curves of before there was a
            waited_share it is included. None where no counter can be read.
        loss: of the last batch before its update; None before the first.
        metric: the workload's validation metric; None where it is no number.
    """

    steps: int
    samples: int
    flops: float | None
    seconds: float
    seconds_inclusive: float
    joules: float | None
    loss: float | None
    metric: float | None


@dataclass(frozen=True)
class Curve:
    """A trial and what came of it.

    Attributes:
        metric, target, lower_is_better: the workload's Target.
        status: one of STATUSES; reason: in words, None where the target was reached.
        points: the evaluations, in order.
        device_name: the processor's name; threads: CPU threads that torch may use.
        why: why a currency is None: {"flops": "...", "joules": "..."}.
        generated: what the trained model writes, draws or does; None where it does not.
        shifted: the metric on the workload's shifted set at the end; None where it has none.
        setting: the name of the setting that it belongs to, "" for none.
        role: FINAL or TUNING.
        world_size: processes (ranks) that trained it, each on a device and a part of the batch.
        backend: what they talked through, "gloo" or "nccl"; None for one process.
        host: where the clock was read; hosts: of all ranks, sorted, with commas between. Both
            are "" for one process on the machine that environment.json describes.
        communication_share: of `seconds`, in which gradients or batch statistics were on their
            way between ranks, waiting for the slowest included; None for one process, or
            where it is not known.
        shared_device: whether other trials ran on its device at the same time, so that its
            seconds and joules are no timing.
        waited_share: of the time of training, in which its threads waited for a core that others
            had; stolen_share: in which the hypervisor gave the cores to others. Of ranks, what
            rank 0's process and host tell; None where the system does not tell.
        attempt: 2 where it was run again, as others had the cores the first time, and so on.
    """

    trial: Trial
    metric: str
    target: float
    lower_is_better: bool
    status: str
    reason: str | None
    points: tuple[Point, ...]
    device_name: str
    threads: int
    why: Mapping[str, str] = field(default_factory=dict)
    generated: str | None = None
    shifted: float | None = None
    setting: str = ""
    role: str = FINAL
    world_size: int = 1
    backend: str | None = None
    host: str = ""
    hosts: str = ""
    communication_share: float | None = None
    shared_device: bool = False
    waited_share: float | None = None
    stolen_share: float | None = None
    attempt: int = 1

    def met(self, value: float | None) -> bool:
        """Whether a value of the metric is as good as the target."""
        if value is None:
            return False
        return value <= self.target if self.lower_is_better else value >= self.target

    def to_target(self, currency: str) -> float | None:
        """What the target took, in a currency; infinite if it was not reached, None if unknown.

        Raises:
            ValueError: `currency` is none of CURRENCIES.
        """
        if not self._measured(currency):
            return None
        if self.status != REACHED:
            return math.inf
        at = next(i for i, point in enumerate(self.points) if self.met(point.metric))
        after = self.points[at]
        high = getattr(after, currency)
        if at == 0 or high is None:
            return high
        before = self.points[at - 1]
        low = getattr(before, currency)
        if low is None or before.metric is None or after.metric is None:
            return high
        share = (self.target - before.metric) / (after.metric - before.metric)
        return low + share * (high - low)

    def spent(self, currency: str) -> float | None:
        """What the whole trial took, reached or not; None if unknown."""
        if not self._measured(currency):
            return None
        return getattr(self.points[-1], currency) if self.points else 0.0

    def measured(self) -> tuple[Point, ...]:
        """The points, without seconds and joules (NaN, None) of a device that others had too.

        Everything that compares times takes them from here, `to_target` or `spent`.
        """
        if self.no_timing is None:
            return self.points
        no = math.nan
        return tuple(
            replace(point, seconds=no, seconds_inclusive=no, joules=None) for point in self.points
        )

    @property
    def no_timing(self) -> str | None:
        """Why its seconds and joules are no timing, in words; None where they are one."""
        if self.shared_device:
            return SHARED
        return "; ".join(contention.reasons(self.waited_share, self.stolen_share)) or None

    def why_unknown(self, currency: str) -> str | None:
        """Why a currency of this trial is not known; None where no reason was recorded.

        What nobody could have read comes before what others have made no measure of.
        """
        measured = self._measured(currency)
        why = self.why.get(currency)
        if why is None:
            return None if measured else self.no_timing
        return str(why)

    def _measured(self, currency: str) -> bool:
        if currency not in CURRENCIES:
            raise ValueError(f"unknown currency {currency!r}: one of {', '.join(CURRENCIES)}")
        return currency not in OF_DEVICE or self.no_timing is None


def encode(curve: Curve) -> str:
    """The curve as one line of JSON, without the newline."""
    raw = asdict(curve) | {"schema": SCHEMA}
    raw["points"] = [list(vars(point).values()) for point in curve.points]
    return json.dumps(raw, allow_nan=False, ensure_ascii=True)


def decode(line: str) -> Curve:
    """The curve in one line of JSON; its text is data, to be escaped wherever it is shown.

    Raises:
        ValueError: the line is not a curve of this version, in one line saying what is wrong.
    """
    raw = parse(line, "a curve")
    if not isinstance(raw, dict) or raw.pop("schema", None) != SCHEMA:
        raise ValueError(f"not a curve of this version, whose schema is {SCHEMA}")
    try:
        trial = Trial(**raw.pop("trial"))
        points = tuple(Point(*values) for values in raw.pop("points"))
        curve = Curve(trial=trial, points=points, **raw)
    except (TypeError, KeyError) as error:
        raise ValueError(f"not a curve: {str(error)[:80]}") from None
    _check(trial, _TRIAL)
    _check(curve, _CURVE)
    for point in points:
        _check(point, _POINT)
    if curve.status not in STATUSES:
        raise ValueError(f"status {str(curve.status)[:40]!r} is none of {', '.join(STATUSES)}")
    if curve.status == REACHED and not any(curve.met(point.metric) for point in points):
        raise ValueError("status reached, and no evaluation met the target")
    return curve


_NUMBER, _MAYBE = (int, float), (int, float, type(None))
_TRIAL = {"workload": str, "optimizer": str, "batch": int, "learning_rate": _NUMBER, "seed": int}
_TRIAL |= {"device": str}
_CURVE = {
    **{"metric": str, "target": _NUMBER, "lower_is_better": bool, "status": str},
    **{"reason": (str, type(None)), "device_name": str, "threads": int, "why": dict},
    **{"generated": (str, type(None)), "shifted": _MAYBE, "setting": str, "role": str},
    **{"world_size": int, "backend": (str, type(None)), "host": str, "hosts": str},
    **{"communication_share": _MAYBE, "shared_device": bool},
    **{"waited_share": _MAYBE, "stolen_share": _MAYBE, "attempt": int},
}
_POINT = {
    **{"steps": int, "samples": int, "flops": _MAYBE, "seconds": _NUMBER},
    **{"seconds_inclusive": _NUMBER, "joules": _MAYBE, "loss": _MAYBE, "metric": _MAYBE},
}
assert [f.name for f in fields(Point)] == list(_POINT)


def _check(what: object, types: Mapping[str, Any]) -> None:
    for name, wanted in types.items():
        value = getattr(what, name)
        known = isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
        # JSON holds 1e999, which is infinity here, and integers of any length
        if not known or (isinstance(value, int | float) and not -1e308 < value < 1e308):
            raise ValueError(f"{name} is {str(value)[:40]!r}")
