"""What a right answer is: the rule that every provider's outputs are held to.

A provider's error against the float64 reference may be at most twice the error of the
reference's own formula in the case's dtype, plus a floor of one rounding: 1e-6 of the largest
value where there are at least 4096 outputs, else 2 u S, u the unit roundoff and S the formula
over absolute values (Higham 2002, "Accuracy and Stability of Numerical Algorithms", section
3.1); torch's own error on few outputs is by chance 0. Where S is not known, as of a whole training
step, the floor is the dtype's eps, or 1e-6, of the largest value.

The same is asked of the sum of the errors' magnitudes, with the sums of the values and of S for
their largest, and u of the sum of the values for 1e-6 where that is more: a gradient that is zero
where it should be small has many errors, and no large one. A Euclidean norm would see the largest
ones again, whose roundings are alike where they are.

NaN and infinities stand where the reference has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

_PLAIN = (Tensor, torch.nn.Parameter)  # the classes of outputs
FEW = 4096  # outputs under which torch's own error may be small by chance


@dataclass(frozen=True)
class Verdict:
    """The worst of all draws and outputs.

    Attributes:
        error: the largest absolute difference from the float64 truth.
        bound: what that may be.
        wrong: in words what is wrong; None for a provider that passed.
    """

    error: float
    bound: float
    wrong: str | None


class Size(NamedTuple):
    """Of an output's errors: the largest magnitude, and the sum of all."""

    largest: float
    total: float


@dataclass(frozen=True)
class Truth:
    """One output's float64 truth, and how far torch's own answer in its dtype is from it."""

    value: Tensor
    total: float  # of its finite magnitudes
    dtype: torch.dtype
    own_error: Size
    floor: Size

    @staticmethod
    def of(truth: Tensor, own: Tensor, scale: Tensor | None, slack: float) -> Truth:
        truth, own = truth.detach(), own.detach()
        finite = truth.isfinite()
        eps = torch.finfo(own.dtype).eps if own.is_floating_point() else 0.0
        values = _size(truth.double(), finite)
        if truth.numel() >= FEW:
            # of outputs that are nearly equal the roundings are too, and none averages out: the
            # sum of torch's own may be small by chance however many they are
            rounding = max(eps / 2, 1e-6) * values.total
            size, unit = Size(1e-6 * values.largest, rounding), 1.0
        elif scale is None:  # an output may then err by the largest one's rounding, and so may all
            size = Size(values.largest, values.largest * truth.numel())
            unit = max(eps, 1e-6 if eps else 0.0)
        else:
            size, unit = _size(scale.detach(), scale.isfinite()), eps
        floor = Size(unit * size.largest + slack, unit * size.total + slack * truth.numel())
        # copied: a reference that keeps a state changes its tensors in the next draw
        own_error = _size(own.double() - truth, finite)
        return Truth(truth.detach().clone(), values.total, own.dtype, own_error, floor)

    @staticmethod
    def worst(draws: Sequence[Truth]) -> Size:
        """torch's own error in one output, the worst of the draws: one may be right by chance.

        The sum is a share of the truth's, as a draw may be larger than another by its scale.
        """
        shares = (t.own_error.total / t.total for t in draws if t.total)
        return Size(max(t.own_error.largest for t in draws), max(shares, default=0.0))

    def judge(self, output: Tensor, worst: Size) -> Verdict:
        """Of a provider's output; `worst` as of all draws."""
        bound = 2 * worst.largest + self.floor.largest
        if type(output) not in _PLAIN:
            # another class may put its work off until it is looked at, outside of the clock
            return Verdict(0.0, bound, f"it returns a {type(output).__name__} and no torch.Tensor")
        if output.shape != self.value.shape or not self._fits(output.dtype):
            words = (
                f"it returns {output.dtype} {list(output.shape)} instead of "
                f"{self.dtype} {list(self.value.shape)}"
            )
            return Verdict(0.0, bound, words)
        actual = output.detach().double()
        finite = self.value.isfinite()
        misplaced = (actual.isfinite() != finite) | ~finite & ~equal(actual, self.value)
        if misplaced.any():
            words = (
                f"{int(misplaced.sum())} of {misplaced.numel()} outputs are NaN or infinite "
                "where the reference is not, or the other way round"
            )
            return Verdict(0.0, bound, words)
        error, total = _size(actual - self.value, finite)
        if error > bound:
            return Verdict(error, bound, f"wrong answer: error {error:.3g}, allowed {bound:.3g}")
        most = 2 * max(self.own_error.total, worst.total * self.total) + self.floor.total
        if total > most:
            words = f"wrong answer: its errors add up to {total:.3g}, allowed {most:.3g}"
            return Verdict(error, bound, words)
        return Verdict(error, bound, None)

    def _fits(self, dtype: torch.dtype) -> bool:
        """torch's dtype or, of a number such as a loss, a wider one: Liger's losses are float32.
        More bytes are not written for it; of a larger output they would be."""
        wider = self.value.ndim == 0 and dtype.is_floating_point
        return dtype == self.dtype or (wider and torch.promote_types(dtype, self.dtype) == dtype)


def equal(a: Tensor, b: Tensor) -> Tensor:
    """Where they are the same, NaN and NaN too."""
    return (a == b) | (a.isnan() & b.isnan())


def _size(t: Tensor, where: Tensor) -> Size:
    """Picking elements out would take twice a large tensor's memory more."""
    if not t.numel():
        return Size(0.0, 0.0)
    magnitudes = t.abs().masked_fill_(~where, 0)
    return Size(float(magnitudes.max()), float(magnitudes.sum()))
