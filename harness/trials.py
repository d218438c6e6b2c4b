"""Runs a setting: tunes its learning rate, trains from fresh seeds, and makes its row.

Every finished trial is on disk before the next one starts. One that is there already is not run
again, so a run that was killed and resumed has the same table as one that was not.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import torch

from harness import convergence, fields, learning_rates, record, survival, training
from harness.convergence import Setting
from harness.curve import CURRENCIES, FINAL, OF_DEVICE, REACHED, TUNING, Curve, Trial
from harness.words import count
from workloads.spec import Workload

Key = tuple[str, str, Trial]

ATTEMPTS = 3  # of a trial whose seconds are a result and whose cores others had meanwhile


class OutOfBudget(Exception):
    """The time of the run was spent before the setting's trials were done."""


class Refused(Exception):
    """The engine cannot run the setting's trials, in one line that says why."""


class Job(NamedTuple):
    """A trial to be run.

    Attributes:
        max_steps: after which it is censored.
        show: whether to ask the trained model for what it generates.
        own: the workload itself, where it is none of ours.
        again_until: time.perf_counter() until which it is run again where others had the cores.
    """

    trial: Trial
    max_steps: int
    show: bool
    own: Workload | None = None
    again_until: float = -math.inf


# Runs trials that do not depend on each other, and gives each as it ends, in any order.
Engine = Callable[[Sequence[Job]], Iterable[tuple[Job, Curve]]]


def here(jobs: Sequence[Job]) -> Iterator[tuple[Job, Curve]]:
    """The engine of one process: one trial after the other, each started when it is asked for.

    A time that others had the cores for is none, and one such seed leaves its setting without
    seconds: that trial is run again. Which attempt counts is decided by the counters of
    harness.contention, never by how long it took. Where the last attempt was disturbed as well,
    the other seeds can win nothing and are run once.
    """
    lost = False
    for job in jobs:
        for attempt in range(1, ATTEMPTS + 1):
            found = training.run(job.trial, job.own, max_steps=job.max_steps, show=job.show)
            curve = dataclasses.replace(found, attempt=attempt)
            if curve.no_timing is None or lost or time.perf_counter() > job.again_until:
                break
        lost = lost or curve.no_timing is not None
        yield job, curve


class Outcome(NamedTuple):
    """What became of a setting.

    Attributes:
        finals: from fresh seeds at the chosen rate, the result.
        tuning: what it took to choose the rate; empty where it was given.
        edge: whether the best rate lies on the edge of the grid, so that a better one may lie
            beyond it.
    """

    finals: list[Curve]
    tuning: list[Curve]
    edge: bool


def key(curve: Curve) -> Key:
    """What tells a trial apart in a run."""
    return curve.setting, curve.role, curve.trial


