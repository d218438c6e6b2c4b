"""python -m harness train: one trial as one watches it, and what the trained model then does."""

from __future__ import annotations

import importlib
import inspect
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

import workloads
from harness import environment, launch, own, ranks, training
from harness.curve import CURRENCIES, FAILED, REACHED, Curve, Point, Trial
from harness.team import ALONE, Team
from harness.words import count
from workloads import data, optimizers
from workloads.spec import Workload

_ROOM = 100  # columns of a terminal that has some for a bar


class CannotTrain(Exception):
    """What was asked for cannot be trained, in one line that says what to do."""


@dataclass(frozen=True)
class Options:
    """What the user asked for; None is the workload's own."""

    workload: str
    optimizer: str | None = None
    learning_rate: float | None = None
    batch: int | None = None
    steps: int | None = None
    seed: int = 0
    device: str = "cpu"
    files: dict[str, Path] = field(default_factory=dict)
    mnist: bool = False


def run(options: Options) -> int:
    """Train, show the progress, say what the target took and show what the model makes.

    Under torchrun all ranks train the one trial, and rank 0 tells of it.

    Returns:
        0 if the target was reached, else 1; under torchrun as launch.missed says.

    Raises:
        CannotTrain: an unknown workload, option, device or file, or what ranks cannot train.
    """
    workload = _workload(options)
    if options.device == "cuda" and not (found := environment.probe_gpu())[0]:
        raise CannotTrain(f"no CUDA device: {found[1]}; train on --device cpu")
    trial = Trial(
        workload.name,
        options.optimizer or workload.optimizer,
        options.batch or workload.batch_size,
        options.learning_rate or workload.learning_rate,
        options.seed,
        options.device,
    )
    _check(trial, workload)
    steps = options.steps or workload.max_steps
    if not launch.launched():
        return _tell(_watched(trial, workload, steps, ALONE))
    try:
        team = ranks.Ranks(options.device)
    except launch.CannotSpread as error:
        raise CannotTrain(str(error)) from None
    if why := team.why_not(trial, workload):
        raise CannotTrain(why)
    curve = _watched(trial, workload, steps, team)
    team.leave()
    return launch.missed(_told(curve)) if team.rank == 0 and _tell(curve) else 0


def _check(trial: Trial, workload: Workload) -> None:
    """What can be refused before anything is trained, or drawn for a batch of that size."""
    try:
        model = workload.model(trial.seed)
        optimizers.make(trial.optimizer, model, workload.loss, trial.learning_rate)
        data.stream(workload, model, workload.data().train, trial.batch, trial.seed)
    except Exception as error:  # a file of the user's own may raise any
        words = (str(error).strip().splitlines() or ["no message"])[0][:300]
        raise _refused(f"{type(error).__name__}: {words}") from None


def _refused(reason: str) -> CannotTrain:
    return CannotTrain(reason.removeprefix("ValueError: "))


def _tell(curve: Curve) -> int:
    if curve.status == FAILED:
        raise _refused(curve.reason or "")
    console = Console(highlight=False, soft_wrap=True)
    console.print(escape(_told(curve)))
    if curve.generated:
        console.print()
        console.print(escape(curve.generated))
    return 0 if curve.status == REACHED else 1


def _workload(options: Options) -> Workload:
    name, ours = options.workload, not options.workload.endswith(".py")
    try:
        workload = workloads.load(name) if ours else own.load(name)[0]
    except (ValueError, own.BadFile) as error:
        raise CannotTrain(str(error)) from None
    if not isinstance(workload, Workload):
        raise CannotTrain(f"{name} declares an OPERATION, and only a WORKLOAD is trained")
    if not options.files and not options.mnist:
        return workload
    module: Any = importlib.import_module(f"workloads.{name.partition('/')[0]}") if ours else None
    wanted = "mnist" if options.mnist else "from_files"
    given = "--mnist" if options.mnist else ", ".join(f"--{name}" for name in options.files)
    if not hasattr(module, wanted):
        raise CannotTrain(f"{options.workload} has no use for {given}")
    make, files = getattr(module, wanted), {} if options.mnist else options.files
    taken = inspect.signature(make).parameters
    if useless := [f"--{name}" for name in files if name not in taken]:
        raise CannotTrain(f"{options.workload} has no use for {', '.join(useless)}")
    needed = [name for name, one in taken.items() if one.default is one.empty]
    if lacking := [f"--{name}" for name in needed if name not in files]:
        raise CannotTrain(f"{options.workload} with {given} needs {', '.join(lacking)} too")
    try:
        return make(**files)
    except (ValueError, OSError) as error:
        raise CannotTrain(str(error)) from None


def _watched(trial: Trial, workload: Workload, steps: int, team: Team) -> Curve:
    target = workload.target
    screen = Console(stderr=True)  # what is trained goes to standard output, and may go to a file
    with Progress(
        # words are wrapped where there is no room, and no number is cut
        TextColumn("{task.description}", table_column=Column(ratio=1)),
        *([BarColumn(10)] if screen.width >= _ROOM else []),
        TextColumn("step {task.completed:,} of at most {task.total:,}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=screen,
        disable=team.rank > 0,
    ) as progress:
        task = progress.add_task(workload.name, total=steps)

        def show(point: Point) -> None:
            value = math.nan if point.metric is None else point.metric
            words = f"{workload.name}: {target.metric} {value:.4g} (target {target.value:g})"
            progress.update(task, completed=point.steps, description=escape(words))

        return training.run(trial, workload, max_steps=steps, on_point=show, team=team)


def _told(curve: Curve) -> str:
    trial = curve.trial
    setting = (
        f"{trial.workload}, {trial.optimizer}, batch {trial.batch}, learning rate "
        f"{trial.learning_rate:g}, seed {trial.seed}, on {curve.device_name} "
        f"({count(torch.get_num_threads(), 'thread')}), one trial"
    )
    if curve.backend:
        setting += f" on {count(curve.world_size, 'rank')} of {curve.hosts} ({curve.backend})"
        if curve.communication_share is not None:
            setting += f", {curve.communication_share:.0%} of the seconds with tensors on their way"
    if curve.status != REACHED:
        return f"{curve.status}: {curve.reason}. {setting}"
    parts = []
    for currency in CURRENCIES:
        value = curve.to_target(currency)
        parts.append(
            f"{currency} not known ({curve.why_unknown(currency)})"
            if value is None
            else _many(f"{value:.4g}", currency)
        )
    return f"{curve.metric} {curve.target:g} reached after {', '.join(parts)}. {setting}"


def _many(number: str, currency: str) -> str:
    return f"{number} {currency.removesuffix('s') if number == '1' else currency}"
