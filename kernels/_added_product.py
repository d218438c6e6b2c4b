"""The product of two matrices added to a third, out += a b: what a chunk of tokens adds to dweight.

The sum is made in float32 registers, and out rounded once, whatever its dtype. Two kernels, as
matmul has: kernels/matmul.py tells what sets them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels import _launch
from kernels._product import _describable, _descriptor
from kernels._tiles import rounded, tile_of, wide
from kernels.spec import TRITON_TYPES, Build
from kernels.tuning import Choice, Config, chosen


@triton.jit
def _add_product_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K, stride_am, stride_ak, stride_bk, stride_bn,
    PRECISION: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
):  # fmt: skip
    """One program: adds one [BLOCK_M, BLOCK_N] tile of a b to c, which is contiguous."""
    tile_m, tile_n = tile_of(tl.program_id(0), M, N, BLOCK_M, BLOCK_N, GROUP_M)
    m = tile_m.to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)  # [BLOCK_M]
    n = tile_n.to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)  # [BLOCK_N]
    k = tl.arange(0, BLOCK_K).to(tl.int64)  # [BLOCK_K]
    in_m = m[:, None] < M
    in_n = n[None, :] < N
    a_ptrs = a_ptr + m[:, None] * stride_am + k[None, :] * stride_ak  # [BLOCK_M, BLOCK_K]
    b_ptrs = b_ptr + k[:, None] * stride_bk + n[None, :] * stride_bn  # [BLOCK_K, BLOCK_N]
    c_ptrs = c_ptr + m[:, None] * N + n[None, :]  # [BLOCK_M, BLOCK_N]
    # Before the products: after them, both would need registers.
    c = tl.load(c_ptrs, mask=in_m & in_n, other=0.0).to(tl.float32)
    for tile in range((K - 1) // BLOCK_K + 1):
        left = K - tile * BLOCK_K
        a = tl.load(a_ptrs, mask=in_m & (k[None, :] < left), other=0.0)
        b = tl.load(b_ptrs, mask=(k[:, None] < left) & in_n, other=0.0)
        a, b = rounded(a, PRECISION), rounded(b, PRECISION)
        c = tl.dot(a, b, c, input_precision=PRECISION)
        a_ptrs += tl.cast(stride_ak, tl.int64) * BLOCK_K
        b_ptrs += tl.cast(stride_bk, tl.int64) * BLOCK_K
    tl.store(c_ptrs, c.to(c_ptr.dtype.element_ty), mask=in_m & in_n)


@triton.jit
def _add_half(product, c_desc, m, n):
    """Adds half a tile of the product to c at (m, n)."""
    c_desc.store([m, n], (c_desc.load([m, n]).to(tl.float32) + product).to(c_desc.dtype))


@triton.jit
def _add_persistent_kernel(
    a_desc, b_desc, c_desc, M, N, K,
    A_TRANSPOSED: tl.constexpr, B_TRANSPOSED: tl.constexpr, BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP_M: tl.constexpr,
):  # fmt: skip
    """One program: every so many tiles of c, moved by the TMA unit, which pads and clips."""
    tiles = ((M - 1) // BLOCK_M + 1) * ((N - 1) // BLOCK_N + 1)
    # Flattened, as matmul's: the next tile's loads are in flight while this one is added.
    for tile in tl.range(tl.program_id(0), tiles, tl.num_programs(0), flatten=True):
        tile_m, tile_n = tile_of(tile, M, N, BLOCK_M, BLOCK_N, GROUP_M)
        m, n = tile_m * BLOCK_M, tile_n * BLOCK_N
        product = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
        for tile_k in range((K - 1) // BLOCK_K + 1):
            k = tile_k * BLOCK_K
            # [BLOCK_M, BLOCK_K] and [BLOCK_K, BLOCK_N]
            a = a_desc.load([k, m]).T if A_TRANSPOSED else a_desc.load([m, k])
            b = b_desc.load([n, k]).T if B_TRANSPOSED else b_desc.load([k, n])
            product = tl.dot(a, b, product)
        # In halves: c and the third stage of a and b do not fit into shared memory together.
        halves = tl.permute(tl.reshape(product, (BLOCK_M, 2, BLOCK_N // 2)), (0, 2, 1))
        left, right = tl.split(halves)  # [BLOCK_M, BLOCK_N // 2]
        _add_half(left, c_desc, m, n)
        _add_half(right, c_desc, m, n + BLOCK_N // 2)


# By arithmetic, and "tma" or whether every size is a multiple of 16. One row of tiles after the
# other (GROUP_M = 1): all of b, the tokens of a chunk, stays in L2, and a is read once.
_SM_80 = {
    ("half", "whole"): Config(128, 128, 32, 8, 3, 1),
    ("half", "ragged"): Config(128, 64, 32, 8, 3, 1),
    ("tf32", "whole"): Config(64, 128, 32, 8, 3, 1),  # 128 x 64 spills on sm_120
    ("tf32", "ragged"): Config(128, 64, 32, 8, 3, 1),
    ("ieee", "whole"): Config(64, 128, 16, 8, 3, 1),
    ("ieee", "ragged"): Config(64, 128, 16, 8, 3, 1),
}
CONFIGS = {
    "sm_80": _SM_80,
    "sm_90": _SM_80
    | {
        ("half", "tma"): Config(128, 256, 64, 8, 3),
        # triton 3.6 spills with larger tiles, added to float32 or ragged
        ("half", "whole"): Config(128, 128, 64, 8, 4, 1),
        ("tf32", "ragged"): Config(64, 64, 32, 8, 3, 1),
    },
    "sm_100": _SM_80
    | {
        ("half", "tma"): Config(128, 256, 64, 8, 3),
        ("half", "whole"): Config(128, 128, 64, 8, 4, 1),  # the larger tile spills
    },
}
# What `tune` tries beside these.
_TMA = (
    Config(128, 256, 64, 8, 3, 1),
    Config(256, 128, 64, 8, 3),
    Config(128, 128, 64, 8, 4),
    Config(128, 128, 64, 4, 4),
)
ALTERNATIVES: dict[str, dict[tuple[str, str], tuple[Config, ...]]] = {
    "sm_80": {("half", "whole"): (Config(128, 128, 64, 8, 3, 1), Config(128, 256, 32, 8, 3, 1))},
    "sm_90": {("half", "tma"): _TMA},
    "sm_100": {("half", "tma"): _TMA},
}


def _architecture(operand: Tensor) -> str:
    """The key of CONFIGS for the operand's device; see _launch.architecture."""
    return "sm_100" if _launch.capability(operand)[0] == 10 else _launch.architecture(operand)


