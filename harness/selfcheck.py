"""Measurements whose answer is known beforehand: wrong here, and nothing else can be believed.

Each device has them before its first case, through the very path that every case takes: a call
that does nothing, a delay of known length, a copy, and on a GPU a large product. They are rows of
kind "check"; `harness.trust.faults` judges them when they are read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from harness import roofline
from harness.comparison import Comparison
from harness.record import CHECK
from harness.timing import Limits

NOTHING, DELAY, COPY, PRODUCT = "nothing", "delay", "copy", "product"
MODE = {"cpu": "host", "cuda": "warm"}
DELAY_S = {"cpu": 2e-3, "cuda": 10e-3}  # a GPU's is launched and waited for in some 20 us: 0.2%
# a CPU's memory takes seconds to be filled and checked, which its roof costs already
COPY_LEVEL = {"cpu": roofline.CACHE, "cuda": roofline.MEMORY}
PRODUCT_DTYPE = "bfloat16"
LIMITS = Limits(
    half_width=0.005, min_sampled_s=0.1, max_samples=100, max_s=0.6, warmup_s=0.05, max_warmup_s=0.2
)


def comparisons(device: str) -> Iterator[Comparison]:
    """The self-checks of a device, each to be measured before the next one is asked for."""
    yield _of(NOTHING, device, lambda: None, None)
    yield _of(DELAY, device, *(_globaltimer() if device == "cuda" else _spin()))
    yield replace(roofline.copy(device, COPY_LEVEL[device]), kind=CHECK, subject=COPY)
    if device == "cuda":
        product = roofline.product(device, PRODUCT_DTYPE, max(roofline.PRODUCT_SIZES[device]))
        yield replace(product, kind=CHECK, subject=PRODUCT)


def _of(
    subject: str, device: str, call: Callable[[], object], expected_s: float | None
) -> Comparison:
    def provider(x: Tensor) -> Tensor:
        call()
        return x

    def inputs(seed: int) -> tuple[Tensor, ...]:
        generator = torch.Generator(device).manual_seed(seed)
        return (torch.randn(1, generator=generator, device=device),)

    return Comparison(
        kind=CHECK,
        subject=subject,
        case=subject,
        dtype="float32",
        direction="forward",
        inputs=inputs,
        providers={"torch": lambda: provider},
        baseline="torch",
        reference=lambda x: x,
        expected_s=expected_s,
    )


def _spin() -> tuple[Callable[[], object], float]:
    """Python that waits without giving up its core, by another clock than the one that times it
    where the system has one: the raw one is not steered by the network's time."""
    length = DELAY_S["cpu"]
    raw = getattr(time, "CLOCK_MONOTONIC_RAW", None)
    clock = time.monotonic if raw is None else lambda: time.clock_gettime(raw)

    def spin() -> None:
        end = clock() + length
        while clock() < end:
            pass

    return spin, length


def _globaltimer() -> tuple[Callable[[], object], float]:
    """A kernel that waits by another clock than that of CUDA's events."""
    from harness.delay import wait  # triton is imported when it is wanted

    length = DELAY_S["cuda"]
    waited = torch.zeros(1, dtype=torch.int64, device="cuda")
    return lambda: wait[(1,)](waited, round(1e9 * length)), length
