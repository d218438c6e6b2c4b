"""S of a cross-entropy, the scale of its rounding error, with which both operations are judged.

Of the formula m - x_c + log s that the kernels compute (kernels/_cross_entropy_rows.py), over
absolute values (Higham 2002, "Accuracy and Stability of Numerical Algorithms", section 3.1).
"""

from __future__ import annotations

from torch import Tensor


def sizes(x: Tensor) -> Tensor:
    """The scale of the rounding error of each m - x_c + log s; [rows, classes], both in float64.

    Its terms, and 1 + sum_j p_j (m - x_j): how wrong log s is when each exponential is wrong by
    1 + m - x_j units. Never negative; differentiable.
    """
    below = x.amax(dim=1, keepdim=True) - x
    below = below.masked_fill(below.isinf(), 0.0)  # adds nothing: its exponential is 0
    e = below.neg().exp()
    total = e.sum(dim=1, keepdim=True)
    return below + total.log() + 1 + (e * below).sum(dim=1, keepdim=True) / total


def weighed(
    sizes: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Tensor:
    """sum_c |q_c| sizes_c of each row, reduced as the loss is; rows without a class count as 0.

    Args:
        sizes: [rows, classes] float64, of `sizes`.
        target, weight, ignore_index, reduction, label_smoothing: as in cross_entropy.

    Returns:
        float64, [] or, for "none", [rows].
    """
    classes = sizes.shape[1]
    counted = (target != ignore_index) & (target >= 0) & (target < classes)
    w = sizes.new_ones(classes) if weight is None else weight.double().abs()
    at = target.where(counted, 0)
    each = (1 - label_smoothing) * w[at] * sizes.gather(1, at[:, None])[:, 0]
    if label_smoothing:
        each = each + label_smoothing * (sizes @ w) / classes
    each = each.where(counted, 0.0)
    if reduction == "none":
        return each
    return each.sum() if reduction == "sum" else each.sum() / w[at].where(counted, 0.0).sum()