class Runner:
    """Trials of one run.

    Args:
        preset: "quick" or "full".
        done: the trials that are on disk.
        keep: puts a trial on disk.
        told: told before each trial what it is; of an engine that runs several at once, while
            it is waited for.
        deadline: time.perf_counter() after which no trial is started, nor waited for.
        engine: what runs them.
    """

    def __init__(
        self,
        preset: str,
        done: Mapping[Key, Curve],
        keep: Callable[[Curve], None],
        told: Callable[[str], None] = lambda words: None,
        deadline: float = math.inf,
        engine: Engine = here,
    ):
        self._preset, self._done, self._keep = preset, dict(done), keep
        self._told, self._deadline, self._engine = told, deadline, engine

    def run(self, setting: Setting, device: str) -> Outcome:
        """Tune if the preset says so, then train from fresh seeds.

        Raises:
            OutOfBudget: the deadline passed first; what was done is on disk.
        """
        rates = list(setting.rates(self._preset))
        rate, edge = rates[0], False
        tuning: list[Curve] = []
        if len(rates) > 1:
            rate, edge, tuning = self._tune(setting, rates, device)
        seeds = range(convergence.SEEDS[self._preset])
        finals = self._seeds(setting, FINAL, rate, seeds, device, None)
        return Outcome(finals, tuning, edge)

    def _tune(
        self, setting: Setting, rates: list[float], device: str
    ) -> tuple[float, bool, list[Curve]]:
        """The rate with the fewest steps to the target; a rate far behind the best is cut short."""
        curves: list[Curve] = []
        waiting, extended = list(rates), 0
        while waiting:
            rate = waiting.pop(0)
            reached = [c.to_target("steps") or 0.0 for c in curves if c.status == REACHED]
            limit = math.ceil(convergence.PATIENCE * min(reached)) if reached else None
            first = convergence.FIRST_TUNING_SEED
            seeds = range(first, first + convergence.TUNING_SEEDS[self._preset])
            curves += self._seeds(setting, TUNING, rate, seeds, device, limit)
            if not waiting and extended < convergence.EXTENSIONS:
                found = learning_rates.grid(curves)
                # where no rate got there, none is known to be better beyond
                if any(curve.status == REACHED for curve in curves) and found.edges:
                    waiting.append(found.extension[0])
                    extended += 1
        found = learning_rates.grid(curves)
        return found.winner, bool(found.edges), curves

    def _seeds(
        self,
        setting: Setting,
        role: str,
        rate: float,
        seeds: Iterable[int],
        device: str,
        limit: int | None,
    ) -> list[Curve]:
        """The curves of all seeds, in their order; what is not on disk is handed out at once."""
        most = min(setting.max_steps or setting.load().max_steps, limit or sys.maxsize)
        trials = [
            Trial(setting.workload, setting.optimizer, setting.batch, rate, seed, device)
            for seed in seeds
        ]
        again = self._deadline if role == FINAL else -math.inf
        jobs = [
            Job(trial, most, role == FINAL and trial.seed == 0, setting.own, again)
            for trial in trials
            if (setting.name, role, trial) not in self._done
        ]
        # the pace comes first: an engine that runs a trial when it is asked for one is not asked
        # after the deadline
        pace = self._pace(setting, role, jobs)
        for _, (_, curve) in zip(pace, self._engine(jobs), strict=True):
            curve = dataclasses.replace(curve, setting=setting.name, role=role)
            self._keep(curve)
            self._done[key(curve)] = curve
        return [self._done[setting.name, role, trial] for trial in trials]

    def _pace(self, setting: Setting, role: str, jobs: Sequence[Job]) -> Iterator[None]:
        for job in jobs:
            if time.perf_counter() > self._deadline:
                raise OutOfBudget
            trial = job.trial
            rate = f"rate {trial.learning_rate:.3g}, seed {trial.seed}"
            self._told(f"{setting.name} {trial.device}, {role}, {rate}")
            yield


def row_fields(
    setting: Setting, outcome: Outcome | None, device: str, device_name: str, preset: str, why: str
) -> dict[str, Any]:
    """The fields of a setting's row: a round is a seed, and its time the time to the target.

    Args:
        outcome: None where there is none, and then `why` says why.
    """
    workload = setting.load()
    known: dict[str, Any] = {
        "kind": "convergence",
        "subject": setting.workload,
        "case": setting.name,
        "provider": setting.optimizer,
        "baseline": workload.optimizer,
        "device": device,
        "device_name": device_name,
        "dtype": "float32",
        "batch": setting.batch,
        "mode": "host",
        "direction": "train",
        "preset": preset,
        "threads": torch.get_num_threads(),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "reason": why,
        "status": record.NOT_MEASURED,
    }
    if outcome is not None:
        known |= _found(outcome)
    return record.extra_info(
        known, f"{known['status']}: see reason" if known["reason"] else NO_SENSE
    )


NO_SENSE = "a trial has no such figure"
SEVERAL_HOSTS = "its seeds ran on several hosts, whose times are not one setting's"


