"""Cross-entropy with its gradient made in the forward pass, over rows still in L2.

One program a multiprocessor takes row after row: the losses' pass along the classes, then the
gradient's over the same row, which the device's memory is asked for once. The gradient is that for
an upstream gradient of one, its mean's denominator counted before; backward multiplies it in place
by another, and does nothing where it is one (a retained graph gets a copy).

Predicted, not measured: with an upstream gradient of one, 2 instead of 3 times the logits' bytes,
so at best 0.67 of version 1's time, if the rows in flight stay in L2 (132 rows of 128256 bfloat16
are 34 MB; an H200 has 60). With any other gradient 4 instead of 3 times. Hence it is a provider of
its own and not what `cross_entropy` does. On sm_90 it needs 64 registers and no spills.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels import _cross_entropy_builds, _launch
from kernels._cross_entropy_loss import Loss
from kernels._cross_entropy_reduction import reduce
from kernels._cross_entropy_rows import _gradients, _losses
from kernels._cross_entropy_tiles import Config
from kernels.spec import TRITON_TYPES, Build


@triton.jit
def _ahead_kernel(
    input_ptr, target_ptr, weight_ptr, bias_ptr, loss_ptr, denominator_ptr, out_ptr,
    rows, classes, stride_row, stride_class, ignore_index, keep, share,
    WEIGHTED: tl.constexpr, SMOOTHED: tl.constexpr, BIASED: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """One program: every so many rows, their losses and then their gradients; BLOCK_R is 1."""
    grad = tl.full((BLOCK_R,), 1.0, dtype=tl.float32) / tl.load(denominator_ptr)
    for first in range(tl.program_id(0), rows, tl.num_programs(0)):
        row = tl.cast(first, tl.int64) + tl.arange(0, BLOCK_R)  # [BLOCK_R]
        maximum, total, mass = _losses(
            input_ptr, target_ptr, weight_ptr, bias_ptr, loss_ptr, row,
            rows, classes, classes, stride_row, stride_class, ignore_index, keep, share,
            WEIGHTED, SMOOTHED, BIASED, BLOCK_R, BLOCK_C, "evict_last",
        )  # fmt: skip
        target = tl.load(target_ptr + row)
        for tile in range((classes - 1) // BLOCK_C + 1):
            column = tl.cast(tile, tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)  # [BLOCK_C]
            _gradients(
                input_ptr, weight_ptr, bias_ptr, out_ptr, row, column, target,
                grad, maximum, total, mass,
                rows, classes, classes, stride_row, stride_class, classes, ignore_index, keep,
                share, WEIGHTED, SMOOTHED, BIASED, BLOCK_R, "evict_first",
            )  # fmt: skip


@triton.jit
def _multiply_kernel(x_ptr, out_ptr, grad_ptr, size, IN_PLACE: tl.constexpr, BLOCK: tl.constexpr):
    """One program: every so many blocks of out = x grad; in place, none where grad is one."""
    grad = tl.load(grad_ptr).to(tl.float32)
    blocks = (size - 1) // BLOCK + 1
    if IN_PLACE:
        blocks = tl.where(grad == 1.0, 0, blocks)
    for block in range(tl.program_id(0), blocks, tl.num_programs(0)):
        at = tl.cast(block, tl.int64) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
        x = tl.load(x_ptr + at, mask=at < size, other=0.0).to(tl.float32)
        tl.store(out_ptr + at, (x * grad).to(out_ptr.dtype.element_ty), mask=at < size)


TILE = Config(1, 16384, 32)
IGNORE_INDEX = -100
MULTIPLY_BLOCK, MULTIPLY_PROGRAMS = 4096, 8  # programs a multiprocessor


def _multiply(x: Tensor, grad: Tensor, out: Tensor) -> None:
    if x.numel():
        programs = MULTIPLY_PROGRAMS * _launch.multiprocessors(x)
        with _launch.device_of(x):
            _multiply_kernel[(min(programs, _launch.cdiv(x.numel(), MULTIPLY_BLOCK)),)](
                x, out, grad, x.numel(), IN_PLACE=out is x, BLOCK=MULTIPLY_BLOCK, num_warps=8
            )


@torch.library.custom_op("flopwise::cross_entropy_ahead", mutates_args=())
def _forward(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The loss, and the gradient for an upstream gradient of one."""
    _launch.check_runnable("cross_entropy", input)
    out, gradient = input.new_empty(()), input.new_empty(input.shape)
    loss = Loss(target.contiguous(), None, IGNORE_INDEX, 0.0)
    rows, classes = input.shape
    each = input.new_zeros(rows, dtype=torch.float32)
    denominator = each.new_empty(1)
    reduce(each, loss, classes, True, out, denominator)  # for the denominator
    if rows:
        with _launch.device_of(input):
            _ahead_kernel[(min(rows, _launch.multiprocessors(input)),)](
                input_ptr=input,
                loss_ptr=each,
                denominator_ptr=denominator,
                out_ptr=gradient,
                rows=rows,
                classes=classes,
                stride_row=input.stride(0),
                stride_class=input.stride(1),
                **loss.arguments(classes),
                **TILE._asdict(),
            )
    reduce(each, loss, classes, True, out, denominator)
    return out, gradient


