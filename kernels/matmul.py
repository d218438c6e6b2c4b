"""Matrix product, forward and both gradients: c = a b, da = dc b^T, db = a^T dc.

The kernels, their configurations and the launch are in kernels/_product.py, used by others too.
One program computes one tile of c, walking along K with the accumulator in registers; programs
are ordered in groups of rows so that those in flight share tiles in L2 (Tillet, Kung and Cox
2019, "Triton", MAPL, 10.1145/3315508.3329973; the order is that of its matmul tutorial). The
gradients are the same kernels on swapped strides: no operand is ever copied or transposed.

Versions in order of cleverness. Not one is timed on a GPU yet; what each should buy is predicted
from what the compiler makes of it (python -m harness compile; triton 3.6.0 and 3.7.1).

1. Plain: pointers with masks, software-pipelined copies, any strides. 128-bit asynchronous copies
   and wgmma m64n256k16 on sm_90 (mma m16n8k16 on sm_80) where rows are 16-byte aligned, else
   16-bit loads, which must keep the matrix units waiting.
2. Persistent with TMA descriptors, for large float16 and bfloat16 products on Hopper and
   Blackwell whose operands and output have rows of a multiple of 16 bytes: as many programs as
   multiprocessors. The TMA unit computes addresses and edges, so no masks and about 30 registers
   fewer (155 to 166, no spills, 208 KiB of shared memory); the loop over tiles is flattened into
   that over K, so a tile's loads are in flight while the one before is stored. Meant to be
   level with cuBLAS from 4096^3 on; whether it is, a GPU must tell. Each operand may be
   contiguous along either side (its descriptor is the transposed view's), so both gradients go
   this way too. Of its tiles of 128 x 256 and 128 x 128 and version 1's of 64 x 64, that is taken
   whose busiest multiprocessor reads least (kernels/_tiles.py).
3. Version 2 with each tile of 128 x 256 stored in halves, which leaves room for a fourth stage of
   loads in flight: 154 to 164 registers, no spills, 224 KiB of the 227. Known by static figures
   alone, so that it is tried by tune and no default; version 2's machine code is the same as
   without it.
4. Configurations may be timed on the GPU at hand and kept (python -m harness tune); else they are
   static, chosen from registers, spills and shared memory.

Where it should lose to torch's cuBLAS: no split along K, so few rows with a long K leave
multiprocessors idle; large products whose rows are not 16-byte aligned, such as an output of 50257
columns without padding; TF32 on Hopper, whose operands pass through registers to be rounded there,
so that no product is in flight while the next one's are; no warp specialisation; a launch from
Python, with three descriptors encoded for each large product, so tiny products cost more host time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kernels import _launch
from kernels._product import product as _product
from kernels._product_builds import builds
from kernels._product_builds import choices as choices
from kernels.spec import CUDA, FORWARD, FORWARD_BACKWARD, FULL, Case, Cost, Operation


def reference(a: Tensor, b: Tensor) -> Tensor:
    """[M, K] x [K, N] -> [M, N] in the operands' own dtype."""
    return torch.matmul(a, b)


