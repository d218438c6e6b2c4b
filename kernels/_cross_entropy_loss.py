"""What a cross-entropy loss is besides its logits, and what is refused as one."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from kernels import _launch

REDUCTIONS = ("none", "mean", "sum")


class Loss(NamedTuple):
    """What the loss of a row depends on besides its logits; see the public functions."""

    target: Tensor  # [rows] int64, contiguous
    weight: Tensor | None  # [classes], contiguous
    ignore_index: int
    smoothing: float
    bias: Tensor | None = None  # [classes], contiguous, added to every row of logits

    def arguments(self, classes: int) -> dict[str, Any]:
        """What both row kernels take; a pointer that is not read may be any."""
        return {
            "target_ptr": self.target,
            "weight_ptr": self.target if self.weight is None else self.weight,
            "bias_ptr": self.target if self.bias is None else self.bias,
            "ignore_index": self.ignore_index,
            "keep": 1.0 - self.smoothing,
            "share": self.smoothing / max(classes, 1),
            "WEIGHTED": self.weight is not None,
            "SMOOTHED": self.smoothing > 0,
            "BIASED": self.bias is not None,
        }


def check_loss(
    function: str,
    input: Tensor,
    classes: int,
    target: Any,
    weight: Any,
    ignore_index: Any,
    reduction: Any,
    label_smoothing: Any,
) -> None:
    """Refuses what is no description of the losses of input's rows.

    Args:
        function: the public function, for the message.
        input: checked already; a row of it is a row of logits.
        classes: how many there are.
        target, weight, ignore_index, reduction, label_smoothing: as given to the function.

    Raises:
        TypeError: an argument of another type or dtype.
        ValueError: another shape, device or value, or a weight that requires a gradient.
    """
    rows = input.shape[0]
    if not isinstance(target, Tensor):
        raise TypeError(
            f"{function}: target is a {type(target).__name__}, expected a torch.Tensor [rows]"
        )
    if target.dtype != torch.int64:
        raise TypeError(
            f"{function}: target is {target.dtype}, expected torch.int64: class numbers; "
            "class probabilities are not supported"
        )
    if target.layout != torch.strided or target.shape != (rows,):
        raise ValueError(
            f"{function}: target has shape {list(target.shape)}, expected [{rows}], "
            "dense, one class for each row of input"
        )
    if target.device != input.device:
        raise ValueError(
            f"{function}: input is on {input.device} and target is on {target.device}, "
            "expected one device for both"
        )
    if weight is not None:
        _launch.check_operand(function, "weight", weight, "[classes]")
        _launch.check_alike(function, "input", input, "weight", weight)
        if weight.shape[0] != classes:
            raise ValueError(
                f"{function}: weight has shape {list(weight.shape)}, expected [{classes}], "
                "one for each class"
            )
        if weight.requires_grad and torch.is_grad_enabled():
            raise ValueError(
                f"{function}: weight requires a gradient, expected a weight without: like torch, "
                "this does not differentiate in it; give weight.detach()"
            )
    if not isinstance(ignore_index, int):
        raise TypeError(
            f"{function}: ignore_index is a {type(ignore_index).__name__}, expected an int"
        )
    if reduction not in REDUCTIONS:
        raise ValueError(
            f"{function}: reduction is {reduction!r}, expected one of {', '.join(REDUCTIONS)}"
        )
    if not isinstance(label_smoothing, int | float):
        raise TypeError(
            f"{function}: label_smoothing is a {type(label_smoothing).__name__}, expected a float"
        )
    if not 0 <= label_smoothing <= 1:
        raise ValueError(
            f"{function}: label_smoothing is {label_smoothing}, expected 0 to 1, both included"
        )
