"""The product of two matrices into a third: its kernels, their configurations, and the launch.

What kernels/matmul.py makes differentiable; its docstring tells the algorithms and their sources.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from kernels import _launch
from kernels._tiles import quickest, rounded, wide
from kernels.tuning import Config, chosen


@triton.jit
def _matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K,
    stride_am, stride_ak, stride_bk, stride_bn, stride_cm, stride_cn,
    PRECISION: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
):  # fmt: skip
    """One program: one [BLOCK_M, BLOCK_N] tile of c, accumulated along all of K."""
    # ceil(size / block) written so that sizes near 2^31 do not overflow, as tl.cdiv would.
    tiles_m = (M - 1) // BLOCK_M + 1
    tiles_n = (N - 1) // BLOCK_N + 1
    tiles_k = (K - 1) // BLOCK_K + 1

    # Down GROUP_M tiles of a column, then the next column, then the next group of rows.
    pid = tl.program_id(0)
    group_size = GROUP_M * tiles_n
    first_m = pid // group_size * GROUP_M
    rows = tl.minimum(tiles_m - first_m, GROUP_M)
    pid_m = first_m + pid % group_size % rows
    pid_n = pid % group_size // rows

    # 64-bit from here: a row number times a stride passes 2^31 on large tensors.
    offsets_m = pid_m.to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)  # [BLOCK_M]
    offsets_n = pid_n.to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)  # [BLOCK_N]
    offsets_k = tl.arange(0, BLOCK_K).to(tl.int64)  # [BLOCK_K]
    in_m = offsets_m[:, None] < M  # [BLOCK_M, 1]
    in_n = offsets_n[None, :] < N  # [1, BLOCK_N]
    step_a = tl.cast(stride_ak, tl.int64) * BLOCK_K
    step_b = tl.cast(stride_bk, tl.int64) * BLOCK_K

    # [BLOCK_M, BLOCK_K] and [BLOCK_K, BLOCK_N]
    a_ptrs = a_ptr + offsets_m[:, None] * stride_am + offsets_k[None, :] * stride_ak
    b_ptrs = b_ptr + offsets_k[:, None] * stride_bk + offsets_n[None, :] * stride_bn
    accumulator = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for tile_k in range(tiles_k):
        left = K - tile_k * BLOCK_K
        a = tl.load(a_ptrs, mask=in_m & (offsets_k[None, :] < left), other=0.0)
        b = tl.load(b_ptrs, mask=(offsets_k[:, None] < left) & in_n, other=0.0)
        a, b = rounded(a, PRECISION), rounded(b, PRECISION)
        accumulator = tl.dot(a, b, accumulator, input_precision=PRECISION)
        a_ptrs += step_a
        b_ptrs += step_b

    # [BLOCK_M, BLOCK_N]
    c_ptrs = c_ptr + offsets_m[:, None] * stride_cm + offsets_n[None, :] * stride_cn
    tl.store(c_ptrs, accumulator.to(c_ptr.dtype.element_ty), mask=in_m & in_n)


@triton.jit
def _persistent_kernel(
    a_desc, b_desc, c_desc, M, N, K,
    A_TRANSPOSED: tl.constexpr, B_TRANSPOSED: tl.constexpr, BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr, HALVES: tl.constexpr,
):  # fmt: skip
    """One program: every so many tiles of c, moved by the TMA unit; sizes fit its alignment.

    The descriptors pad with zeros and store nothing past the edges.
    """
    tiles_m = (M - 1) // BLOCK_M + 1
    tiles_n = (N - 1) // BLOCK_N + 1
    tiles_k = (K - 1) // BLOCK_K + 1
    group_size = GROUP_M * tiles_n
    # Flattened: one loop over tiles and K, whose loads for the next tile are in flight while this
    # one is stored.
    for tile in tl.range(tl.program_id(0), tiles_m * tiles_n, tl.num_programs(0), flatten=True):
        first_m = tile // group_size * GROUP_M
        rows = tl.minimum(tiles_m - first_m, GROUP_M)
        m = (first_m + tile % group_size % rows) * BLOCK_M
        n = tile % group_size // rows * BLOCK_N
        accumulator = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
        for tile_k in range(tiles_k):
            k = tile_k * BLOCK_K
            # [BLOCK_M, BLOCK_K] and [BLOCK_K, BLOCK_N]
            a = a_desc.load([k, m]).T if A_TRANSPOSED else a_desc.load([m, k])
            b = b_desc.load([n, k]).T if B_TRANSPOSED else b_desc.load([k, n])
            accumulator = tl.dot(a, b, accumulator)
        if HALVES:  # see in_halves
            halves = tl.permute(tl.reshape(accumulator, (BLOCK_M, 2, BLOCK_N // 2)), (0, 2, 1))
            left, right = tl.split(halves)  # [BLOCK_M, BLOCK_N // 2]
            c_desc.store([m, n], left.to(c_desc.dtype))
            c_desc.store([m, n + BLOCK_N // 2], right.to(c_desc.dtype))
        else:
            c_desc.store([m, n], accumulator.to(c_desc.dtype))


# (arithmetic, shape class): `candidates` and `shape_class` say what these mean.
_SM_80 = {
    ("half", "large"): Config(128, 256, 32, 8, 4),
    ("half", "ragged"): Config(128, 128, 32, 8, 3),
    ("half", "small"): Config(64, 64, 64, 4, 4),
    ("half", "skinny"): Config(16, 32, 128, 4, 6),
    ("tf32", "large"): Config(128, 128, 32, 8, 4),
    ("tf32", "ragged"): Config(128, 64, 32, 8, 3),
    ("tf32", "small"): Config(64, 64, 32, 8, 3),  # with 4 warps it spills on sm_120
    ("tf32", "skinny"): Config(16, 32, 64, 4, 6),
    ("ieee", "large"): Config(128, 128, 16, 8, 4),
    ("ieee", "ragged"): Config(64, 128, 16, 8, 3),
    ("ieee", "small"): Config(64, 64, 16, 8, 3),
    ("ieee", "skinny"): Config(16, 32, 64, 4, 4),
}
CONFIGS = {
    "sm_80": _SM_80,
    "sm_90": {
        ("half", "tma"): Config(128, 256, 64, 8, 3),
        ("half", "tma narrow"): Config(128, 128, 64, 8, 4),
        **_SM_80,
        # With 128 x 256 and 128 x 128 triton 3.6 makes each product of these wait for the last.
        ("half", "large"): Config(256, 128, 64, 8, 3),
        ("tf32", "large"): Config(128, 256, 32, 8, 3),
        # Larger ones spill on sm_100.
        ("tf32", "ragged"): Config(64, 64, 32, 8, 3),
        ("tf32", "small"): Config(64, 64, 32, 8, 4),
    },
}


# Of a block on Hopper and Blackwell.
_SHARED_BYTES = 227 << 10

# What `tune` tries beside these; a shape class that is not here has no choice. Some spill on some
# architecture and version of Triton: there they are never timed.
ALTERNATIVES: dict[str, dict[tuple[str, str], tuple[Config, ...]]] = {
    "sm_80": {
        ("half", "large"): (Config(128, 128, 32, 4, 4), Config(128, 128, 64, 8, 3)),
        ("half", "small"): (Config(64, 128, 32, 4, 4), Config(32, 64, 64, 4, 4)),
        ("half", "skinny"): (Config(16, 64, 128, 4, 4), Config(16, 128, 64, 4, 4)),
    },
    "sm_90": {
        ("half", "tma"): (
            Config(128, 256, 64, 8, 3, GROUP_M=16),
            Config(128, 256, 64, 8, 4),  # in halves
            Config(256, 128, 64, 8, 3),
        ),
        ("half", "tma narrow"): (
            Config(128, 128, 64, 8, 5),
            Config(128, 128, 64, 4, 4),
            Config(64, 256, 64, 8, 3),
        ),
        ("half", "small"): (
            Config(64, 128, 64, 4, 4),
            Config(128, 128, 64, 8, 4),
            Config(64, 64, 128, 4, 3),
        ),
        ("half", "skinny"): (Config(16, 64, 128, 4, 6), Config(16, 128, 64, 4, 5)),
    },
}


def shape_class(M: int, N: int, K: int) -> str:
    """Which configuration a product of these sizes takes where no descriptor can be used.

    Where it is "large", an operand that is not `wide` makes it "ragged"; see select.
    """
    if M <= 16:
        return "skinny"  # reads b and does little else: many programs, deep pipeline
    if M * N < 2048 * 2048:
        return "small"  # large tiles would be fewer than multiprocessors
    if M % 16 == N % 16 == K % 16 == 0:
        return "large"
    return "ragged"  # rows not 16-byte aligned: narrow loads need the registers


def candidates(architecture: str, arithmetic: str, shape: str) -> tuple[Config, ...]:
    """The default configuration, then those that may be timed against it.

    Args:
        architecture: "sm_80" or "sm_90", see _launch.architecture.
        arithmetic: "half" (float16, bfloat16), or how float32 is multiplied: "ieee" or "tf32".
        shape: "tma", "tma narrow", or what shape_class gives.
    """
    key = arithmetic, shape
    return CONFIGS[architecture][key], *ALTERNATIVES[architecture].get(key, ())


def in_halves(tile: Config) -> bool:
    """Whether "tma" stores a tile of c in halves: whole, it would not fit beside all the stages."""
    c = tile.BLOCK_M * tile.BLOCK_N
    stages = tile.num_stages * (tile.BLOCK_M + tile.BLOCK_N) * tile.BLOCK_K
    return 2 * (c + stages) > _SHARED_BYTES  # of half precision


def _describable(operand: Tensor) -> bool:
    """Whether a TMA descriptor can say where the matrix lies, as it is or transposed."""
    (rows, columns), (outer, inner) = operand.shape, operand.stride()
    if inner != 1:
        columns, outer, inner = rows, inner, outer
    return (
        inner == 1
        and operand.numel() > 0
        and outer >= columns  # neither expanded nor overlapping
        and outer * operand.itemsize % 16 == 0
        and operand.data_ptr() % 16 == 0
    )


def select(a: Tensor, b: Tensor, out: Tensor) -> tuple[str, Config]:
    """The shape class and configuration of a product on its device.

    Args:
        a, b, out: [M, K], [K, N] and [M, N] of one dtype, any strides; float32 is multiplied as
            torch's setting for TF32 says.

    Returns:
        A key of CONFIGS without the arithmetic, e.g. "tma", and one of its `candidates`.
    """
    (M, K), N = a.shape, b.shape[1]
    architecture = _launch.architecture(a)
    arithmetic = _launch.float32_precision() if a.dtype == torch.float32 else "half"
    shape = shape_class(M, N, K)
    if (
        architecture == "sm_90"
        and arithmetic == "half"
        and shape != "skinny"
        and out.stride(1) == 1
        and all(map(_describable, (a, b, out)))
    ):
        classes = ("tma", "tma narrow", *(["small"] if shape == "small" else []))
        tiles = {name: CONFIGS[architecture][arithmetic, name] for name in classes}
        shape = quickest(M, N, _launch.multiprocessors(a), tiles)
    elif shape == "large" and not (wide(a) and wide(b) and wide(out)):
        shape = "ragged"  # whole sizes, but a view's strides or its address are not
    dtype = str(a.dtype).removeprefix("torch.") if arithmetic == "half" else arithmetic
    allowed = candidates(architecture, arithmetic, shape)
    return shape, chosen("matmul", f"{dtype} {shape}", allowed, a.device)


def product(a: Tensor, b: Tensor, out: Tensor) -> None:
    """Writes a b into out; [M, K], [K, N] and [M, N], any strides."""
    _launch.check_dot("matmul", a)
    if out.shape[1] <= 16 < out.shape[0]:
        a, b, out = b.t(), a.t(), out.t()  # few columns as few rows: c^T = b^T a^T
    if out.numel() == 0:
        return  # no programs; K = 0 is no special case, the kernel stores its zeros
    shape, tile = select(a, b, out)
    launch(a, b, out, shape, tile)


def launch(a: Tensor, b: Tensor, out: Tensor, shape: str, tile: Config) -> None:
    """Launches the kernel of the shape class with the configuration; out is not empty."""
    (M, K), N = a.shape, b.shape[1]
    tiles = _launch.cdiv(M, tile.BLOCK_M) * _launch.cdiv(N, tile.BLOCK_N)
    with _launch.device_of(a):
        if shape.startswith("tma"):
            programs, halves = min(tiles, _launch.multiprocessors(a)), in_halves(tile)
            descriptors = (
                _descriptor(a, tile.BLOCK_M, tile.BLOCK_K),
                _descriptor(b, tile.BLOCK_K, tile.BLOCK_N),
                _descriptor(out, tile.BLOCK_M, tile.BLOCK_N // (1 + halves)),
            )
            options = {
                "A_TRANSPOSED": a.stride(1) != 1,
                "B_TRANSPOSED": b.stride(1) != 1,
                "HALVES": halves,
            }
            _persistent_kernel[(programs,)](*descriptors, M, N, K, **options, **tile._asdict())
        else:
            strides = (*a.stride(), *b.stride(), *out.stride())
            precision = _launch.float32_precision()
            _matmul_kernel[(tiles,)](
                a, b, out, M, N, K, *strides, PRECISION=precision, **tile._asdict()
            )


def _descriptor(operand: Tensor, rows: int, columns: int) -> TensorDescriptor:
    """Of the matrix in blocks of [rows, columns], or of its transpose where that is contiguous."""
    if operand.stride(1) == 1:
        return TensorDescriptor(operand, operand.shape, operand.stride(), [rows, columns])
    return TensorDescriptor(operand, operand.shape[::-1], operand.stride()[::-1], [columns, rows])