@_forward.register_fake
def _(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return input.new_empty(()), input.new_empty(input.shape)


@torch.library.custom_op("flopwise::cross_entropy_ahead_backward", mutates_args=())
def _backward(grad: Tensor, gradient: Tensor, input: Tensor) -> Tensor:
    """The input is not read; the result depends on it, so that differentiating twice raises."""
    _launch.check_runnable("cross_entropy", grad)
    out = torch.empty_like(gradient)
    _multiply(gradient, grad, out)
    return out


@_backward.register_fake
def _(grad: Tensor, gradient: Tensor, input: Tensor) -> Tensor:
    return torch.empty_like(gradient)


@torch.library.custom_op("flopwise::cross_entropy_ahead_in_place", mutates_args=("gradient",))
def _backward_in_place(grad: Tensor, gradient: Tensor) -> None:
    _launch.check_runnable("cross_entropy", grad)
    _multiply(gradient, grad, gradient)


@_backward_in_place.register_fake
def _(grad: Tensor, gradient: Tensor) -> None:
    return None


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)  # else zeros are made for it, as large as it is
    ctx.save_for_backward(output[1], inputs[0])


def _differentiate(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    if grad is None:  # what follows the loss has no gradient either
        return (None,) * 2
    gradient, input = ctx.saved_tensors
    if _launch.asked_once(grad):
        _backward_in_place(grad, gradient)
    else:
        gradient = _backward(grad, gradient, input)
    return gradient, None


_forward.register_autograd(_differentiate, setup_context=_save)
_launch.refuse_twice("cross_entropy", _backward)
_launch.refuse_vmap("cross_entropy", _forward, _backward, _backward_in_place)


def mean_loss(input: Tensor, target: Tensor) -> Tensor:
    """The mean cross-entropy of [rows, classes] logits, its gradient made ahead; not of float16.

    The denominator would push float16's gradients below its smallest numbers before a loss scale
    reaches them.
    """
    if input.dtype == torch.float16:
        raise NotImplementedError("gradients made ahead in float16 are lost before a loss scale")
    return _forward(input, target)[0]


def builds() -> Iterator[Build]:
    """Rows that start on 16 bytes and others, and the multiplication."""
    for dtype in ("float32", "bfloat16"):
        for ragged in (False, True):
            yield _ahead(dtype, ragged)
        pointer = f"*{TRITON_TYPES[dtype]}"
        pointers = {"x_ptr": pointer, "out_ptr": pointer, "grad_ptr": pointer}
        for in_place in (False, True):
            yield Build(
                _multiply_kernel,
                f"{MULTIPLY_BLOCK}{' in place' if in_place else ''}",
                dtype,
                {**pointers, "size": "i32"},
                {"IN_PLACE": in_place, "BLOCK": MULTIPLY_BLOCK},
                (*pointers, "size"),
                num_warps=8,
                num_stages=3,
            )


def _ahead(dtype: str, ragged: bool) -> Build:
    pointers = {
        "loss_ptr": "*fp32",
        "denominator_ptr": "*fp32",
        "out_ptr": f"*{TRITON_TYPES[dtype]}",
    }
    build = _cross_entropy_builds.by_row(
        _ahead_kernel, pointers, {}, TILE, dtype, options=False, biased=False, ragged=ragged
    )
    types = {name: kind for name, kind in build.types.items() if name != "statistics_ptr"}
    return replace(build, types=types, aligned=tuple(n for n in build.aligned if n in types))
