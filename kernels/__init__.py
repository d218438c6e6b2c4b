"""Hand-written Triton kernels, each in one file and each with its own proof and price.

    import kernels

    c = kernels.matmul(a, b)        # [M, K] x [K, N] -> [M, N], any strides

Every function takes float32, float16 and bfloat16, accumulates in float32, is differentiable in
each floating input, works under torch.compile without a graph break and captures into a CUDA
graph. It never writes into its inputs, never waits for the device, and where it cannot be right
(differentiating twice, forward mode, vmap) it raises.

`NAMES` lists the kernels; `load(name)` gives a kernel's `Operation` (kernels/spec.py): its
reference, inputs, cost, cases and providers, which is what the tests prove and the harness times.
A new kernel is one file, named as its function, and one word in NAMES.

Importing this package imports neither torch nor triton; naming a kernel does.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernels.bias_activation import bias_activation as bias_activation
    from kernels.cross_entropy import cross_entropy as cross_entropy
    from kernels.linear import linear as linear
    from kernels.linear_cross_entropy import linear_cross_entropy as linear_cross_entropy
    from kernels.matmul import matmul as matmul
    from kernels.spec import Operation

NAMES = ("matmul", "linear", "bias_activation", "cross_entropy", "linear_cross_entropy")


def load(name: str) -> Operation:
    """The Operation that the kernel `name` declares.

    Raises:
        ValueError: no kernel has this name.
    """
    if name not in NAMES:
        raise ValueError(f"no kernel is named {name!r}; there is {', '.join(NAMES)}")
    return importlib.import_module(f"{__name__}.{name}").OPERATION


def __getattr__(name: str) -> Any:
    """The public function `name`, imported when it is first asked for (PEP 562)."""
    if name in NAMES:
        return getattr(importlib.import_module(f"{__name__}.{name}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *NAMES})


class _Package(ModuleType):
    """A package whose `kernels.matmul` is the function, although a file has the same name.

    Importing a submodule sets it as an attribute of its package, which would hide the function
    from everyone as soon as somebody imports the file.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name in NAMES and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
