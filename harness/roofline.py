"""The roof of a run: what this machine's memory and arithmetic did in this very run.

A case takes at least max(flops / peak FLOP/s, bytes / peak byte/s) seconds; the share of the
roof is that time over the measured one (Williams, Waterman & Patterson 2009, doi
10.1145/1498765.1498785). The peak byte/s is a copy's: out of memory, or out of the cache where
the case's bytes fit there and the mode leaves them in it. The peak FLOP/s is the best product's:
on a GPU the largest one is held down by its power, and a smaller one may clock higher.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from harness.comparison import Comparison
from harness.environment import cpu_cache_bytes
from harness.faults import TOLERANCE

MEMORY, CACHE, PRODUCT = "memory", "cache", "product"
COPY_BYTES = {"cpu": 2**26, "cuda": 2**30}  # read; as many are written
PRODUCT_SIZES = {"cpu": (1024,), "cuda": (4096, 8192)}
DEFAULT_CACHE_BYTES = 2**20


class Roofs:
    """Peaks of one device, each measured when it is first asked for.

    Args:
        device: "cpu" or "cuda".
        measure: (comparison, mode) -> seconds an iteration at its quickest, or None where it
            could not be measured. The session's keeps the row.
    """

    def __init__(self, device: str, measure: Callable[[Comparison, str], float | None]):
        self.device = device
        self._measure = measure
        self._peaks: dict[tuple[str, str], float | None] = {}

    def peak(self, what: str, dtype: str) -> float | None:
        """FLOP/s of a product in `dtype`, or byte/s of a copy; None where it failed."""
        key = what, dtype if what == PRODUCT else ""
        if key not in self._peaks:
            # a copy within a GPU's cache takes less time than its launch
            short = "graph" if what == CACHE else "warm"
            mode = short if self.device == "cuda" else "host"
            found = [self._rate(case, mode) for case in self._cases(what, dtype)]
            self._peaks[key] = max((rate for rate in found if rate), default=None)
        if what == CACHE and (memory := self.peak(MEMORY, dtype)):
            # a cache is no slower than what is behind it, whatever a short copy's launch costs
            return max(memory, self._peaks[key] or 0.0)
        return self._peaks[key]

    def forget(self) -> None:
        """Each peak is measured anew when it is next asked for."""
        self._peaks.clear()

    def _cases(self, what: str, dtype: str) -> list[Comparison]:
        if what == PRODUCT:
            return [product(self.device, dtype, n) for n in PRODUCT_SIZES[self.device]]
        return [copy(self.device, what)]

    def _rate(self, case: Comparison, mode: str) -> float | None:
        seconds, work = self._measure(case, mode), case.flops or case.bytes
        return work / seconds if work and seconds else None

    def share(self, case: Comparison, median: float, high: float, mode: str) -> dict[str, Any]:
        """The fields roof_share, roof_bound and above_roof of a row.

        Args:
            case: its flops, bytes and dtype count.
            median, high: seconds an iteration, and the slow end of the interval, which has to be
                quicker than the roof by more than TOLERANCE to be above it.
            mode: cold leaves nothing in the cache to be read.
        """
        fields = ("roof_share", "roof_bound", "above_roof")
        if case.bytes is None:
            return {f"{field}_reason": "its bytes are not known" for field in fields}
        level = CACHE if mode != "cold" and case.bytes <= cache_bytes(self.device) else MEMORY
        parts = [(level, case.bytes, self.peak(level, case.dtype))]
        if case.flops:
            parts.append(("compute", case.flops, self.peak(PRODUCT, case.dtype)))
        if any(peak is None for _, _, peak in parts):
            return {f"{field}_reason": "the roof could not be measured" for field in fields}
        least, bound = max((work / peak, bound) for bound, work, peak in parts if peak)
        if level == MEMORY:
            # as many bytes as the largest cache holds may still be there from the last iteration;
            # cold, what was written may not yet have left it
            most = case.bytes // 2 if mode == "cold" else case.bytes
            rest = case.bytes - min(_most_cached(self.device), most)
            parts[0] = (level, rest, parts[0][2])
        surely = max(work / peak for _, work, peak in parts if peak)
        above = surely > high * (1 + TOLERANCE)
        return {"roof_share": least / median, "roof_bound": bound, "above_roof": above}


def cache_bytes(device: str) -> int:
    """The cache a repeated case may stay in: a GPU's L2, a core's own L2 on a CPU."""
    if device == "cuda":
        return torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size
    return cpu_cache_bytes().get(2, DEFAULT_CACHE_BYTES)


def _most_cached(device: str) -> int:
    """Of the last level, which a CPU's cores share and whose own speed is not measured."""
    last = max(cpu_cache_bytes().values(), default=0) if device == "cpu" else 0
    return max(last, cache_bytes(device))


def copy(device: str, level: str) -> Comparison:
    """A copy from and to memory, or within half of the cache."""
    read = COPY_BYTES[device] if level == MEMORY else cache_bytes(device) // 4
    count = max(read // 4, 1)

    def inputs(seed: int) -> tuple[Tensor, ...]:
        generator = torch.Generator(device).manual_seed(seed)
        return (torch.randn(count, generator=generator, device=device),)

    def build() -> Callable[..., Tensor]:
        out = torch.empty(count, device=device)
        return lambda x: out.copy_(x)

    return Comparison(
        kind="roof",
        subject="copy",
        case=level,
        dtype="float32",
        direction="forward",
        inputs=inputs,
        providers={"torch": build},
        baseline="torch",
        reference=lambda x: x,
        flops=None,
        bytes=2 * 4 * count,
    )


def product(device: str, dtype: str, n: int) -> Comparison:
    """A square product, n large enough for it to be bound by arithmetic."""

    def inputs(seed: int) -> tuple[Tensor, ...]:
        generator = torch.Generator(device).manual_seed(seed)
        shape, kind = (2, n, n), getattr(torch, dtype)
        return tuple(torch.randn(shape, generator=generator, device=device, dtype=kind))

    return Comparison(
        kind="roof",
        subject="product",
        case=f"{n}x{n}x{n}",
        dtype=dtype,
        direction="forward",
        inputs=inputs,
        providers={"torch": lambda: torch.matmul},
        baseline="torch",
        reference=torch.matmul,
        flops=2 * n**3,
        bytes=3 * n * n * getattr(torch, dtype).itemsize,
    )
