"""What kernels/_linear_kernel.py launches, for the compiler and for the tuner."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from kernels import _activations, _launch
from kernels._linear_kernel import (
    ALTERNATIVES,
    CONFIGS,
    _linear_kernel,
    _persistent_kernel,
    candidates,
    launch,
)
from kernels._product_builds import FAMILY
from kernels.spec import TRITON_TYPES, Build
from kernels.tuning import Choice, Config


def builds(architecture: str) -> list[Build]:
    """Every configuration and dtype with gelu and z kept, the largest kernel.

    And, for the largest tile in bfloat16, without z, and every other activation.
    """
    return [*_builds(CONFIGS[FAMILY[architecture]])]


def _builds(configs: dict[tuple[str, str], Config]) -> Iterator[Build]:
    for arithmetic, shape in configs:
        for dtype in ("bfloat16", "float16") if arithmetic == "half" else ("float32",):
            yield build(arithmetic, shape, configs[arithmetic, shape], dtype, "gelu", keep=True)
    largest = "tma" if ("half", "tma") in configs else "large"
    tile = configs["half", largest]
    yield build("half", largest, tile, "bfloat16", "gelu", keep=False)
    for activation in _activations.NAMES:
        if activation != "gelu":
            keep = activation not in _activations.CONSTANT
            yield build("half", largest, tile, "bfloat16", activation, keep)


def build(
    arithmetic: str, shape: str, tile: Config, dtype: str, activation: str, keep: bool
) -> Build:
    """One configuration as the launcher specialises it for contiguous operands and a bias."""
    element = TRITON_TYPES[dtype]
    constants: dict[str, Any] = {
        **{name: value for name, value in tile._asdict().items() if name.isupper()},
        "ACTIVATION": activation,
        "stride_b": 1,
    }
    tma = shape.startswith("tma")
    if tma:
        kernel = _persistent_kernel

        def block(rows: int, columns: int) -> str:
            return f"tensordesc<{element}[{rows},{columns}]>"

        out = block(tile.BLOCK_M, tile.BLOCK_N // 2)
        types = {
            "input_desc": block(tile.BLOCK_M, tile.BLOCK_K),
            "weight_desc": block(tile.BLOCK_N, tile.BLOCK_K),
            "bias_ptr": f"*{element}",
            "output_desc": out,
        } | ({"pre_desc": out} if keep else {})
    else:
        kernel = _linear_kernel
        constants |= {"stride_ik": 1, "stride_wk": 1}
        constants["PRECISION"] = "tf32" if arithmetic == "tf32" else "ieee"
        names = ("input_ptr", "weight_ptr", "bias_ptr", "output_ptr") + ("pre_ptr",) * keep
        types = dict.fromkeys(names, f"*{element}")
    if not keep:
        constants["pre_desc" if tma else "pre_ptr"] = None
    pointers = tuple(name for name in types if name.endswith("_ptr"))
    types |= {name: "i32" for name in kernel.arg_names if name not in types | constants}
    # torch aligns memory to 16 bytes; sizes and strides are multiples of 16 unless ragged. A
    # descriptor says its own alignment, and its sizes may be any.
    aligned = pointers if tma or shape == "ragged" else tuple(types)
    return Build(
        kernel, f"{arithmetic} {shape} {activation}{' z kept' if keep else ''}", dtype, types,
        constants, aligned, tile.num_warps, tile.num_stages,
        matrix=arithmetic != "ieee" and tile.BLOCK_M >= 64,
    )  # fmt: skip


# M, N and K that are typical of a shape class.
_TYPICAL = {
    "tma": (4096, 4096, 4096),
    "tma narrow": (2048, 1024, 4096),
    "large": (4096, 4096, 4096),
    "small": (1024, 1024, 1024),
    "few rows": (16, 4096, 4096),
    "few columns": (65536, 16, 1024),
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
    """By gelu, the largest epilogue: as inference calls it, and with the pre-activation kept."""
    name = str(dtype).removeprefix("torch.")

    def launches() -> Callable[[Config], None]:
        M, N, K = _TYPICAL[shape]
        input, weight, bias = (
            torch.randn(size, device=device, dtype=dtype) for size in ((M, K), (N, K), (N,))
        )
        output, kept = (torch.empty(M, N, device=device, dtype=dtype) for _ in range(2))

        def launch_each(tile: Config) -> None:
            for pre in (None, kept):
                launch(input, weight, bias, "gelu", output, pre, shape, tile)

        return launch_each

    return Choice(
        "linear",
        f"{name} {shape}",
        candidates(architecture, arithmetic, shape),
        lambda tile: [build(arithmetic, shape, tile, name, "gelu", keep) for keep in (False, True)],
        launches,
    )
