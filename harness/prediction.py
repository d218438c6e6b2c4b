"""How long launches would last if nothing but the roof and idle multiprocessors held them up.

A launch takes the longer of its tensors' bytes over the memory's byte/s and its product's FLOPs
over the product's FLOP/s (Williams, Waterman & Patterson 2009, doi 10.1145/1498765.1498785),
divided by its balance: the share of the multiprocessors' time that its tiles fill while the
busiest one works (wave quantisation; NVIDIA, "Matrix Multiplication Background", 2023). The sum
over an iteration's launches is what they take at least, a bound and no forecast, unless a cache
holds what they read; where a measurement is longer, the rest was lost inside of the kernels or
between them. Above all where they load narrowly, which they are marked for: nothing here models
it. It is never a result. Needs neither torch nor triton.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

NARROW = "narrow loads, not modelled"  # what is said of a launch that has them


class Launch(NamedTuple):
    """One kernel, launched once.

    Attributes:
        kernel: its function's name.
        programs: of its grid; warps: of a program.
        registers: of a thread; spilled: whether some did not fit there.
        shared_bytes: of a program.
        tiles: what the programs share out among themselves: as many as there are programs, or more
            where a program takes one after the other.
        flops: of a product's tiles, their parts past the edges included; 0 for other kernels.
        size: bytes of the tensors that it is given, one that is given twice counted twice.
        narrow: whether it loads fewer than 16 bytes at a time (machine_code.narrow_loads).
    """

    kernel: str
    programs: int
    warps: int
    registers: int
    spilled: bool
    shared_bytes: int
    tiles: int
    flops: int
    size: int
    narrow: bool


class Multiprocessor(NamedTuple):
    """What programs share of one: registers, bytes of shared memory, warps and programs."""

    registers: int
    shared_bytes: int
    warps: int
    programs: int


# By compute capability (CUDA C++ Programming Guide 13.0, "Technical Specifications").
_MULTIPROCESSORS = {
    (8, 0): Multiprocessor(65536, 167_936, 64, 32),
    (8, 6): Multiprocessor(65536, 102_400, 48, 16),
    (8, 9): Multiprocessor(65536, 102_400, 48, 24),
    (9, 0): Multiprocessor(65536, 233_472, 64, 32),
    (10, 0): Multiprocessor(65536, 233_472, 64, 32),
    (12, 0): Multiprocessor(65536, 102_400, 48, 24),
}
_WARP = 32  # threads
_REGISTERS_AT_ONCE = 256  # are given to a warp
_RESERVED_BYTES = 1024  # of shared memory, for each program


def multiprocessor(capability: tuple[int, int]) -> Multiprocessor | None:
    """Of GPUs of that compute capability; None where it is not known here."""
    return _MULTIPROCESSORS.get(capability)


def resident(launch: Launch, of: Multiprocessor) -> int:
    """Programs of the launch that are on a multiprocessor at a time; 0 where none fits."""
    warp = math.ceil(launch.registers * _WARP / _REGISTERS_AT_ONCE) * _REGISTERS_AT_ONCE
    return min(
        of.programs,
        of.warps // launch.warps,
        of.registers // max(warp * launch.warps, 1),
        of.shared_bytes // (launch.shared_bytes + _RESERVED_BYTES),
    )


def balance(launch: Launch, multiprocessors: int) -> float:
    """Share of the multiprocessors' time that tiles fill until the busiest one is done."""
    programs = math.ceil(launch.programs / multiprocessors)  # of the busiest
    tiles = math.ceil(launch.tiles / launch.programs)  # of the busiest program
    return launch.tiles / (tiles * programs * multiprocessors)


def launch_s(
    launch: Launch, multiprocessors: int, flop_per_s: float | None, byte_per_s: float
) -> float:
    """Seconds; flop_per_s may be None for a launch without a product."""
    computing = launch.flops / flop_per_s if launch.flops and flop_per_s else 0.0
    return max(computing, launch.size / byte_per_s) / balance(launch, multiprocessors)


def predicted_s(
    launches: Sequence[Launch], multiprocessors: int, flop_per_s: float | None, byte_per_s: float
) -> float:
    """Seconds of one launch after the other.

    Args:
        launches: of one iteration.
        multiprocessors: of the GPU.
        flop_per_s: of products in the operands' dtype; None where no launch is one.
        byte_per_s: of the memory, read and written together.
    """
    return sum(launch_s(one, multiprocessors, flop_per_s, byte_per_s) for one in launches)


def in_words(launches: Sequence[Launch], multiprocessors: int) -> str:
    """Each kernel: its grid, what a program has, and its balance; like ones in a row together."""
    told = []
    for one, alike in groupby(launches):
        count = len(list(alike))
        words = f"{count} x " if count > 1 else ""
        words += f"{one.kernel}: {one.programs} programs of {one.warps} warps, "
        words += f"{one.tiles} tiles, " if one.tiles != one.programs else ""
        words += f"{one.registers} registers{' and spills' if one.spilled else ''}, "
        words += f"{one.shared_bytes} B shared, balance {balance(one, multiprocessors):.2f}"
        words += f", {NARROW}" if one.narrow else ""
        told.append(words)
    return "; ".join(told)
