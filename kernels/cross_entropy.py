"""Cross-entropy of logits against class numbers, and its gradient.

Forward reads the logits once: the maximum and the sum of exponentials are carried along the
classes together, the sum rescaled whenever the maximum grows (Milakov and Gimelshein 2018, "Online
normalizer calculation for softmax", arXiv 1805.02867), in base 2, the hardware's own. It keeps
three float32 numbers a row. Backward reads the logits once more and writes the gradient: softmax is
made anew, never stored. The mean's denominator is summed on the device in a fixed order, so that
results repeat bit for bit (kernels/_cross_entropy_reduction.py); kernels/_cross_entropy_rows.py
has the other kernels and the formulas.

Versions, in order of cleverness; none timed on a GPU yet:
1. Several short rows, or a block of one long row, to a program; backward by tiles over rows and
   classes. This file.
2. Forward with a maximum and a sum for each thread, put together once a row:
   kernels/_cross_entropy_lanes.py, which has the static figures of both. Tried by tune, no default.
3. Long rows that do not start on 16 bytes (50257 classes) peeled, so that all but their ends is
   read and written 16 bytes at a time: kernels/_cross_entropy_peeled.py. Without options.
4. Forward and gradient in one pass over a persistent grid of one program a multiprocessor, a row
   still in L2 when it is read again: kernels/_cross_entropy_ahead.py, which says what that is
   predicted to buy and where it must lose. The provider "triton ahead", for the plain mean alone.

Where it should lose: few long rows leave multiprocessors idle in the forward pass, as a row is one
program's; with weights or smoothing, or from a view whose first logit is not on 16 bytes, rows that
are no multiple of 16 are read narrowly; logits whose classes are not contiguous, scattered.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels import _cross_entropy_ahead, _cross_entropy_builds, _launch
from kernels import _cross_entropy_rows as by_row
from kernels._cross_entropy_builds import choices as choices
from kernels._cross_entropy_inputs import peaks
from kernels._cross_entropy_loss import Loss, check_loss
from kernels._cross_entropy_magnitude import sizes, weighed
from kernels._cross_entropy_reduction import outputs, reduce
from kernels.spec import (
    BACKWARD,
    CUDA,
    FORWARD,
    FORWARD_BACKWARD,
    FORWARD_GRADIENT,
    FULL,
    Build,
    Case,
    Cost,
    Operation,
)


def reference(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """torch's cross_entropy, but NaN for rows whose target is no class, where torch raises.

    Arguments and result as the public function's, of any floating dtype. Such a row has no weight,
    so the mean's denominator leaves it out.
    """
    outside = (target != ignore_index) & ((target < 0) | (target >= input.shape[1]))
    poison = torch.zeros_like(target, dtype=input.dtype).masked_fill(outside, torch.nan)
    loss = F.cross_entropy(
        input + poison[:, None],  # an ignored row of NaN: its gradient is NaN
        target.masked_fill(outside, ignore_index),
        weight,
        ignore_index=ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )
    return loss + (poison if reduction == "none" else poison.sum())


def magnitude(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """S of the loss, in float64: `sizes` as the loss weighs and reduces its classes."""
    return weighed(sizes(input.double()), target, weight, ignore_index, reduction, label_smoothing)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Softmax cross-entropy, as torch.nn.functional.cross_entropy's of class numbers.

    Args:
        input: [rows, classes] logits; float32, float16 or bfloat16, any strides.
        target: [rows] int64. A number that is neither a class nor ignore_index makes the loss and
            the gradient of its row NaN; it is never read through.
        weight: [classes], of each class; input's dtype and device. Not differentiated.
        ignore_index: a target whose rows count for nothing.
        reduction: "none", "sum", or "mean": divided by the weights of the rows counted, so NaN
            where none is.
        label_smoothing: how much of the target is spread evenly over all classes, 0 to 1.

    Returns:
        [] or, for "none", [rows], in input's dtype, computed in float32.

    Raises:
        TypeError: an argument is not of these types or dtypes.
        ValueError: a shape, device or option does not fit, or weight requires a gradient.
        RuntimeError: CPU tensors outside Triton's interpreter, forward-mode differentiation, vmap,
            or differentiating twice.
    """
    _launch.check_operand("cross_entropy", "input", input, "[rows, classes]")
    options = (ignore_index, reduction, label_smoothing)
    check_loss("cross_entropy", input, input.shape[1], target, weight, *options)
    _launch.check_runnable("cross_entropy", input)
    loss, _, _ = _forward(input, target, weight, ignore_index, reduction, float(label_smoothing))
    return loss


