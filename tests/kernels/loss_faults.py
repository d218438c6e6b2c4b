"""The deliberately wrong kernels of both cross-entropies, a part of tests/kernels/faults.py."""

from __future__ import annotations

from tests.kernels.mutants import Mutant

_CHUNKS = "kernels._linear_cross_entropy_chunks"
_ADDED = "kernels._added_product"
ADD_PRODUCT = ("added_product", _ADDED, "_add_product_kernel")
_ADD_PERSISTENT = ("added_product", _ADDED, "_add_persistent_kernel")
_ADD_HALF = ("added_product", _ADDED, "_add_half")
_BY_CHUNK = ("linear_cross_entropy_chunks", _CHUNKS, "by_chunk")
_ASKED_ONCE = ("cross_entropy_ahead", "kernels._launch", "asked_once")
_ADD_COLUMNS = ("linear_cross_entropy", _CHUNKS, "_add_columns_kernel")
_SCALE = ("linear_cross_entropy", _CHUNKS, "_scale_kernel")
_ROWS = "kernels._cross_entropy_rows"
_LOSSES = ("cross_entropy", _ROWS, "_losses")
_LOSSES_WIDE = ("cross_entropy_rows", _ROWS, "_losses")
_LANES = ("cross_entropy_lanes", "kernels._cross_entropy_lanes", "_lanes_kernel")
_CARRY = (*_LANES[:2], "_carry")
_PEELED = ("cross_entropy_peeled", "kernels._cross_entropy_peeled")
_ENDS = (*_PEELED, "_ends")
_PEELED_GRADIENTS = (_PEELED[0], _ROWS, "_gradients_kernel")
GRADIENTS = ("cross_entropy", _ROWS, "_gradients")
_GRADIENTS_WIDE = ("cross_entropy_rows", _ROWS, "_gradients")
_REDUCE = ("cross_entropy", "kernels._cross_entropy_reduction", "_reduce_kernel")

MUTANTS = (
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
        *_LOSSES_WIDE,
        'tl.where(mask, x, float("-inf"))',
        'tl.where(there, x, float("-inf"))',
    ),
    Mutant(
        "cross_entropy: the lanes' sums added as if their maxima were one",
        *_LANES[:2],
        "_finish",
        "total * tl.exp2((maximum - _finite(top)) * LOG2_E)",
        "total",
    ),
    Mutant(
        "cross_entropy: a lane's sum not rescaled when its maximum grows",
        *_CARRY,
        "total * tl.exp2((previous - shift) * LOG2_E)",
        "total",
    ),
    Mutant(
        "cross_entropy: a row's whole blocks left out",
        *_LANES,
        "range(whole):",
        "range(tl.minimum(whole, 1)):",
    ),
    Mutant(
        "cross_entropy: columns past the classes counted by lanes",
        *_LANES,
        "tl.where(column < classes, x",
        "tl.where(column < width, x",
    ),
    Mutant(
        "cross_entropy: lanes that saw no finite logit make their row NaN",
        *_LANES[:2],
        "_finite",
        'tl.where(maximum == float("-inf"), 0.0, maximum)',
        "maximum",
    ),
    Mutant(
        "cross_entropy: a row's middle begins before the row",
        *_PEELED,
        "_peel",
        "(start + VECTOR - 1) // VECTOR * VECTOR",
        "start // VECTOR * VECTOR",
    ),
    Mutant(
        "cross_entropy: the middle's first column among those before it",
        *_ENDS,
        "(column < head)",
        "(column <= head)",
    ),
    Mutant(
        "cross_entropy: columns past the row read with its end",
        *_ENDS,
        "(column < classes) & ",
        "",
    ),
    Mutant(
        "cross_entropy: columns of a row within 16 bytes twice",
        *_ENDS,
        "((at < VECTOR) == (column < head))",
        "((at >= VECTOR) | (column < head))",
    ),
    Mutant(
        "cross_entropy: a row's middle read past its end",
        *_PEELED,
        "_peeled_losses_kernel",
        "mask=at < count",
        "mask=at < classes",
    ),
    Mutant(
        "cross_entropy: the sum of a row's ends left out",
        *_PEELED,
        "_peeled_losses_kernel",
        "tl.exp2((end - _finite(maximum)) * LOG2_E)",
        "end * 0.0",
    ),
    Mutant(
        "cross_entropy: the gradient's middle written past its end",
        *_PEELED_GRADIENTS,
        "rows, count, count",
        "rows, classes, classes",
    ),
    Mutant(
        "cross_entropy: the label not counted from the middle's first column",
        *_PEELED_GRADIENTS,
        "target - head",
        "target",
    ),
    Mutant(
        "cross_entropy: ignored rows not known where the middle is counted",
        *_PEELED_GRADIENTS,
        "ignore_index - head",
        "ignore_index",
    ),
    Mutant(
        "cross_entropy: 32-bit offsets of peeled rows",
        *_PEELED_GRADIENTS,
        "number = (tl.program_id(0) // tiles).to(tl.int64)",
        "number = tl.program_id(0) // tiles",
    ),
    Mutant(
        "cross_entropy: the gradient written past its columns",
        *_GRADIENTS_WIDE,
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
        *_LOSSES_WIDE,
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
        *GRADIENTS,
        " - grad[:, None] * q",
        "",
    ),
    Mutant(
        "cross_entropy: the gradient rounded before the target is subtracted",
        *GRADIENTS,
        "(grad * mass)[:, None] * p - grad[:, None] * q",
        "grad[:, None] * ((mass[:, None] * p).to(out_ptr.dtype.element_ty).to(tl.float32) - q)",
    ),
    Mutant(
        "cross_entropy: the upstream gradient forgotten",
        *GRADIENTS,
        "(grad * mass)[:, None] * p - grad[:, None] * q",
        "mass[:, None] * p - q",
    ),
    Mutant(
        "cross_entropy: ignored rows have a gradient",
        *GRADIENTS,
        "out = tl.where(counted[:, None], out, (total * 0.0)[:, None])",
        "out = out - q",
    ),
    Mutant(
        "linear_cross_entropy: the weight's gradient of the last chunk alone",
        *ADD_PRODUCT,
        "c = tl.load(c_ptrs, mask=in_m & in_n, other=0.0).to(tl.float32)",
        "c = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)",
    ),
    Mutant(
        "linear_cross_entropy: the mask along the tokens dropped",
        *ADD_PRODUCT,
        "mask=in_m & (k[None, :] < left)",
        "mask=in_m",
    ),
    Mutant(
        "linear_cross_entropy: 32-bit offsets along M",
        *ADD_PRODUCT,
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
        "_launch.cdiv(rows, length) > FEW",
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
