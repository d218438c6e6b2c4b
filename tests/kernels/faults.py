"""The deliberately wrong kernels that the tests must catch; tests/kernels/mutants.py makes them."""

from __future__ import annotations

from tests.kernels.mutants import Mutant

_MATMUL = ("matmul", "kernels._product", "_matmul_kernel")
_PERSISTENT = ("matmul", "kernels._product", "_persistent_kernel")
_LINEAR = ("linear", "kernels._linear_kernel", "_linear_kernel")
_TILES = ("linear", "kernels._tiles", "product")
_ORDER = ("linear", "kernels._tiles", "tile_of")
_BIAS = ("bias_activation", "kernels._activation_rows", "_forward_kernel")
_BIAS_BACKWARD = ("bias_activation", "kernels._activation_rows", "_backward_kernel")
_BIAS_SUM = ("bias_activation", "kernels._activation_rows", "_sum_kernel")
_ACTIVATE = ("bias_activation", "kernels._activations", "activate")
_DIFFERENTIATE = ("bias_activation", "kernels._activations", "differentiate")
_CHUNKS = "kernels._linear_cross_entropy_chunks"
_ADDED = "kernels._added_product"
_ADD_PRODUCT = ("added_product", _ADDED, "_add_product_kernel")
_ADD_PERSISTENT = ("added_product", _ADDED, "_add_persistent_kernel")
_ADD_HALF = ("added_product", _ADDED, "_add_half")
_BY_CHUNK = ("linear_cross_entropy_chunks", _CHUNKS, "by_chunk")
_ASKED_ONCE = ("cross_entropy_ahead", "kernels._launch", "asked_once")
_ADD_COLUMNS = ("linear_cross_entropy", _CHUNKS, "_add_columns_kernel")
_SCALE = ("linear_cross_entropy", _CHUNKS, "_scale_kernel")
_ROWS = "kernels._cross_entropy_rows"
_LOSSES = ("cross_entropy", _ROWS, "_losses")
_REDUCE = ("cross_entropy", "kernels._cross_entropy_reduction", "_reduce_kernel")
_GRADIENTS = ("cross_entropy", _ROWS, "_gradients")

