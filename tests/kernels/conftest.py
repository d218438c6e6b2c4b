"""Where the kernels run: on the GPU, or without one in Triton's interpreter."""

import os

import pytest
import torch

# Triton reads this when it is first imported, so before any test file imports a kernel.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(scope="session")
def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
