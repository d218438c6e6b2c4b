"""One trial over torchrun's ranks, with DistributedDataParallel between them.

    torchrun --nproc-per-node 8 -m harness sweep mlp_classification --device cuda
    torchrun --nproc-per-node 8 -m harness train transformer_char --device cuda --batch 512

Every rank draws the same global batch and takes its part of it, so that steps, samples and losses
are those of one process, but for the order of additions: the setting's batch is the global one.
Rank 0 evaluates, decides and writes; the others do as it says. Gradients go over NCCL between GPUs,
one for each rank, and over gloo between CPUs.

What goes wrong in all ranks alike ends the trial as failed, as in one process. A rank that goes
wrong alone, or dies, takes the others with it, and torchrun's agent starts all of them again
(--max-restarts): the run goes on, the trial from its last checkpoint.

Source: Li et al. 2020, "PyTorch Distributed: Experiences on Accelerating Data Parallel Training",
arXiv 2006.15704.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from harness import checkpoint, launch, training, trials
from harness.checkpoint import Checkpoint
from harness.curve import Curve, Trial
from harness.traffic import Traffic
from harness.trials import Job
from workloads import load, optimizers
from workloads.spec import Batch, Workload

GRACE_S = 10.0  # until all ranks that go wrong alike have done so
_GONE = 2**40  # more than any number of ranks

T = TypeVar("T")


class Ranks:
    """This process as one of several: a harness.team.Team, and the engine of a sweep.

    Args:
        device: "cpu", or "cuda" for the GPU of the local rank's number.

    Raises:
        CannotSpread: as launch.join does.
    """

    def __init__(self, device: str):
        self._cuda = device == "cuda"
        self.backend = "nccl" if self._cuda else "gloo"
        self.rank, self.size, self._store = launch.join(device)
        self.host = socket.gethostname()
        there: list[Any] = [None] * self.size
        distributed.all_gather_object(there, (self.host, launch.agent()))
        self._hosts = ",".join(sorted({host for host, _ in there}))
        self._agents = sorted({agent for _, agent in there})
        self._folder: Path | None = None
        self._checkpoint: Checkpoint | None = None
        self._group: Any = None
        self._count = 0
        self._synchronised = False
        self._traffic = Traffic(self._cuda)

    # a sweep's engine

    def started(self, run: Path) -> None:
        """Checkpoints go to this run's folder, and a restart of this launch goes on with it."""
        self._folder = run
        launch.mark(run, self._agents)

    def engine(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Curve]]:
        """One trial after the other, each on all ranks; for rank 0, while the others `serve`.

        Raises:
            Refused: a trial that cannot be spread.
        """
        for job in jobs:
            why = self.why_not(job.trial, job.own or load(job.trial.workload))
            if why:
                raise trials.Refused(why)
            distributed.broadcast_object_list([job], device=torch.device("cpu"))
            yield job, self._run(job)
            if self._checkpoint:  # the curve is on disk
                self._checkpoint.discard()

    def serve(self) -> None:
        """Train what rank 0 has to train, until it is done."""
        while True:
            received: list[Any] = [None]
            distributed.broadcast_object_list(received, device=torch.device("cpu"))
            if received[0] is None:
                return
            self._run(received[0])

    def dismiss(self) -> None:
        """Rank 0 is done."""
        distributed.broadcast_object_list([None], device=torch.device("cpu"))

    def leave(self) -> None:
        """The process has nothing to do with the others any more."""
        # a thread of a group that lives on while Python ends would abort the process
        gc.collect()
        distributed.destroy_process_group()

    def _run(self, job: Job) -> Curve:
        if self._folder:
            of = [dataclasses.asdict(job.trial), self.size]
            self._checkpoint = Checkpoint(self._folder / checkpoint.FILE, json.dumps(of))
        return training.run(job.trial, job.own, max_steps=job.max_steps, show=job.show, team=self)

    def why_not(self, trial: Trial, workload: Workload) -> str:
        """Why a trial cannot be spread over these ranks, in one line; "" where it can."""
        if self.size == 1:
            return ""
        ranks = f"{self.size} ranks"
        if trial.batch % self.size:
            return f"{ranks} cannot share a batch of {trial.batch} evenly"
        if trial.optimizer in (*optimizers.SECOND_ORDER, "lbfgs"):
            return f"{ranks}: {trial.optimizer} looks at the loss of the whole batch, not at means"
        for module in workload.model(trial.seed).modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
                kind = type(module).__name__
                return (
                    f"{ranks}: torch's {kind} would not see the whole batch; give the model a "
                    "workloads.deep_mlp.BatchNorm"
                )
        return ""

    # a trial's team

    def __enter__(self) -> None:
        # a group of its own: a trial that fails leaves nothing in the next one's way
        self._count += 1
        self._group = distributed.new_group()

    def __exit__(self, kind: type | None, error: BaseException | None, *_: Any) -> None:
        if error is None:
            distributed.destroy_process_group(self._group)
            self._group = None
        if not isinstance(error, Exception):
            return
        if not self._all_failed():
            told = f"rank {self.rank} of {self.size}: {error}"
            print(told, file=sys.stderr, flush=True)
            launch.tell(told)
            # not by sys.exit, which would wait for what this rank has sent and nobody will answer
            os._exit(1)

    def _all_failed(self) -> bool:
        """Whether all ranks say within the time of grace that something went wrong."""
        count, end = f"failed/{self._count}", time.perf_counter() + GRACE_S
        failed = self._store.add(count, 1)
        while failed != self.size and time.perf_counter() < end:
            time.sleep(0.02)
            failed = self._store.add(count, 0)
        if failed != self.size:
            # who comes later, because this rank has gone, must not count it
            failed = self._store.add(count, -_GONE) + _GONE
            if failed == self.size:  # they came at the last moment, and think that it stays
                self._store.add(count, _GONE)
        return failed == self.size

    def spread(self, model: nn.Module, loss: optimizers.Loss) -> optimizers.Loss:
        """The mean over all ranks in gradients: DistributedDataParallel around model and loss, as a
        loss may use more of a model than its call."""
        for module in model.modules():
            local: Any = getattr(module, "batch_mean", None)
            if local:
                setattr(module, "batch_mean", functools.partial(self._batch_mean, local))  # noqa: B010
        spread = nn.parallel.DistributedDataParallel(_Loss(model, loss), process_group=self._group)
        spread.broadcast_buffers = False  # they are constants
        # the hook's annotations may not be text, which they are in a module like these
        average = self._traffic.average
        spread.register_comm_hook(self._group, lambda group, bucket: average(group, bucket))

        def spread_loss(_: nn.Module, batch: Batch) -> Tensor:
            with self._synchronising():
                return spread(batch.x, batch.y)

        return spread_loss

    @contextlib.contextmanager
    def _synchronising(self) -> Iterator[None]:
        self._synchronised = True
        try:
            yield
        finally:
            self._synchronised = False

    def _batch_mean(self, local: Callable[[Tensor], Tensor], h: Tensor) -> Tensor:
        mean = local(h)
        # evaluation is rank 0's alone
        return _Mean.apply(mean, self) if self._synchronised else mean

    def part(self, batch: Batch) -> Batch:
        """This rank's samples of the global batch."""
        each = len(batch) // self.size
        mine = slice(self.rank * each, (self.rank + 1) * each)
        return Batch(batch.x[mine], batch.y[mine])

    def mean(self, value: Tensor) -> Tensor:
        """Over all ranks; waits for them."""
        return self._traffic.mean(value, self._group)

    def agreed(self, make: Callable[[], T]) -> T:
        """What rank 0 makes, on all ranks; what it raises is raised on all."""
        made: list[Any] = [None, ""]
        raised: Exception | None = None
        if self.rank == 0:
            try:
                made[0] = make()
            except Exception as error:
                raised = error
                made[1] = f"{type(error).__name__} on rank 0"
        distributed.broadcast_object_list(made, group=self._group, device=torch.device("cpu"))
        if made[1]:
            raise raised or RuntimeError(made[1])
        return made[0]

    def saved(self) -> dict[str, Any] | None:
        """Rank 0's checkpoint of the trial, on all ranks; None where there is none."""
        state = self.agreed(lambda: self._checkpoint.load() if self._checkpoint else None)
        if state and self.rank == 0:
            steps = state["points"][-1][0]
            print(f"going on from the checkpoint at step {steps}", file=sys.stderr, flush=True)
        return state

    def save(self, make: Callable[[], dict[str, Any]]) -> None:
        """Rank 0 leaves a checkpoint, where it is time for one."""
        if self.rank == 0 and self._checkpoint and self._checkpoint.due:
            self._checkpoint.save(make())

    def communicated_s(self) -> float:
        """Seconds since the last call in which tensors were on their way (harness.traffic)."""
        return self._traffic.seconds()

    def told(self, communication_s: float, seconds: float) -> dict[str, Any]:
        """The fields of a curve that are about the ranks."""
        return {
            "world_size": self.size,
            "backend": self.backend,
            "host": self.host,
            "hosts": self._hosts,
            "communication_share": communication_s / seconds if seconds > 0 else None,
        }

    def unknown(self) -> dict[str, str]:
        """Energy: each counter is of one device, and they are not added up."""
        if self.size == 1:
            return {}
        return {"joules": f"the energy of {self.size} ranks is not added up"}


class _Loss(nn.Module):
    """The loss of a model, as a module that DistributedDataParallel can call."""

    def __init__(self, model: nn.Module, loss: optimizers.Loss):
        super().__init__()
        self.model, self._loss = model, loss

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self._loss(self.model, Batch(x, y))


class _Mean(torch.autograd.Function):
    """The mean over ranks of what each has, and the mean over ranks of its gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return ranks.mean(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        # all ranks' losses depend on each rank's value; DistributedDataParallel divides by the
        # number of ranks once more, as it should
        return ctx.ranks.mean(gradients[0]), None
