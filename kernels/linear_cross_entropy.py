"""Cross-entropy of linear(input, linear_weight), its logits never whole in memory.

A chunk of tokens at a time: their logits into one buffer, in the input's dtype; losses; and where
gradients will be asked for, the logits' gradient over the logits in that buffer, from which follow
the tokens' rows of dinput and what they add to dweight. The product is never made again: 6 flops a
token, class and hidden number for forward and backward. The idea is that of Liger-Kernel (Hsu et
al. 2024, arXiv 2410.10989), here with chunks by tokens alone. Gradients kept are those of the sum;
the mean's denominator is known after the last chunk and applied with the upstream gradient, in
backward: in place where the graph is freed, else into new memory, so that it can be repeated.

In two cases backward makes the logits again instead, 8 flops: for reduction="none", whose upstream
gradients of single rows cannot be applied to a dweight already summed over rows; and for float16,
in which small gradients would be lost before a loss scale reaches them.

A chunk's work stands in kernels/_linear_cross_entropy_chunks.py, the operators of both passes in
kernels/_linear_cross_entropy_autograd.py.

What chunks add to dweight is summed in float32 registers and rounded to the weight's dtype once a
chunk, for at most 4 chunks: with the last product with the upstream gradient, at most 5 roundings.
Chunks are of 2048 tokens or, past 8192, of a quarter of all while that takes less memory; then
dweight is summed in float32.

Extra memory at its peak, the gradients among it, for R rows, H hidden, C classes, chunks of T and
elements of e bytes, and 16 bytes a row beside it:

    e (C H + R H + T C)                             dweight, dinput, logits (C up to 16s)
    e (R H + max(2 C H + T C, 3 C H))               dweight in float32, of more than 4 chunks

8192 x 4096 x 128256 in bfloat16: 1002 + 64 + 501 MiB = 1.53 GiB. A graph retained or captured into
a CUDA graph, and torch.compile, have both gradients twice in backward: 2132 MiB there.

Versions, in order of cleverness; none timed on a GPU yet:
1. The logits through matmul's own product, losses and gradients by cross_entropy's kernels, two
   reads and a write of the buffer, and dweight by a product that adds to what is there.
2. That product persistent with TMA descriptors, as matmul's (kernels/_added_product.py), and
   matmul's own for the first chunk. Predicted from machine code alone: the same m64n256k16 wgmma,
   157 registers, no spills, 208 KiB of shared memory on sm_90. This file.
   The logits' rows are padded to a multiple of 16 numbers, so that every product of this file has
   descriptors whatever the vocabulary.
3. The last chunk's dweight left to backward, where its product could apply the upstream gradient:
   saves one read and write of dweight. Not written.
4. Losses and gradients of a chunk in one kernel, a row read again from L2. Not written.

Where it should lose: against the two operators apart where the logits fit into memory and there are
few of them; a hidden size that is no multiple of 8 has no descriptors, and its products read
narrowly; dinput of a chunk has few tiles where the hidden size is small (2048 x 768: 96 of 128 x
128 for 132 multiprocessors), and nothing is split along the classes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels import _cross_entropy_builds, _launch
from kernels import _linear_cross_entropy_autograd as autograd
from kernels import _linear_cross_entropy_chunks as chunks
from kernels._added_product import choices as choices
from kernels._cross_entropy_inputs import peaks
from kernels._cross_entropy_loss import check_loss
from kernels._cross_entropy_magnitude import sizes, weighed
from kernels.cross_entropy import reference as of_logits
from kernels.spec import (
    CUDA,
    FORWARD,
    FORWARD_BACKWARD,
    FORWARD_GRADIENT,
    FULL,
    Build,
    Case,
    Cost,
    Operation,
)


def reference(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """torch's linear and then cross_entropy's reference, all logits in memory, in any dtype."""
    logits = F.linear(input, linear_weight, linear_bias)
    options = (weight, ignore_index, reduction, label_smoothing)
    return of_logits(logits, target, *options)


def magnitude(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """S of the loss, in float64: cross_entropy's of the logits, and for each m - x_c + log s twice
    the row's largest |input| |linear_weight|^T + |linear_bias|, by which logits are wrong."""
    x, w = input.double(), linear_weight.double()
    b = None if linear_bias is None else linear_bias.double()
    wrong = F.linear(x.abs(), w.abs(), None if b is None else b.abs())
    size = sizes(F.linear(x, w, b)) + 2 * wrong.amax(dim=1, keepdim=True)
    options = (weight, ignore_index, reduction, label_smoothing)
    return weighed(size, target, *options)


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """cross_entropy(linear(input, linear_weight, linear_bias), target, ...) in little memory.

    Args:
        input: [rows, hidden]; float32, float16 or bfloat16, any strides.
        linear_weight: [classes, hidden]; input's dtype and device, as the next.
        linear_bias: [classes] or None.
        target, weight, ignore_index, reduction, label_smoothing: as in cross_entropy.

    Returns:
        [] or, for "none", [rows], in input's dtype. Logits are rounded to that dtype, as torch's
        linear rounds them; the bias is added in float32.

    Raises:
        TypeError: an argument is not of these types or dtypes.
        ValueError: a shape, device or option does not fit, or weight requires a gradient.
        RuntimeError: CPU tensors outside Triton's interpreter, bfloat16 inside it, forward-mode
            differentiation, vmap, or differentiating twice.
    """
    name = "linear_cross_entropy"
    _launch.check_operand(name, "input", input, "[rows, hidden]")
    _launch.check_operand(name, "linear_weight", linear_weight, "[classes, hidden]")
    _launch.check_alike(name, "input", input, "linear_weight", linear_weight)
    classes, hidden = linear_weight.shape
    if input.shape[1] != hidden:
        raise ValueError(
            f"{name}: input has shape {list(input.shape)} and linear_weight has shape "
            f"{list(linear_weight.shape)}, expected [rows, hidden] and [classes, hidden] "
            "with one hidden"
        )
    if linear_bias is not None:
        _launch.check_operand(name, "linear_bias", linear_bias, "[classes]")
        _launch.check_alike(name, "input", input, "linear_bias", linear_bias)
        if linear_bias.shape[0] != classes:
            raise ValueError(
                f"{name}: linear_bias has shape {list(linear_bias.shape)}, expected [{classes}], "
                "one for each class"
            )
    check_loss(name, input, classes, target, weight, ignore_index, reduction, label_smoothing)
    autograd.check_runnable(input)
    ahead = torch.is_grad_enabled() and reduction != "none" and input.dtype != torch.float16
    needs = [
        ahead and t is not None and t.requires_grad for t in (input, linear_weight, linear_bias)
    ]
    options = (ignore_index, reduction, float(label_smoothing))
    return autograd.forward(input, linear_weight, target, linear_bias, weight, *options, needs)[0]


