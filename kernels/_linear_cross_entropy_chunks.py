"""Linear and cross-entropy a chunk of tokens at a time: what both directions launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels import _added_product, _launch
from kernels import _cross_entropy_rows as by_row
from kernels._added_product import add_product
from kernels._cross_entropy_loss import Loss
from kernels._product import product
from kernels.spec import TRITON_TYPES, Build

CHUNK = 2048  # tokens: enough rows to fill a GPU with a product's tiles
FEW = 4  # chunks whose sums may be rounded to dweight's own dtype


@triton.jit
def _add_columns_kernel(
    x_ptr, out_ptr, rows, columns, stride, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr
):
    """One program: adds the sums of BLOCK_C columns of x to out, in float32."""
    column = tl.program_id(0).to(tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)  # [BLOCK_C]
    in_columns = column < columns
    total = tl.zeros((BLOCK_R, BLOCK_C), dtype=tl.float32)
    for tile in range((rows - 1) // BLOCK_R + 1):
        row = tl.cast(tile, tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)  # [BLOCK_R]
        mask = (row < rows)[:, None] & in_columns[None, :]
        x = tl.load(x_ptr + row[:, None] * stride + column[None, :], mask=mask, other=0.0)
        total += x.to(tl.float32)
    result = tl.sum(total, axis=0)
    result += tl.load(out_ptr + column, mask=in_columns, other=0.0)
    tl.store(out_ptr + column, result, mask=in_columns)


@triton.jit
def _scale_kernel(x_ptr, out_ptr, grad_ptr, denominator_ptr, size, BLOCK: tl.constexpr):
    """One program: BLOCK numbers of out = x grad / denominator; out may be x."""
    scale = tl.load(grad_ptr).to(tl.float32) / tl.load(denominator_ptr)
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    x = tl.load(x_ptr + at, mask=at < size, other=0.0).to(tl.float32)
    tl.store(out_ptr + at, (x * scale).to(out_ptr.dtype.element_ty), mask=at < size)


COLUMNS_BLOCK = (32, 128)
SCALE_BLOCK = 4096


def _add_columns(x: Tensor, out: Tensor) -> None:
    """out += x.sum(0); x's columns lie side by side, out is float32."""
    rows, columns = x.shape
    if columns == 0:
        return
    block_r, block_c = COLUMNS_BLOCK
    with _launch.device_of(x):
        _add_columns_kernel[(_launch.cdiv(columns, block_c),)](
            x, out, rows, columns, x.stride(0), BLOCK_R=block_r, BLOCK_C=block_c, num_warps=4
        )


def scale(x: Tensor, grad: Tensor, denominator: Tensor, out: Tensor) -> None:
    """out = x grad / denominator; x and out contiguous, and they may be one."""
    if x.numel():
        with _launch.device_of(x):
            _scale_kernel[(_launch.cdiv(x.numel(), SCALE_BLOCK),)](
                x, out, grad, denominator, x.numel(), BLOCK=SCALE_BLOCK, num_warps=8
            )


def tokens(rows: int, hidden: int, rounded: bool) -> int:
    """How many make a chunk.

    CHUNK; or a quarter of the rows, where a buffer of so many logits takes less memory than the
    float32 dweight that more than FEW chunks would need beside its rounded copy.

    Args:
        rows, hidden: sizes of the input.
        rounded: whether a dweight is made, in a dtype narrower than float32.
    """
    quarter = _launch.cdiv(rows, FEW * 128) * 128
    longer = rounded and CHUNK < quarter <= max(hidden + CHUNK, 2 * hidden)
    return quarter if longer else CHUNK


def by_chunk(
    input: Tensor,
    linear_weight: Tensor,
    loss: Loss,
    statistics: Tensor,
    losses: Tensor | None,
    needs: Sequence[bool],
    grad: Tensor | None = None,
    denominator: Tensor | None = None,
) -> list[Tensor]:
    """Makes the logits of one chunk of tokens after the other, and all that follows from them.

    Args:
        input: [rows, hidden].
        linear_weight: [classes, hidden].
        loss: with the linear bias.
        statistics: [rows, 3], written with the losses, read for the gradients.
        losses: [rows], written, or None where statistics are there already.
        needs: whether a gradient is needed of input, linear_weight and the linear bias.
        grad: of the losses, [rows], or of their reduction, []; None for 1.
        denominator: of the reduction.

    Returns:
        The gradients needed, in input's dtype.
    """
    (rows, hidden), classes = input.shape, linear_weight.shape[0]
    length = tokens(rows, hidden, needs[1] and input.dtype != torch.float32)
    # Rounded once a chunk, dweight is within the rule for few chunks; more are added in float32.
    many = _launch.cdiv(rows, length) > FEW
    kept = torch.float32 if many else input.dtype
    make: Callable[..., Tensor] = torch.empty if rows > 0 and not many else torch.zeros
    dinput = input.new_empty(input.shape) if needs[0] else None
    dweight = make((classes, hidden), dtype=kept, device=input.device) if needs[1] else None
    dbias = input.new_zeros(classes, dtype=torch.float32) if needs[2] else None
    # Rows of a multiple of 16 numbers, whatever the classes: else neither the TMA unit nor loads of
    # 16 bytes can take them. What is past the classes is never counted.
    width = _launch.cdiv(classes, 16) * 16
    buffer = input.new_empty((min(rows, length), width))
    if width > classes:
        buffer[:, classes:] = 0
    for start in range(0, rows, length):
        chunk = slice(start, min(start + length, rows))
        x, part = input[chunk], loss._replace(target=loss.target[chunk])
        logits = buffer[: x.shape[0], :classes]
        product(x, linear_weight.t(), logits)
        if losses is not None:
            by_row.losses(logits, part, losses[chunk], statistics[chunk], width)
        if not any(needs):
            continue
        upstream = grad[chunk] if grad is not None and grad.dim() else grad
        by_row.gradients(logits, part, statistics[chunk], logits, upstream, denominator, width)
        if dinput is not None:
            product(logits, linear_weight, dinput[chunk])
        if dweight is not None and start == 0 and not many:
            product(logits.t(), x, dweight)
        elif dweight is not None:
            add_product(logits.t(), x, dweight)
        if dbias is not None:
            _add_columns(logits, dbias)
    if rows:
        del buffer, logits  # before dweight is in memory twice
    return [t.to(input.dtype) for t in (dinput, dweight, dbias) if t is not None]


def builds(architecture: str) -> Iterator[Build]:
    """The kernels of this file and the added product, in every configuration of theirs."""
    yield from _added_product.builds(architecture)
    for dtype, name in TRITON_TYPES.items():
        block_r, block_c = COLUMNS_BLOCK
        pointers = {"x_ptr": f"*{name}", "out_ptr": "*fp32"}
        yield Build(
            _add_columns_kernel,
            f"{block_r}x{block_c}",
            dtype,
            {**pointers, "rows": "i32", "columns": "i32", "stride": "i32"},
            {"BLOCK_R": block_r, "BLOCK_C": block_c},
            (*pointers, "columns", "stride"),
            num_warps=4,
            num_stages=3,
        )
        pointers = {
            "x_ptr": f"*{name}",
            "out_ptr": f"*{name}",
            "grad_ptr": f"*{name}",
            "denominator_ptr": "*fp32",
        }
        yield Build(
            _scale_kernel,
            f"{SCALE_BLOCK}",
            dtype,
            {**pointers, "size": "i32"},
            {"BLOCK": SCALE_BLOCK},
            (*pointers, "size"),
            num_warps=8,
            num_stages=3,
        )
