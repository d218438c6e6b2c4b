"""Bias and activation, forward and both gradients: y = act(x + b), b added to every row.

Bound by memory: one read and one write of every element, whatever the activation. A program takes
a tile of rows, so that the bias is read once a tile and the elements lie side by side (16 bytes a
load where rows are aligned); sum and activation are float32 in registers. The backward pass reads
x again and recomputes x + b, which costs nothing beside storing it, and adds up the bias's
gradient in the same pass: each program sums its columns over a run of rows into float32, and a
second, small kernel sums the runs. No atomics: the same bits every time.

Versions, in order of cleverness:
1. torch eager: one kernel for the sum, one for the activation, and for the gradients two more;
   in half precision the sum is rounded in between.
2. One kernel forward, one and a small one backward; tiles by the length of the rows and by layout
   (this file). Predicted from compulsory bytes, not measured: half the time of version 1 forward.
Not yet timed on a GPU. Where it should lose to a kernel over flat memory: rows that are not a
multiple of 16 numbers are read one by one, rows a little longer than a tile leave lanes idle, and
gelu with erf in half precision comes close to what the arithmetic units can do.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kernels import _activation_rows, _activations, _launch
from kernels.spec import BACKWARD, CUDA, FORWARD, FORWARD_BACKWARD, FULL, Case, Cost, Operation


def reference(input: Tensor, bias: Tensor | None = None, activation: str = "relu") -> Tensor:
    """[..., N], [N] -> [..., N] in the operands' own dtype."""
    return _activations.reference(activation)(input if bias is None else input + bias)


def magnitude(input: Tensor, bias: Tensor | None = None, activation: str = "relu") -> Tensor:
    """S of each output, float64 [..., N]: the formula over absolute values (Higham 2002, 3.1).

    Of input [..., N] and bias [N], of any floating dtype; activation as in `bias_activation`.
    """
    scale = input.double().abs()
    return _activations.magnitude(activation, scale if bias is None else scale + bias.abs())


def bias_activation(input: Tensor, bias: Tensor | None = None, activation: str = "relu") -> Tensor:
    """activation(input + bias), as torch's activation of the sum.

    Args:
        input: [..., N]; float32, float16 or bfloat16, any strides.
        bias: [N], the same dtype and device; None adds nothing.
        activation: identity, threshold, sigmoid, tanh, relu, gelu, gelu_tanh or silu.

    Returns:
        The input's shape, contiguous, in its dtype; sum and activation in float32.

    Raises:
        TypeError: an operand is not a dense tensor of these dtypes, the dtypes differ, or the
            activation is no string.
        ValueError: the shapes do not fit, the devices differ, or no activation has this name.
        RuntimeError: CPU tensors outside Triton's interpreter, forward-mode differentiation,
            vmap, or differentiating twice.
    """
    _activations.check_input("bias_activation", input, "[..., N]")
    if bias is not None:
        _activations.check_bias("bias_activation", bias, "input", input, input.shape[-1])
    _activations.check("bias_activation", activation)
    _launch.check_runnable("bias_activation", input)
    return _forward(input, bias, activation)


@torch.library.custom_op("flopwise::bias_activation", mutates_args=())
def _forward(input: Tensor, bias: Tensor | None, activation: str) -> Tensor:
    _launch.check_runnable("bias_activation", input)
    output = input.new_empty(input.shape)
    _activation_rows.write_output(input, bias, activation, output)
    return output


@_forward.register_fake
def _(input: Tensor, bias: Tensor | None, activation: str) -> Tensor:
    return input.new_empty(input.shape)


@torch.library.custom_op("flopwise::bias_activation_backward", mutates_args=())
def _backward(
    grad: Tensor,
    input: Tensor | None,
    bias: Tensor | None,
    activation: str,
    needs_input: bool,
    needs_bias: bool,
) -> list[Tensor]:
    """[the input's gradient if it is needed] + [the bias's if it is]."""
    _launch.check_runnable("bias_activation", grad)
    grads = _empty_gradients(grad, input, bias, activation, needs_input, needs_bias)
    remaining = iter(grads)
    grad_input = next(remaining) if needs_input else None
    grad_bias = next(remaining) if needs_bias else None
    _activation_rows.write_gradients(grad, input, bias, activation, grad_input, grad_bias)
    return grads


