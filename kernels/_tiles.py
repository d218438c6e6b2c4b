"""Tiles of a matrix product: which to take, their order on the device, and the walk along K.

The order is that of Triton's matmul tutorial (Tillet, Kung and Cox 2019, "Triton", MAPL,
10.1145/3315508.3329973): programs in flight at one time share tiles of both operands in L2.
"""

from __future__ import annotations

from collections.abc import Mapping

import triton
import triton.language as tl
from torch import Tensor

from kernels import _launch
from kernels.tuning import Config

# Not in Triton's interpreter: it runs no PTX, and multiplies float32 whatever the precision.
ROUNDS = tl.constexpr(not _launch.INTERPRETED)


def quickest(M: int, N: int, multiprocessors: int, tiles: Mapping[str, Config]) -> str:
    """Which of the tiles has a product of [M, N] done first; the first of those that are equal.

    For each step along K a tile reads BLOCK_M + BLOCK_N rows and columns out of L2, which is what
    half-precision products wait for; and the multiprocessor that has most tiles is the last. So
    a large tile reads less for what it does, and a small one leaves fewer multiprocessors idle.
    """

    def last(name: str) -> int:
        tile = tiles[name]
        count = _launch.cdiv(M, tile.BLOCK_M) * _launch.cdiv(N, tile.BLOCK_N)
        return _launch.cdiv(count, multiprocessors) * (tile.BLOCK_M + tile.BLOCK_N)

    return min(tiles, key=last)


def wide(matrix: Tensor) -> bool:
    """Whether Triton, told of its memory what a launch tells, moves 16 bytes of it at a time.

    One stride of 1, the other and the address multiples of 16, in elements and in bytes: what its
    launcher looks at. Narrow loads need registers for an address each: large tiles spill then.
    """
    outer, inner = matrix.stride()
    if inner != 1:
        outer, inner = inner, outer
    return inner == 1 and outer % 16 == 0 and matrix.data_ptr() % 16 == 0


@triton.jit
def rounded(x, PRECISION: tl.constexpr):
    """An operand of tl.dot, rounded to TF32 where that is the precision.

    The matrix units cut off the bits that TF32 lacks (triton #4574): on normal numbers 2.6 times
    the error of rounding to nearest, on positive ones, whose errors add up, more with each K.
    """
    if ROUNDS and PRECISION == "tf32":
        x = tl.inline_asm_elementwise(
            "cvt.rna.tf32.f32 $0, $1;", "=r,r", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    return x


@triton.jit
def tile_of(
    pid, M, N, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, GROUP_M: tl.constexpr
):  # fmt: skip
    """The row and the column of program `pid`'s tile among the tiles of [M, N].

    Down GROUP_M tiles of a column, then the next column, then the next group of rows.
    """
    # ceil(size / block) written so that sizes near 2^31 do not overflow, as tl.cdiv would.
    tiles_m = (M - 1) // BLOCK_M + 1
    tiles_n = (N - 1) // BLOCK_N + 1
    group_size = GROUP_M * tiles_n
    first_m = pid // group_size * GROUP_M
    rows = tl.minimum(tiles_m - first_m, GROUP_M)
    return first_m + pid % group_size % rows, pid % group_size // rows


@triton.jit
def product(
    a_ptr, b_ptr, offsets_m, offsets_n, M, N, K,
    stride_am, stride_ak, stride_bk, stride_bn,
    PRECISION: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """One tile of a b, [M, K] x [K, N], in float32; offsets_m, offsets_n: its places, int64."""
    offsets_k = tl.arange(0, BLOCK_K).to(tl.int64)  # [BLOCK_K]
    step_a = tl.cast(stride_ak, tl.int64) * BLOCK_K
    step_b = tl.cast(stride_bk, tl.int64) * BLOCK_K
    # [BLOCK_M, BLOCK_K] and [BLOCK_K, BLOCK_N]
    a_ptrs = a_ptr + offsets_m[:, None] * stride_am + offsets_k[None, :] * stride_ak
    b_ptrs = b_ptr + offsets_k[:, None] * stride_bk + offsets_n[None, :] * stride_bn
    accumulator = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for tile_k in range((K - 1) // BLOCK_K + 1):
        left = K - tile_k * BLOCK_K
        in_k = offsets_k < left
        a = tl.load(a_ptrs, mask=(offsets_m[:, None] < M) & in_k[None, :], other=0.0)
        b = tl.load(b_ptrs, mask=in_k[:, None] & (offsets_n[None, :] < N), other=0.0)
        a, b = rounded(a, PRECISION), rounded(b, PRECISION)
        accumulator = tl.dot(a, b, accumulator, input_precision=PRECISION)
        a_ptrs += step_a
        b_ptrs += step_b
    return accumulator
