"""FLOPs counted by running: torch's counter, the ops it silently takes for 0, and no guesses.

torch.utils.flop_counter knows matrix products, convolutions and attention, and counts every
other op as 0: right for what is elementwise, by its convention, and wrong for matrix-vector
products, linear algebra and fused recurrent layers. `count` adds formulas for the first two and
refuses whatever is neither known nor elementwise, moved or summed.

Formulas: Golub & Van Loan 2013, "Matrix Computations", 4th edition; a symmetric eigenproblem with
vectors as about 9 n^3 (section 8.3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten


class UnknownFlops(Exception):
    """The FLOPs of an op are not known; the message names it."""


def count(work: Callable[[], object]) -> int:
    """FLOPs of what `work` runs, a multiply-add counting two; elementwise work not counted.

    Raises:
        UnknownFlops: it ran an op whose FLOPs are not known.
    """
    # here, because it imports triton, which must see TRITON_INTERPRET when it is imported
    from torch.utils.flop_counter import flop_registry

    with _Counter(flop_registry) as counter:
        work()
    return counter.total


def _product(*sizes: int) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result


def _mv(matrix: Any, vector: Any, *_: Any) -> int:
    return 2 * _product(*matrix)


def _addmv(total: Any, matrix: Any, vector: Any, *_: Any) -> int:
    return 2 * _product(*matrix)


def _dot(a: Any, b: Any, *_: Any) -> int:
    return 2 * _product(*a)


def _cubic(factor: float) -> Callable[..., int]:
    """factor n^3 for each of the matrices [..., n, n]."""

    def formula(a: Any, *_: Any) -> int:
        *batch, n, _columns = a
        return round(factor * n**3) * _product(*batch)

    return formula


def _two_triangles(b: Any, factor: Any, *_: Any) -> int:
    """Two triangular systems, n^2 for each right-hand side and triangle."""
    *batch, n, columns = b
    return 2 * n * n * columns * _product(*batch)


def _one_triangle(_: Any, b: Any, *__: Any) -> int:
    *batch, n, columns = b
    return n * n * columns * _product(*batch)


_FORMULAS: dict[Any, Callable[..., int]] = {
    aten.mv: _mv,
    aten.addmv: _addmv,
    aten.dot: _dot,
    aten.vdot: _dot,
    aten.linalg_cholesky_ex: _cubic(1 / 3),
    aten._linalg_eigh: _cubic(9.0),
    aten.linalg_eigh: _cubic(9.0),
    aten.linalg_lu_factor_ex: _cubic(2 / 3),
    aten.cholesky_solve: _two_triangles,
    aten.linalg_solve_triangular: _one_triangle,
}

# What only moves, makes or picks values, and what is elementwise or a sum without a tag that
# says so. By name: an op that a version of torch does not have is no error.
_FREE = frozenset(
    """
    _to_copy _unsafe_index _unsafe_view arange argmax argmin as_strided_copy bernoulli_ cat clone
    copy_ constant_pad_nd cumsum cumprod detach diag_embed diagonal_backward diagonal_copy
    diagonal_scatter embedding embedding_dense_backward empty empty_like empty_strided eye fill_
    flip full full_like gather gelu_backward hardtanh_backward huber_loss huber_loss_backward
    index index_add index_copy index_fill index_put _index_put_impl_ index_put_ index_select
    leaky_relu_backward lift lift_fresh lift_fresh_copy linspace log_sigmoid_backward
    log_sigmoid_forward logsumexp masked_fill masked_fill_ masked_scatter max_pool2d_with_indices
    max_pool2d_with_indices_backward mse_loss mse_loss_backward multinomial native_batch_norm
    native_batch_norm_backward native_group_norm native_group_norm_backward native_layer_norm
    native_layer_norm_backward _native_batch_norm_legit new_empty new_empty_strided new_full
    new_ones new_zeros nll_loss2d_backward nll_loss2d_forward nll_loss_backward nll_loss_forward
    _fused_rms_norm _fused_rms_norm_backward norm one_hot ones ones_like rand rand_like randint
    randn randn_like repeat roll scalar_tensor scatter scatter_ scatter_add scatter_add_
    select_backward select_scatter set_ sigmoid_backward silu_backward slice_backward
    slice_scatter _softmax _softmax_backward_data _log_softmax _log_softmax_backward_data
    smooth_l1_loss smooth_l1_loss_backward soft_margin_loss sort split_with_sizes_copy stack
    threshold_backward tanh_backward topk tril triu unfold_backward uniform_ upsample_nearest2d
    where zero_ zeros zeros_like _weight_norm_interface _weight_norm_interface_backward
    all amax amin any max mean min prod std std_mean sum var var_mean _linalg_check_errors
    unsafe_split unsafe_chunk unsafe_split_with_sizes narrow_copy
    isin _unique2 nonzero bincount
    _local_scalar_dense _assert_async _efficientzerotensor _make_dual _unpack_dual
    _new_zeros_with_same_feature_meta expand_copy _conj
    """.split()  # noqa: SIM905
)


class _Counter(TorchDispatchMode):
    """Not torch's own FlopCounterMode: its hooks on modules fail under torch.func."""

    def __init__(self, registry: Mapping[Any, Callable[..., int]]):
        super().__init__()
        self._registry, self.total = registry, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet, name = func._overloadpacket, func.__name__.partition(".")[0]
        if packet in self._registry:
            result = func(*args, **kwargs)
            self.total += self._registry[packet](*args, **kwargs, out_val=result)
            return result
        if packet in _FORMULAS:
            shapes = [a.shape if isinstance(a, torch.Tensor) else a for a in args]
            self.total += _FORMULAS[packet](*shapes)
            return func(*args, **kwargs)
        free = (
            torch.Tag.pointwise in func.tags
            or torch.Tag.inplace_view in func.tags
            or func.is_view
            or not any("Tensor" in str(r.type) for r in func._schema.returns)  # a question
            or name in _FREE
            or name.rstrip("_") in _FREE
            or func.namespace in ("prim", "prims", "profiler")
        )
        if free:
            return func(*args, **kwargs)
        with self:  # what consists of other ops is told by those
            result = func.decompose(*args, **kwargs)
        if result is NotImplemented:
            raise UnknownFlops(f"the FLOPs of {func.namespace}.{name} are not known")
        return result
