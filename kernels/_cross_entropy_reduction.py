"""From the rows' losses to what both cross-entropies return: themselves, their sum or mean."""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels import _launch
from kernels._cross_entropy_loss import Loss


@triton.jit
def _reduce_kernel(
    loss_ptr, target_ptr, weight_ptr, out_ptr, denominator_ptr, rows, classes, ignore_index,
    MEAN: tl.constexpr, WEIGHTED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The only program: sums the losses in a fixed order and divides by the weights counted."""
    loss = tl.zeros((BLOCK,), dtype=tl.float32)
    counted = tl.zeros((BLOCK,), dtype=tl.float32)
    weights = tl.zeros((BLOCK,), dtype=tl.float32)
    for tile in range((rows - 1) // BLOCK + 1):
        row = tl.cast(tile, tl.int64) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
        in_rows = row < rows
        loss += tl.load(loss_ptr + row, mask=in_rows, other=0.0)
        if MEAN:
            target = tl.load(target_ptr + row, mask=in_rows, other=ignore_index)
            inside = (target != ignore_index) & (target >= 0) & (target < classes)
            counted += tl.where(inside, 1.0, 0.0)
            if WEIGHTED:
                weights += tl.load(weight_ptr + target, mask=inside, other=0.0).to(tl.float32)
    result = tl.sum(loss, axis=0)
    denominator = 1.0
    if MEAN:
        count = tl.sum(counted, axis=0)
        divisor = tl.sum(weights, axis=0) if WEIGHTED else count
        result = result / divisor
        # With nothing counted the mean is 0 / 0, yet every gradient is 0, as torch's.
        denominator = tl.where(count == 0.0, float("inf"), divisor)
    tl.store(out_ptr, result.to(out_ptr.dtype.element_ty))
    tl.store(denominator_ptr, denominator)


class Block(NamedTuple):
    """Rows that the program adds at once, and its warps; named as the launch names them."""

    BLOCK: int
    num_warps: int


# The program waits for memory three times a block, whose loads share registers (sm_90): so few
# blocks. 32 warps can have 64 registers each thread: 8192 rows need 32 to 64, and do not spill.
BLOCKS = (Block(1024, 4), Block(8192, 32))


def block(rows: int) -> Block:
    """The first that holds all rows, else the last."""
    return next((one for one in BLOCKS if rows <= one.BLOCK), BLOCKS[-1])


def outputs(input: Tensor, reduction: str) -> tuple[Tensor, Tensor, Tensor]:
    """Memory for what the forward operators of both losses return.

    The loss, [] or [rows] for "none"; the rows' statistics, [rows, 3] float32; the denominator of
    a reduction, [1] float32, or [0] for "none".
    """
    rows = input.shape[0]
    out = input.new_empty((rows,) if reduction == "none" else ())
    statistics = input.new_empty((rows, 3), dtype=torch.float32)
    denominator = statistics.new_empty(0 if reduction == "none" else 1)
    return out, statistics, denominator


def reduce(
    losses: Tensor,
    loss: Loss,
    classes: int,
    mean: bool,
    out: Tensor,
    denominator: Tensor,
) -> None:
    """Writes the sum or mean of the losses into out [] and what divided it into denominator [1].

    Args:
        losses: [rows] float32.
        loss, classes: what the losses were computed with.
        mean: whether to divide by the weights of the rows counted.
        out, denominator: written; denominator is float32.
    """
    with _launch.device_of(losses):
        _reduce_kernel[(1,)](
            losses,
            loss.target,
            losses if loss.weight is None else loss.weight,
            out,
            denominator,
            losses.shape[0],
            classes,
            loss.ignore_index,
            MEAN=mean,
            WEIGHTED=loss.weight is not None,
            **block(losses.shape[0])._asdict(),
        )
