"""Long rows that start or end anywhere, read and written 16 bytes at a time but for their ends.

A row whose length is no multiple of 16 (50257 classes) is peeled: its columns before the first
multiple of 16 bytes and after the last, fewer than 16 bytes each, are taken one by one, and nothing
but the row is read or written. The middle between them begins at `... // VECTOR * VECTOR`, and has
a multiple of VECTOR columns: from that the compiler sees that its loads and stores may be wide.

kernels/_cross_entropy_rows.py has the formulas and the gradient, which is peeled as well, and
kernels/_cross_entropy_lanes.py how the losses' loop carries a maximum and a sum for each thread.

By static figures alone (sm_80 and sm_90, triton 3.6.0 and 3.7.1), for 50257 bfloat16 classes: 9.4
instead of 29 instructions a class for the losses (7.0 instead of 26 in their loop), at most 28
instead of 45 for the gradient; 48 and at most 40 registers, 128-bit loads and stores, no spills. A
tile that took several narrow rows at once would gain less. No GPU has timed it.
"""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from kernels import _launch
from kernels._cross_entropy_lanes import _carry, _finish, _finite
from kernels._cross_entropy_loss import Loss


class Peeled(NamedTuple):
    """Of one row, the classes that a program holds at once, and its warps."""

    BLOCK_R: int
    BLOCK_C: int
    num_warps: int


# For the losses a smaller block than by_lane's: of the last one of 50257 classes little is used.
LOSSES, GRADIENT = Peeled(1, 8192, 8), Peeled(1, 4096, 8)


@triton.jit
def _peel(row, stride_row, classes, VECTOR: tl.constexpr):
    """Of a row: where its middle is, the columns before that, and those in it, 0 or fewer: none."""
    start = row * stride_row
    middle = (start + VECTOR - 1) // VECTOR * VECTOR
    return middle, middle - start, (start + classes) // VECTOR * VECTOR - middle


@triton.jit
def _ends(head, count, classes, VECTOR: tl.constexpr, SIZE: tl.constexpr):
    """The columns before and after the middle, [SIZE], and which of them there are."""
    at = tl.arange(0, SIZE)
    column = tl.where(at < VECTOR, at, at - VECTOR + head + count)
    # A row within 16 bytes has all its columns before the middle: they must not come twice.
    return column, (column < classes) & ((at < VECTOR) == (column < head))


@triton.jit
def _peeled_losses_kernel(
    input_ptr, target_ptr, loss_ptr, statistics_ptr, classes, stride_row, ignore_index,
    LANES: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """One program: the loss and statistics of one row, without weights, smoothing or bias."""
    LOG2_E: tl.constexpr = 1.4426950408889634
    VECTOR: tl.constexpr = 128 // input_ptr.dtype.element_ty.primitive_bitwidth
    row = tl.program_id(0).to(tl.int64)
    row_ptr = input_ptr + row * stride_row
    middle, head, count = _peel(row, stride_row, classes, VECTOR)
    column, there = _ends(head, count, classes, VECTOR, LANES)
    end = tl.load(row_ptr + column, mask=there, other=float("-inf")).to(tl.float32)  # [LANES]
    maximum = tl.maximum(end, float("-inf"))  # NaN is none
    total = tl.exp2((end - _finite(maximum)) * LOG2_E)
    whole = count // BLOCK_C
    for tile in range(whole):
        at = tl.cast(tile, tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)  # [BLOCK_C]
        x = tl.load(input_ptr + middle + at).to(tl.float32)
        maximum, total = _carry(x, maximum, total, LANES, VECTOR)
    for tile in range(whole, (count + BLOCK_C - 1) // BLOCK_C):  # once, or not at all
        at = tl.cast(tile, tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)  # [BLOCK_C]
        x = tl.load(input_ptr + middle + at, mask=at < count, other=float("-inf")).to(tl.float32)
        maximum, total = _carry(x, maximum, total, LANES, VECTOR)
    _finish(
        row_ptr, target_ptr, loss_ptr, statistics_ptr, row, classes, ignore_index, maximum, total
    )


def launch(input: Tensor, loss: Loss, out: Tensor, statistics: Tensor, tile: Peeled) -> None:
    """As _cross_entropy_rows.losses, for a loss without weights, smoothing or bias."""
    with _launch.device_of(input):
        _peeled_losses_kernel[(input.shape[0],)](
            input_ptr=input,
            target_ptr=loss.target,
            loss_ptr=out,
            statistics_ptr=statistics,
            classes=input.shape[1],
            stride_row=input.stride(0),
            ignore_index=loss.ignore_index,
            LANES=32 * tile.num_warps,
            BLOCK_C=tile.BLOCK_C,
            num_warps=tile.num_warps,
        )
