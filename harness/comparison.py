"""What a benchmark declares, and the check that every provider passes before it is timed.

The rule: a provider's error against the float64 reference may be at most twice the error of the
reference's own formula in the case's dtype, plus a floor of one rounding: 1e-6 of the largest
value where there are at least 4096 outputs, else 2 u S, u the unit roundoff and S the formula
over absolute values (Higham 2002, "Accuracy and Stability of Numerical Algorithms", section
3.1); torch's own error on few outputs is by chance 0. Where S is not known, as of a whole training
step, the floor is the dtype's eps, or 1e-6, of the largest value. NaN and infinities stand where
the reference has them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from harness.words import count

Outputs = Tensor | tuple[Tensor, ...]

DRAWS = 3  # fresh inputs that each provider is checked on; the first are those that are timed
_PLAIN = (Tensor, torch.nn.Parameter)  # the classes of outputs
FEW = 4096  # outputs under which torch's own error may be small by chance


@dataclass(frozen=True)
class Comparison:
    """Providers of one case, the truth to check them by, and the work that the case is.

    Attributes:
        subject: the operation's or the workload's name.
        case: what tells its cases apart; the same on every device and in every mode.
        dtype: torch's name of it.
        direction: "forward", "forward+backward", "inference" or "train".
        inputs: seed -> fresh random inputs, on the device; never zeros.
        providers: by name, a function without arguments that builds the provider: a function of
            the inputs that returns the outputs. Building is not timed.
        baseline: the provider in the denominator of the speedups.
        reference: the inputs -> the outputs, in the dtype of the inputs; called with float64
            copies it is the truth. May keep a state as the providers do: it is called with
            the same inputs in the same order.
        truth: the float64 reference, where it is not made by float64 inputs alone: it has a
            state, or the inputs are whole numbers; None for `reference` itself.
        magnitude: like reference, over absolute values; None where the largest value of the
            truth is scale enough.
        slack: added to what an error may be, absolute; 0 unless the case turns rounding errors
            into larger ones, and says how.
        flops, bytes: of one iteration; None where they are not known.
        batch: samples in one iteration; None where there is no batch.
        kind: "kernel", "workload", "user", or one of record.ABOUT_MEASURING.
        not_measured: by provider, why it is not measured here.
        expected_s: seconds of an iteration, where they are known beforehand: a self-check's.
    """

    subject: str
    case: str
    dtype: str
    direction: str
    inputs: Callable[[int], tuple[Tensor, ...]]
    providers: Mapping[str, Callable[[], Callable[..., Outputs]]]
    baseline: str
    reference: Callable[..., Outputs]
    truth: Callable[..., Outputs] | None = None
    magnitude: Callable[..., Outputs] | None = None
    slack: float = 0.0
    flops: int | None = None
    bytes: int | None = None
    batch: int | None = None
    kind: str = "user"
    not_measured: Mapping[str, str] = field(default_factory=dict)
    expected_s: float | None = None


@dataclass(frozen=True)
class Verdict:
    """The worst of all draws and outputs.

    Attributes:
        error: the largest absolute difference from the float64 truth.
        bound: what it may be.
        wrong: in words what is wrong; None for a provider that passed.
    """

    error: float
    bound: float
    wrong: str | None


class Checker:
    """Checks providers of one comparison; the truth is computed once for all of them.

    Raises (when made):
        Whatever the reference raises.
    """

    def __init__(self, comparison: Comparison, seed: int = 0):
        self.first_call_s: float | None = None
        self.draws: list[tuple[tuple[Tensor, ...], list[_Truth]]] = []
        true = comparison.truth or comparison.reference
        for draw in range(DRAWS):
            inputs = comparison.inputs(seed + draw)
            truth = _flat(true(*map(_double, inputs)))
            own = _flat(comparison.reference(*map(_detached, inputs)))
            scale: list[Tensor | None] = [None] * len(truth)
            if comparison.magnitude:
                scale = list(_flat(comparison.magnitude(*map(_double, inputs))))
            parts = zip(truth, own, scale, strict=True)
            self.draws.append((inputs, [_Truth.of(t, o, s, comparison.slack) for t, o, s in parts]))
        # torch's own error by output, the worst of the draws: one draw may be right by chance
        outputs = zip(*(truths for _, truths in self.draws), strict=True)
        self.own = [max(t.own_error for t in draws) for draws in outputs]

    @property
    def timed(self) -> tuple[Tensor, ...]:
        """The inputs to time providers on."""
        return self.draws[0][0]

    def check(self, provider: Callable[..., Outputs]) -> Verdict:
        """Run the provider on every draw, its memory poisoned with NaN, and judge the outputs.

        Each draw has new inputs, so that an answer kept from the last call is wrong; memory of
        the outputs' sizes is filled with NaN and freed just before, so that an allocation
        that is left unwritten shows.
        """
        self.first_call_s = None
        return self._check(provider, [inputs for inputs, _ in self.draws])

    def check_timed(self, provider: Callable[..., Outputs]) -> Verdict:
        """The same right after the provider was timed: what it answers to the inputs that it was
        timed on is judged first, and in the end what it answers where the very same memory holds
        the last draw's numbers: an answer that is kept by address is wrong then.
        """
        *first, last = (inputs for inputs, _ in self.draws)
        if not _can_hold(self.timed, last):
            return self._check(provider, [*first, last])
        kept = [t.detach().clone() for t in self.timed]
        try:
            return self._check(provider, [*first, self.timed], refilled=last)
        finally:
            _fill(self.timed, kept)

    def _check(
        self,
        provider: Callable[..., Outputs],
        given: Sequence[tuple[Tensor, ...]],
        refilled: tuple[Tensor, ...] = (),
    ) -> Verdict:
        """`refilled`: what the last of `given` are to be filled with before their turn."""
        worst = Verdict(0.0, 0.0, None)
        for turn, (inputs, (_, truths)) in enumerate(zip(given, self.draws, strict=True)):
            if refilled and turn == len(given) - 1:
                _fill(inputs, refilled)
            before = [t.detach().clone() for t in inputs]
            _poison(truths)
            start = time.perf_counter()
            outputs = _flat(provider(*inputs))
            self.first_call_s = self.first_call_s or time.perf_counter() - start
            if any(not _same(a, b) for a, b in zip(inputs, before, strict=True)):
                return Verdict(worst.error, worst.bound, "it writes into its inputs")
            if len(outputs) != len(truths):
                words = f"it returns {count(len(outputs), 'tensor')} instead of {len(truths)}"
                return Verdict(worst.error, worst.bound, words)
            for output, truth, own in zip(outputs, truths, self.own, strict=True):
                verdict = truth.judge(output, own)
                if verdict.wrong:
                    return verdict
                # the closest to its bound is the one worth keeping
                if verdict.error * worst.bound >= worst.error * verdict.bound:
                    worst = verdict
        return worst


@dataclass(frozen=True)
class _Truth:
    """One output's float64 truth, and how far torch's own answer in its dtype is from it."""

    value: Tensor
    dtype: torch.dtype
    own_error: float
    floor: float

    @staticmethod
    def of(truth: Tensor, own: Tensor, scale: Tensor | None, slack: float) -> _Truth:
        truth, own = truth.detach(), own.detach()
        finite = truth.isfinite()
        largest = _largest(truth, finite)
        eps = torch.finfo(own.dtype).eps if own.is_floating_point() else 0.0
        if truth.numel() >= FEW:
            floor = 1e-6 * largest
        elif scale is None:
            floor = max(eps, 1e-6 if eps else 0.0) * largest
        else:
            floor = eps * _largest(scale.detach(), scale.isfinite())
        # copied: a reference that keeps a state changes its tensors in the next draw
        own_error = _largest(own.double() - truth, finite)
        return _Truth(truth.detach().clone(), own.dtype, own_error, floor + slack)

    def judge(self, output: Tensor, own_error: float) -> Verdict:
        bound = 2 * own_error + self.floor
        if type(output) not in _PLAIN:
            # another class may put its work off until it is looked at, outside of the clock
            return Verdict(0.0, bound, f"it returns a {type(output).__name__} and no torch.Tensor")
        if output.shape != self.value.shape or output.dtype != self.dtype:
            words = (
                f"it returns {output.dtype} {list(output.shape)} instead of "
                f"{self.dtype} {list(self.value.shape)}"
            )
            return Verdict(0.0, bound, words)
        actual = output.detach().double()
        finite = self.value.isfinite()
        misplaced = (actual.isfinite() != finite) | ~finite & ~_equal(actual, self.value)
        if misplaced.any():
            words = (
                f"{int(misplaced.sum())} of {misplaced.numel()} outputs are NaN or infinite "
                "where the reference is not, or the other way round"
            )
            return Verdict(0.0, bound, words)
        error = _largest(actual - self.value, finite)
        if error > bound:
            return Verdict(error, bound, f"wrong answer: error {error:.3g}, allowed {bound:.3g}")
        return Verdict(error, bound, None)


def _poison(truths: list[_Truth]) -> None:
    """Leave freed blocks full of NaN where the allocator will look for the outputs' memory."""
    blocks = [
        torch.full_like(
            t.value,
            float("nan") if t.dtype.is_floating_point else torch.iinfo(t.dtype).max,
            dtype=t.dtype,
        )
        for t in truths * 2
    ]
    del blocks


