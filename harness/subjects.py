"""From what kernels and workloads declare to Comparisons that can be checked and timed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from harness.comparison import Comparison, Outputs
from kernels.spec import BACKWARD, FORWARD, FORWARD_BACKWARD, Case, Operation
from workloads import data as datasets
from workloads import optimizers
from workloads.spec import Batch, Workload

TRAIN, INFERENCE = "train", "inference"
INTERPRETER = (
    "Triton kernels run on CUDA GPUs; on a CPU their interpreter shows that they are right, "
    "and its time says nothing"
)


def of_operation(operation: Operation, case: Case, device: str) -> Comparison:
    """One case of a kernel on a device.

    In direction "forward+backward" a provider's outputs are the output and the gradient of
    each input that requires one, for a random gradient of the output; in "backward" they are
    the gradients, and the forward pass is done once for each set of inputs, outside of timing.
    """
    wrapped = _WRAPPED[case.direction]

    def inputs(seed: int) -> tuple[Tensor, ...]:
        given = operation.inputs(case, device, seed)
        if case.direction == FORWARD:
            return given
        with torch.no_grad():
            shape = operation.reference(*given)
        generator = torch.Generator(device).manual_seed(seed + 2**31)
        grad = torch.randn(shape.shape, generator=generator, device=device, dtype=shape.dtype)
        return (*given, grad)

    def magnitude(*given: Tensor) -> Outputs:
        absolute = [t.detach().abs().requires_grad_(t.requires_grad) for t in given]
        return wrapped(operation.magnitude)(*absolute)

    cost = operation.cost(case)
    return Comparison(
        kind="kernel",
        subject=operation.name,
        case=case.name,
        dtype=case.dtype,
        direction=case.direction,
        inputs=inputs,
        providers={
            name: functools.partial(lambda build: wrapped(build()), build)
            for name, build in operation.providers.items()
        },
        baseline=operation.baseline,
        reference=wrapped(operation.reference),
        magnitude=magnitude,
        flops=cost.flops,
        bytes=cost.bytes,
        not_measured=_not_measured(operation, device),
    )


def of_workload(workload: Workload, direction: str, batch: int, device: str) -> Comparison:
    """Inference or a training step of a workload at one batch size.

    Providers: "eager", and "compile": torch.compile of the model or of the loss, with an eager
    optimizer. A training step's outputs are the loss and the parameters after it; every
    provider and the reference start from the same parameters and see the same batches.
    """
    train = workload.data().train

    def inputs(seed: int) -> tuple[Tensor, ...]:
        drawn = datasets.sample(train, batch, seed).to(device)
        return tuple(drawn) if direction == TRAIN else (drawn.x,)

    make = functools.partial(_Step if direction == TRAIN else _Inference, workload, batch, device)
    example = make(torch.float32)
    moved = [*inputs(0), *_tensors(example(*inputs(0))), *example.state()]
    flops = workload.flops.step if direction == TRAIN else workload.flops.forward
    return Comparison(
        kind="workload",
        subject=workload.name,
        case=f"batch{batch}-{direction}",
        dtype="float32",
        direction=direction,
        inputs=inputs,
        providers={"eager": make, "compile": functools.partial(make, compiled=True)},
        baseline="eager",
        reference=_ByDtype(make),
        flops=flops * batch,
        bytes=sum(t.nbytes for t in moved),
        batch=batch,
    )


class _Inference:
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

    def state(self) -> list[Tensor]:
        """What an iteration reads besides its inputs."""
        return list(self.model.parameters())


class _Step:
    """One training step after the other: loss, gradients, update.

    The learning rate is the workload's, scaled down with the batch (Goyal et al. 2017, arXiv
    1706.02677) so that thousands of timed steps on one small batch do not diverge.
    """

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
            workload.learning_rate * min(1.0, batch / workload.batch_size),
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


class _ByDtype:
    """A reference with a state for each dtype: float64 for the truth, the case's for its error."""

    def __init__(self, make: Callable[[torch.dtype], Any]):
        self._make = make
        self._made: dict[torch.dtype, Any] = {}

    def __call__(self, x: Tensor, *rest: Tensor) -> Outputs:
        if x.dtype not in self._made:
            self._made[x.dtype] = self._make(x.dtype)
        return self._made[x.dtype](x, *rest)


def _not_measured(operation: Operation, device: str) -> dict[str, str]:
    """The providers that are Triton kernels, where those only run in the interpreter."""
    import triton

    if device == "cuda" and not triton.knobs.runtime.interpret:
        return {}
    return {name: INTERPRETER for name in operation.providers if not name.startswith("torch")}


def _plain(function: Callable[..., Tensor]) -> Callable[..., Outputs]:
    return function


def _with_gradients(function: Callable[..., Tensor]) -> Callable[..., Outputs]:
    def forward_backward(*given: Tensor) -> Outputs:
        *inputs, grad = given
        output = function(*inputs)
        wanted = [t for t in inputs if t.requires_grad]
        return (output, *torch.autograd.grad(output, wanted, grad))

    return forward_backward


class _Gradients:
    """The gradients alone, of a forward pass kept from the last call with the same inputs."""

    def __init__(self, function: Callable[..., Tensor]):
        self._function = function
        self._inputs: tuple[Tensor, ...] = ()
        self._output: Tensor | None = None

    def __call__(self, *given: Tensor) -> Outputs:
        *inputs, grad = given
        same = len(self._inputs) == len(inputs)
        if not same or any(a is not b for a, b in zip(self._inputs, inputs, strict=True)):
            self._inputs, self._output = tuple(inputs), self._function(*inputs)
        assert self._output is not None
        wanted = [t for t in inputs if t.requires_grad]
        return torch.autograd.grad(self._output, wanted, grad, retain_graph=True)


_WRAPPED: dict[str, Callable[[Callable[..., Tensor]], Callable[..., Outputs]]] = {
    FORWARD: _plain,
    BACKWARD: _Gradients,
    FORWARD_BACKWARD: _with_gradients,
}


def _tensors(outputs: Outputs) -> tuple[Tensor, ...]:
    return (outputs,) if isinstance(outputs, Tensor) else outputs
