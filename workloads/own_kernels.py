"""One switch that trains a workload on this project's kernels in the place of torch's functions.

    with own_kernels():
        loss = workload.loss(model, batch)

Inside, F.linear (and so every nn.Linear) is kernels.linear, and F.cross_entropy on [rows, classes]
is kernels.cross_entropy. A cross-entropy of a linear layer's output, when it asks for both at
once through `linear_cross_entropy` below, is kernels.linear_cross_entropy. Gradients follow, since
each kernel brings its own. What the kernels do not take (float64, class probabilities as targets,
other shapes) stays torch's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode, handle_torch_function, has_torch_function_variadic

import kernels

_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def linear_cross_entropy(input: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor):
    """Mean cross-entropy of a linear layer's output, so that a kernel may fuse the two.

    Args:
        input: [rows, features].
        weight, bias: [classes, features] and [classes] or None.
        target: [rows] int64.

    Returns:
        A scalar, in nats: F.cross_entropy(F.linear(input, weight, bias), target).
    """
    if has_torch_function_variadic(input, weight):
        return handle_torch_function(
            linear_cross_entropy, (input, weight), input, weight, bias, target
        )
    return F.cross_entropy(F.linear(input, weight, bias), target)


class own_kernels(TorchFunctionMode):
    """The switch, a context manager; `calls` counts by name what ran on a kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, int] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        ours = _OURS.get(func)
        if ours is not None and ours.fits(*args, **kwargs):
            self.calls[ours.name] = self.calls.get(ours.name, 0) + 1
            return ours.call(*args, **kwargs)
        return func(*args, **kwargs)


class _Ours:
    def __init__(self, name: str, fits: Callable[..., bool], call: Callable[..., Tensor]):
        self.name, self.fits, self.call = name, fits, call


def _linear_fits(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    return input.dtype in _DTYPES and weight.dim() == 2


def _cross_entropy_fits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, **options: Any
) -> bool:
    return (
        input.dtype in _DTYPES
        and input.dim() == 2
        and not target.is_floating_point()
        and options.get("size_average") is None
        and options.get("reduce") is None
    )


def _fused_fits(input: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor) -> bool:
    return input.dtype in _DTYPES


def _cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None, **options: Any):
    for retired in ("size_average", "reduce"):
        options.pop(retired, None)
    return kernels.cross_entropy(input, target, weight, **options)


_OURS: Mapping[Any, _Ours] = {
    F.linear: _Ours("linear", _linear_fits, kernels.linear),
    F.cross_entropy: _Ours("cross_entropy", _cross_entropy_fits, _cross_entropy),
    linear_cross_entropy: _Ours(
        "linear_cross_entropy",
        _fused_fits,
        lambda input, weight, bias, target: kernels.linear_cross_entropy(
            input, weight, target, linear_bias=bias
        ),
    ),
}
