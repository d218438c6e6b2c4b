"""Linear and cross-entropy a chunk of tokens at a time: what both directions launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels import _cross_entropy_rows as by_row
from kernels import _launch
from kernels._cross_entropy_loss import Loss
from kernels._product import product
from kernels.spec import Build

CHUNK = 2048  # tokens: enough rows to fill a GPU with a product's tiles


@triton.jit
def _add_product_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, stride_am, stride_ak, stride_bk, stride_bn,
    ADD: tl.constexpr, PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """One program: one [BLOCK_M, BLOCK_N] tile of c = a b, or of c += a b; c in float32."""
    # Along N first: all of b, the tokens of a chunk, stays in L2, and a is read once.
    tiles_n = (N - 1) // BLOCK_N + 1
    tile_m = tl.program_id(0) // tiles_n
    tile_n = tl.program_id(0) % tiles_n
    m = tile_m.to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)  # [BLOCK_M]
    n = tile_n.to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)  # [BLOCK_N]
    k = tl.arange(0, BLOCK_K).to(tl.int64)  # [BLOCK_K]
    in_m = m[:, None] < M
    in_n = n[None, :] < N
    a_ptrs = a_ptr + m[:, None] * stride_am + k[None, :] * stride_ak  # [BLOCK_M, BLOCK_K]
    b_ptrs = b_ptr + k[:, None] * stride_bk + n[None, :] * stride_bn  # [BLOCK_K, BLOCK_N]
    c_ptrs = c_ptr + m[:, None] * N + n[None, :]  # [BLOCK_M, BLOCK_N]
    if ADD:  # before the products: after them, both would need registers
        c = tl.load(c_ptrs, mask=in_m & in_n, other=0.0)
    else:
        c = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for tile in range((K - 1) // BLOCK_K + 1):
        left = K - tile * BLOCK_K
        a = tl.load(a_ptrs, mask=in_m & (k[None, :] < left), other=0.0)
        b = tl.load(b_ptrs, mask=(k[:, None] < left) & in_n, other=0.0)
        c = tl.dot(a, b, c, input_precision=PRECISION)
        a_ptrs += tl.cast(stride_ak, tl.int64) * BLOCK_K
        b_ptrs += tl.cast(stride_bk, tl.int64) * BLOCK_K
    tl.store(c_ptrs, c, mask=in_m & in_n)


@triton.jit
def _add_columns_kernel(
    x_ptr, out_ptr, rows, columns, ADD: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_C: tl.constexpr
):
    """One program: sums BLOCK_C columns of contiguous x into out, or onto it; out in float32."""
    column = tl.program_id(0).to(tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)  # [BLOCK_C]
    in_columns = column < columns
    total = tl.zeros((BLOCK_R, BLOCK_C), dtype=tl.float32)
    for tile in range((rows - 1) // BLOCK_R + 1):
        row = tl.cast(tile, tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)  # [BLOCK_R]
        mask = (row < rows)[:, None] & in_columns[None, :]
        x = tl.load(x_ptr + row[:, None] * columns + column[None, :], mask=mask, other=0.0)
        total += x.to(tl.float32)
    result = tl.sum(total, axis=0)
    if ADD:
        result += tl.load(out_ptr + column, mask=in_columns, other=0.0)
    tl.store(out_ptr + column, result, mask=in_columns)


@triton.jit
def _scale_kernel(x_ptr, out_ptr, grad_ptr, denominator_ptr, size, BLOCK: tl.constexpr):
    """One program: BLOCK numbers of out = x grad / denominator."""
    scale = tl.load(grad_ptr).to(tl.float32) / tl.load(denominator_ptr)
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    x = tl.load(x_ptr + at, mask=at < size, other=0.0).to(tl.float32)
    tl.store(out_ptr + at, (x * scale).to(out_ptr.dtype.element_ty), mask=at < size)


class Config(NamedTuple):
    """A tile of dweight, and how many warps and pipeline stages work on it."""

    BLOCK_M: int
    BLOCK_N: int
    BLOCK_K: int
    num_warps: int
    num_stages: int


# By arithmetic, and whether every size is a multiple of 16.
_SM_80 = {
    ("half", "whole"): Config(128, 128, 32, 8, 3),
    ("half", "ragged"): Config(128, 64, 32, 8, 3),
    ("tf32", "whole"): Config(128, 64, 32, 8, 3),
    ("tf32", "ragged"): Config(128, 64, 32, 8, 3),
    ("ieee", "whole"): Config(64, 128, 16, 8, 3),
    ("ieee", "ragged"): Config(64, 128, 16, 8, 3),
}
CONFIGS = {
    "sm_80": _SM_80,
    "sm_90": _SM_80 | {("half", "whole"): Config(128, 256, 64, 8, 3)},
    "sm_100": _SM_80 | {("half", "whole"): Config(128, 128, 64, 8, 4)},  # the larger tile spills
}
COLUMNS_BLOCK = (32, 128)
SCALE_BLOCK = 4096


def _architecture(operand: Tensor) -> str:
    """The key of CONFIGS for the operand's device; see _launch.architecture."""
    if operand.is_cuda and torch.cuda.get_device_capability(operand.device)[0] == 10:
        return "sm_100"
    return _launch.architecture(operand)


