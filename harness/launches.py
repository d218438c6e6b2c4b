"""Which Triton kernels a call launches, and what of that a row tells.

Nothing is timed here. What is launched by others than triton.jit (torch's own kernels, those of
torch.compile, the replay of a CUDA graph) is not seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from harness import machine_code
from harness.comparison import Comparison
from harness.prediction import Launch, in_words, predicted_s
from harness.roofline import MEMORY, PRODUCT, Roofs

# The arguments that tell how many tiles a kernel has, by the names that kernels give them: its
# sizes, each with its block's.
_TILES = (
    (("M", "BLOCK_M"), ("N", "BLOCK_N")),
    (("rows", "BLOCK_R"), ("classes", "BLOCK_C")),
    (("size", "BLOCK"),),
)


@contextmanager
def recorded() -> Iterator[list[Launch]]:
    """Gives a list to which every launch in the block is added, once it is made."""
    from triton.runtime.jit import JITFunction

    found: list[Launch] = []
    run = JITFunction.run

    def record(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        compiled = run(self, *args, grid=grid, warmup=warmup, **kwargs)
        if compiled is not None and not warmup:
            given = dict(zip(self.arg_names, args, strict=False)) | kwargs
            programs = grid(given) if callable(grid) else grid
            found.append(_launch(self.fn.__name__, compiled, programs, given))
        return compiled

    JITFunction.run = record
    try:
        yield found
    finally:
        JITFunction.run = run


def of(call: Callable[[], object]) -> list[Launch]:
    """The launches of one call."""
    with recorded() as found:
        call()
    return found


def fields(
    call: Callable[[], object], comparison: Comparison, device: str, roofs: Roofs | None
) -> dict[str, Any]:
    """The fields launches and predicted_s of a row; calls once more where it has any.

    Whatever goes wrong here is their reason: a row's time does not depend on it.
    """
    if device == "cpu":
        return _unknown("Triton kernels run on GPUs")
    if comparison.kind not in ("kernel", "user"):
        return _unknown("only of kernels")
    try:
        found = of(call)
    except Exception as error:
        return _unknown(f"its launches could not be recorded: {type(error).__name__}")
    if not found:
        return _unknown("triton.jit launched nothing")
    gpu = torch.cuda.get_device_properties(torch.cuda.current_device())
    count = gpu.multi_processor_count
    told = {"launches": in_words(found, count)}
    byte_per_s = roofs.peak(MEMORY, comparison.dtype) if roofs else None
    flop_per_s = roofs.peak(PRODUCT, comparison.dtype) if roofs and comparison.flops else None
    if byte_per_s is None or (comparison.flops and flop_per_s is None):
        return _unknown("the roof could not be measured") | told
    computing = comparison.flops / flop_per_s if comparison.flops and flop_per_s else 0.0
    bound_by_products = computing > (comparison.bytes or 0) / byte_per_s
    if bound_by_products and sum(one.flops for one in found) < 0.9 * (comparison.flops or 0):
        return _unknown("a kernel's arguments do not name its product's sizes M, N and K") | told
    return told | {"predicted_s": predicted_s(found, count, flop_per_s, byte_per_s)}


def _unknown(why: str) -> dict[str, Any]:
    return {f"{field}_reason": why for field in ("launches", "predicted_s")}


def _launch(kernel: str, compiled: Any, grid: tuple[int, ...], given: Mapping[str, Any]) -> Launch:
    programs = math.prod(grid)
    sizes = {name: value for name, value in given.items() if type(value) is int}
    tiles = max(programs, _tiles(sizes))
    flops = 0
    if {"M", "N", "K", "BLOCK_M", "BLOCK_N"} <= sizes.keys():
        flops = 2 * tiles * sizes["BLOCK_M"] * sizes["BLOCK_N"] * sizes["K"]
    return Launch(
        kernel=kernel,
        programs=programs,
        warps=compiled.metadata.num_warps,
        registers=compiled.n_regs,
        spilled=compiled.n_spills > 0,
        shared_bytes=compiled.metadata.shared,
        tiles=tiles,
        flops=flops,
        size=sum(map(_bytes, given.values())),
        narrow=machine_code.narrow_loads(compiled.asm.get("ptx", ""), product=flops > 0),
    )


def _tiles(sizes: Mapping[str, int]) -> int:
    """By the first names of _TILES that are all there; 0 where none are."""
    for pairs in _TILES:
        if all(size in sizes and block in sizes for size, block in pairs):
            return math.prod(-(-sizes[size] // sizes[block]) for size, block in pairs)
    return 0


def _bytes(value: Any) -> int:
    """Of a tensor, or of the one that a descriptor describes; 0 of any other argument."""
    tensor = value if isinstance(value, torch.Tensor) else getattr(value, "base", None)
    return tensor.nbytes if isinstance(tensor, torch.Tensor) else 0
