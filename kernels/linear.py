"""Linear layer with its activation, y = act(x W^T + b), and its gradients.

One program computes one tile of the product with the accumulator in registers (order and walk:
kernels/_tiles.py), adds the bias and applies the activation there, in float32, and writes the
output once. Where a gradient is needed it writes the pre-activation z as well, in the operands'
dtype: making it anew in the backward pass would cost a third product more, 2MNK flops, against
one write and one read of [M, N]. z is rounded where torch rounds it too; y is not made from the
rounded z, as torch's is.

Backward: dz = dy act'(z) with the bias's gradient summed in the same pass (kernels/
_activation_rows.py), then dx = dz W and dW = dz^T x, which are matmul's kernel. dz is written,
not made while the products load dy: a product loads each element of dy once for every tile of its
columns, so that gelu's slope, some 30 instructions, would be evaluated K / 256 times; at K = 4096
that is more issue slots than the matrix instructions leave free (counted, not measured).

Versions, in order of cleverness:
1. torch eager: product with the bias, then a kernel for the activation that reads and writes
   [M, N] once more; backward a kernel for the slope and one for the bias's sum.
2. torch._addmm_activation: bias and gelu_tanh or relu in cuBLASLt's epilogue; no gradient.
3. Any activation in the epilogue, slope and bias's sum in one pass (this file). Predicted from
   bytes, not measured: 2MN elements less than version 1 forward, MN less backward.
4. Configurations timed on the GPU at hand and kept (python -m harness tune); else they are static.
Not yet timed on a GPU. Where it should lose: where the product itself does, see kernels/matmul.py
(rows that no descriptor can describe, no split along K); few columns with many rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels import _activation_rows, _activations, _launch, _linear_kernel
from kernels._activation_rows import as_rows
from kernels._linear_builds import builds
from kernels._linear_builds import choices as choices
from kernels._product import product
from kernels.spec import BACKWARD, CUDA, FORWARD, FORWARD_BACKWARD, FULL, Case, Cost, Operation


def reference(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "identity"
) -> Tensor:
    """[..., K], [N, K], [N] -> [..., N] in the operands' own dtype."""
    return _activations.reference(activation)(F.linear(input, weight, bias))


def magnitude(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "identity"
) -> Tensor:
    """S of each output, float64 [..., N]: the formula over absolute values (Higham 2002, 3.1).

    Of input [..., K], weight [N, K] and bias [N], of any floating dtype; activation as in `linear`.
    """
    scale = input.double().abs() @ weight.double().abs().t()
    return _activations.magnitude(activation, scale if bias is None else scale + bias.abs())


def linear(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "identity"
) -> Tensor:
    """activation(input @ weight.T + bias), as torch's activation of F.linear.

    Args:
        input: [..., K]; float32, float16 or bfloat16, any strides.
        weight: [N, K]; the same dtype and device.
        bias: [N], likewise; None adds nothing.
        activation: identity, threshold, sigmoid, tanh, relu, gelu, gelu_tanh or silu.

    Returns:
        [..., N], contiguous, in the operands' dtype; product, sum and activation in float32.
        float32 operands are rounded to TF32 only where
        torch.backends.cuda.matmul.fp32_precision says so.

    Raises:
        TypeError: an operand is not a dense tensor of these dtypes, the dtypes differ, or the
            activation is no string.
        ValueError: the shapes do not fit, the devices differ, or no activation has this name.
        RuntimeError: CPU tensors outside Triton's interpreter, bfloat16 inside it, forward-mode
            differentiation, vmap, or differentiating twice.
    """
    _activations.check_input("linear", input, "[..., K]")
    _launch.check_operand("linear", "weight", weight, "[N, K]")
    _launch.check_alike("linear", "input", input, "weight", weight)
    if input.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"linear: input has shape {list(input.shape)} and weight has shape "
            f"{list(weight.shape)}, expected [..., K] and [N, K] with one K"
        )
    if bias is not None:
        _activations.check_bias("linear", bias, "input", input, weight.shape[0])
    _activations.check("linear", activation)
    _launch.check_runnable("linear", input)
    differentiable = torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in (input, weight, bias)
    )
    keep = differentiable and activation not in _activations.CONSTANT
    return _forward(input, weight, bias, activation, keep)[0]


