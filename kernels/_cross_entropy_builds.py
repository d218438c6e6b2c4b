"""The row kernels of cross-entropy, for the compiler and for the tuner."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from kernels import _cross_entropy_peeled as by_peel
from kernels._cross_entropy_lanes import LANES, Lanes, _lanes_kernel, long_rows
from kernels._cross_entropy_loss import Loss
from kernels._cross_entropy_reduction import BLOCKS, Block, _reduce_kernel
from kernels._cross_entropy_rows import _gradients_kernel, _losses_kernel, losses
from kernels._cross_entropy_tiles import CANDIDATES, CONFIGS, GRADIENT, WIDE, Config
from kernels.spec import TRITON_TYPES, Build
from kernels.tuning import Choice

_WHOLE = ("classes", "width", "stride_row", "stride_out")  # multiples of 16 unless ragged


def builds(upstreams: Sequence[str], biased: bool = False) -> Iterator[Build]:
    """Every configuration, for contiguous rows: without options, and with all of them.

    Args:
        upstreams: where the gradient of the losses comes from: "scalar", "rows", or "one" for no
            gradient; the first with every tile, the others with the widest alone.
        biased: whether a bias of the logits is one of the options.
    """
    for dtype in TRITON_TYPES:
        yield from (_lanes(tile, dtype) for tile in LANES)
        if not biased:  # else the logits are linear_cross_entropy's own, whose rows are whole
            yield _peeled_losses(dtype)
            yield from (_peeled_gradients(dtype, upstream) for upstream in upstreams)
        for options in (False, True):
            yield from (_reduce(block, dtype, options) for block in BLOCKS)
            for tile in CONFIGS if options else (*CONFIGS, WIDE):
                yield _losses(tile, dtype, options, biased, ragged=False)
            yield _losses(CONFIGS[-1], dtype, options, biased, ragged=True)
            for upstream in upstreams:
                short, last = CONFIGS[:-1] if upstream == upstreams[0] else (), CONFIGS[-1]
                for tile in (*short, last if options else GRADIENT):
                    yield _gradients(tile, dtype, options, biased, upstream, ragged=False)
                yield _gradients(last, dtype, options, biased, upstream, ragged=True)


def _reduce(block: Block, dtype: str, weighted: bool) -> Build:
    pointer = f"*{TRITON_TYPES[dtype]}"
    pointers = {
        "loss_ptr": "*fp32",
        "target_ptr": "*i64",
        "weight_ptr": pointer,
        "out_ptr": pointer,
        "denominator_ptr": "*fp32",
    }
    return Build(
        _reduce_kernel,
        f"{block.BLOCK}{' weighted' if weighted else ''}",
        dtype,
        {**pointers, "rows": "i32", "classes": "i32", "ignore_index": "i32"},
        {"MEAN": True, "WEIGHTED": weighted, "BLOCK": block.BLOCK},
        tuple(pointers),
        num_warps=block.num_warps,
        num_stages=3,
    )


def _losses(tile: Config, dtype: str, options: bool, biased: bool, ragged: bool) -> Build:
    return by_row(_losses_kernel, {"loss_ptr": "*fp32"}, {}, tile, dtype, options, biased, ragged)


def _gradients(
    tile: Config, dtype: str, options: bool, biased: bool, upstream: str, ragged: bool
) -> Build:
    pointer = f"*{TRITON_TYPES[dtype]}"
    pointers = {"grad_ptr": pointer, "denominator_ptr": "*fp32", "out_ptr": pointer}
    constants: dict[str, object] = {
        "UPSTREAM": upstream, "stride_grad": int(upstream == "rows"), "PEELED": False,
    }  # fmt: skip
    build = by_row(_gradients_kernel, pointers, constants, tile, dtype, options, biased, ragged)
    return replace(build, configuration=f"{build.configuration} {upstream}")


def by_row(
    kernel: Any,
    pointers: dict[str, str],
    constants: dict[str, object],
    tile: Config,
    dtype: str,
    options: bool,
    biased: bool,
    ragged: bool,
) -> Build:
    """A build of a row kernel; ragged: rows start and end anywhere, not on 16 bytes."""
    pointer = f"*{TRITON_TYPES[dtype]}"
    pointers = {
        **pointers,
        "input_ptr": pointer,
        "target_ptr": "*i64",
        "weight_ptr": pointer,
        "bias_ptr": pointer,
        "statistics_ptr": "*fp32",
    }
    names = ("rows", "classes", "width", "stride_row", "stride_out", "ignore_index")
    numbers = {name: "i32" for name in names if name in kernel.arg_names}
    constants = {
        **constants,
        "stride_class": 1,
        "WEIGHTED": options,
        "SMOOTHED": options,
        "BIASED": options and biased,
        "BLOCK_R": tile.BLOCK_R,
        "BLOCK_C": tile.BLOCK_C,
    }
    words = f"{tile.BLOCK_R}x{tile.BLOCK_C}"
    words += " all options" if options else ""
    words += " ragged" if ragged else ""
    return Build(
        kernel,
        words,
        dtype,
        {**pointers, **numbers, "keep": "fp32", "share": "fp32"},
        constants,
        (*pointers, *(() if ragged else (n for n in numbers if n in _WHOLE))),
        tile.num_warps,
        num_stages=3,
    )


def _wide(tile: by_peel.Peeled, dtype: str) -> int:
    """How often a thread reads 16 bytes, to have its part of a tile."""
    return tile.BLOCK_C * getattr(torch, dtype).itemsize // 16 // (32 * tile.num_warps)


def _peeled_gradients(dtype: str, upstream: str) -> Build:
    tile = by_peel.GRADIENT
    build = _gradients(Config(*tile), dtype, False, False, upstream, ragged=True)
    wide = dict.fromkeys(("ld", "st"), _wide(tile, dtype))
    return replace(
        build,
        configuration=f"1x{tile.BLOCK_C} peeled {upstream}",
        constants={**build.constants, "PEELED": True},
        wide=wide,
    )


def _peeled_losses(dtype: str) -> Build:
    tile, lanes = by_peel.LOSSES, _lanes(LANES[0], dtype)
    types = {name: kind for name, kind in lanes.types.items() if name != "width"}
    return replace(
        lanes,
        kernel=by_peel._peeled_losses_kernel,
        configuration=f"1x{tile.BLOCK_C} peeled",
        types=types,
        constants={"LANES": 32 * tile.num_warps, "BLOCK_C": tile.BLOCK_C},
        aligned=tuple(name for name in types if name.endswith("_ptr")),
        num_warps=tile.num_warps,
        wide={"ld": 2 * _wide(tile, dtype)},  # in the loop, and after it
    )


def _lanes(tile: Lanes, dtype: str) -> Build:
    pointer = f"*{TRITON_TYPES[dtype]}"
    pointers = {
        "input_ptr": pointer,
        "target_ptr": "*i64",
        "loss_ptr": "*fp32",
        "statistics_ptr": "*fp32",
    }
    numbers = dict.fromkeys(("classes", "width", "stride_row", "ignore_index"), "i32")
    return Build(
        _lanes_kernel,
        f"1x{tile.BLOCK_C}",
        dtype,
        {**pointers, **numbers},
        {"LANES": tile.LANES, "BLOCK_C": tile.BLOCK_C},
        (*pointers, *(name for name in numbers if name in _WHOLE)),
        tile.num_warps,
        num_stages=3,
    )


_TYPICAL = (2048, 128256)  # rows and classes


def choices(device: torch.device) -> list[Choice]:
    """What there is to choose on a GPU: the kernel for the losses of long rows, in each dtype."""
    return [_choice(device, name) for name in TRITON_TYPES]


def _choice(device: torch.device, name: str) -> Choice:
    dtype = getattr(torch, name)

    def build(tile: Config | Lanes) -> list[Build]:
        if isinstance(tile, Lanes):
            return [_lanes(tile, name)]
        return [_losses(tile, name, options=False, biased=False, ragged=False)]

    def launches() -> Callable[[Config | Lanes], None]:
        rows, classes = _TYPICAL
        input = torch.randn((rows, classes), device=device, dtype=dtype)
        loss = Loss(torch.randint(classes, (rows,), device=device), None, -100, 0.0)
        out, statistics = input.new_empty(rows), torch.empty(rows, 3, device=device)
        return lambda tile: losses(input, loss, out, statistics, tile=tile)

    return Choice("cross_entropy", long_rows(dtype), CANDIDATES, build, launches)
