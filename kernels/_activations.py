"""The activations, on blocks in registers (Triton) and on tensors (torch), by name.

Forward and gradient are computed in float32 from the pre-activation. Each formula is stable at
any finite float32 up to +-1e4 and beyond (an overflowing exponential ends in the right limit),
lets NaN through, and has its NaN at infinities where torch has its own (gelu and silu of -inf
are -inf x 0). `threshold` is the step of the first neuron (McCulloch and Pitts 1943): its
gradient is 0 everywhere, so it learns nothing.

GELU: Hendrycks and Gimpel 2016, arXiv 1606.08415; gelu_tanh is their approximation, written with
the logistic function, 0.5 (1 + tanh u) = sigmoid(2u), which does not cancel for negative u.
SiLU: Elfwing, Uchibe and Doya 2017, arXiv 1702.03118. tanh near 0 is a polynomial, because the
exponential form cancels there, Triton's interpreter has no libdevice, and a fraction's registers
made linear's largest tile spill.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from kernels import _launch

NAMES = ("identity", "threshold", "sigmoid", "tanh", "relu", "gelu", "gelu_tanh", "silu")
CONSTANT = ("identity", "threshold")  # whose slope is the same everywhere: nothing to remember

_SQRT_HALF = tl.constexpr(0.5**0.5)
_PDF_AT_0 = tl.constexpr(0.3989422804014327)  # 1 / sqrt(2 pi)
_GELU_SCALE = tl.constexpr(1.5957691216057308)  # 2 sqrt(2 / pi)


@triton.jit
def _sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))  # exp overflows to infinity, and 1 / infinity is the limit


@triton.jit
def _sigmoid_and_slope(x):
    """y and y (1 - y); gelu_tanh multiplies the slope by up to 20, and 1 - y would cancel."""
    e = tl.exp(-tl.abs(x))
    inverse = 1.0 / (1.0 + e)
    return tl.where(x < 0, e, 1.0) * inverse, e * inverse * inverse


@triton.jit
def _tanh(x):
    s = x * x
    # (tanh(x) / x - 1) / x^2 in x^2, interpolated at Chebyshev's nodes of [0, 0.55^2]: off by
    # 4e-9 of tanh. The other form is 0.5 at 0.55, and no longer cancels.
    p = 0.021309389 - 0.0066102278 * s
    p = -0.053909429 + s * p
    p = 0.13333114 + s * p
    p = -0.33333332 + s * p
    near = x + x * (s * p)
    far = 1.0 - 2.0 / (1.0 + tl.exp(2.0 * tl.abs(x)))
    return tl.where(tl.abs(x) < 0.55, near, tl.where(x < 0, -far, far))


@triton.jit
def _gelu_cubic(x):
    return (x + 0.044715 * x * x * x) * _GELU_SCALE


@triton.jit
def activate(x, ACTIVATION: tl.constexpr):
    """The activation of a block of pre-activations, float32 to float32."""
    if ACTIVATION == "threshold":
        x = tl.where(x > 0, 1.0, tl.where(x <= 0, 0.0, x))  # NaN stays
    elif ACTIVATION == "sigmoid":
        x = _sigmoid(x)
    elif ACTIVATION == "tanh":
        x = _tanh(x)
    elif ACTIVATION == "relu":
        x = tl.where(x <= 0, 0.0, x)  # tl.maximum(x, 0) would make NaN 0
    elif ACTIVATION == "gelu":
        x = 0.5 * x * (1.0 + tl.erf(x * _SQRT_HALF))
    elif ACTIVATION == "gelu_tanh":
        x = x * _sigmoid(_gelu_cubic(x))
    elif ACTIVATION == "silu":
        x = x * _sigmoid(x)
    else:
        tl.static_assert(ACTIVATION == "identity")
    return x


@triton.jit
def differentiate(grad, x, ACTIVATION: tl.constexpr):
    """The gradient at the pre-activations x, given that at the activations; all float32.

    identity reads no x. threshold has no kernel: its gradient is 0, whatever `grad` holds.
    """
    if ACTIVATION == "sigmoid":
        _, slope = _sigmoid_and_slope(x)
        grad = grad * slope
    elif ACTIVATION == "tanh":
        y = _tanh(x)
        grad = grad * (1.0 - y * y)
    elif ACTIVATION == "relu":
        grad = tl.where(x <= 0, 0.0, grad)  # a choice, no product: 0 even where grad is infinite
    elif ACTIVATION == "gelu":
        cdf = 0.5 * (1.0 + tl.erf(x * _SQRT_HALF))
        grad = grad * (cdf + x * (tl.exp(-0.5 * x * x) * _PDF_AT_0))
    elif ACTIVATION == "gelu_tanh":
        y, slope = _sigmoid_and_slope(_gelu_cubic(x))
        grad = grad * (y + x * slope * ((x * x * (3 * 0.044715) + 1.0) * _GELU_SCALE))
    elif ACTIVATION == "silu":
        y, slope = _sigmoid_and_slope(x)
        grad = grad * (y + x * slope)
    else:
        tl.static_assert(ACTIVATION == "identity")
    return grad


def _threshold(x: Tensor) -> Tensor:
    return torch.where(x.isnan(), x.detach(), x.sign().clamp(min=0))  # sign has a gradient: 0


_REFERENCES: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "threshold": _threshold,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}


def reference(name: str) -> Callable[[Tensor], Tensor]:
    """The activation in plain torch, any floating dtype, differentiable.

    Raises:
        ValueError: there is no activation of this name.
    """
    check("reference", name)
    return _REFERENCES[name]


def magnitude(name: str, scale: Tensor) -> Tensor:
    """The scale of the activation's rounding error, given the pre-activation's own scale.

    A bound of |activation| whose slope bounds the activation's slope to within 13% (gelu).
    """
    if name == "threshold":
        return scale * 0 + 1
    if name == "sigmoid":
        return 0.5 + scale / 4
    return scale


def check(function: str, name: Any) -> None:
    """Refuses what is no activation's name.

    Raises:
        TypeError: `name` is no string.
        ValueError: there is no activation of this name.
    """
    if not isinstance(name, str):
        raise TypeError(
            f"{function}: activation is a {type(name).__name__}, expected one of {', '.join(NAMES)}"
        )
    if name not in NAMES:
        raise ValueError(f"{function}: activation is {name!r}, expected one of {', '.join(NAMES)}")


def check_input(function: str, input: Any, dimensions: str) -> None:
    """Refuses anything but a dense floating tensor of at least one dimension.

    Raises:
        TypeError, ValueError: as _launch.check_operand.
    """
    if isinstance(input, Tensor) and input.dim() > 0:
        dimensions = "," * (input.dim() - 1)  # leading dimensions are free
    _launch.check_operand(function, "input", input, dimensions)


def check_bias(function: str, bias: Any, name: str, like: Tensor, size: int) -> None:
    """Refuses a bias that is not [N], N = `size`, or unlike the tensor `like` called `name`.

    Raises:
        TypeError: no tensor, or of another dtype than `like`.
        ValueError: of another shape, or on another device.
    """
    _launch.check_operand(function, "bias", bias, "[N]")
    _launch.check_alike(function, name, like, "bias", bias)
    if bias.shape[0] != size:
        raise ValueError(f"{function}: bias has shape {list(bias.shape)}, expected [{size}]")
