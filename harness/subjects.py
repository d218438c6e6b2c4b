"""From what kernels and workloads declare to Comparisons that can be checked and timed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from harness import iterations
from harness.comparison import Comparison, Outputs
from kernels.spec import BACKWARD, FORWARD, FORWARD_BACKWARD, FORWARD_GRADIENT, Case, Operation
from workloads import data as datasets
from workloads.spec import Workload

Iteration = iterations.Inference | iterations.Step

TRAIN, INFERENCE, TRANSFER = "train", "inference", "transfer"
INTERPRETER = (
    "Triton kernels run on CUDA GPUs; that they are right is shown in their interpreter by the "
    "tests and by python -m harness check, and its time says nothing"
)
INTERPRETED = "TRITON_INTERPRET is set, and an interpreter's time says nothing: unset it"

NO_BACKWARD = "its gradient is made in its forward pass, where its input was"
NO_GRAPHS = "CUDA graphs are replayed by NVIDIA GPUs"
NO_TRANSFER = "the batch is in the CPU's memory already"


def of_operation(operation: Operation, case: Case, device: str) -> Comparison:
    """One case of a kernel on a device.

    In direction "forward+backward" a provider's outputs are the output and the gradient of
    each input that requires one, for a random gradient of the output; in "backward" they are
    the gradients, and the forward pass is done once for each set of inputs, outside of timing.
    "forward+gradient" is like "forward+backward" for a gradient of one.
    """
    wrapped = _WRAPPED[case.direction]

    def inputs(seed: int) -> tuple[Tensor, ...]:
        given = operation.inputs(case, device, seed)
        if case.direction in (FORWARD, FORWARD_GRADIENT):
            return given
        with torch.no_grad():
            shape = operation.reference(*given)
        generator = torch.Generator(device).manual_seed(seed + 2**31)
        grad = torch.randn(shape.shape, generator=generator, device=device, dtype=shape.dtype)
        return (*given, grad)

    def magnitude(*given: Tensor) -> Outputs:
        absolute = [t.detach().abs().requires_grad_(t.requires_grad) for t in given]
        return wrapped(operation.magnitude)(*absolute)

    cost, not_measured = operation.cost(case), _not_measured(operation, device)
    if case.direction == BACKWARD:
        not_measured |= dict.fromkeys(operation.in_place, NO_BACKWARD)
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
        not_measured=not_measured,
        in_place=operation.in_place,
    )


def of_workload(workload: Workload, direction: str, batch: int, device: str) -> Comparison:
    """Inference, a training step or the transfer of a batch, at one batch size.

    Providers of the first two: "eager"; "compile", torch.compile of the model or of the loss, with
    an eager optimizer; "graph", the whole of it replayed as a CUDA graph; "triton", eager on this
    project's kernels where the workload can. A training step's outputs are the loss and the
    parameters after it; every provider and the reference start from the same parameters and see
    the same batches.

    Raises:
        ValueError: the workload's model is not that of its seed.
    """
    train = workload.data().train
    if direction == TRANSFER:
        return _transfer(workload, batch, device)

    def inputs(seed: int) -> tuple[Tensor, ...]:
        drawn = datasets.sample(train, batch, seed).to(device)
        return tuple(drawn) if direction == TRAIN else (drawn.x,)

    kind = iterations.Step if direction == TRAIN else iterations.Inference
    make = functools.partial(kind, workload, batch, device)
    key = (workload, direction, batch)
    if key not in _BYTES:
        _BYTES[key] = _bytes(workload, make, inputs(0))
    flops = workload.flops.step if direction == TRAIN else workload.flops.inference
    providers: dict[str, Callable[[], Callable[..., Outputs]]] = {
        "eager": make,
        "compile": functools.partial(make, compiled=True),
        "graph": lambda: iterations.Graphed(make()),
    }
    if workload.own_kernels:
        providers["triton"] = lambda: iterations.OnOwnKernels(make())
    not_measured = {} if device == "cuda" else {"graph": NO_GRAPHS}
    return Comparison(
        kind="workload",
        subject=workload.name,
        case=f"batch{batch}-{direction}",
        dtype="float32",
        direction=direction,
        inputs=inputs,
        providers=providers,
        baseline="eager",
        reference=_later(make),
        truth=_later(functools.partial(make, dtype=torch.float64)),
        slack=_slack(workload, batch) if direction == TRAIN else 0.0,
        flops=flops * batch,
        bytes=_BYTES[key],
        batch=batch,
        not_measured=not_measured | _interpreted(("triton",), device),
    )


# Of an iteration, by workload, direction and batch: the same on every device and in every mode.
# Hundreds of cases are declared and then left out, and a model on a GPU takes its time.
_BYTES: dict[tuple[Workload, str, int], int] = {}


def _bytes(workload: Workload, make: Callable[[], Iteration], given: tuple[Tensor, ...]) -> int:
    """What an iteration reads and writes."""
    example = make()
    if not all(map(torch.equal, example.state(), make().state())):
        # or the reference would differ from the truth by as much, and every error be allowed
        raise ValueError(
            f"{workload.name}: the same seed gives two different models; seed torch's generator "
            "with it in `model`"
        )
    return sum(t.nbytes for t in (*given, *_tensors(example(*given)), *example.state()))


def _later(make: Callable[[], Callable[..., Outputs]]) -> Callable[..., Outputs]:
    """The function that `make` makes, once, when it is first called."""
    made = functools.cache(make)
    return lambda *given: made()(*given)


def _slack(workload: Workload, batch: int) -> float:
    """What an adaptive optimizer makes of rounding.

    It divides each gradient by its own running size, so one that is next to 0 and has few right
    digits moves its parameter by nearly a whole learning rate, in a direction that is rounding's.
    One step left out shows as a whole learning rate, and this is a fiftieth of it.
    """
    if workload.optimizer in ("gradient_descent", "sgd", "momentum", "nesterov"):
        return 0.0
    return iterations.learning_rate(workload, batch) / 50


def _transfer(workload: Workload, batch: int, device: str) -> Comparison:
    """A batch from the host's memory to the device's: what a speedup without it leaves out."""
    train = workload.data().train
    drawn = datasets.sample(train, batch, 0)

    def copied(*given: Tensor) -> Outputs:
        return tuple(t.to(device, copy=True) for t in given)

    return Comparison(
        kind="workload",
        subject=workload.name,
        case=f"batch{batch}-{TRANSFER}",
        dtype="float32",
        direction=TRANSFER,
        inputs=lambda seed: tuple(datasets.sample(train, batch, seed)),
        providers={"pageable": lambda: copied, "pinned": lambda: iterations.Pinned(device)},
        baseline="pageable",
        reference=copied,
        bytes=drawn.x.nbytes + drawn.y.nbytes,
        batch=batch,
        not_measured={} if device == "cuda" else dict.fromkeys(("pageable", "pinned"), NO_TRANSFER),
    )


def _not_measured(operation: Operation, device: str) -> dict[str, str]:
    """The providers that are Triton kernels, where those only run in the interpreter."""
    names = operation.triton
    if names is None:
        names = tuple(name for name in operation.providers if not name.startswith("torch"))
    return _interpreted(names, device)


def _interpreted(names: Iterable[str], device: str) -> dict[str, str]:
    import triton

    if device == "cuda" and not triton.knobs.runtime.interpret:
        return {}
    return dict.fromkeys(names, INTERPRETED if device == "cuda" else INTERPRETER)


def _plain(function: Callable[..., Tensor]) -> Callable[..., Outputs]:
    return function


def _with_gradients(function: Callable[..., Tensor]) -> Callable[..., Outputs]:
    def forward_backward(*given: Tensor) -> Outputs:
        *inputs, grad = given
        output = function(*inputs)
        wanted = [t for t in inputs if t.requires_grad]
        return (output, *torch.autograd.grad(output, wanted, grad))

    return forward_backward


def _with_unit_gradients(function: Callable[..., Tensor]) -> Callable[..., Outputs]:
    def forward_gradient(*inputs: Tensor) -> Outputs:
        output = function(*inputs)
        wanted = [t for t in inputs if t.requires_grad]
        return (output, *torch.autograd.grad(output, wanted, torch.ones_like(output)))

    return forward_gradient


def _kept_buffers() -> Any:
    """What torch.compile compiles meanwhile may go back more than once: its backward pass does not
    reuse the memory of what the forward pass kept for it."""
    import torch._functorch.config as functorch

    return functorch.patch(donated_buffer=False)


class _Gradients:
    """The gradients alone, of a forward pass kept from the last call with the same inputs.

    Autograd goes back on the stream that the forward pass ran on: on another one, such as that of
    a CUDA graph's capture, the pass is done anew.
    """

    def __init__(self, function: Callable[..., Tensor]):
        self._function = function
        self._inputs: tuple[Tensor, ...] = ()
        self._stream: object = None
        self._output: Tensor | None = None

    def __call__(self, *given: Tensor) -> Outputs:
        *inputs, grad = given
        stream = torch.cuda.current_stream() if grad.is_cuda else None
        same = len(self._inputs) == len(inputs) and self._stream == stream
        if not same or any(a is not b for a, b in zip(self._inputs, inputs, strict=True)):
            self._inputs, self._stream = tuple(inputs), stream
            with _kept_buffers():
                self._output = self._function(*inputs)
        assert self._output is not None
        wanted = [t for t in inputs if t.requires_grad]
        return torch.autograd.grad(self._output, wanted, grad, retain_graph=True)


_WRAPPED: dict[str, Callable[[Callable[..., Tensor]], Callable[..., Outputs]]] = {
    FORWARD: _plain,
    BACKWARD: _Gradients,
    FORWARD_BACKWARD: _with_gradients,
    FORWARD_GRADIENT: _with_unit_gradients,
}


def _tensors(outputs: Outputs) -> tuple[Tensor, ...]:
    return (outputs,) if isinstance(outputs, Tensor) else outputs
