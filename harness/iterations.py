"""One iteration of a workload, by each provider: inference, a training step, a transfer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from harness.clocks import WARM_UP, recorded
from harness.comparison import Outputs
from workloads import optimizers
from workloads.own_kernels import own_kernels
from workloads.spec import Batch, Workload


def learning_rate(workload: Workload, batch: int) -> float:
    """The workload's, scaled down with a smaller batch (Goyal et al. 2017, arXiv 1706.02677), so
    that thousands of timed steps on one small batch do not diverge."""
    return workload.learning_rate * min(1.0, batch / workload.batch_size)


class Inference:
    """The model's answer to a batch, without gradients."""

    def __init__(
        self,
        workload: Workload,
        batch: int,
        device: str,
        dtype: torch.dtype = torch.float32,
        compiled: bool = False,
    ):
        self.model = workload.model(0).to(device, dtype).eval()
        self.call: Callable[..., Tensor] = (
            torch.compile(self.model, dynamic=False) if compiled else self.model
        )

    def __call__(self, x: Tensor) -> Outputs:
        with torch.no_grad():
            return self.call(x)

    def reset(self) -> None:
        """Nothing to set back."""

    def state(self) -> list[Tensor]:
        """What an iteration reads besides its inputs."""
        return list(self.model.parameters())


class Step:
    """One training step after the other: loss, gradients, update."""

    def __init__(
        self,
        workload: Workload,
        batch: int,
        device: str,
        dtype: torch.dtype = torch.float32,
        compiled: bool = False,
    ):
        self.model = workload.model(0).to(device, dtype)
        self.parameters = list(self.model.parameters())
        loss: Callable[[nn.Module, Batch], Tensor] = workload.loss
        self.step = optimizers.make(
            workload.optimizer,
            self.model,
            torch.compile(loss, dynamic=False) if compiled else loss,
            learning_rate(workload, batch),
            capturable=device == "cuda",  # so that a CUDA graph can hold it
        )
        self._initial = [p.detach().clone() for p in self.parameters]

    def __call__(self, x: Tensor, y: Tensor) -> Outputs:
        return (self.step(Batch(x, y)), *self.parameters)

    def reset(self) -> None:
        """Back to the start, in place: a model trained for long on one batch has gradients that
        are zero or denormal, and steps that cost something else."""
        with torch.no_grad():
            for parameter, initial in zip(self.parameters, self._initial, strict=True):
                parameter.copy_(initial)
            for kept in self.step.state():
                kept.zero_()

    def state(self) -> list[Tensor]:
        """What an iteration reads and writes: the parameters once more than the outputs count
        them, and the optimizer's state twice."""
        return [*self.parameters, *self.step.state() * 2]


class Graphed:
    """An iteration captured once as a CUDA graph, then replayed: one launch for all kernels.

    The inputs are copied into the graph's own, which is part of the time. Where the iteration is
    being captured itself (mode graph) it adds its work to that graph.
    """

    def __init__(self, iteration: Inference | Step):
        self._iteration = iteration
        self._replay: Callable[[], object] | None = None
        self._inputs: tuple[Tensor, ...] = ()
        self._outputs: Outputs = ()

    def __call__(self, *inputs: Tensor) -> Outputs:
        if torch.cuda.is_current_stream_capturing():
            return self._iteration(*inputs)
        if self._replay is None:
            self._replay = self._captured(inputs)
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._replay()
        return self._outputs

    def _captured(self, inputs: tuple[Tensor, ...]) -> Callable[[], object]:
        self._inputs = tuple(t.clone() for t in inputs)

        def prepare() -> None:
            for _ in range(WARM_UP):
                self._iteration(*self._inputs)
            self.reset()

        def work() -> None:
            self._outputs = self._iteration(*self._inputs)

        return recorded(prepare, work)

    def reset(self) -> None:
        """Back to the start, in place, where the graph finds it."""
        self._iteration.reset()


class OnOwnKernels:
    """An iteration on this project's kernels in the place of torch's functions."""

    def __init__(self, iteration: Inference | Step):
        self._iteration = iteration

    def __call__(self, *inputs: Tensor) -> Outputs:
        with own_kernels():
            return self._iteration(*inputs)

    def reset(self) -> None:
        """Back to the start."""
        self._iteration.reset()


class Pinned:
    """Copies inputs to a GPU from page-locked memory, which its copy engine reads by itself.

    Locking the pages is done once for each set of inputs, not timed but for the first.
    """

    def __init__(self, device: str):
        self._device = device
        self._given: tuple[Tensor, ...] = ()
        self._locked: list[Tensor] = []

    def __call__(self, *inputs: Tensor) -> Outputs:
        known = len(inputs) == len(self._given)
        if not known or any(a is not b for a, b in zip(inputs, self._given, strict=True)):
            self._given, self._locked = inputs, [t.pin_memory() for t in inputs]
        return tuple(t.to(self._device, non_blocking=True) for t in self._locked)
