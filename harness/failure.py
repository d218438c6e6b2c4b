"""What an error says of the provider that raised it, and of the GPU that it ran on."""

from __future__ import annotations

import contextlib
import re

import torch

from harness import record

GPU_DOWN = "brought the GPU down"  # in the reason of what is not measured therefore


def status(error: Exception, mode: str) -> str:
    """The status of its row; an error of mode graph says that a graph cannot hold the call."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return record.OUT_OF_MEMORY
    if "can't allocate memory" in str(error):  # torch's CPU allocator raises a RuntimeError
        return record.OUT_OF_MEMORY
    # so does autograd, of a function of torch's own that has no backward pass
    underived = re.match(r"derivative for .* is not implemented", str(error))
    if mode == "graph" or underived or isinstance(error, NotImplementedError):
        return record.UNSUPPORTED
    return record.FAILED


def first_line(error: Exception) -> str:
    """The error in one line, whatever it says."""
    words = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__}: {words[0]}"[:300]


def is_lost(device: str) -> bool:
    """Whether a kernel has brought the GPU down: in this process each later call raises then."""
    if device != "cuda":
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def free_memory(device: str) -> None:
    """What an error left behind, for the next provider."""
    if device == "cuda":
        with contextlib.suppress(RuntimeError):  # of a GPU that a kernel has brought down
            torch.cuda.empty_cache()
