"""The deliberately wrong kernels that the tests must catch; tests/kernels/mutants.py makes them."""

from __future__ import annotations

from tests.kernels import loss_faults
from tests.kernels.mutants import Mutant

_MATMUL = ("matmul", "kernels._product", "_matmul_kernel")
_PERSISTENT = ("matmul", "kernels._product", "_persistent_kernel")
_HALVES = ("matmul_hopper", *_PERSISTENT[1:])
_LINEAR = ("linear", "kernels._linear_kernel", "_linear_kernel")
_TILES = ("linear", "kernels._tiles", "product")
_ORDER = ("linear", "kernels._tiles", "tile_of")
_BIAS = ("bias_activation", "kernels._activation_rows", "_forward_kernel")
_BIAS_BACKWARD = ("bias_activation", "kernels._activation_rows", "_backward_kernel")
_BIAS_SUM = ("bias_activation", "kernels._activation_rows", "_sum_kernel")
_ACTIVATE = ("bias_activation", "kernels._activations", "activate")
_DIFFERENTIATE = ("bias_activation", "kernels._activations", "differentiate")

# Nothing changed: the tests must pass, or "caught" would mean nothing.
CONTROLS = tuple(
    Mutant(f"control: {function[0]}", *function, text, text)
    for function, text in (
        (_MATMUL, "tl.dot("),
        (_LINEAR, "tile_of("),
        (_BIAS, "activate("),
        (loss_faults.GRADIENTS, "- grad[:, None] * q"),
        (loss_faults.ADD_PRODUCT, "tl.dot("),
    )
)

MUTANTS = (
    Mutant(
        "matmul: the mask along K dropped from a",
        *_MATMUL,
        "mask=in_m & (offsets_k[None, :] < left)",
        "mask=in_m",
    ),
    Mutant(
        "matmul: a tile left unwritten",
        *_MATMUL,
        "mask=in_m & in_n)",
        "mask=in_m & in_n & (offsets_n[None, :] < 64))",
    ),
    Mutant("matmul: the last tile of K left out", *_MATMUL, "range(tiles_k)", "range(tiles_k - 1)"),
    Mutant("matmul: 32-bit offsets along M", *_MATMUL, "pid_m.to(tl.int64)", "pid_m"),
    Mutant(
        "matmul: the accumulator in the operands' dtype",
        *_MATMUL,
        "input_precision=PRECISION)",
        "input_precision=PRECISION).to(a_ptr.dtype.element_ty).to(tl.float32)",
    ),
    Mutant(
        "matmul: rows of c by the columns' stride",
        *_MATMUL,
        "offsets_m[:, None] * stride_cm",
        "offsets_m[:, None] * stride_cn",
    ),
    Mutant(
        "matmul: the grouped order forgets the last group's size",
        *_MATMUL,
        "rows = tl.minimum(tiles_m - first_m, GROUP_M)",
        "rows = GROUP_M",
    ),
    Mutant(
        "matmul: the persistent kernel leaves out its last tile",
        *_PERSISTENT,
        "tiles_m * tiles_n, tl.num_programs(0)",
        "tiles_m * tiles_n - 1, tl.num_programs(0)",
    ),
    Mutant(
        "matmul: the persistent kernel does not start anew for each tile",
        *_PERSISTENT,
        "range(tiles_k)",
        "range(tl.minimum(tiles_k, 1))",
    ),
    Mutant(
        "matmul: the right half of a tile stored over the left one",
        *_HALVES,
        "[m, n + BLOCK_N // 2]",
        "[m, n]",
    ),
    Mutant(
        "matmul: even and odd columns of a tile for its halves",
        *_HALVES,
        "tl.permute(tl.reshape(accumulator, (BLOCK_M, 2, BLOCK_N // 2)), (0, 2, 1))",
        "tl.reshape(accumulator, (BLOCK_M, BLOCK_N // 2, 2))",
    ),
    Mutant(
        "linear: the activation before the bias",
        *_LINEAR,
        "z += bias.to(tl.float32)[None, :]",
        "z = activate(z, ACTIVATION) + bias.to(tl.float32)[None, :]",
    ),
    Mutant("linear: the bias forgotten", *_LINEAR, "if bias_ptr is not None:", "if False:"),
    Mutant(
        "linear: the activation kept instead of the pre-activation",
        *_LINEAR,
        "tl.store(pre_ptr + at, z.to(",
        "tl.store(pre_ptr + at, activate(z, ACTIVATION).to(",
    ),
    Mutant(
        "linear: the mask along K dropped",
        *_TILES,
        "in_k = offsets_k < left",
        "in_k = offsets_k < left + BLOCK_K",
    ),
    Mutant(
        "linear: the grouped order forgets the last group's size",
        *_ORDER,
        "rows = tl.minimum(tiles_m - first_m, GROUP_M)",
        "rows = GROUP_M",
    ),
    Mutant(
        "bias_activation: the bias of the row instead of the column",
        *_BIAS,
        "bias_ptr + offsets_n * stride_b, mask=offsets_n < N",
        "bias_ptr + offsets_m % N * stride_b, mask=offsets_m < M",
    ),
    Mutant(
        "bias_activation: the sum with the bias rounded to the input's dtype",
        *_BIAS,
        "x += bias.to(tl.float32)",
        "x = (x + bias.to(tl.float32)).to(input_ptr.dtype.element_ty).to(tl.float32)",
    ),
    Mutant(
        "bias_activation: the columns' stride forgotten",
        *_BIAS,
        "offsets_n * stride_in",
        "offsets_n",
    ),
    Mutant(
        "bias_activation: backward without the bias",
        *_BIAS_BACKWARD,
        "other=0.0).to(tl.float32) + bias",
        "other=0.0).to(tl.float32)",
    ),
    Mutant(
        "bias_activation: rows past the end counted in the bias's gradient",
        *_BIAS_BACKWARD,
        "tl.where(mask, grad, 0.0)",
        "tl.where(mask, grad, 1.0)",
    ),
    Mutant(
        "bias_activation: only the first partial sums added up",
        *_BIAS_SUM,
        "range(0, runs, BLOCK_M)",
        "range(0, tl.minimum(runs, 1), BLOCK_M)",
    ),
    Mutant(
        "bias_activation: relu makes NaN 0",
        *_ACTIVATE,
        "x = tl.where(x <= 0, 0.0, x)",
        "x = tl.where(x > 0, x, 0.0)",
    ),
    Mutant(
        "bias_activation: gelu's density without its factor of one half",
        *_DIFFERENTIATE,
        "tl.exp(-0.5 * x * x)",
        "tl.exp(-x * x)",
    ),
    *loss_faults.MUTANTS,
)