def _add_product(a: Tensor, b: Tensor, out: Tensor, add: bool) -> None:
    """out = a b or out += a b; [M, K] and [K, N] of any strides, out float32 and contiguous."""
    (M, K), N = a.shape, b.shape[1]
    if out.numel() == 0:
        return
    precision = _launch.float32_precision()
    arithmetic = precision if a.dtype == torch.float32 else "half"
    sizes = "whole" if M % 16 == N % 16 == K % 16 == 0 else "ragged"
    tile = CONFIGS[_architecture(a)][arithmetic, sizes]
    programs = triton.cdiv(M, tile.BLOCK_M) * triton.cdiv(N, tile.BLOCK_N)
    with _launch.device_of(a):
        _add_product_kernel[(programs,)](
            a, b, out, M, N, K, *a.stride(), *b.stride(),
            ADD=add, PRECISION=precision, **tile._asdict(),
        )  # fmt: skip


def _add_columns(x: Tensor, out: Tensor, add: bool) -> None:
    """out = x.sum(0) or out += x.sum(0); x contiguous, out float32."""
    rows, columns = x.shape
    if columns == 0:
        return
    block_r, block_c = COLUMNS_BLOCK
    with _launch.device_of(x):
        _add_columns_kernel[(triton.cdiv(columns, block_c),)](
            x, out, rows, columns, ADD=add, BLOCK_R=block_r, BLOCK_C=block_c, num_warps=4
        )


def scaled(x: Tensor, grad: Tensor, denominator: Tensor) -> Tensor:
    """x grad / denominator in grad's dtype; all contiguous."""
    out = grad.new_empty(x.shape)
    if x.numel():
        with _launch.device_of(x):
            _scale_kernel[(triton.cdiv(x.numel(), SCALE_BLOCK),)](
                x, out, grad, denominator, x.numel(), BLOCK=SCALE_BLOCK, num_warps=8
            )
    return out


class Gradients(NamedTuple):
    """Where gradients go; None where one is not needed."""

    input: Tensor | None  # [rows, hidden] in input's dtype
    weight: Tensor | None  # [classes, hidden] float32
    bias: Tensor | None  # [classes] float32

    @staticmethod
    def empty(input: Tensor, linear_weight: Tensor, needs: Sequence[bool]) -> Gradients:
        """Memory for those needed, 0 where no chunk will write."""
        kept = {"dtype": torch.float32, "device": input.device}
        make: Callable[..., Tensor] = torch.empty if input.shape[0] else torch.zeros
        return Gradients(
            input.new_empty(input.shape) if needs[0] else None,
            make(linear_weight.shape, **kept) if needs[1] else None,
            make(linear_weight.shape[0], **kept) if needs[2] else None,
        )