def inputs(case: Case, device: str, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens and a linear weight from the normal distribution, so scaled that logits have a
    variance of 1; to each token a multiple of one class's weight added, so that its logit stands
    out; evenly drawn targets. The same for the same seed and device."""
    generator = torch.Generator(device).manual_seed(seed)
    rows, hidden, classes = (case.shape[letter] for letter in "RHC")

    def normal(*shape: int) -> Tensor:
        dtype = getattr(torch, case.dtype)
        return torch.randn(shape, generator=generator, device=device, dtype=dtype)

    input, linear_weight = normal(rows, hidden), normal(classes, hidden).mul_(hidden**-0.5)
    at, height = peaks(rows, classes, generator)
    input += height.to(input.dtype)[:, None] * linear_weight[at]
    for operand in (input, linear_weight):
        operand.requires_grad_(case.direction != FORWARD)
    return input, linear_weight, torch.randint(classes, (rows,), generator=generator, device=device)


def cost(case: Case) -> Cost:
    """The logits' product and as much for each of two gradients, and cross_entropy's 5 a logit
    each way; tokens, weight and targets read each way, the loss and both gradients written.

    Nothing is read a second time with the gradients for an upstream gradient of one.
    """
    rows, hidden, classes = (case.shape[letter] for letter in "RHC")
    element = getattr(torch, case.dtype).itemsize
    product, softmax = 2 * rows * hidden * classes, 5 * rows * classes
    operands, targets = (rows + classes) * hidden * element, rows * 8
    if case.direction == FORWARD:
        return Cost(product + softmax, operands + targets + element)
    flops = 3 * product + 2 * softmax
    if case.direction == FORWARD_GRADIENT:
        return Cost(flops, 2 * operands + targets + element)
    return Cost(flops, 3 * operands + 2 * targets + 2 * element)


def _case(
    rows: int, hidden: int, classes: int, dtype: str, direction: str = FORWARD, **more: Any
) -> Case:
    return Case({"R": rows, "H": hidden, "C": classes}, dtype, direction, **more)


# No case of backward alone: forward has done most of its work.
CASES = (
    _case(512, 256, 4096, "float32", FORWARD_BACKWARD),
    _case(512, 256, 4096, "float32"),
    _case(4096, 4096, 128256, "bfloat16", FORWARD_BACKWARD, **CUDA),
    _case(4096, 4096, 128256, "bfloat16", FORWARD_GRADIENT, **CUDA),
    _case(4096, 4096, 128256, "bfloat16", **CUDA),
    _case(2048, 1024, 32768, "bfloat16", FORWARD_BACKWARD, **CUDA),
    _case(8192, 4096, 128256, "bfloat16", FORWARD_BACKWARD, **CUDA, **FULL),
    _case(8192, 4096, 128256, "bfloat16", FORWARD_GRADIENT, **CUDA, **FULL),
    _case(8192, 4096, 128256, "bfloat16", **CUDA, **FULL),
    _case(8192, 768, 50257, "bfloat16", FORWARD_BACKWARD, **CUDA, **FULL),
    _case(4096, 4096, 32768, "float16", FORWARD_BACKWARD, **CUDA, **FULL),
    _case(1024, 512, 8192, "float32", FORWARD_BACKWARD, **FULL),
    _case(1024, 512, 8192, "float32", FORWARD_GRADIENT, **FULL),
)


def _two_operators(input: Tensor, linear_weight: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(input, linear_weight), target)


def _torch_chunked() -> Callable[..., Tensor]:
    """torch's own, in chunks; since torch 2.13."""
    if not hasattr(F, "linear_cross_entropy"):
        raise ModuleNotFoundError(
            "torch.nn.functional.linear_cross_entropy is there from torch 2.13"
        )
    options = torch.nn.LinearCrossEntropyOptions()
    return lambda *operands: F.linear_cross_entropy(*operands, options=options)


def _liger(**options: Any) -> Callable[..., Tensor]:
    function = importlib.import_module("liger_kernel.transformers.functional")
    return lambda *operands: function.liger_fused_linear_cross_entropy(*operands, **options)


PROVIDERS: dict[str, Callable[[], Callable[..., Tensor]]] = {
    "torch": lambda: _two_operators,
    "triton": lambda: linear_cross_entropy,
    "torch.compile": lambda: torch.compile(_two_operators, dynamic=False),
    "torch.compile max-autotune": lambda: torch.compile(
        _two_operators, dynamic=False, mode="max-autotune-no-cudagraphs"
    ),
    "torch chunked": _torch_chunked,
    "liger": _liger,
    # 16 times its default's memory: chunks of 4096 tokens at 8192 x 4096 x 128256.
    "liger chunk_mem_const=16": lambda: _liger(chunk_mem_const=16),
    "cut-cross-entropy": lambda: importlib.import_module("cut_cross_entropy").linear_cross_entropy,
}


def builds(architecture: str) -> list[Build]:
    """The kernels of the rows, with a bias, and of this; the product's own are matmul's."""
    rows = _cross_entropy_builds.builds(("one", "scalar", "rows"), biased=True)
    return [*rows, *chunks.builds(architecture)]


OPERATION = Operation(
    "linear_cross_entropy", reference, magnitude, inputs, cost, CASES, PROVIDERS, builds=builds
)
