"""What a workload file declares: data, model, loss, metric, target and analytic FLOPs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Batch(NamedTuple):
    """Inputs and what is to be predicted from them; the first dimension of both is the sample."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:  # samples, not fields
        return self.x.shape[0]

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> Batch:
        """Both tensors on `device`; the floating ones in `dtype` where one is given."""

        def move(t: Tensor) -> Tensor:
            return t.to(device, dtype if dtype is not None and t.is_floating_point() else t.dtype)

        return Batch(move(self.x), move(self.y))


class Data(NamedTuple):
    """A seeded split, on the CPU."""

    train: Batch
    validation: Batch


@dataclass(frozen=True)
class Flops:
    """Analytic FLOPs of one sample, a multiply-add counting two; elementwise work not counted.

    The same convention as torch.utils.flop_counter, so that the two can be compared.
    """

    forward: int
    backward: int

    @property
    def step(self) -> int:
        """Forward and backward of one sample."""
        return self.forward + self.backward


@dataclass(frozen=True)
class Target:
    """A validation value that ends a time-to-target trial."""

    metric: str
    value: float
    lower_is_better: bool = True


@dataclass(frozen=True)
class Workload:
    """One model type of the course.

    Attributes:
        name: the module's name.
        data: () -> Data, the same for every call.
        model: seed -> a freshly initialised module in float32 on the CPU.
        loss: (model, batch) -> scalar tensor, differentiable.
        metric: (model, batch) -> scalar tensor, the validation metric of `target`.
        target: the validation value to reach.
        flops: FLOPs of one sample.
        optimizer: parameters -> the torch optimizer of a plain training step.
        batch_size: samples a step that the optimizer's learning rate is meant for.
        max_steps: a trial that has not reached the target by then is censored.
        floor: the best value the metric can take, where it is known, else None.
    """

    name: str
    data: Callable[[], Data]
    model: Callable[[int], nn.Module]
    loss: Callable[[nn.Module, Batch], Tensor]
    metric: Callable[[nn.Module, Batch], Tensor]
    target: Target
    flops: Flops
    optimizer: Callable[..., torch.optim.Optimizer]
    batch_size: int
    max_steps: int
    floor: float | None = None