@_backward.register_fake
def _empty_gradients(
    grad: Tensor,
    input: Tensor | None,
    bias: Tensor | None,
    activation: str,
    needs_input: bool,
    needs_bias: bool,
) -> list[Tensor]:
    shapes = [grad.shape] * needs_input + [grad.shape[-1:]] * needs_bias
    return [grad.new_empty(shape) for shape in shapes]


def _save(ctx: Any, inputs: tuple[Tensor, Tensor | None, str], output: Tensor) -> None:
    input, bias, ctx.activation = inputs
    constant = ctx.activation in _activations.CONSTANT
    ctx.save_for_backward(*((None, None) if constant else (input, bias)))


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    needs_input, needs_bias = ctx.needs_input_grad[:2]
    grads = iter(_backward(grad, *ctx.saved_tensors, ctx.activation, needs_input, needs_bias))
    return next(grads) if needs_input else None, next(grads) if needs_bias else None, None


_forward.register_autograd(_differentiate, setup_context=_save)
_launch.refuse_twice("bias_activation", _backward)
_launch.refuse_vmap("bias_activation", _forward, _backward)


TIMED = "gelu"  # the activation of the timed cases: the costliest, in torch and here
_timed_reference = functools.partial(reference, activation=TIMED)


def inputs(case: Case, device: str, seed: int) -> tuple[Tensor, Tensor]:
    """input and bias from the normal distribution, the same for the same seed and device."""
    generator = torch.Generator(device).manual_seed(seed)

    def normal(*sizes: str) -> Tensor:
        return torch.randn(
            [case.shape[size] for size in sizes],
            generator=generator,
            device=device,
            dtype=getattr(torch, case.dtype),
            requires_grad=case.direction != FORWARD,
        )

    return normal("M", "N"), normal("N")


def cost(case: Case) -> Cost:
    """Each tensor moved once each time; a sum, an activation and a product each count one flop.

    An activation's own instructions depend on who computes it, so they count as one.
    """
    M, N = case.shape["M"], case.shape["N"]
    element = getattr(torch, case.dtype).itemsize
    forward = Cost(2 * M * N, (2 * M * N + N) * element)
    # Reads the output's gradient, input and bias, and writes two gradients; the sum is
    # recomputed, the slope multiplied with the gradient and the result added up.
    backward = Cost(4 * M * N, (3 * M * N + 2 * N) * element)
    if case.direction == FORWARD:
        return forward
    if case.direction == BACKWARD:
        return backward
    return Cost(forward.flops + backward.flops, forward.bytes + backward.bytes)


def _case(M: int, N: int, dtype: str, direction: str = FORWARD, **more: Any) -> Case:
    return Case({"M": M, "N": N}, dtype, direction, **more)


CASES = (
    _case(1024, 1024, "float32"),
    _case(1024, 1024, "float32", FORWARD_BACKWARD),
    _case(8192, 8192, "bfloat16", **CUDA),
    _case(8192, 8192, "bfloat16", FORWARD_BACKWARD, **CUDA),
    _case(8191, 8191, "bfloat16", **CUDA, **FULL),
    _case(65536, 256, "bfloat16", **CUDA, **FULL),
    _case(8192, 8192, "float16", **CUDA, **FULL),
    _case(8192, 8192, "float32", **CUDA, **FULL),
    _case(8192, 8192, "float32", FORWARD_BACKWARD, **CUDA, **FULL),
    _case(32768, 16384, "bfloat16", **CUDA, **FULL),
)

PROVIDERS: dict[str, Callable[[], Callable[..., Tensor]]] = {
    "torch": lambda: _timed_reference,
    "triton": lambda: functools.partial(bias_activation, activation=TIMED),
    "torch.compile": lambda: torch.compile(_timed_reference, dynamic=False),
    "torch.compile max-autotune": lambda: torch.compile(
        _timed_reference, dynamic=False, mode="max-autotune-no-cudagraphs"
    ),
}


OPERATION = Operation(
    "bias_activation",
    _timed_reference,
    functools.partial(magnitude, activation=TIMED),
    inputs,
    cost,
    CASES,
    PROVIDERS,
    builds=_activation_rows.builds,
)
