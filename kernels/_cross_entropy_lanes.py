"""The losses of long rows with a maximum and a sum for each thread, put together once a row.

kernels/_cross_entropy_rows.py has the formulas, and a kernel whose warps agree on one maximum and
one sum in each block of classes. Here each thread keeps its own, so that the loop over blocks has
neither barriers nor shuffles, and only a row's last block is masked.

By static figures alone (sm_90, triton 3.6.0 and 3.7.1), for a block of 16384 bfloat16 classes: 7.2
instead of 11.3 instructions a class, 0 instead of 6 barriers and 0 instead of 18 shuffles; 58
instead of 55 to 57 registers, 128-bit loads and no spills in both. At the 4.8 TB/s of an H200's
datasheet 11.3 would be nine tenths of all that its schedulers can issue at 1.8 GHz, so that they,
and not its memory, may be what the other kernel waits for. No GPU has timed it: it is a candidate
for python -m harness tune and no default.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels import _launch
from kernels._cross_entropy_loss import Loss


class Lanes(NamedTuple):
    """Threads of a program, and the classes of a row that they read at once."""

    LANES: int
    BLOCK_C: int
    num_warps: int


LANES = (Lanes(256, 8192, 8), Lanes(512, 16384, 16))


@triton.jit
def _finite(maximum):
    return tl.where(maximum == float("-inf"), 0.0, maximum)  # -inf - -inf would be NaN


@triton.jit
def _carry(x, maximum, total, LANES: tl.constexpr, VECTOR: tl.constexpr):
    """The lanes' maxima and sums with a block of x, [BLOCK_C] float32, added."""
    LOG2_E: tl.constexpr = 1.4426950408889634
    # As 16-byte loads lie in threads: reductions along the first and the last stay within one.
    x = tl.reshape(x, (x.shape[0] // (LANES * VECTOR), LANES, VECTOR))
    previous = maximum
    maximum = tl.maximum(previous, tl.max(tl.max(x, axis=2), axis=0))
    shift = _finite(maximum)
    e = tl.exp2((x - shift[None, :, None]) * LOG2_E)
    total = total * tl.exp2((previous - shift) * LOG2_E) + tl.sum(tl.sum(e, axis=2), axis=0)
    return maximum, total


@triton.jit
def _finish(
    row_ptr, target_ptr, loss_ptr, statistics_ptr, row, classes, ignore_index, maximum, total
):  # fmt: skip
    """Writes the loss and statistics of a row from its lanes' maxima and sums."""
    LOG2_E: tl.constexpr = 1.4426950408889634
    top = tl.max(maximum, axis=0)
    total = tl.sum(total * tl.exp2((maximum - _finite(top)) * LOG2_E), axis=0)
    total = tl.where(top == float("-inf"), float("nan"), total)
    target = tl.load(target_ptr + row)
    counted = target != ignore_index
    inside = counted & (target >= 0) & (target < classes)
    x = tl.load(row_ptr + target, mask=inside, other=0.0).to(tl.float32)
    outside = tl.where(counted, float("nan"), 0.0)
    loss = tl.where(inside, top - x + tl.log(total), outside)
    tl.store(loss_ptr + row, loss.to(loss_ptr.dtype.element_ty))
    tl.store(statistics_ptr + row * 3, top)
    tl.store(statistics_ptr + row * 3 + 1, total)
    tl.store(statistics_ptr + row * 3 + 2, tl.where(inside, 1.0, outside))


@triton.jit
def _lanes_kernel(
    input_ptr, target_ptr, loss_ptr, statistics_ptr, classes, width, stride_row, ignore_index,
    LANES: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """One program: the loss and statistics of one row, without weights, smoothing or bias."""
    VECTOR: tl.constexpr = 128 // input_ptr.dtype.element_ty.primitive_bitwidth
    row = tl.program_id(0).to(tl.int64)
    row_ptr = input_ptr + row * stride_row
    maximum = tl.full((LANES,), float("-inf"), dtype=tl.float32)
    total = tl.zeros((LANES,), dtype=tl.float32)
    whole = classes // BLOCK_C
    for tile in range(whole):
        column = tl.cast(tile, tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)  # [BLOCK_C]
        x = tl.load(row_ptr + column).to(tl.float32)
        maximum, total = _carry(x, maximum, total, LANES, VECTOR)
    for tile in range(whole, (classes - 1) // BLOCK_C + 1):  # once, or not at all
        column = tl.cast(tile, tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)  # [BLOCK_C]
        x = tl.load(row_ptr + column, mask=column < width, other=0.0).to(tl.float32)
        x = tl.where(column < classes, x, float("-inf"))
        maximum, total = _carry(x, maximum, total, LANES, VECTOR)

    _finish(
        row_ptr, target_ptr, loss_ptr, statistics_ptr, row, classes, ignore_index, maximum, total
    )


def long_rows(dtype: torch.dtype) -> str:
    """What is kept under: whether this or the other kernel is quicker."""
    return f"{str(dtype).removeprefix('torch.')} long rows"


def launch(
    input: Tensor, loss: Loss, out: Tensor, statistics: Tensor, width: int, tile: Lanes
) -> None:
    """As _cross_entropy_rows.losses, for a loss without weights, smoothing or bias."""
    with _launch.device_of(input):
        _lanes_kernel[(input.shape[0],)](
            input_ptr=input,
            target_ptr=loss.target,
            loss_ptr=out,
            statistics_ptr=statistics,
            classes=input.shape[1],
            width=width,
            stride_row=input.stride(0),
            ignore_index=loss.ignore_index,
            **tile._asdict(),
        )
