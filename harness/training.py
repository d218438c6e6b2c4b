"""One trial: train a workload until its target is met, the steps are done or it diverges.

It is evaluated on a fixed schedule in steps, at most 3 % or one step apart, outside of the clock;
so the crossing is known to that, and trials of one setting are evaluated at the same steps. The
first step's one-time costs (libraries, caches) are spent on a copy beforehand.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from harness.curve import CENSORED, DIVERGED, FAILED, REACHED, Curve, Point, Trial
from harness.environment import device_name
from harness.meter import Meter, metering
from harness.team import ALONE, Team
from workloads import data, load, optimizers
from workloads.flops import UnknownFlops
from workloads.second_order import SecondOrder
from workloads.spec import Batch, Resumable, Workload

GROWTH = 1.03  # from one evaluation's steps to the next one's


def run(
    trial: Trial,
    workload: Workload | None = None,
    *,
    max_steps: int | None = None,
    budget_s: float = math.inf,
    on_point: Callable[[Point], None] | None = None,
    show: bool = True,
    team: Team = ALONE,
) -> Curve:
    """Train until the target is met, the steps or the seconds are spent, or the loss diverges.

    Whatever goes wrong is the curve's status and reason, never an exception.

    Args:
        trial: what to train.
        workload: the workload itself, where it is none of ours.
        max_steps: censored after so many updates; the workload's own number if not given.
        budget_s: censored after so many seconds of training, evaluation left out; for one process,
            as several would not agree when it is.
        on_point: called with each evaluation, outside of the clock.
        show: whether to ask the trained model for what it generates.
        team: the processes that train it; each of them calls this, and rank 0's curve is whole.
    """
    workload = workload or load(trial.workload)
    points: list[Point] = []
    why: dict[str, str] = team.unknown()
    told: dict[str, Any] = team.told(0.0, 0.0)
    status, reason = FAILED, None
    generated: str | None = None
    shifted: float | None = None

    def look() -> None:
        points.append(running.evaluate())
        if on_point:
            on_point(points[-1])

    try:
        with team, metering(trial.device, why) as meter:
            running = _Running(trial, workload, meter, why, team)
            limit = max_steps or workload.max_steps
            points += running.before
            if not points:
                look()
            while not (found := _judged(points[-1], workload, limit, budget_s))[0]:
                running.train(min(_next(points[-1].steps), limit), budget_s)
                look()
                running.save(points)
        told = team.told(running.communication_s, points[-1].seconds) | meter.told()
        status, reason = found
        if team.rank == 0 and workload.shifted and status != DIVERGED:
            shifted = running.metric(workload.shifted().to(trial.device))
        if team.rank == 0 and show and workload.generate and status != DIVERGED:
            generated = workload.generate(running.model, trial.seed)
    except Exception as error:
        words = str(error).strip().splitlines() or ["no message"]
        status, reason = FAILED, f"{type(error).__name__}: {words[0]}"[:300]
    return Curve(
        trial=trial,
        metric=workload.target.metric,
        target=workload.target.value,
        lower_is_better=workload.target.lower_is_better,
        status=status,
        reason=reason,
        points=tuple(points),
        device_name=device_name(trial.device),
        threads=torch.get_num_threads(),
        why=why,
        generated=generated,
        shifted=shifted if shifted is not None and math.isfinite(shifted) else None,
        **told,
    )


def _next(steps: int) -> int:
    """The steps of the evaluation after the one at `steps`."""
    return max(steps + 1, math.floor(steps * GROWTH))


def _judged(
    point: Point, workload: Workload, limit: int, budget_s: float
) -> tuple[str, str | None]:
    """The status that ends the trial here and its reason; "" while it goes on."""
    if point.metric is None or (point.steps and point.loss is None):
        return DIVERGED, f"the loss or the metric is no number at step {point.steps}"
    if workload.target.reached(point.metric):
        return REACHED, None
    if point.steps >= limit:
        return CENSORED, f"not reached in {limit} steps"
    if point.seconds >= budget_s:
        return CENSORED, f"not reached in {budget_s:g} s"
    return "", None


class _Running:
    """A model in training, its clock and what it has used up."""

    def __init__(
        self,
        trial: Trial,
        workload: Workload,
        meter: Meter,
        why: dict[str, str],
        team: Team,
    ):
        self._workload, self._trial, self._meter, self._why = workload, trial, meter, why
        self._team = team
        device = trial.device
        split = workload.data()
        train, self._validation = split.train.to(device), split.validation.to(device)
        warm = self._warm_up(train)
        self.model = workload.model(trial.seed).to(device)
        saved = team.saved()
        if saved:
            self.model.load_state_dict(saved["model"])
        self._step = _make(trial, workload, self.model, team)
        if isinstance(self._step, SecondOrder) and isinstance(warm, SecondOrder):
            self._step.counted_by(warm)
        self._batches = data.stream(workload, self.model, train, trial.batch, trial.seed)
        self._steps, self._flops = 0, 0.0
        self.communication_s = 0.0
        self._loss: torch.Tensor | None = None
        self.before: list[Point] = []  # the evaluations up to a checkpoint
        if saved:
            self._go_on(saved)
        _synchronize(device)
        self._start = time.perf_counter()

    def _warm_up(self, train: Batch) -> optimizers.Step:
        model = self._workload.model(self._trial.seed).to(self._trial.device)
        step = _make(self._trial, self._workload, model, self._team)
        step(self._team.part(data.sample(train, self._trial.batch, 0)))
        self._team.agreed(lambda: _metric(self._workload, model, self._validation))
        return step

    def metric(self, batch: Batch) -> float:
        """The workload's metric of the model as it is, on any batch."""
        return _metric(self._workload, self.model, batch)

    def _go_on(self, saved: dict[str, Any]) -> None:
        """From a checkpoint: what was done after it is done again, and neither its steps nor its
        seconds are counted twice."""
        self.before = [Point(*values) for values in saved["points"]]
        last = self.before[-1]
        self._steps, self._flops = last.steps, last.flops or 0.0
        self._meter.go_on(last.seconds, last.joules, saved["meter"])
        self.communication_s = saved["communication_s"]
        if isinstance(self._step, optimizers.Gradient):
            self._step.load_state_dicts(saved["optimizers"])
        if isinstance(self._batches, Resumable):
            self._batches.load_state_dict(saved["batches"])
        else:
            for _ in range(self._steps):
                next(self._batches)

    def save(self, points: list[Point]) -> None:
        """Leave a checkpoint where it can be gone on from: a second-order optimizer takes a few
        steps in all, and how a user's own batches go on may depend on anything."""
        step, batches = self._step, self._batches
        known = self._workload.batches is None or isinstance(batches, Resumable)
        if known and isinstance(step, optimizers.Gradient):
            self._team.save(
                lambda: {
                    "model": self.model.state_dict(),
                    "optimizers": step.state_dicts(),
                    "batches": batches.state_dict() if isinstance(batches, Resumable) else None,
                    "points": [list(vars(point).values()) for point in points],
                    "communication_s": self.communication_s,
                    "meter": self._meter.state,
                }
            )

    def evaluate(self) -> Point:
        loss = None if self._loss is None else float(self._team.mean(self._loss))
        return self._team.agreed(lambda: self._point(loss))

    def _point(self, loss: float | None) -> Point:
        metric = self.metric(self._validation)
        last = self.before[-1] if self.before else None
        return Point(
            steps=self._steps,
            samples=self._steps * self._trial.batch,
            flops=None if "flops" in self._why else self._flops,
            seconds=self._meter.seconds,
            seconds_inclusive=time.perf_counter()
            - self._start
            + (last.seconds_inclusive if last else 0.0),
            joules=self._meter.joules,
            loss=loss if loss is not None and math.isfinite(loss) else None,
            metric=metric if math.isfinite(metric) else None,
        )

    def train(self, until: int, budget_s: float) -> None:
        """Go on to step `until`, or to the end of the budget."""
        _synchronize(self._trial.device)
        self._team.communicated_s()
        end = time.perf_counter() + budget_s - self._meter.seconds
        with self._meter:
            while self._steps < until:
                batch = next(self._batches)
                self._loss = self._step(self._team.part(batch))
                self._steps += 1
                self._count(len(batch))
                if time.perf_counter() > end:
                    break
            _synchronize(self._trial.device)
        self.communication_s += self._team.communicated_s()

    def _count(self, size: int) -> None:
        if "flops" in self._why:
            return
        flops = self._workload.flops
        try:
            self._flops += self._step.flops(flops, size) + flops.draw * size
        except UnknownFlops as unknown:
            self._why["flops"] = str(unknown)


@torch.no_grad()
def _metric(workload: Workload, model: nn.Module, batch: Batch) -> float:
    return float(workload.metric(model, batch))


def _make(trial: Trial, workload: Workload, model: nn.Module, team: Team) -> optimizers.Step:
    loss = team.spread(model, workload.loss)
    return optimizers.make(trial.optimizer, model, loss, trial.learning_rate)


def _synchronize(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)
