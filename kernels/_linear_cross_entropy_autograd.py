"""linear_cross_entropy to torch: its operators, and which gradients are kept for backward.

Gradients of the sum are made in the forward pass, and backward multiplies them by the upstream
gradient over the denominator: in place where the graph is freed, else into new memory. Or else it
makes the logits again; kernels/linear_cross_entropy.py says when and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kernels import _launch
from kernels import _linear_cross_entropy_chunks as chunks
from kernels._cross_entropy_loss import Loss
from kernels._cross_entropy_reduction import outputs, reduce


def check_runnable(operand: Tensor) -> None:
    """Refuses what would not run, or would run and be wrong.

    Raises:
        RuntimeError: as _launch.check_runnable and _launch.check_dot.
    """
    _launch.check_runnable("linear_cross_entropy", operand)
    _launch.check_dot("linear_cross_entropy", operand)


def _loss(
    target: Tensor, weight: Tensor | None, ignore_index: int, smoothing: float, bias: Tensor | None
) -> Loss:
    weight, bias = (t if t is None else t.contiguous() for t in (weight, bias))
    return Loss(target.contiguous(), weight, ignore_index, smoothing, bias)


@torch.library.custom_op("flopwise::linear_cross_entropy", mutates_args=())
def forward(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    linear_bias: Tensor | None,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
    needs: Sequence[bool],
) -> list[Tensor]:
    """cross_entropy's `outputs`, and the gradients of the sum that are needed.

    Operands as the public function has them; needs: whether of input, linear_weight, linear_bias.
    """
    check_runnable(input)
    classes = linear_weight.shape[0]
    out, statistics, denominator = outputs(input, reduction)
    loss = _loss(target, weight, ignore_index, label_smoothing, linear_bias)
    losses = out if reduction == "none" else statistics.new_empty(input.shape[0])
    gradients = chunks.by_chunk(input, linear_weight, loss, statistics, losses, needs)
    if reduction != "none":
        reduce(losses, loss, classes, reduction == "mean", out, denominator)
    return [out, statistics, denominator, *gradients]


@forward.register_fake
def _(input: Tensor, linear_weight: Tensor, *others: Any) -> list[Tensor]:
    *_, reduction, _, needs = others
    return [*outputs(input, reduction), *_empty_gradients(input, linear_weight, needs)]


def _empty_gradients(input: Tensor, linear_weight: Tensor, needs: Sequence[bool]) -> list[Tensor]:
    shapes = (input.shape, linear_weight.shape, linear_weight.shape[:1])
    return [input.new_empty(s) for s, needed in zip(shapes, needs, strict=True) if needed]


@torch.library.custom_op("flopwise::linear_cross_entropy_backward", mutates_args=())
def backward(
    grad: Tensor, denominator: Tensor, gradients: Sequence[Tensor], operands: Sequence[Tensor]
) -> list[Tensor]:
    """Gradients of the sum to gradients of the reduction, none of them in place.

    The operands differentiated are not read: they are here so that autograd knows that the result
    depends on them, and differentiating twice raises whatever grad is.
    """
    check_runnable(grad)
    scaled = [torch.empty_like(t) for t in gradients]
    for t, out in zip(gradients, scaled, strict=True):
        chunks.scale(t, grad, denominator, out)
    return scaled


@backward.register_fake
def _(
    grad: Tensor, denominator: Tensor, gradients: Sequence[Tensor], operands: Sequence[Tensor]
) -> list[Tensor]:
    return [torch.empty_like(t) for t in gradients]


@torch.library.custom_op(
    "flopwise::linear_cross_entropy_backward_in_place", mutates_args=("gradients",)
)
def backward_in_place(grad: Tensor, denominator: Tensor, gradients: Sequence[Tensor]) -> None:
    """The same in the memory of the gradients of the sum, which are written nowhere else."""
    check_runnable(grad)
    for t in gradients:
        chunks.scale(t, grad, denominator, t)


@backward_in_place.register_fake
def _(grad: Tensor, denominator: Tensor, gradients: Sequence[Tensor]) -> None:
    return None


@torch.library.custom_op("flopwise::linear_cross_entropy_backward_again", mutates_args=())
def backward_again(
    grad: Tensor,
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    linear_bias: Tensor | None,
    weight: Tensor | None,
    statistics: Tensor,
    denominator: Tensor,
    ignore_index: int,
    label_smoothing: float,
    needs: Sequence[bool],
) -> list[Tensor]:
    """The gradients needed, from logits made again and the statistics that forward left."""
    check_runnable(grad)
    loss = _loss(target, weight, ignore_index, label_smoothing, linear_bias)
    return chunks.by_chunk(input, linear_weight, loss, statistics, None, needs, grad, denominator)


@backward_again.register_fake
def _(grad: Tensor, input: Tensor, linear_weight: Tensor, *others: Any) -> list[Tensor]:
    return _empty_gradients(input, linear_weight, needs=others[-1])


def _save(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    input, linear_weight, target, linear_bias, weight, ignore_index = inputs[:6]
    reduction, smoothing, ctx.needs = inputs[6:]
    _, statistics, denominator, *gradients = output
    ctx.mark_non_differentiable(statistics, denominator, *gradients)
    ctx.set_materialize_grads(False)  # else zeros are made for these, as large as they are
    ctx.again = reduction == "none" or input.dtype == torch.float16
    if ctx.again:
        ctx.options = ignore_index, smoothing
        ctx.save_for_backward(
            input, linear_weight, target, linear_bias, weight, statistics, denominator
        )
    else:
        differentiated = zip((input, linear_weight, linear_bias), ctx.needs, strict=True)
        operands = [t for t, needed in differentiated if needed]
        ctx.save_for_backward(denominator, *gradients, *operands)


def _differentiate(ctx: Any, grads: list[Tensor | None]) -> tuple[Tensor | None, ...]:
    grad = grads[0]
    if grad is None:  # what follows the loss has no gradient either
        return (None,) * 9
    needs = ctx.needs
    if ctx.again:
        needs = [ctx.needs_input_grad[place] for place in (0, 1, 3)]
        made = iter(backward_again(grad, *ctx.saved_tensors, *ctx.options, needs))
    else:
        denominator, *saved = ctx.saved_tensors
        kept, operands = saved[: len(saved) // 2], saved[len(saved) // 2 :]
        if _launch.asked_once(grad):
            backward_in_place(grad, denominator, kept)
            made = iter(kept)
        else:
            made = iter(backward(grad, denominator, kept, operands))
    input, linear_weight, linear_bias = (next(made) if needed else None for needed in needs)
    return input, linear_weight, None, linear_bias, None, None, None, None, None


forward.register_autograd(_differentiate, setup_context=_save)
for _operator in (backward, backward_again):
    _launch.refuse_twice("linear_cross_entropy", _operator)
_launch.refuse_vmap("linear_cross_entropy", forward, backward, backward_in_place, backward_again)