def by_chunk(
    input: Tensor,
    linear_weight: Tensor,
    loss: Loss,
    statistics: Tensor,
    losses: Tensor | None,
    gradients: Gradients,
    grad: Tensor | None = None,
    denominator: Tensor | None = None,
) -> None:
    """Makes the logits of one chunk of tokens after the other, and all that follows from them.

    Args:
        input: [rows, hidden].
        linear_weight: [classes, hidden].
        loss: with the linear bias.
        statistics: [rows, 3], written with the losses, read for the gradients.
        losses: [rows], written, or None where statistics are there already.
        gradients: written where they are needed.
        grad: of the losses, [rows], or of their reduction, []; None for 1.
        denominator: of the reduction.
    """
    rows, classes = input.shape[0], linear_weight.shape[0]
    buffer = input.new_empty((min(rows, CHUNK), classes))
    for start in range(0, rows, CHUNK):
        chunk = slice(start, min(start + CHUNK, rows))
        x, part = input[chunk], loss._replace(target=loss.target[chunk])
        logits = buffer[: x.shape[0]]
        product(x, linear_weight.t(), logits)
        if losses is not None:
            by_row.losses(logits, part, losses[chunk], statistics[chunk])
        if all(t is None for t in gradients):
            continue
        upstream = grad[chunk] if grad is not None and grad.dim() else grad
        by_row.gradients(logits, part, statistics[chunk], logits, upstream, denominator)
        add = start > 0
        if gradients.input is not None:
            product(logits, linear_weight, gradients.input[chunk])
        if gradients.weight is not None:
            _add_product(logits.t(), x, gradients.weight, add)
        if gradients.bias is not None:
            _add_columns(logits, gradients.bias, add)


_TYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


def builds(architecture: str) -> Iterator[Build]:
    """The kernels of this file in every configuration of the architecture."""
    for (arithmetic, sizes), tile in CONFIGS.get(architecture, _SM_80).items():
        for dtype in ("bfloat16", "float16") if arithmetic == "half" else ("float32",):
            for add in (False, True):
                yield _add_product_build(arithmetic, sizes, tile, dtype, add)
    for dtype, name in _TYPES.items():
        pointers = {"x_ptr": f"*{name}", "out_ptr": "*fp32"}
        for add in (False, True):
            block_r, block_c = COLUMNS_BLOCK
            yield Build(
                _add_columns_kernel,
                f"{block_r}x{block_c}{' add' if add else ''}",
                dtype,
                {**pointers, "rows": "i32", "columns": "i32"},
                {"ADD": add, "BLOCK_R": block_r, "BLOCK_C": block_c},
                (*pointers, "columns"),
                num_warps=4,
                num_stages=3,
            )
        for kept in dict.fromkeys((name, "fp32")):
            pointers = {
                "x_ptr": f"*{kept}",
                "out_ptr": f"*{name}",
                "grad_ptr": f"*{name}",
                "denominator_ptr": "*fp32",
            }
            yield Build(
                _scale_kernel,
                f"{SCALE_BLOCK} from {kept}",
                dtype,
                {**pointers, "size": "i32"},
                {"BLOCK": SCALE_BLOCK},
                (*pointers, "size"),
                num_warps=8,
                num_stages=3,
            )


def _add_product_build(arithmetic: str, sizes: str, tile: Config, dtype: str, add: bool) -> Build:
    """For the transposed logits' gradient and contiguous tokens."""
    pointer = f"*{_TYPES[dtype]}"
    pointers = {"a_ptr": pointer, "b_ptr": pointer, "c_ptr": "*fp32"}
    numbers = ("M", "N", "K", "stride_ak", "stride_bk")
    return Build(
        _add_product_kernel,
        f"{arithmetic} {sizes}{' add' if add else ''}",
        dtype,
        {**pointers, **dict.fromkeys(numbers, "i32")},
        {
            "stride_am": 1,
            "stride_bn": 1,
            "ADD": add,
            "PRECISION": "tf32" if arithmetic == "tf32" else "ieee",
            **{name: value for name, value in tile._asdict().items() if name.isupper()},
        },
        (*pointers, *(numbers if sizes == "whole" else ())),
        tile.num_warps,
        tile.num_stages,
        matrix=arithmetic != "ieee",
    )