@torch.library.custom_op("flopwise::linear", mutates_args=())
def _forward(
    input: Tensor, weight: Tensor, bias: Tensor | None, activation: str, keep: bool
) -> list[Tensor]:
    """[the output] + [the pre-activation if it is to be kept]."""
    _launch.check_runnable("linear", input)
    _launch.check_dot("linear", input)
    outputs = _empty_outputs(input, weight, bias, activation, keep)
    output, pre = (as_rows(outputs[0]), as_rows(outputs[-1]) if keep else None)
    _linear_kernel.write_output(as_rows(input), weight, bias, activation, output, pre)
    return outputs


@_forward.register_fake
def _empty_outputs(
    input: Tensor, weight: Tensor, bias: Tensor | None, activation: str, keep: bool
) -> list[Tensor]:
    shape = (*input.shape[:-1], weight.shape[0])
    return [input.new_empty(shape) for _ in range(1 + keep)]


# The operand that a gradient does not need is None: the input's needs the weight, the weight's
# the input.
@torch.library.custom_op("flopwise::linear_backward", mutates_args=())
def _backward(
    grad: Tensor, pre: Tensor | None, input: Tensor | None, weight: Tensor | None,
    activation: str, needs_bias: bool,
) -> list[Tensor]:  # fmt: skip
    """[input's where weight is given] + [weight's where input is given] + [bias's if needed]."""
    _launch.check_runnable("linear", grad)
    _launch.check_dot("linear", grad)
    grads = _empty_gradients(grad, pre, input, weight, activation, needs_bias)
    if activation == "threshold":
        return [gradient.zero_() for gradient in grads]
    products = input is not None or weight is not None
    grad_pre = grad.new_empty(grad.shape) if products and activation != "identity" else None
    if needs_bias or grad_pre is not None:
        _activation_rows.write_gradients(
            grad, pre, None, activation, grad_pre, grads[-1] if needs_bias else None
        )
    rows, remaining = as_rows(grad if grad_pre is None else grad_pre), iter(grads)
    if weight is not None:
        product(rows, weight, as_rows(next(remaining)))
    if input is not None:
        product(rows.t(), as_rows(input), next(remaining))
    return grads


@_backward.register_fake
def _empty_gradients(
    grad: Tensor, pre: Tensor | None, input: Tensor | None, weight: Tensor | None,
    activation: str, needs_bias: bool,
) -> list[Tensor]:  # fmt: skip
    N, grads = grad.shape[-1], []
    if weight is not None:
        grads.append(grad.new_empty((*grad.shape[:-1], weight.shape[1])))
    if input is not None:
        grads.append(grad.new_empty((N, input.shape[-1])))
    if needs_bias:
        grads.append(grad.new_empty((N,)))
    return grads


def _save(
    ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None, str, bool], output: list[Tensor]
) -> None:
    input, weight, _, ctx.activation, keep = inputs
    needs_input, needs_weight = ctx.needs_input_grad[:2]
    ctx.save_for_backward(
        output[1] if keep else None,
        input if needs_weight else None,
        weight if needs_input else None,
    )
    ctx.set_materialize_grads(False)  # z has no gradient of its own: none is made of zeros


def _differentiate(ctx: Any, grads: list[Tensor | None]) -> tuple[Tensor | None, ...]:
    if grads[0] is None:  # what follows the output has no gradient either
        return (None,) * 5
    needs_input, needs_weight, needs_bias = ctx.needs_input_grad[:3]
    made = iter(_backward(grads[0], *ctx.saved_tensors, ctx.activation, needs_bias))
    needed = (needs_input, needs_weight, needs_bias)
    return *(next(made) if need else None for need in needed), None, None


_forward.register_autograd(_differentiate, setup_context=_save)
_launch.refuse_twice("linear", _backward)
_launch.refuse_vmap("linear", _forward, _backward)