def _loss(target: Tensor, weight: Tensor | None, ignore_index: int, smoothing: float) -> Loss:
    weight = None if weight is None else weight.contiguous()
    return Loss(target.contiguous(), weight, ignore_index, smoothing)


@torch.library.custom_op("flopwise::cross_entropy", mutates_args=())
def _forward(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> tuple[Tensor, Tensor, Tensor]:
    _launch.check_runnable("cross_entropy", input)
    out, statistics, denominator = outputs(input, reduction)
    loss = _loss(target, weight, ignore_index, label_smoothing)
    if reduction == "none":
        by_row.losses(input, loss, out, statistics)
    else:
        each = statistics.new_empty(input.shape[0])
        by_row.losses(input, loss, each, statistics)
        reduce(each, loss, input.shape[1], reduction == "mean", out, denominator)
    return out, statistics, denominator


@_forward.register_fake
def _(input: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor]:
    *_, reduction, _ = others
    return outputs(input, reduction)


@torch.library.custom_op("flopwise::cross_entropy_backward", mutates_args=())
def _backward(
    grad: Tensor,
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    statistics: Tensor,
    denominator: Tensor,
    ignore_index: int,
    label_smoothing: float,
) -> Tensor:
    _launch.check_runnable("cross_entropy", grad)
    out = input.new_empty(input.shape)
    loss = _loss(target, weight, ignore_index, label_smoothing)
    by_row.gradients(input, loss, statistics, out, grad, denominator)
    return out


@_backward.register_fake
def _(grad: Tensor, input: Tensor, *others: Any) -> Tensor:
    return input.new_empty(input.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    input, target, weight, ctx.ignore_index, _, ctx.label_smoothing = inputs
    _, statistics, denominator = output
    ctx.mark_non_differentiable(statistics, denominator)
    ctx.set_materialize_grads(False)  # none is made of zeros for these
    ctx.save_for_backward(input, target, weight, statistics, denominator)


def _differentiate(
    ctx: Any, grad: Tensor | None, *others: Tensor | None
) -> tuple[Tensor | None, ...]:
    if grad is None:  # what follows the loss has no gradient either
        return (None,) * 6
    gradient = _backward(grad, *ctx.saved_tensors, ctx.ignore_index, ctx.label_smoothing)
    return gradient, None, None, None, None, None


_forward.register_autograd(_differentiate, setup_context=_save)
_launch.refuse_twice("cross_entropy", _backward)
_launch.refuse_vmap("cross_entropy", _forward, _backward)


def inputs(case: Case, device: str, seed: int) -> tuple[Tensor, Tensor]:
    """Normally distributed logits, one a row raised, and evenly drawn targets; by seed, device."""
    generator = torch.Generator(device).manual_seed(seed)
    rows, classes = case.shape["R"], case.shape["C"]
    dtype = getattr(torch, case.dtype)
    input = torch.randn((rows, classes), generator=generator, device=device, dtype=dtype)
    at, height = peaks(rows, classes, generator)
    input[torch.arange(rows, device=device), at] += height.to(dtype)
    target = torch.randint(classes, (rows,), generator=generator, device=device)
    return input.requires_grad_(case.direction != FORWARD), target


def cost(case: Case) -> Cost:
    """Forward, for a logit: compare, subtract, scale, exponential and add. Backward: subtract,
    scale, exponential, divide, and the target subtracted; an exponential counts as one.

    Bytes: the logits and targets read, and one loss written; backward reads the loss's gradient,
    the logits and the targets again and writes the logits' gradient. Forward with the
    gradient for an upstream gradient of one has no reason to read anything twice.
    """
    rows, classes = case.shape["R"], case.shape["C"]
    element = getattr(torch, case.dtype).itemsize
    logits, targets = rows * classes * element, rows * 8
    forward = Cost(5 * rows * classes, logits + targets + element)
    backward = Cost(5 * rows * classes, element + logits + targets + logits)
    if case.direction == FORWARD_GRADIENT:
        return Cost(forward.flops + backward.flops, forward.bytes + logits)
    if case.direction == FORWARD_BACKWARD:
        return Cost(forward.flops + backward.flops, forward.bytes + backward.bytes)
    return forward if case.direction == FORWARD else backward


def _case(rows: int, classes: int, dtype: str, direction: str = FORWARD, **more: Any) -> Case:
    return Case({"R": rows, "C": classes}, dtype, direction, **more)


CASES = (
    _case(256, 8192, "float32"),
    _case(256, 8192, "float32", FORWARD_BACKWARD),
    _case(64, 50257, "float32"),
    _case(8192, 32768, "bfloat16", **CUDA),
    _case(8192, 32768, "bfloat16", BACKWARD, **CUDA),
    _case(4096, 128256, "bfloat16", **CUDA),
    _case(4096, 128256, "bfloat16", FORWARD_BACKWARD, **CUDA),
    _case(4096, 128256, "bfloat16", FORWARD_GRADIENT, **CUDA),
    _case(8192, 50257, "bfloat16", FORWARD_BACKWARD, **CUDA),
    _case(8192, 32768, "bfloat16", FORWARD_BACKWARD, **CUDA, **FULL),
    _case(8192, 32768, "bfloat16", FORWARD_GRADIENT, **CUDA, **FULL),
    _case(4096, 128256, "bfloat16", BACKWARD, **CUDA, **FULL),
    _case(8192, 50257, "bfloat16", **CUDA, **FULL),
    _case(8192, 50257, "bfloat16", BACKWARD, **CUDA, **FULL),
    _case(8192, 32768, "float16", FORWARD_BACKWARD, **CUDA, **FULL),
    _case(8192, 32768, "float32", FORWARD_BACKWARD, **CUDA, **FULL),
    _case(65536, 1000, "float32", FORWARD_BACKWARD, **CUDA, **FULL),
    _case(256, 8192, "float32", BACKWARD, **FULL),
    _case(256, 8192, "float32", FORWARD_GRADIENT, **FULL),
    _case(2048, 32768, "float32", FORWARD_BACKWARD, **FULL),
)


def _liger() -> Callable[..., Tensor]:
    """liger-kernel's. It makes the gradient in its forward pass, so that "forward+gradient" is the
    work to compare it on; it writes it over the logits, which are lost."""
    return importlib.import_module("liger_kernel.transformers.functional").liger_cross_entropy


PROVIDERS: dict[str, Callable[[], Callable[..., Tensor]]] = {
    "torch": lambda: F.cross_entropy,
    "triton": lambda: cross_entropy,
    "triton ahead": lambda: _cross_entropy_ahead.mean_loss,
    "torch.compile": lambda: torch.compile(F.cross_entropy, dynamic=False),
    "torch.compile max-autotune": lambda: torch.compile(
        F.cross_entropy, dynamic=False, mode="max-autotune-no-cudagraphs"
    ),
    "liger in place": _liger,
}


def builds(architecture: str) -> list[Build]:
    """The same on every architecture: plain loads, no matrix instructions."""
    rows = _cross_entropy_builds.builds(("scalar", "rows"))
    return [*rows, *_cross_entropy_ahead.builds()]


OPERATION = Operation(
    "cross_entropy", reference, magnitude, inputs, cost, CASES, PROVIDERS, builds=builds,
    in_place=("liger in place",),
)  # fmt: skip