def _can_hold(inputs: tuple[Tensor, ...], others: tuple[Tensor, ...]) -> bool:
    """Whether they can be filled with the others: the same shapes, each element its own memory."""
    return [t.shape for t in inputs] == [t.shape for t in others] and all(
        stride or size <= 1
        for t in inputs
        for size, stride in zip(t.shape, t.stride(), strict=True)
    )


def _fill(inputs: Sequence[Tensor], others: Sequence[Tensor]) -> None:
    for t, other in zip(inputs, others, strict=True):
        t.data.copy_(other)  # unlike t's own, it leaves its version, by which answers could be kept


def _flat(outputs: Outputs) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def _double(t: Tensor) -> Tensor:
    return (t.detach().double() if t.is_floating_point() else t).requires_grad_(t.requires_grad)


def _detached(t: Tensor) -> Tensor:
    return t.detach().requires_grad_(t.requires_grad)


def _same(a: Tensor, b: Tensor) -> bool:
    return bool(_equal(a.detach(), b).all())


def _equal(a: Tensor, b: Tensor) -> Tensor:
    return (a == b) | (a.isnan() & b.isnan())


def _largest(t: Tensor, where: Tensor) -> float:
    """The largest magnitude; picking elements out would take twice a large tensor's memory more."""
    return float(t.abs().masked_fill_(~where, 0).max()) if t.numel() else 0.0
