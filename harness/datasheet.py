"""What the maker says that a GPU can do at most: a limit of physics, never a result.

Measured peaks, and all that is judged by them, are harness/roofline.py's. A time below what the
datasheet allows was not measured right, whatever the run's own roof is. Needs no torch.

Sources: NVIDIA's datasheets of the A100 (2021), H100 (2023) and H200 (2024); products of dense
matrices at boost clock.
"""

from __future__ import annotations

import re
from typing import NamedTuple

TF32 = "tf32"  # float32 inputs, rounded


class Peaks(NamedTuple):
    """Of one GPU.

    Attributes:
        capability: its compute capability.
        multiprocessors: how many it has.
        byte_per_s: of its memory, read and written together.
        flop_per_s: of products, by dtype, and TF32 for float32 that is rounded so.
    """

    capability: tuple[int, int]
    multiprocessors: int
    byte_per_s: float
    flop_per_s: dict[str, float]


def _peaks(
    capability: int,
    multiprocessors: int,
    byte_per_s: float,
    half: float,
    tf32: float,
    single: float,
) -> Peaks:
    rates = {"float16": half, "bfloat16": half, TF32: tf32, "float32": single}
    return Peaks(divmod(capability, 10), multiprocessors, byte_per_s, rates)


_A100_40 = r"\bA100-(SXM4|SXM)-40GB|\bA100-PCIE-40GB\b"
_A100_80 = r"\bA100-(SXM4|SXM)-80GB|\bA100 80GB PCIe\b"
_GPUS = (  # patterns of the names that drivers give; the first that is found counts
    (r"\bH200 NVL\b", _peaks(90, 132, 4.8e12, 835.5e12, 417.5e12, 60e12)),
    (r"\bH200\b", _peaks(90, 132, 4.8e12, 989.5e12, 494.7e12, 67e12)),
    (r"\bH100 PCIe\b", _peaks(90, 114, 2.0e12, 756e12, 378e12, 51e12)),
    (r"\bH100 80GB HBM3\b", _peaks(90, 132, 3.35e12, 989.5e12, 494.7e12, 67e12)),
    (_A100_40, _peaks(80, 108, 1.555e12, 312e12, 156e12, 19.5e12)),
    (_A100_80, _peaks(80, 108, 2.039e12, 312e12, 156e12, 19.5e12)),
)
# Names by which a GPU is asked for, and one that its driver gives.
NAMES = {
    "H200": "NVIDIA H200",
    "H100": "NVIDIA H100 80GB HBM3",
    "A100": "NVIDIA A100-SXM4-80GB",
}


def peaks(device_name: str) -> Peaks | None:
    """Of the GPU of that name; None of one that is not known here."""
    return next((found for name, found in _GPUS if re.search(name, device_name)), None)


def least_s(
    device_name: str, dtype: str, flops: int | None, size: int | None, cache_bytes: int
) -> float | None:
    """Seconds below which no iteration can be.

    Args:
        device_name: as the driver gives it.
        dtype: of the products; TF32 where float32 is rounded so.
        flops: an iteration's, or None.
        size: bytes it must read and write, or None.
        cache_bytes: as many can be there before it begins, and as many written not yet be in
            memory when it ends.

    Returns:
        None where the GPU is not known.
    """
    known = peaks(device_name)
    if known is None:
        return None
    moving = max((size or 0) - 2 * cache_bytes, 0) / known.byte_per_s
    peak = known.flop_per_s.get(dtype)
    return max(moving, (flops or 0) / peak if peak else 0.0)