TIMED = "gelu_tanh"  # the activation of the timed cases: the one cuBLASLt has in its epilogue too
_timed_reference = functools.partial(reference, activation=TIMED)


def _addmm_activation(input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if not input.is_cuda:
        raise NotImplementedError("torch._addmm_activation is the GELU with erf on a CPU")
    return torch._addmm_activation(bias, input, weight.t(), use_gelu=True)


def inputs(case: Case, device: str, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """input, weight / sqrt(K) and bias from the normal distribution, the same for the same seed.

    The scale makes the pre-activations of order 1, where the activation is no straight line.
    """
    generator = torch.Generator(device).manual_seed(seed)

    def normal(*sizes: str, scale: float = 1.0) -> Tensor:
        values = torch.randn(
            [case.shape[size] for size in sizes],
            generator=generator,
            device=device,
            dtype=getattr(torch, case.dtype),
        )
        return values.mul_(scale).requires_grad_(case.direction != FORWARD)

    weight_scale = max(case.shape["K"], 1) ** -0.5
    return normal("M", "K"), normal("N", "K", scale=weight_scale), normal("N")


def cost(case: Case) -> Cost:
    """2MNK for the product and for each of two gradients, and one flop an output and step.

    The pre-activation is neither an input nor an output, so its bytes are not compulsory.
    """
    M, N, K = (case.shape[size] for size in "MNK")
    element = getattr(torch, case.dtype).itemsize
    operands, output = M * K + N * K, M * N
    forward = Cost(2 * M * N * K + 2 * output, (operands + N + output) * element)
    # Reads the output's gradient and both matrices, writes three gradients; the slope, its
    # product with the gradient and the bias's sum count one each.
    backward = Cost(4 * M * N * K + 3 * output, (output + 2 * operands + N) * element)
    if case.direction == FORWARD:
        return forward
    if case.direction == BACKWARD:
        return backward
    return Cost(forward.flops + backward.flops, forward.bytes + backward.bytes)


def _case(M: int, N: int, K: int, dtype: str, direction: str = FORWARD, **more: Any) -> Case:
    return Case({"M": M, "N": N, "K": K}, dtype, direction, **more)


CASES = (
    _case(512, 512, 512, "float32"),
    _case(512, 512, 512, "float32", FORWARD_BACKWARD),
    _case(4096, 4096, 4096, "bfloat16", **CUDA),
    _case(4096, 4096, 4096, "bfloat16", FORWARD_BACKWARD, **CUDA),
    _case(8192, 16384, 4096, "bfloat16", **CUDA),  # into a transformer's hidden layer
    _case(16, 4096, 4096, "bfloat16", **CUDA),
    _case(8192, 16384, 4096, "bfloat16", FORWARD_BACKWARD, **CUDA, **FULL),
    _case(8192, 4096, 16384, "bfloat16", **CUDA, **FULL),
    _case(4095, 4097, 4093, "bfloat16", **CUDA, **FULL),
    _case(65536, 10, 784, "bfloat16", **CUDA, **FULL),
    _case(4096, 4096, 4096, "float16", **CUDA, **FULL),
    _case(4096, 4096, 4096, "float32", **CUDA, **FULL),
    _case(1024, 1024, 1024, "float32", **FULL),
)

PROVIDERS: dict[str, Callable[[], Callable[..., Tensor]]] = {
    "torch": lambda: _timed_reference,
    "triton": lambda: functools.partial(linear, activation=TIMED),
    "torch.compile": lambda: torch.compile(_timed_reference, dynamic=False),
    "torch.compile max-autotune": lambda: torch.compile(
        _timed_reference, dynamic=False, mode="max-autotune-no-cudagraphs"
    ),
    "torch._addmm_activation": lambda: _addmm_activation,
}

OPERATION = Operation(
    "linear",
    _timed_reference,
    functools.partial(magnitude, activation=TIMED),
    inputs,
    cost,
    CASES,
    PROVIDERS,
    builds=builds,
)