def _found(outcome: Outcome) -> dict[str, Any]:
    finals = outcome.finals
    reached = [curve for curve in finals if curve.status == REACHED]
    short = [curve for curve in finals if curve.status != REACHED]
    status, reason, seeds = record.OK, None, count(len(finals), "seed")
    if short:
        # the worst of them: an error before a divergence before a target that was not met
        order = (record.FAILED, record.DIVERGED, record.CENSORED)
        status = min((curve.status for curve in short), key=order.index)
        worst = next(curve for curve in short if curve.status == status)
        reason = f"{len(reached)} of {seeds} reached the target; {worst.reason}"
    found: dict[str, Any] = {
        "status": status,
        "reason": reason,
        "n": len(finals),
        "reached": len(reached),
        "iterations": 1,
        "stop_reason": "all seeds",
        "learning_rate": finals[0].trial.learning_rate,
        "rate_on_edge": outcome.edge,
        "tuning_trials": len(outcome.tuning),
    }
    found |= _where(finals) | _cores(finals)
    few = f"{seeds}: too few for an interval"
    found |= dict.fromkeys(("median_low_s_reason", "median_high_s_reason"), few)
    for currency in CURRENCIES:
        field = "median_s" if currency == "seconds" else f"{currency}_to_target"
        values = [curve.to_target(currency) for curve in finals]
        if currency in OF_DEVICE and len({curve.host for curve in finals}) > 1:
            found[f"{field}_reason"] = SEVERAL_HOSTS
            continue
        if any(value is None for value in values):
            unknown = next(c for c, v in zip(finals, values, strict=True) if v is None)
            found[f"{field}_reason"] = unknown.why_unknown(currency) or "not known"
            continue
        found[field] = survival.median([value for value in values if value is not None])
        found[f"{field}_reason"] = "half of the seeds or more did not reach the target"
        if found[field] == math.inf:
            found[field] = None
    return found


def _where(finals: Sequence[Curve]) -> dict[str, Any]:
    """On how many ranks and on which hosts, where it was not one process here."""
    alone = "one process, on the machine that environment.json describes"
    found: dict[str, Any] = {}
    for name in ("world_size", "backend", "host"):
        values = {getattr(curve, name) or None for curve in finals}
        found[name] = next(iter(values)) if len(values) == 1 else None
        found[f"{name}_reason"] = alone if values == {None} else "not the same for all seeds"
    if names := sorted({curve.device_name for curve in finals if curve.points}):
        found |= {"device_name": " and ".join(names), "threads": max(c.threads for c in finals)}
    hosts = {host for curve in finals for host in curve.hosts.split(",") if host}
    shares = [c.communication_share for c in finals if c.communication_share is not None]
    return found | {
        "hosts": ",".join(sorted(hosts)) or None,
        "hosts_reason": alone,
        "communication_share": statistics.median(shares) if len(shares) == len(finals) else None,
        "communication_share_reason": "not known of every seed" if found["backend"] else alone,
        "shared_device": any(curve.shared_device for curve in finals),
    }


def _cores(finals: Sequence[Curve]) -> dict[str, Any]:
    """Whether others had the cores: of the seeds that had the least of them."""
    waited = [curve.waited_share for curve in finals if curve.waited_share is not None]
    stolen = [curve.stolen_share for curve in finals if curve.stolen_share is not None]
    return fields.cores(max(waited, default=None), max(stolen, default=None))


def samples(outcome: Outcome | None) -> tuple[float, ...]:
    """Seconds to the target, seed by seed, where every seed got there: else their mean would be
    that of the successes alone. None of a device that others had too, or of several hosts."""
    finals = outcome.finals if outcome else []
    if any(curve.status != REACHED or curve.no_timing for curve in finals):
        return ()
    if len({curve.host for curve in finals}) > 1:
        return ()
    # a target met before the first step took no time, and a time of 0 is no sample
    return tuple(max(curve.to_target("seconds") or 0.0, 1e-9) for curve in finals)
