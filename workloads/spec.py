"""What a workload file declares: data, model, loss, metric, target and analytic FLOPs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn


class Batch(NamedTuple):
    """Inputs and what is to be predicted from them; the first dimension of both is the sample.

    Attributes:
        x: [n, ...]; what the model takes.
        y: [n, ...]; e.g. class numbers int64 [n], or values [n, 1] in x's dtype.
    """

    x: Tensor
    y: Tensor

    def __len__(self) -> int:  # samples, not fields
        return self.x.shape[0]

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> Batch:
        """Both tensors on `device`; the floating ones in `dtype` where one is given."""

        def move(t: Tensor) -> Tensor:
            return t.to(device, dtype if dtype is not None and t.is_floating_point() else t.dtype)

        return Batch(move(self.x), move(self.y))


@runtime_checkable
class Resumable(Protocol):
    """Mini-batches that can go on from where they were, as an optimizer can; of tensors and plain
    values alone, as nothing else is read from a checkpoint."""

    def __next__(self) -> Batch: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, saved: dict[str, Any], /) -> None: ...


class Data(NamedTuple):
    """A seeded split, on the CPU; its floating tensors are float32.

    Attributes:
        train: what a trial learns from.
        validation: what the metric is given; never trained on.
    """

    train: Batch
    validation: Batch


@dataclass(frozen=True)
class Flops:
    """Analytic FLOPs of one sample, a multiply-add counting two; elementwise work not counted.

    The same convention as torch.utils.flop_counter, so that the two can be compared.

    Attributes:
        forward: of the loss.
        backward: of its gradient.
        draw: of making the sample itself, where the model has a part in that: an agent acts.
        answer: of the model's call alone, where the loss does more; None for `forward`.

    Raises:
        ValueError: one that is no int of 0 or more.
    """

    forward: int
    backward: int
    draw: int = 0
    answer: int | None = None

    def __post_init__(self) -> None:
        for name, given in vars(self).items():
            if given is not None and (type(given) is not int or given < 0):
                raise ValueError(f"FLOPs {name}: {given!r} is no int of 0 or more")

    @property
    def step(self) -> int:
        """Forward and backward of one sample, drawn beforehand."""
        return self.forward + self.backward

    @property
    def inference(self) -> int:
        """The model's call."""
        return self.forward if self.answer is None else self.answer


@dataclass(frozen=True)
class Target:
    """A validation value that ends a time-to-target trial.

    Attributes:
        metric: what the value is of, in words for reports, e.g. "validation cross-entropy".
        value: in the metric's own unit: nats, bits per character, a share, a return.
        lower_is_better: False for a share of right answers, or a return.
    """

    metric: str
    value: float
    lower_is_better: bool = True

    def reached(self, value: float) -> bool:
        """Whether `value` is as good as the target; NaN never is."""
        return value <= self.value if self.lower_is_better else value >= self.value


@dataclass(frozen=True)
class Workload:
    """One model type of the course.

    Models behave the same in train() and in eval(): whatever depends on the batch depends on it
    always (BatchNorm without running statistics), and nothing is dropped at random. So a step is
    one function of parameters and batch, which torch.func and CUDA graphs need.

    Attributes:
        name: the module's name; a variant's is "module/variant".
        data: () -> Data, the same for every call.
        model: seed -> a freshly initialised module in float32 on the CPU. Its call takes a
            batch's x.
        loss: (model, batch) -> scalar tensor, differentiable: the mean over the samples. Does
            not synchronise with the device and draws nothing at random.
        metric: (model, batch) -> scalar tensor, the validation metric of `target`, without a
            graph. `batch` is the validation set.
        target: the validation value to reach.
        flops: FLOPs of one sample.
        optimizer: its name in workloads.optimizers.
        learning_rate: the optimizer's, at `batch_size`.
        batch_size: samples a step.
        max_steps: a trial that has not reached the target by then is censored.
        floor: the best value the metric can take, where it is known, else None.
        batches: (model, train, size, seed) -> endless mini-batches for training, on the device
            of `train`; None for shuffled epochs of the training set (workloads.data.batches).
            An agent makes its own with the model as it then is. Where they are Resumable, a
            trial that died goes on from its checkpoint, else it starts over.
        shifted: () -> Batch: the validation set moved in place or time, where the claim is that
            the model bears it.
        generate: (model, seed) -> what a trained model writes, draws, answers or does, as text.
        own_kernels: whether loss and its gradient can run on this project's kernels in the
            place of torch's functions (workloads.own_kernels).

    Raises:
        ValueError: an optimizer that there is not, a learning rate that is no number above 0, or
            a batch size or number of steps below 1.
    """

    name: str
    data: Callable[[], Data]
    model: Callable[[int], nn.Module]
    loss: Callable[[nn.Module, Batch], Tensor]
    metric: Callable[[nn.Module, Batch], Tensor]
    target: Target
    flops: Flops
    optimizer: str
    learning_rate: float
    batch_size: int
    max_steps: int
    floor: float | None = None
    batches: Callable[[nn.Module, Batch, int, int], Iterator[Batch]] | None = None
    shifted: Callable[[], Batch] | None = None
    generate: Callable[[nn.Module, int], str] | None = None
    own_kernels: bool = False

    def __post_init__(self) -> None:
        from workloads import optimizers  # which builds on this module

        if self.optimizer not in optimizers.NAMES:
            known = ", ".join(optimizers.NAMES)
            raise ValueError(f"{self.name}: optimizer {self.optimizer!r} is none of {known}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"{self.name}: learning_rate must be a number above 0")
        for what in ("batch_size", "max_steps"):
            if getattr(self, what) < 1:
                raise ValueError(f"{self.name}: {what} must be 1 or more")
