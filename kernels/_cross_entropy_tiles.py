"""Which tile of logits a program of cross-entropy's row kernels holds, by how the rows lie."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from kernels import _cross_entropy_lanes as by_lane
from kernels import _cross_entropy_peeled as by_peel
from kernels._cross_entropy_loss import Loss
from kernels.tuning import chosen


class Config(NamedTuple):
    """Rows and classes that a program holds at once, and its warps."""

    BLOCK_R: int
    BLOCK_C: int
    num_warps: int


# The first whose BLOCK_C holds all classes, else the last.
CONFIGS = (Config(8, 128, 4), Config(2, 1024, 4), Config(1, 4096, 16))
# Without weights, smoothing or bias fewer warps have more numbers each: more loads in flight, and
# fewer instructions a number, of which an H200 has time for about 28 while its memory moves a half-
# precision gradient (sm_90: 22 instead of 27, in 32 to 48 registers).
GRADIENT = Config(1, 4096, 8)
# For the losses of longer rows: more loads in flight, where registers allow.
WIDE = Config(1, 16384, 16)
CANDIDATES: tuple[Config | by_lane.Lanes, ...] = (WIDE, *by_lane.LANES)


def config(classes: int) -> Config:
    """The configuration for rows of so many classes."""
    return next((c for c in CONFIGS if classes <= c.BLOCK_C), CONFIGS[-1])


def plain(input: Tensor, loss: Loss, width: int) -> bool:
    """Whether the loss has no options and its logits are read 16 bytes at a time, which needs fewer
    registers."""
    aligned = input.stride(0) * input.element_size() % 16 == width % 16 == 0
    return aligned and _without_options(input, loss)


def peels(input: Tensor, loss: Loss, width: int) -> bool:
    """Whether, where that is not so, the logits can be read so but for the ends of each row."""
    return width == input.shape[1] and input.data_ptr() % 16 == 0 and _without_options(input, loss)


def _without_options(input: Tensor, loss: Loss) -> bool:
    options = loss.weight is not None or loss.bias is not None or loss.smoothing
    return not options and input.stride(1) == 1


def losses_config(input: Tensor, loss: Loss, width: int) -> Config | by_lane.Lanes | by_peel.Peeled:
    """The configuration for the losses: of long rows WIDE, or what was timed better, where it does
    not spill; or they are peeled."""
    if input.shape[1] <= CONFIGS[-1].BLOCK_C:
        return config(input.shape[1])
    if plain(input, loss, width):
        return chosen("cross_entropy", by_lane.long_rows(input.dtype), CANDIDATES, input.device)
    return by_peel.LOSSES if peels(input, loss, width) else CONFIGS[-1]


def gradients_config(input: Tensor, loss: Loss, out: Tensor, width: int) -> Config | by_peel.Peeled:
    """The configuration for the gradient, which is peeled where it lies as the input does."""
    tile = config(input.shape[1])
    if tile is not CONFIGS[-1]:
        return tile
    if plain(input, loss, width):
        return GRADIENT
    alike = out.stride(0) == input.stride(0) and out.data_ptr() % 16 == 0
    return by_peel.GRADIENT if alike and peels(input, loss, width) else tile
