"""What kernels/_product.py launches, for the compiler and for the tuner."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kernels import _launch
from kernels._product import (
    ALTERNATIVES,
    CONFIGS,
    _matmul_kernel,
    _persistent_kernel,
    candidates,
    in_halves,
    launch,
)  # fmt: skip
from kernels.spec import TRITON_TYPES, Build
from kernels.tuning import Choice, Config

# Which operands are transposed: of c = a b, and of its gradients dc b^T and a^T dc.
LAYOUTS = {"nn": (False, False), "nt": (False, True), "tn": (True, False)}
# Configurations of an architecture that has none of its own; see _launch.architecture.
FAMILY = {"sm_80": "sm_80", "sm_90": "sm_90", "sm_100": "sm_90", "sm_120": "sm_80"}


def builds(architecture: str) -> list[Build]:
    """For operands of each layout: every default configuration launched on the architecture, and
    the alternatives that store in halves, whose code is of their own."""
    family = FAMILY[architecture]
    halves = [
        (key, tile)
        for key, tiles in ALTERNATIVES[family].items()
        for tile in tiles
        if key[1].startswith("tma") and in_halves(tile)
    ]
    return [
        build(arithmetic, shape, tile, dtype, layout)
        for (arithmetic, shape), tile in (*CONFIGS[family].items(), *halves)
        for dtype in (("bfloat16", "float16") if arithmetic == "half" else ("float32",))
        for layout in LAYOUTS
    ]


def build(arithmetic: str, shape: str, tile: Config, dtype: str, layout: str) -> Build:
    """One configuration as the launcher specialises it for contiguous operands."""
    tma = shape.startswith("tma")
    halves = tma and in_halves(tile)
    kernel = _persistent_kernel if tma else _matmul_kernel
    a_transposed, b_transposed = LAYOUTS[layout]
    sizes = {name: value for name, value in tile._asdict().items() if name.isupper()}
    element = TRITON_TYPES[dtype]
    if tma:
        transposed = {"A_TRANSPOSED": a_transposed, "B_TRANSPOSED": b_transposed}
        constants = {**sizes, **transposed, "HALVES": halves}
        types = {
            "a_desc": _block(element, tile.BLOCK_M, tile.BLOCK_K, a_transposed),
            "b_desc": _block(element, tile.BLOCK_K, tile.BLOCK_N, b_transposed),
            "c_desc": _block(element, tile.BLOCK_M, tile.BLOCK_N // (1 + halves), False),
        }
    else:
        ones = (
            "stride_am" if a_transposed else "stride_ak",
            "stride_bk" if b_transposed else "stride_bn",
            "stride_cn",
        )
        precision = "tf32" if arithmetic == "tf32" else "ieee"
        constants = {**sizes, **dict.fromkeys(ones, 1), "PRECISION": precision}
        types = {name: f"*{element}" for name in ("a_ptr", "b_ptr", "c_ptr")}
    pointers = tuple(types)
    types |= {name: "i32" for name in kernel.arg_names if name not in types | constants}
    # torch aligns memory to 16 bytes; sizes and strides are multiples of 16 unless ragged. A
    # descriptor says its own alignment, and its sizes may be any.
    aligned = () if tma else pointers if shape == "ragged" else tuple(types)
    words = f"{arithmetic} {shape}{' halves' if halves else ''} {layout}"
    return Build(
        kernel, words, dtype, types, constants, aligned,
        tile.num_warps, tile.num_stages, matrix=arithmetic != "ieee" and tile.BLOCK_M >= 64,
    )  # fmt: skip


def _block(element: str, rows: int, columns: int, transposed: bool) -> str:
    """Triton's type of a descriptor of such blocks."""
    return f"tensordesc<{element}[{f'{columns},{rows}' if transposed else f'{rows},{columns}'}]>"


# M, N and K that are typical of a shape class.
_TYPICAL = {
    "tma": (4096, 4096, 4096),
    "tma narrow": (2048, 1024, 4096),
    "large": (4096, 4096, 4096),
    "small": (1024, 1024, 1024),
    "skinny": (16, 4096, 4096),
}


def choices(device: torch.device) -> list[Choice]:
    """What there is to choose on a GPU: each class with alternatives, in each half precision."""
    architecture = _launch.architecture(torch.empty(0, device=device))
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
        M, N, K = _TYPICAL[shape]

        def operand(rows: int, columns: int, transposed: bool) -> Tensor:
            size = (columns, rows) if transposed else (rows, columns)
            lying = torch.randn(size, device=device, dtype=dtype)
            return lying.t() if transposed else lying

        products = [(operand(M, K, a), operand(K, N, b)) for a, b in LAYOUTS.values()]
        out = torch.empty(M, N, device=device, dtype=dtype)

        def launch_each(tile: Config) -> None:
            for a, b in products:
                launch(a, b, out, shape, tile)

        return launch_each

    return Choice(
        "matmul",
        f"{name} {shape}",
        candidates(architecture, arithmetic, shape),
        lambda tile: [build(arithmetic, shape, tile, name, layout) for layout in LAYOUTS],
        launches,
    )
