"""Rows through bias and activation and back: the kernels, and how they are launched.

bias_activation is these; linear uses the way back for its own gradients. The algorithm is told in
kernels/bias_activation.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels import _activations, _launch
from kernels._activations import activate, differentiate
from kernels.spec import Build


@triton.jit
def _forward_kernel(
    input_ptr, bias_ptr, output_ptr, M, N, stride_im, stride_in, stride_b,
    ACTIVATION: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """One program: one [BLOCK_M, BLOCK_N] tile of the output."""
    pid = tl.program_id(0)
    tiles_n = (N - 1) // BLOCK_N + 1
    # 64-bit from here: a row number times a stride passes 2^31 on large tensors.
    offsets_m = (pid // tiles_n).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
    offsets_n = (pid % tiles_n).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    mask = (offsets_m < M) & (offsets_n < N)  # [BLOCK_M, BLOCK_N]

    at = offsets_m * stride_im + offsets_n * stride_in
    x = tl.load(input_ptr + at, mask=mask, other=0.0).to(tl.float32)
    if bias_ptr is not None:
        bias = tl.load(bias_ptr + offsets_n * stride_b, mask=offsets_n < N, other=0.0)
        x += bias.to(tl.float32)  # [1, BLOCK_N]
    y = activate(x, ACTIVATION)
    tl.store(output_ptr + offsets_m * N + offsets_n, y.to(output_ptr.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["RUN"])
def _backward_kernel(
    grad_ptr, input_ptr, bias_ptr, grad_input_ptr, partial_ptr, M, N, RUN,
    stride_gm, stride_gn, stride_im, stride_in, stride_b,
    ACTIVATION: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """One program: BLOCK_N columns of a run of RUN x BLOCK_M rows, and the sums of its columns.

    input_ptr is None for identity, which needs none; grad_input_ptr and partial_ptr are None
    where they are not wanted. partial is [runs, N].
    """
    pid = tl.program_id(0)
    tiles_n = (N - 1) // BLOCK_N + 1
    run = (pid // tiles_n).to(tl.int64)
    offsets_n = (pid % tiles_n).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    in_n = offsets_n < N  # [1, BLOCK_N]
    bias = tl.zeros((1, BLOCK_N), tl.float32)
    if bias_ptr is not None:
        bias = tl.load(bias_ptr + offsets_n * stride_b, mask=in_n, other=0.0).to(tl.float32)

    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for step in range(RUN):
        offsets_m = (run * RUN + step) * BLOCK_M + tl.arange(0, BLOCK_M)[:, None]
        mask = (offsets_m < M) & in_n  # [BLOCK_M, BLOCK_N]
        at = offsets_m * stride_gm + offsets_n * stride_gn
        grad = tl.load(grad_ptr + at, mask=mask, other=0.0).to(tl.float32)
        x = bias
        if input_ptr is not None:
            at = offsets_m * stride_im + offsets_n * stride_in
            x = tl.load(input_ptr + at, mask=mask, other=0.0).to(tl.float32) + bias
        grad = differentiate(grad, x, ACTIVATION)
        if grad_input_ptr is not None:
            at = offsets_m * N + offsets_n
            tl.store(grad_input_ptr + at, grad.to(grad_input_ptr.dtype.element_ty), mask=mask)
        if partial_ptr is not None:
            # outside the mask the bias alone may be NaN or infinite
            total += tl.where(mask, grad, 0.0)
    if partial_ptr is not None:
        at = run * N + offsets_n
        tl.store(partial_ptr + at, tl.sum(total, axis=0, keep_dims=True), mask=in_n)


@triton.jit
def _sum_kernel(partial_ptr, grad_bias_ptr, runs, N, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    """One program: BLOCK_N columns of partial, [runs, N], summed in float32 in a fixed order."""
    offsets_n = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for first in range(0, runs, BLOCK_M):
        offsets_m = tl.cast(first, tl.int64) + tl.arange(0, BLOCK_M)[:, None]
        mask = (offsets_m < runs) & (offsets_n < N)
        total += tl.load(partial_ptr + offsets_m * N + offsets_n, mask=mask, other=0.0)
    grad_bias = tl.sum(total, axis=0, keep_dims=True)  # [1, BLOCK_N]
    at = grad_bias_ptr + offsets_n
    tl.store(at, grad_bias.to(grad_bias_ptr.dtype.element_ty), mask=offsets_n < N)


class Tile(NamedTuple):
    """What one program takes at a time, and how many warps work on it; named as the launch is."""

    BLOCK_M: int
    BLOCK_N: int
    num_warps: int


# Sixteen numbers a thread: with twice as many the backward pass spills on some architectures.
# Rows that end anywhere are read number by number. Backward a long tile's thread would have 8
# columns of them, each with addresses and a mask: 255 registers, and spills on sm_90; as one column
# of 16 rows 91 to 112, so that twice the warps are resident.
TILES = {
    "long": Tile(2, 1024, 4),
    "medium": Tile(16, 256, 8),
    "square": Tile(64, 64, 8),
    "ragged": Tile(16, 128, 4),
}
SUM_TILE = Tile(32, 32, 4)
PROGRAMS = 512  # that the backward pass is split into: all resident at once, few sums to add up


def tile(rows: Tensor) -> Tile:
    """The tile for [M, N] of these strides."""
    N = rows.shape[1]
    if N <= 64 or rows.stride(0) < rows.stride(1):
        return TILES["square"]  # short rows, or transposed ones
    return TILES["ragged" if N % 16 else "medium" if N <= 512 else "long"]


def as_rows(tensor: Tensor) -> Tensor:
    """[..., N] as [M, N]; copied only where the leading dimensions have no common stride."""
    return tensor.reshape(math.prod(tensor.shape[:-1]), tensor.shape[-1])


def write_output(input: Tensor, bias: Tensor | None, activation: str, output: Tensor) -> None:
    """Writes activation(input + bias) into `output`, contiguous: [..., N], [N], [..., N]."""
    if output.numel() == 0:
        return
    rows = as_rows(input)
    M, N = rows.shape
    block_m, block_n, num_warps = tile(rows)
    with _launch.device_of(input):
        _forward_kernel[(_launch.cdiv(M, block_m) * _launch.cdiv(N, block_n),)](
            rows, bias, output, M, N, *rows.stride(), 0 if bias is None else bias.stride(0),
            ACTIVATION=activation, BLOCK_M=block_m, BLOCK_N=block_n, num_warps=num_warps,
        )  # fmt: skip


def write_gradients(
    grad: Tensor,
    input: Tensor | None,
    bias: Tensor | None,
    activation: str,
    grad_input: Tensor | None,
    grad_bias: Tensor | None,
) -> None:
    """Writes the gradients that are given to be written; [..., N] and [N].

    Args:
        grad: [..., N], of the output.
        input, bias: of the forward pass; neither is read for identity and threshold.
        activation: one of _activations.NAMES.
        grad_input, grad_bias: contiguous, or None where not wanted.
    """
    wanted = [t for t in (grad_input, grad_bias) if t is not None]
    if activation == "threshold" or grad.numel() == 0:
        for gradient in wanted:
            gradient.zero_()
        return
    if activation == "identity":
        input = bias = None
    grad = as_rows(grad)
    M, N = grad.shape
    block_m, block_n, num_warps = tile(grad)
    tiles_m, tiles_n = _launch.cdiv(M, block_m), _launch.cdiv(N, block_n)
    run = 1 if grad_bias is None else _launch.cdiv(tiles_m, max(1, PROGRAMS // tiles_n))
    runs = _launch.cdiv(tiles_m, run)
    partial = None if grad_bias is None else grad.new_empty((runs, N), dtype=torch.float32)
    strides = (0, 0) if input is None else (input := as_rows(input)).stride()
    with _launch.device_of(grad):
        _backward_kernel[(runs * tiles_n,)](
            grad, input, bias, grad_input, partial, M, N, run, *grad.stride(), *strides,
            0 if bias is None else bias.stride(0), ACTIVATION=activation,
            BLOCK_M=block_m, BLOCK_N=block_n, num_warps=num_warps,
        )  # fmt: skip
        if grad_bias is not None:
            _sum_kernel[(_launch.cdiv(N, SUM_TILE.BLOCK_N),)](
                partial, grad_bias, runs, N, **SUM_TILE._asdict()
            )


_DTYPES = {"float32": "*fp32", "float16": "*fp16", "bfloat16": "*bf16"}


def builds(architecture: str) -> list[Build]:
    """Every tile and dtype with gelu, the largest kernel, and every other activation once.

    For contiguous rows: of a multiple of 16 numbers but for the tile of those that are not.
    """
    return [*_builds()]


def _builds() -> Iterator[Build]:
    """The same for every architecture."""
    for dtype in _DTYPES:
        for name in TILES:
            yield _build(_forward_kernel, name, dtype, "gelu")
            yield _build(_backward_kernel, name, dtype, "gelu")
        yield _build(_backward_kernel, "ragged", dtype, "relu")
        yield _build(_sum_kernel, "sum", dtype)
    for activation in _activations.NAMES:
        if activation != "gelu":
            yield _build(_forward_kernel, "long", "bfloat16", activation)
            if activation != "threshold":  # whose gradient needs no kernel
                yield _build(_backward_kernel, "long", "bfloat16", activation)


def _build(kernel: Any, name: str, dtype: str, activation: str | None = None) -> Build:
    tile = TILES.get(name, SUM_TILE)
    constants: dict[str, Any] = {"BLOCK_M": tile.BLOCK_M, "BLOCK_N": tile.BLOCK_N}
    if activation is not None:
        constants |= {"ACTIVATION": activation, "stride_b": 1}
        constants |= {name: 1 for name in ("stride_in", "stride_gn") if name in kernel.arg_names}
    types = {
        name: "*fp32" if name == "partial_ptr" else _DTYPES[dtype] if "_ptr" in name else "i32"
        for name in kernel.arg_names
        if name not in constants
    }
    numbers = ("M", "RUN", "runs") if name != "ragged" else types.keys()
    aligned = (name for name in types if name not in numbers or name.endswith("_ptr"))
    return Build(
        kernel,
        f"{name} {tile.BLOCK_M}x{tile.BLOCK_N}" + (f" {activation}" if activation else ""),
        dtype,
        types,
        constants,
        tuple(aligned),
        tile.num_warps,
        num_stages=3,  # Triton's default; no loop here is pipelined
    )
