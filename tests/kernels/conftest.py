"""Where the kernels run: on the GPU, or without one in Triton's interpreter."""

import os

import pytest
import torch

# Triton reads this when it is first imported, so before any test file imports a kernel.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

import numpy as np
import triton.runtime.interpreter as interpreter


def _sum_as_a_tree(self, input):
    """The interpreter's tl.sum, added up in the order of a GPU.

    NumPy adds rows one after the other, where the roundings of equal numbers, which a gradient
    expanded from one number has, go the same way: errors that no GPU makes.
    """
    data = input.handle.data
    data = data.reshape(-1) if self.axis is None else np.moveaxis(data, self.axis, 0)
    while len(data) > 1:  # block sizes are powers of two
        data = data[: len(data) // 2] + data[len(data) // 2 :]
    if self.keep_dims:
        axes = self.axis if self.axis is not None else tuple(range(len(input.shape)))
        data = np.expand_dims(data[0], axes)
    else:
        data = data[0]
    return self.to_tensor(data, input.dtype)


interpreter.ReduceOps.sum = _sum_as_a_tree


@pytest.fixture(scope="session")
def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