# Nothing changed: the tests must pass, or "caught" would mean nothing.
CONTROLS = tuple(
    Mutant(f"control: {function[0]}", *function, text, text)
    for function, text in (
        (_MATMUL, "tl.dot("),
        (_LINEAR, "tile_of("),
        (_BIAS, "activate("),
        (_GRADIENTS, "- grad[:, None] * q"),
        (_ADD_PRODUCT, "tl.dot("),
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
        "cross_entropy: the maximum not subtracted",
        *_LOSSES,
        'shift = tl.where(maximum == float("-inf"), 0.0, maximum)',
        "shift = tl.zeros((BLOCK_R,), dtype=tl.float32)",
    ),
    Mutant(
        "cross_entropy: the sum not rescaled when the maximum grows",
        *_LOSSES,
        "total * tl.exp2((previous - shift) * LOG2_E)",
        "total",
    ),
    Mutant(
        "cross_entropy: the mask along the classes dropped",
        *_LOSSES,
        "(column < width)[None, :]",
        "(column == column)[None, :]",
    ),
    Mutant(
        "cross_entropy: columns past the classes counted",
        *_LOSSES,
        'tl.where(mask, x, float("-inf"))',
        'tl.where(there, x, float("-inf"))',
    ),
    Mutant(
        "cross_entropy: the gradient written past its columns",
        *_GRADIENTS,
        "in_rows[:, None] & there[None, :]",
        "in_rows[:, None]",
    ),
    Mutant(
        "cross_entropy: the label shifted by one",
        *_LOSSES,
        "row_ptrs + target * stride_class",
        "row_ptrs + (target + 1) % classes * stride_class",
    ),
    Mutant(
        "cross_entropy: a target out of range read through",
        *_LOSSES,
        "inside = counted & (target >= 0) & (target < classes)",
        "inside = counted",
    ),
    Mutant(
        "cross_entropy: the smoothing's gap not shifted with the maximum",
        *_LOSSES,
        "seen * (shift - previous_shift) + ",
        "",
    ),
    Mutant("cross_entropy: the class weight forgotten", *_LOSSES, "mass = keep * w", "mass = keep"),
    Mutant(
        "cross_entropy: the mean over all rows instead of those counted",
        *_REDUCE,
        "counted += tl.where(inside, 1.0, 0.0)",
        "counted += tl.where(in_rows, 1.0, 0.0)",
    ),
    Mutant(
        "cross_entropy: the mean by rows instead of by weights",
        *_REDUCE,
        "tl.sum(weights, axis=0) if WEIGHTED else count",
        "count",
    ),
    Mutant(
        "cross_entropy: the gradient's target not subtracted",
        *_GRADIENTS,
        " - grad[:, None] * q",
        "",
    ),
    Mutant(
        "cross_entropy: the gradient rounded before the target is subtracted",
        *_GRADIENTS,
        "(grad * mass)[:, None] * p - grad[:, None] * q",
        "grad[:, None] * ((mass[:, None] * p).to(out_ptr.dtype.element_ty).to(tl.float32) - q)",
    ),
    Mutant(
        "cross_entropy: the upstream gradient forgotten",
        *_GRADIENTS,
        "(grad * mass)[:, None] * p - grad[:, None] * q",
        "mass[:, None] * p - q",
    ),
    Mutant(
        "cross_entropy: ignored rows have a gradient",
        *_GRADIENTS,
        "out = tl.where(counted[:, None], out, (total * 0.0)[:, None])",
        "out = out - q",
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
    Mutant(
        "linear_cross_entropy: the weight's gradient of the last chunk alone",
        *_ADD_PRODUCT,
        "c = tl.load(c_ptrs, mask=in_m & in_n, other=0.0).to(tl.float32)",
        "c = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)",
    ),
    Mutant(
        "linear_cross_entropy: the mask along the tokens dropped",
        *_ADD_PRODUCT,
        "mask=in_m & (k[None, :] < left)",
        "mask=in_m",
    ),
    Mutant(
        "linear_cross_entropy: 32-bit offsets along M",
        *_ADD_PRODUCT,
        "tile_m.to(tl.int64)",
        "tile_m",
    ),
    Mutant(
        "linear_cross_entropy: the bias's gradient of the last chunk alone",
        *_ADD_COLUMNS,
        "result += tl.load(out_ptr + column, mask=in_columns, other=0.0)",
        "result += 0.0",
    ),
    Mutant(
        "linear_cross_entropy: the mean's denominator forgotten",
        *_SCALE,
        " / tl.load(denominator_ptr)",
        "",
    ),
    Mutant(
        "linear_cross_entropy: the upstream gradient forgotten",
        *_SCALE,
        "tl.load(grad_ptr).to(tl.float32)",
        "1.0",
    ),
    Mutant(
        "linear_cross_entropy: the persistent product forgets what is there",
        *_ADD_HALF,
        "c_desc.load([m, n]).to(tl.float32) + product",
        "product",
    ),
    Mutant(
        "linear_cross_entropy: the persistent product rounded before it is added",
        *_ADD_HALF,
        "(c_desc.load([m, n]).to(tl.float32) + product).to(c_desc.dtype)",
        "c_desc.load([m, n]) + product.to(c_desc.dtype)",
    ),
    Mutant(
        "linear_cross_entropy: the persistent product's halves in one place",
        *_ADD_PERSISTENT,
        "n + BLOCK_N // 2)",
        "n)",
    ),
    Mutant(
        "linear_cross_entropy: many chunks rounded one by one",
        *_BY_CHUNK,
        "triton.cdiv(rows, length) > FEW",
        "False",
    ),
    Mutant(
        "cross_entropy: the gradient made ahead of every second row",
        "cross_entropy_ahead",
        "kernels._cross_entropy_ahead",
        "_ahead_kernel",
        "tl.program_id(0), rows, tl.num_programs(0)",
        "tl.program_id(0), rows, 2 * tl.num_programs(0)",
    ),
    Mutant(
        "cross_entropy: the gradient made ahead without its denominator",
        "cross_entropy_ahead",
        "kernels._cross_entropy_ahead",
        "_ahead_kernel",
        " / tl.load(denominator_ptr)",
        "",
    ),
    Mutant(
        "cross_entropy: the gradient made ahead not multiplied by the upstream gradient",
        "cross_entropy_ahead",
        "kernels._cross_entropy_ahead",
        "_multiply_kernel",
        "tl.where(grad == 1.0, 0, blocks)",
        "0",
    ),
    Mutant(
        "linear_cross_entropy: gradients kept for later given away",
        *_ASKED_ONCE,
        "return not torch._C._autograd._get_current_graph_task_keep_graph()",
        "return True",
    ),
)
