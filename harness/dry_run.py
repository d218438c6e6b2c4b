"""Launches on a GPU that is not there: each kernel compiled for it as there, recorded and not run.

CPU tensors stand for the GPU's, their memory never touched: sizes, strides and alignment decide
what is launched, and what the tensors hold decides nothing. So the machine code, the grid and the
shared memory of every case are known beforehand; no time is. Needs torch and triton without
TRITON_INTERPRET, in a process that launches nothing on a real GPU meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
import triton
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from harness import launches, machine_code
from harness.compile import SHARED_LIMIT
from harness.prediction import Launch
from harness.subjects import of_operation
from kernels import _launch
from kernels.spec import Case, Operation


def run(operation: Operation, case: Case, provider: str, gpu: _launch.Gpu) -> list[Launch]:
    """What one iteration of a provider launches on the GPU.

    Args:
        operation, case: the provider's kernels may be any that check their operands by
            kernels/_launch.py, as all of kernels/ do.
        provider: a Triton provider of the operation.
        gpu: the one that is not there.

    Raises:
        RuntimeError: Triton interprets in this process.
        Exception: whatever the provider raises, a kernel that asks for more than the GPU has among
            them (triton.runtime.errors.OutOfResources).
    """
    if triton.knobs.runtime.interpret:
        raise RuntimeError("Triton's interpreter compiles nothing: unset TRITON_INTERPRET")
    comparison = of_operation(operation, case, "cpu")
    with FakeTensorMode():
        shapes = comparison.inputs(0)
    inputs = [_untouched(t) for t in shapes]
    call = comparison.providers[provider]()
    with _assumed(gpu):
        call(*inputs)  # in direction "backward" this is the forward pass too
        return launches.of(lambda: call(*inputs))


def _untouched(like: Tensor) -> Tensor:
    """A CPU tensor of that shape, its memory asked for and not yet there."""
    alike = torch.empty_strided(tuple(like.shape), like.stride(), dtype=like.dtype)
    return alike.requires_grad_(like.requires_grad)


@contextmanager
def _assumed(gpu: _launch.Gpu) -> Iterator[None]:
    before = driver._active
    driver.set_active(_Driver(gpu))
    _launch.assumed = gpu
    try:
        yield
    finally:
        _launch.assumed = None
        driver._active = before


class _Driver:
    """What Triton asks its driver when it compiles and launches; launching does nothing."""

    def __init__(self, gpu: _launch.Gpu):
        major, minor = gpu.capability
        self._target = GPUTarget("cuda", 10 * major + minor, 32)
        limit = SHARED_LIMIT.get(f"sm_{major}{minor}", SHARED_LIMIT["sm_80"])
        self.launcher_cls: Callable[..., Any] = lambda source, metadata: lambda *arguments: None
        self.utils = SimpleNamespace(
            get_device_properties=lambda device: {"max_shared_mem": limit},
            load_binary=_loaded,
        )

    def get_current_target(self) -> GPUTarget:
        return self._target

    def get_current_device(self) -> str:
        return f"{self._target}"  # Triton keeps compiled kernels by this: none is a real GPU's

    def get_current_stream(self, device: str) -> int:
        return 0


def _loaded(name: str, cubin: bytes, *_: object) -> tuple[object, object, int, int, int]:
    """Module, function, registers, spilled bytes and most threads, as a driver tells them."""
    registers, spilled = machine_code.registers(cubin)
    return object(), object(), registers, spilled, 1024