def magnitude(a: Tensor, b: Tensor) -> Tensor:
    """S of each output, float64 [M, N]: |a| |b| of [M, K] and [K, N] (Higham 2002, 3.1)."""
    return a.double().abs() @ b.double().abs()


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The product of two matrices, as torch.matmul's of two matrices.

    Args:
        a: [M, K]; float32, float16 or bfloat16, any strides.
        b: [K, N]; the same dtype and device.

    Returns:
        [M, N], contiguous, in the operands' dtype, accumulated in float32. float32 operands are
        rounded to TF32 only where torch.backends.cuda.matmul.fp32_precision says so.

    Raises:
        TypeError: an operand is not a dense tensor of these dtypes, or the dtypes differ.
        ValueError: the shapes do not fit, or the devices differ.
        RuntimeError: CPU tensors outside Triton's interpreter, bfloat16 inside it, forward-mode
            differentiation, vmap, or differentiating twice.
    """
    _launch.check_operand("matmul", "a", a, "[M, K]")
    _launch.check_operand("matmul", "b", b, "[K, N]")
    _launch.check_alike("matmul", "a", a, "b", b)
    if a.shape[1] != b.shape[0]:
        raise ValueError(
            f"matmul: a has shape {list(a.shape)} and b has shape {list(b.shape)}, "
            "expected [M, K] and [K, N] with one K"
        )
    _launch.check_runnable("matmul", a)
    return _forward(a, b)


@torch.library.custom_op("flopwise::matmul", mutates_args=())
def _forward(a: Tensor, b: Tensor) -> Tensor:
    _launch.check_runnable("matmul", a)
    out = a.new_empty((a.shape[0], b.shape[1]))
    _product(a, b, out)
    return out


@_forward.register_fake
def _(a: Tensor, b: Tensor) -> Tensor:
    return a.new_empty((a.shape[0], b.shape[1]))


# The operand that a gradient does not need is None: da needs b, db needs a.
@torch.library.custom_op("flopwise::matmul_backward", mutates_args=())
def _backward(grad: Tensor, a: Tensor | None, b: Tensor | None) -> list[Tensor]:
    """[da where b is given] + [db where a is given]."""
    _launch.check_runnable("matmul", grad)
    grads = _empty_gradients(grad, a, b)
    remaining = iter(grads)
    if b is not None:
        _product(grad, b.t(), next(remaining))
    if a is not None:
        _product(a.t(), grad, next(remaining))
    return grads


@_backward.register_fake
def _empty_gradients(grad: Tensor, a: Tensor | None, b: Tensor | None) -> list[Tensor]:
    grads = []
    if b is not None:
        grads.append(grad.new_empty((grad.shape[0], b.shape[0])))
    if a is not None:
        grads.append(grad.new_empty((a.shape[1], grad.shape[1])))
    return grads


def _save(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    a, b = inputs
    needs_a, needs_b = ctx.needs_input_grad[:2]
    ctx.save_for_backward(a if needs_b else None, b if needs_a else None)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
    grads = iter(_backward(grad, *ctx.saved_tensors))
    needs_a, needs_b = ctx.needs_input_grad[:2]
    return next(grads) if needs_a else None, next(grads) if needs_b else None


_forward.register_autograd(_differentiate, setup_context=_save)
_launch.refuse_twice("matmul", _backward)
_launch.refuse_vmap("matmul", _forward, _backward)


def inputs(case: Case, device: str, seed: int) -> tuple[Tensor, Tensor]:
    """a and b from the normal distribution, the same for the same seed and device."""
    generator = torch.Generator(device).manual_seed(seed)

    def normal(rows: str, columns: str) -> Tensor:
        return torch.randn(
            (case.shape[rows], case.shape[columns]),
            generator=generator,
            device=device,
            dtype=getattr(torch, case.dtype),
            requires_grad=case.direction == FORWARD_BACKWARD,
        )

    return normal("M", "K"), normal("K", "N")


def cost(case: Case) -> Cost:
    """2MNK for the product and as much for each gradient; each matrix moved once each time."""
    M, N, K = (case.shape[size] for size in "MNK")
    element = getattr(torch, case.dtype).itemsize
    flops, operands, output = 2 * M * N * K, (M * K + K * N) * element, M * N * element
    if case.direction == FORWARD:
        return Cost(flops, operands + output)
    # Backward reads the output's gradient and both operands, and writes both gradients.
    return Cost(3 * flops, operands + output + output + 2 * operands)


def _case(M: int, N: int, K: int, dtype: str, direction: str = FORWARD, **more: Any) -> Case:
    return Case({"M": M, "N": N, "K": K}, dtype, direction, **more)


CASES = (
    _case(512, 512, 512, "float32"),
    _case(512, 512, 512, "float32", FORWARD_BACKWARD),
    _case(251, 509, 383, "float32"),
    _case(4096, 4096, 4096, "bfloat16", **CUDA),
    _case(4096, 4096, 4096, "bfloat16", FORWARD_BACKWARD, **CUDA),
    _case(16, 4096, 4096, "bfloat16", **CUDA),
    _case(8192, 8192, 8192, "bfloat16", **CUDA, **FULL),
    _case(8192, 8192, 8192, "bfloat16", FORWARD_BACKWARD, **CUDA, **FULL),
    _case(4095, 4097, 4093, "bfloat16", **CUDA, **FULL),
    _case(4096, 4096, 4096, "float16", **CUDA, **FULL),
    _case(4096, 4096, 4096, "float32", **CUDA, **FULL),
    _case(1024, 1024, 1024, "float32", **FULL),
    _case(2048, 2048, 2048, "float32", **FULL),
)

PROVIDERS: dict[str, Callable[[], Callable[..., Tensor]]] = {
    "torch": lambda: torch.matmul,
    "triton": lambda: matmul,
    "torch.compile": lambda: torch.compile(torch.matmul, dynamic=False),
    "torch.compile max-autotune": lambda: torch.compile(
        torch.matmul, dynamic=False, mode="max-autotune-no-cudagraphs"
    ),
}

OPERATION = Operation("matmul", reference, magnitude, inputs, cost, CASES, PROVIDERS, builds=builds)