def candidates(architecture: str, arithmetic: str, shape: str) -> tuple[Config, ...]:
    """The default configuration, then those that may be timed against it."""
    key = arithmetic, shape
    return CONFIGS[architecture][key], *ALTERNATIVES[architecture].get(key, ())


def select(a: Tensor, b: Tensor, out: Tensor) -> tuple[str, Config]:
    """Which kernel and configuration, on the device of a [M, K], b [K, N] and out [M, N]."""
    (M, K), N = a.shape, b.shape[1]
    architecture = _architecture(a)
    arithmetic = _launch.float32_precision() if a.dtype == torch.float32 else "half"
    shape = "ragged"
    if (
        (arithmetic, "tma") in CONFIGS[architecture]
        and out.dtype == a.dtype  # a tile of float32 would not fit into shared memory
        and all(map(_describable, (a, b, out)))
    ):
        shape = "tma"
    elif M % 16 == N % 16 == K % 16 == 0 and wide(a) and wide(b) and wide(out):
        shape = "whole"
    dtype = str(a.dtype).removeprefix("torch.") if arithmetic == "half" else arithmetic
    allowed = candidates(architecture, arithmetic, shape)
    return shape, chosen("linear_cross_entropy", f"{dtype} {shape}", allowed, a.device)


def add_product(a: Tensor, b: Tensor, out: Tensor) -> None:
    """out += a b; [M, K] and [K, N] of any strides, out contiguous, in their dtype or float32."""
    if out.numel() and a.shape[1]:
        launch(a, b, out, *select(a, b, out))


