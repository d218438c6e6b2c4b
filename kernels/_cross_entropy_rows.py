"""Cross-entropy row by row, and its gradient: what both cross-entropy operations launch.

Everything is float32 in registers, whatever the dtype of the logits x. Forward keeps three numbers
a row, from which backward has every gradient with one more look at the logits:

    maximum  m = max_c x_c
    total    s = sum_c exp(x_c - m)
    mass     W = sum_c q_c, what the target distribution q sums to: (1 - e) w_t + e/C sum_c w_c

    loss     sum_c q_c (m - x_c + log s)
    gradient g (W exp(x_c - m) / s - q_c)

with q_c = (1 - e) w_t [c = t] + e/C w_c for target t, class weights w and label smoothing e. Never
x - log-sum-exp: where |x| is large, that rounds away what x - m keeps.

A row has `width` columns in memory, of which the last may be no classes: where there is a multiple
of 16 of them, 16 bytes are read and written at a time, whatever the number of classes. Long rows
of another length are peeled for that: kernels/_cross_entropy_peeled.py.

An ignored row has W = 0, a row whose target lies outside the classes W = NaN. A row with no finite
largest logit has s = NaN, as torch's softmax has.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from kernels import _cross_entropy_lanes as by_lane
from kernels import _cross_entropy_peeled as by_peel
from kernels import _launch
from kernels._cross_entropy_loss import Loss
from kernels._cross_entropy_peeled import _ends, _peel
from kernels._cross_entropy_tiles import Config, gradients_config, losses_config


@triton.jit
def _losses(
    input_ptr, target_ptr, weight_ptr, bias_ptr, loss_ptr, row,
    rows, classes, width, stride_row, stride_class, ignore_index, keep, share,
    WEIGHTED: tl.constexpr, SMOOTHED: tl.constexpr, BIASED: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr, EVICT: tl.constexpr,
):  # fmt: skip
    """Writes the losses of rows `row`, [BLOCK_R] int64, and returns their statistics."""
    LOG2_E: tl.constexpr = 1.4426950408889634
    in_rows = row < rows
    target = tl.load(target_ptr + row, mask=in_rows, other=ignore_index)  # [BLOCK_R]
    counted = target != ignore_index
    inside = counted & (target >= 0) & (target < classes)
    row_ptrs = input_ptr + row * stride_row  # [BLOCK_R] of 64 bits: rows x columns passes 2^31

    maximum = tl.full((BLOCK_R,), float("-inf"), dtype=tl.float32)
    shift = tl.zeros((BLOCK_R,), dtype=tl.float32)  # maximum, or 0 while that is -inf
    total = tl.zeros((BLOCK_R,), dtype=tl.float32)
    gap = tl.zeros((BLOCK_R,), dtype=tl.float32)  # sum of w_c (shift - x_c)
    seen = tl.zeros((BLOCK_R,), dtype=tl.float32)  # sum of w_c
    for tile in range((classes - 1) // BLOCK_C + 1):
        column = tl.cast(tile, tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)  # [BLOCK_C]
        in_columns = column < classes
        mask = in_rows[:, None] & in_columns[None, :]  # [BLOCK_R, BLOCK_C]
        there = in_rows[:, None] & (column < width)[None, :]
        x_ptrs = row_ptrs[:, None] + column[None, :] * stride_class
        x = tl.load(x_ptrs, mask=there, other=0.0, eviction_policy=EVICT).to(tl.float32)
        x = tl.where(mask, x, float("-inf"))
        if BIASED:
            bias = tl.load(bias_ptr + column, mask=in_columns, other=0.0)
            x += bias.to(tl.float32)[None, :]
        previous, previous_shift = maximum, shift
        maximum = tl.maximum(previous, tl.max(x, axis=1))
        shift = tl.where(maximum == float("-inf"), 0.0, maximum)  # -inf - -inf would be NaN
        e = tl.exp2((x - shift[:, None]) * LOG2_E)
        total = total * tl.exp2((previous - shift) * LOG2_E) + tl.sum(e, axis=1)
        if SMOOTHED:
            below = shift[:, None] - x
            w = tl.where(in_columns, 1.0, 0.0)
            if WEIGHTED:
                w = tl.load(weight_ptr + column, mask=in_columns, other=0.0).to(tl.float32)
                below *= w[None, :]
            gap += seen * (shift - previous_shift) + tl.sum(tl.where(mask, below, 0.0), axis=1)
            seen += tl.sum(w, axis=0)

    total = tl.where(maximum == float("-inf"), float("nan"), total)
    x = tl.load(row_ptrs + target * stride_class, mask=inside, other=0.0).to(tl.float32)
    if BIASED:
        x += tl.load(bias_ptr + target, mask=inside, other=0.0).to(tl.float32)
    w = tl.full((BLOCK_R,), 1.0, dtype=tl.float32)
    if WEIGHTED:
        w = tl.load(weight_ptr + target, mask=inside, other=0.0).to(tl.float32)
    mass = keep * w
    loss = mass * (maximum - x + tl.log(total))
    if SMOOTHED:
        mass += share * seen
        loss += share * (gap + seen * tl.log(total))
    outside = tl.where(counted, float("nan"), 0.0)
    loss = tl.where(inside, loss, outside)
    mass = tl.where(inside, mass, outside)
    tl.store(loss_ptr + row, loss.to(loss_ptr.dtype.element_ty), mask=in_rows)
    return maximum, total, mass


@triton.jit
def _losses_kernel(
    input_ptr, target_ptr, weight_ptr, bias_ptr, loss_ptr, statistics_ptr,
    rows, classes, width, stride_row, stride_class, ignore_index, keep, share,
    WEIGHTED: tl.constexpr, SMOOTHED: tl.constexpr, BIASED: tl.constexpr,
    BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """One program: the losses and statistics of BLOCK_R rows, along all classes."""
    row = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)  # [BLOCK_R]
    maximum, total, mass = _losses(
        input_ptr, target_ptr, weight_ptr, bias_ptr, loss_ptr, row,
        rows, classes, width, stride_row, stride_class, ignore_index, keep, share,
        WEIGHTED, SMOOTHED, BIASED, BLOCK_R, BLOCK_C, "",
    )  # fmt: skip
    in_rows = row < rows
    tl.store(statistics_ptr + row * 3, maximum, mask=in_rows)
    tl.store(statistics_ptr + row * 3 + 1, total, mask=in_rows)
    tl.store(statistics_ptr + row * 3 + 2, mass, mask=in_rows)


@triton.jit
def _gradients(
    input_ptr, weight_ptr, bias_ptr, out_ptr, row, column, target, grad, maximum, total, mass,
    rows, classes, width, stride_row, stride_class, stride_out, ignore_index, keep, share,
    WEIGHTED: tl.constexpr, SMOOTHED: tl.constexpr, BIASED: tl.constexpr,
    BLOCK_R: tl.constexpr, EVICT: tl.constexpr,
):  # fmt: skip
    """Writes one tile of the gradient: rows `row` and classes `column`, int64."""
    LOG2_E: tl.constexpr = 1.4426950408889634
    in_rows = row < rows
    in_columns = column < classes
    counted = target != ignore_index
    inside = counted & (target >= 0) & (target < classes)

    # Ignored rows are not read. [BLOCK_R, BLOCK_C] from here.
    x_ptrs = input_ptr + row[:, None] * stride_row + column[None, :] * stride_class
    there = column < width
    mask = counted[:, None] & there[None, :]
    x = tl.load(x_ptrs, mask=mask, other=0.0, eviction_policy=EVICT).to(tl.float32)
    if BIASED:
        x += tl.load(bias_ptr + column, mask=in_columns, other=0.0).to(tl.float32)[None, :]
    w = tl.full((BLOCK_R,), 1.0, dtype=tl.float32)
    if WEIGHTED:
        w = tl.load(weight_ptr + target, mask=inside, other=0.0).to(tl.float32)
    q = tl.where(column[None, :] == target[:, None], (keep * w)[:, None], 0.0)
    if SMOOTHED:
        if WEIGHTED:
            w = tl.load(weight_ptr + column, mask=in_columns, other=0.0).to(tl.float32)
            q += share * w[None, :]
        else:
            q += share
    p = tl.exp2((x - maximum[:, None]) * LOG2_E) * (1.0 / total)[:, None]
    out = (grad * mass)[:, None] * p - grad[:, None] * q  # an infinite grad gives NaN, as torch's
    # 0 for an ignored row, but NaN where its logits have no softmax: torch's 0 times NaN.
    out = tl.where(counted[:, None], out, (total * 0.0)[:, None])
    out_ptrs = out_ptr + row[:, None] * stride_out + column[None, :]
    mask = in_rows[:, None] & there[None, :]
    tl.store(out_ptrs, out.to(out_ptr.dtype.element_ty), mask=mask, eviction_policy=EVICT)


@triton.jit
def _gradients_kernel(
    input_ptr, target_ptr, weight_ptr, bias_ptr, statistics_ptr, grad_ptr, denominator_ptr, out_ptr,
    rows, classes, width, stride_row, stride_class, stride_out, stride_grad, ignore_index, keep,
    share,
    UPSTREAM: tl.constexpr, WEIGHTED: tl.constexpr, SMOOTHED: tl.constexpr,
    BIASED: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr, PEELED: tl.constexpr,
):  # fmt: skip
    """One program: one [BLOCK_R, BLOCK_C] tile of the gradient; out may be the input itself."""
    tiles = (classes - 1) // BLOCK_C + 1
    tile = tl.program_id(0) % tiles
    row = (tl.program_id(0) // tiles).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)  # [BLOCK_R]
    column = tile.to(tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)  # [BLOCK_C]
    in_rows = row < rows
    target = tl.load(target_ptr + row, mask=in_rows, other=ignore_index)
    maximum = tl.load(statistics_ptr + row * 3, mask=in_rows, other=0.0)
    total = tl.load(statistics_ptr + row * 3 + 1, mask=in_rows, other=1.0)
    mass = tl.load(statistics_ptr + row * 3 + 2, mask=in_rows, other=0.0)
    if UPSTREAM == "rows":
        grad = tl.load(grad_ptr + row * stride_grad, mask=in_rows, other=0.0).to(tl.float32)
    elif UPSTREAM == "scalar":
        grad = tl.load(grad_ptr).to(tl.float32) / tl.load(denominator_ptr)
        grad = tl.full((BLOCK_R,), 1.0, dtype=tl.float32) * grad
    else:
        grad = tl.full((BLOCK_R,), 1.0, dtype=tl.float32)
    if PEELED:  # one row, without options; out lies as the input does
        VECTOR: tl.constexpr = 128 // input_ptr.dtype.element_ty.primitive_bitwidth
        number = (tl.program_id(0) // tiles).to(tl.int64)
        middle, head, count = _peel(number, stride_row, classes, VECTOR)
        if tile == 0:
            end, there = _ends(head, count, classes, VECTOR, 2 * VECTOR)
            _gradients(
                input_ptr, weight_ptr, bias_ptr, out_ptr, row, tl.where(there, end, classes),
                target, grad, maximum, total, mass, rows, classes, classes, stride_row, 1,
                stride_row, ignore_index, keep, share, False, False, False, BLOCK_R, "",
            )  # fmt: skip
        # The middle as a row of its own, its first column the 0th.
        _gradients(
            input_ptr + middle, weight_ptr, bias_ptr, out_ptr + middle, row, column,
            target - head, grad, maximum, total, mass, rows, count, count, 0, 1,
            0, ignore_index - head, keep, share, False, False, False, BLOCK_R, "",
        )  # fmt: skip
        return
    _gradients(
        input_ptr, weight_ptr, bias_ptr, out_ptr, row, column, target,
        grad, maximum, total, mass,
        rows, classes, width, stride_row, stride_class, stride_out, ignore_index, keep, share,
        WEIGHTED, SMOOTHED, BIASED, BLOCK_R, "",
    )  # fmt: skip


def losses(
    input: Tensor, loss: Loss, out: Tensor, statistics: Tensor, width: int | None = None,
    tile: Config | by_lane.Lanes | by_peel.Peeled | None = None,
) -> None:  # fmt: skip
    """Writes the rows' losses into out [rows] and what backward needs into statistics [rows, 3].

    Args:
        input: [rows, classes] logits, any strides.
        loss: the rest of it.
        out, statistics: contiguous; statistics is float32.
        width: columns that each row has in memory, whatever is in those past the classes; None
            for as many as there are classes.
        tile: None for the one that is chosen.
    """
    rows, classes = input.shape
    if rows == 0:
        return
    width = width or classes
    tile = tile or losses_config(input, loss, width)
    if isinstance(tile, by_lane.Lanes):
        return by_lane.launch(input, loss, out, statistics, width, tile)
    if isinstance(tile, by_peel.Peeled):
        return by_peel.launch(input, loss, out, statistics, tile)
    with _launch.device_of(input):
        _losses_kernel[(_launch.cdiv(rows, tile.BLOCK_R),)](
            input_ptr=input, loss_ptr=out, statistics_ptr=statistics, rows=rows, classes=classes,
            width=width, stride_row=input.stride(0), stride_class=input.stride(1),
            **loss.arguments(classes), **tile._asdict(),
        )  # fmt: skip


def gradients(
    input: Tensor,
    loss: Loss,
    statistics: Tensor,
    out: Tensor,
    grad: Tensor | None = None,
    denominator: Tensor | None = None,
    width: int | None = None,
) -> None:
    """Writes the gradient of the logits into out [rows, classes], which may be the input.

    Args:
        input, loss, statistics: as `losses` had and left them.
        out: its columns lie side by side.
        grad: the gradient of the rows' losses, [rows], or of their reduction, []; None for 1.
        denominator: what `reduce` left, for a grad of the reduction.
        width: columns that each row of input and of out has in memory, those of out to be
            overwritten; None for as many as there are classes.
    """
    rows, classes = input.shape
    if out.numel() == 0:
        return
    upstream = "one" if grad is None else "rows" if grad.dim() else "scalar"
    tile = gradients_config(input, loss, out, width or classes)
    programs = _launch.cdiv(rows, tile.BLOCK_R) * _launch.cdiv(classes, tile.BLOCK_C)
    with _launch.device_of(input):
        _gradients_kernel[(programs,)](
            input_ptr=input,
            statistics_ptr=statistics,
            grad_ptr=statistics if grad is None else grad,
            denominator_ptr=statistics if denominator is None else denominator,
            out_ptr=out,
            rows=rows,
            classes=classes,
            width=width or classes,
            stride_row=input.stride(0),
            stride_class=input.stride(1),
            stride_out=out.stride(0),
            stride_grad=grad.stride(0) if upstream == "rows" and grad is not None else 0,
            UPSTREAM=upstream,
            PEELED=isinstance(tile, by_peel.Peeled),
            **loss.arguments(classes),
            **tile._asdict(),
        )
