"""What a benchmark declares, and the check that every provider passes before it is timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from harness.correctness import Truth, Verdict, equal
from harness.words import count

Outputs = Tensor | tuple[Tensor, ...]

DRAWS = 3  # fresh inputs that each provider is checked on; the first are those that are timed


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
        in_place: the providers that may write over their inputs.
        expected_s: seconds of an iteration, where they are known beforehand: a self-check's.

    Raises:
        TypeError: a name that is no text.
        ValueError: flops, bytes or a batch that is no int (`int(...)` makes one) of 0 or more.
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
    in_place: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # what a row could not hold, or could not be read back with, is refused before it is timed
        for name in ("subject", "case", "dtype", "direction", "baseline", "kind"):
            if not isinstance(given := getattr(self, name), str):
                raise TypeError(f"a comparison's {name}: {given!r} is no text")
        for name in ("flops", "bytes", "batch"):
            given = getattr(self, name)
            if given is not None and (type(given) is not int or given < 0):
                raise ValueError(f"a comparison's {name}: {given!r} is no int of 0 or more")


class Checker:
    """Checks providers of one comparison; the truth is computed once for all of them.

    Raises (when made):
        Whatever the reference raises.
    """

    def __init__(self, comparison: Comparison, seed: int = 0):
        self.first_call_s: float | None = None
        self.draws: list[tuple[tuple[Tensor, ...], list[Truth]]] = []
        true = comparison.truth or comparison.reference
        for draw in range(DRAWS):
            inputs = comparison.inputs(seed + draw)
            truth = _flat(true(*map(_double, inputs)))
            own = _flat(comparison.reference(*map(_detached, inputs)))
            scale: list[Tensor | None] = [None] * len(truth)
            if comparison.magnitude:
                scale = list(_flat(comparison.magnitude(*map(_double, inputs))))
            parts = zip(truth, own, scale, strict=True)
            self.draws.append((inputs, [Truth.of(t, o, s, comparison.slack) for t, o, s in parts]))
        outputs = zip(*(truths for _, truths in self.draws), strict=True)
        self.own = [Truth.worst(draws) for draws in outputs]
        self._drawn = _copies(self.timed)

    @property
    def timed(self) -> tuple[Tensor, ...]:
        """The inputs to time providers on."""
        return self.draws[0][0]

    def restore_timed(self) -> bool:
        """Set the inputs to time providers on back to what was drawn; whether they were not."""
        return _restore(self.timed, self._drawn)

    def own_timed(self) -> tuple[Tensor, ...]:
        """The same inputs once more, for a provider that writes over them."""
        pairs = zip(self.timed, self._drawn, strict=True)
        return tuple(drawn.clone().requires_grad_(t.requires_grad) for t, drawn in pairs)

    def refill(self, inputs: Sequence[Tensor]) -> None:
        """Set inputs of `own_timed` back to what was drawn."""
        _fill(inputs, self._drawn)

    def check(self, provider: Callable[..., Outputs], in_place: bool = False) -> Verdict:
        """Run the provider on every draw, its memory poisoned with NaN, and judge the outputs.

        Each draw has new inputs, so that an answer kept from the last call is wrong; memory of
        the outputs' sizes is filled with NaN and freed just before, so that an allocation
        that is left unwritten shows.

        Args:
            in_place: it may write over its inputs; they are set back in any case.
        """
        self.first_call_s = None
        return self._check(provider, [inputs for inputs, _ in self.draws], in_place)

    def check_timed(self, provider: Callable[..., Outputs], in_place: bool = False) -> Verdict:
        """The same right after the provider was timed: what it answers to the inputs that it was
        timed on is judged first, and in the end what it answers where the very same memory holds
        the last draw's numbers: an answer that is kept by address is wrong then.
        """
        *first, last = (inputs for inputs, _ in self.draws)
        if not _can_hold(self.timed, last):
            return self._check(provider, [*first, last], in_place)
        try:
            return self._check(provider, [*first, self.timed], in_place, refilled=last)
        finally:
            _fill(self.timed, self._drawn)

    def _check(
        self,
        provider: Callable[..., Outputs],
        given: Sequence[tuple[Tensor, ...]],
        in_place: bool,
        refilled: tuple[Tensor, ...] = (),
    ) -> Verdict:
        """`refilled`: what the last of `given` are to be filled with before their turn.

        However it ends, the inputs are as they were: the next provider has the same.
        """
        worst = Verdict(0.0, 0.0, None)
        for turn, (inputs, (_, truths)) in enumerate(zip(given, self.draws, strict=True)):
            if refilled and turn == len(given) - 1:
                _fill(inputs, refilled)
            before = _copies(inputs)
            _poison(truths)
            start = time.perf_counter()
            try:
                outputs = _flat(provider(*inputs))
                self.first_call_s = self.first_call_s or time.perf_counter() - start
            except BaseException:  # it may have run out of time or memory half-way
                _fill(inputs, before)
                raise
            if in_place:
                outputs = _copies(outputs)  # they may lie where the inputs were
            if _restore(inputs, before) and not in_place:
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


def _poison(truths: list[Truth]) -> None:
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
    """Whether they can hold all of the others: the same shapes, each element its own memory."""
    return [t.shape for t in inputs] == [t.shape for t in others] and all(
        stride or size <= 1
        for t in inputs
        for size, stride in zip(t.shape, t.stride(), strict=True)
    )


def _copies(inputs: Sequence[Tensor]) -> list[Tensor]:
    return [t.detach().clone() for t in inputs]


def _restore(inputs: Sequence[Tensor], before: Sequence[Tensor]) -> bool:
    """Set them back where they are not as before; whether any was not."""
    changed = not all(_same(a, b) for a, b in zip(inputs, before, strict=True))
    if changed:
        _fill(inputs, before)
    return changed


def _fill(inputs: Sequence[Tensor], others: Sequence[Tensor]) -> None:
    for t, other in zip(inputs, others, strict=True):
        # an expanded dimension has one element's memory for all of them
        one = tuple(slice(None if stride else 1) for stride in t.stride())
        # unlike t's own, data's leaves the version, by which answers could be kept
        t.data[one].copy_(other[one])


def _flat(outputs: Outputs) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def _double(t: Tensor) -> Tensor:
    return (t.detach().double() if t.is_floating_point() else t).requires_grad_(t.requires_grad)


def _detached(t: Tensor) -> Tensor:
    return t.detach().requires_grad_(t.requires_grad)


def _same(a: Tensor, b: Tensor) -> bool:
    return bool(equal(a.detach(), b).all())