def launch(a: Tensor, b: Tensor, out: Tensor, shape: str, tile: Config) -> None:
    """Launches the kernel of the shape with the configuration; nothing is empty."""
    (M, K), N = a.shape, b.shape[1]
    tiles = _launch.cdiv(M, tile.BLOCK_M) * _launch.cdiv(N, tile.BLOCK_N)
    with _launch.device_of(a):
        if shape == "tma":
            _add_persistent_kernel[(min(tiles, _launch.multiprocessors(a)),)](
                _descriptor(a, tile.BLOCK_M, tile.BLOCK_K),
                _descriptor(b, tile.BLOCK_K, tile.BLOCK_N),
                _descriptor(out, tile.BLOCK_M, tile.BLOCK_N // 2),
                M, N, K, A_TRANSPOSED=a.stride(1) != 1, B_TRANSPOSED=b.stride(1) != 1,
                **tile._asdict(),
            )  # fmt: skip
        else:
            _add_product_kernel[(tiles,)](
                a, b, out, M, N, K, *a.stride(), *b.stride(),
                PRECISION=_launch.float32_precision(), **tile._asdict(),
            )  # fmt: skip


def builds(architecture: str) -> Iterator[Build]:
    """Every default configuration of the architecture; half precisions add to float32 too."""
    for (arithmetic, shape), tile in CONFIGS.get(architecture, _SM_80).items():
        for dtype in ("bfloat16", "float16") if arithmetic == "half" else ("float32",):
            yield build(arithmetic, shape, tile, dtype, dtype)
            if arithmetic == "half" and shape != "tma":
                yield build(arithmetic, shape, tile, dtype, "float32")


def build(arithmetic: str, shape: str, tile: Config, dtype: str, out: str) -> Build:
    """For the transposed logits' gradient and contiguous tokens, added to a matrix of dtype out."""
    sizes = {name: value for name, value in tile._asdict().items() if name.isupper()}
    words = f"{arithmetic} {shape}{' to float32' if out != dtype else ''}"
    matrix, element = arithmetic != "ieee", TRITON_TYPES[dtype]
    if shape == "tma":
        blocks = {
            "a_desc": (tile.BLOCK_K, tile.BLOCK_M),
            "b_desc": (tile.BLOCK_K, tile.BLOCK_N),
            "c_desc": (tile.BLOCK_M, tile.BLOCK_N // 2),
        }
        types = {n: f"tensordesc<{element}[{r},{c}]>" for n, (r, c) in blocks.items()}
        types |= dict.fromkeys("MNK", "i32")
        constants = {**sizes, "A_TRANSPOSED": True, "B_TRANSPOSED": False}
        kernel, aligned = _add_persistent_kernel, ()
    else:
        pointers = {
            "a_ptr": f"*{element}",
            "b_ptr": f"*{element}",
            "c_ptr": f"*{TRITON_TYPES[out]}",
        }
        numbers = ("M", "N", "K", "stride_ak", "stride_bk")
        types = {**pointers, **dict.fromkeys(numbers, "i32")}
        precision = "tf32" if arithmetic == "tf32" else "ieee"
        constants = {**sizes, "stride_am": 1, "stride_bn": 1, "PRECISION": precision}
        kernel, aligned = _add_product_kernel, (*pointers, *(numbers if shape == "whole" else ()))
    return Build(
        kernel, words, dtype, types, constants, aligned, tile.num_warps, tile.num_stages, matrix
    )


_TYPICAL = (32768, 4096, 2048)  # classes, hidden and the tokens of a chunk


def choices(device: torch.device) -> list[Choice]:
    """What there is to choose on a GPU: each shape with alternatives, in each half precision."""
    architecture = _architecture(torch.empty(0, device=device))
    return [
        _choice(device, architecture, arithmetic, shape, dtype)
        for arithmetic, shape in ALTERNATIVES[architecture]
        for dtype in (torch.bfloat16, torch.float16)
    ]


def _choice(
    device: torch.device, architecture: str, arithmetic: str, shape: str, dtype: torch.dtype
) -> Choice:
    name = str(dtype).removeprefix("torch.")

    def launches() -> Callable[[Config], None]:
        M, N, K = _TYPICAL
        a = torch.randn((K, M), device=device, dtype=dtype).t()
        b = torch.randn((K, N), device=device, dtype=dtype)
        out = torch.zeros(M, N, device=device, dtype=dtype)
        return lambda tile: launch(a, b, out, shape, tile)

    return Choice(
        "linear_cross_entropy",
        f"{name} {shape}",
        candidates(architecture, arithmetic, shape),
        lambda tile: [build(arithmetic, shape, tile, name, name)],
        launches,
    )
