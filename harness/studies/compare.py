"""Two settings over the same seeds: what trials say of a claim that one is ahead.

From five pairs of seeds on the interval decides (harness.survival.paired_ratio). Fewer have none.
There only the order of all seeds says something: that each of three seeds of one setting is ahead
of each of the other's has a chance of one in twenty where the two are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness import survival
from harness.curve import OF_DEVICE, TUNING, Curve
from harness.report.amounts import amount, power
from harness.report.words import count, digits, plain, ratio
from harness.studies.spec import DEPENDS, REFUTED, SUPPORTED, UNCLEAR, Evidence, by_interval

DEVICES = ("cpu", "cuda")
_SHOWN = 3  # effects that are listed; of more only the least and the most
FEWEST = 3  # seeds; the order of fewer is chance's too often


class Side(NamedTuple):
    """A setting to compare: what it is called in a sentence, and which it is."""

    label: str
    workload: str
    optimizer: str | None = None
    batch: int | None = None

    def trials(self, evidence: Evidence, device: str) -> list[Curve]:
        """From fresh seeds, on a device."""
        return evidence.finals(self.workload, self.optimizer, self.batch, device)


class Told(NamedTuple):
    """What one setting of a duel did: its label, its median, and seeds, e.g. "3 of 3 seeds"."""

    label: str
    text: str
    seeds: str

    @property
    def full(self) -> str:
        """e.g. "8 steps (3 of 3 seeds)"."""
        return f"{self.text} ({self.seeds})" if self.seeds else self.text


@dataclass(frozen=True)
class Duel:
    """How many times as much setting a has of something as setting b, over the same seeds.

    Attributes:
        a, b: one number a seed, above 0, infinite where the target was not reached; less is
            better, so that a ratio above 1 speaks for b.
        of_a, of_b: the two with their medians and how many seeds got there.
        device_name: where.
        tuned: whether the learning rates are; others might have another verdict.
    """

    a: tuple[float, ...]
    b: tuple[float, ...]
    of_a: Told
    of_b: Told
    device_name: str
    tuned: bool

    @property
    def n(self) -> int:
        """Pairs of seeds."""
        return len(self.a)

    @property
    def words(self) -> str:
        """Both in full, b first."""
        a, b = self.of_a, self.of_b
        return f"{b.label}: {b.full} against {a.label}: {a.full}"

    @property
    def brief(self) -> str:
        """The same without the seeds."""
        a, b = self.of_a, self.of_b
        return f"{b.label}: {b.text} against {a.label}: {a.text}"

    @property
    def every_seed(self) -> bool:
        """Whether all seeds of both got there, or there is nothing to get to."""
        return all(told.seeds in ("", _all_of(self.n)) for told in (self.of_a, self.of_b))

    @property
    def few(self) -> bool:
        """Whether there are too few pairs for an interval."""
        return self.n < survival.MIN_PAIRS

    @property
    def neither(self) -> bool:
        """Whether no trial of either got there."""
        return not any(map(math.isfinite, (*self.a, *self.b)))

    @property
    def ratio(self) -> tuple[float, float, float]:
        """a over b with its interval, 0 and infinite below five pairs."""
        return survival.paired_ratio(self.a, self.b)

    @property
    def verdict(self) -> str:
        """Whether b is better than a."""
        if self.n >= survival.MIN_PAIRS:
            _, low, high = self.ratio
            return by_interval(low, high)
        if self.n < FEWEST or self.neither:
            return UNCLEAR
        if min(self.a) > max(self.b):
            return SUPPORTED
        return REFUTED if max(self.a) < min(self.b) else UNCLEAR

    @property
    def effect(self) -> str:
        """The ratio as text, with its interval or the reason why there is none."""
        none = self.few and not self.neither
        return f"{self.times} ({_no_interval(self.n)})" if none else self.times

    @property
    def times(self) -> str:
        """The ratio as text, with its interval if there is one."""
        value, low, high = self.ratio
        if self.neither:
            return "neither got there"
        if self.few:
            return _times(value)
        if not math.isfinite(value):
            return f"{_times(value)} [{_times(low)}, {_times(high)}]"
        return f"{ratio(value, low, high) if math.isfinite(high) else _times(value)}×"


def duel(evidence: Evidence, a: Side, b: Side, currency: str = "steps") -> Duel | None:
    """The two settings' times-to-target on the first device that has both; None if none has."""
    for device in DEVICES:
        if found := duel_on(device, evidence, a, b, currency):
            return found
    return None


def duel_on(device: str, evidence: Evidence, a: Side, b: Side, currency: str) -> Duel | None:
    """The same on one device; None also where the currency is not known of every trial."""

    def value(curve: Curve) -> float | None:
        return took(curve, currency)

    def show(values: Sequence[float], curves: Sequence[Curve]) -> tuple[str, str]:
        middle = survival.median(values)
        got = f"{sum(map(math.isfinite, values))} of {count(len(values), 'seed')}"
        if math.isinf(middle):
            spent = max((usable(c.spent("steps")) or 0.0) for c in curves)
            return f"not reached in {amount(spent, 'steps')} steps", got
        told = amount(middle, currency)
        if currency in ("steps", "samples"):
            told += f" {currency.removesuffix('s') if told == '1' else currency}"
        return told, got

    return _duel(device, evidence, a, b, value, show, timed=currency in OF_DEVICE)


def shifted(evidence: Evidence, a: Side, b: Side) -> Duel | None:
    """The metric on the moved data at the end of training: of a over that of b, less is better."""

    def value(curve: Curve) -> float | None:
        number = usable(curve.shifted)
        return number if number is None or curve.lower_is_better else 1 / number

    def show(values: Sequence[float], curves: Sequence[Curve]) -> tuple[str, str]:
        last = [c.points[-1].metric for c in curves if c.points]
        known = [v for v in map(usable, last) if v is not None]
        before = f" after {power(survival.median(known))} unmoved" if known else ""
        moved = survival.median(
            [v if c.lower_is_better else 1 / v for v, c in zip(values, curves, strict=True)]
        )
        return f"{plain(curves[0].metric)} {power(moved)} on moved data{before}", ""

    for device in DEVICES:
        if found := _duel(device, evidence, a, b, value, show):
            return found
    return None


def _duel(
    device: str,
    evidence: Evidence,
    a: Side,
    b: Side,
    value: Callable[[Curve], float | None],
    show: Callable[[Sequence[float], Sequence[Curve]], tuple[str, str]],
    timed: bool = False,
) -> Duel | None:
    def pair(curve: Curve) -> tuple[int, str, str]:
        # a seed on another machine is no pair: its seconds are that machine's
        return curve.trial.seed, curve.device_name, curve.host if timed else ""

    others = {pair(curve): curve for curve in b.trials(evidence, device)}
    pairs = [
        (first, others[pair(first)])
        for first in a.trials(evidence, device)
        if pair(first) in others
    ]
    numbers = [(value(first), value(second)) for first, second in pairs]
    known = [(x, y) for x, y in numbers if x is not None and y is not None]
    if not pairs or len(known) != len(numbers):
        return None
    values = tuple(zip(*known, strict=True))
    curves = tuple(zip(*pairs, strict=True))
    of_a, of_b = (
        Told(side.label, *show(of, trials))
        for side, of, trials in zip((a, b), values, curves, strict=True)
    )
    name = plain(pairs[0][0].device_name)
    return Duel(values[0], values[1], of_a, of_b, name, _tuned(evidence, curves))


def _tuned(evidence: Evidence, curves: Sequence[Sequence[Curve]]) -> bool:
    def setting(curve: Curve) -> tuple[str, str, int]:
        return curve.trial.workload, curve.trial.optimizer, curve.trial.batch

    tuned = {setting(curve) for curve in evidence.curves if curve.role == TUNING}
    return {setting(curve) for of in curves for curve in of} <= tuned


class Summary(NamedTuple):
    """Of several duels: in words with the device, the range of their effects, and pairs."""

    words: str
    effect: str
    n: int


def summary(duels: Sequence[Duel]) -> Summary:
    """What a verdict says of the duels that it stands on, one at least."""
    every = all(duel.every_seed for duel in duels)
    words = "; ".join(f"{d.brief if every else d.words}: {d.times}" for d in duels)
    return Summary(f"{words}{where(duels)}.", effects(duels), min(d.n for d in duels))


def where(duels: Sequence[Duel]) -> str:
    """In brackets what holds for all of them: device, seeds, and what the judgement stands on."""
    told = [f"on {', '.join(sorted({duel.device_name for duel in duels}))}"]
    counts = sorted({duel.n for duel in duels})
    seeds = {t.seeds for duel in duels for t in (duel.of_a, duel.of_b)} - {""}
    if seeds and all(duel.every_seed for duel in duels):
        told.append(f"{' or '.join(map(_all_of, counts))} of each got there")
    if any(duel.few for duel in duels):
        told.append("too few seeds for an interval, judged by the order of all seeds")
    if not all(duel.tuned for duel in duels):
        told.append("learning rates not tuned")
    return f" ({', '.join(told)})"


def effects(duels: Sequence[Duel]) -> str:
    """Their ratios: each of a few, of many the least and the most."""
    told = [duel for duel in duels if not duel.neither]
    if len(duels) <= _SHOWN or not told:
        text = ", ".join(dict.fromkeys(duel.times for duel in duels))
    else:
        order = sorted(told, key=lambda duel: (math.isnan(duel.ratio[0]), duel.ratio[0]))
        text = " to ".join(dict.fromkeys([order[0].times, order[-1].times]))
        if len(told) < len(duels):
            text += f", in {len(duels) - len(told)} of {len(duels)} neither got there"
    few = [duel.n for duel in told if duel.few]
    return f"{text} ({_no_interval(min(few))})" if few else text


def eased(duels: Sequence[Duel]) -> str:
    """One verdict of what is said to ease training: it does not where neither gets there."""
    told = [duel.verdict for duel in duels if not duel.neither]
    if SUPPORTED in told and (REFUTED in told or len(told) < len(duels)):
        return DEPENDS
    if not told or len(set(told)) > 1:
        return UNCLEAR
    return told[0] if len(told) == len(duels) else UNCLEAR


def took(curve: Curve, currency: str) -> float | None:
    """What the target took, infinite if it was not reached; None if that is no number above 0."""
    try:
        return usable(curve.to_target(currency))
    except OverflowError:
        return None


def usable(value: float | None, zero: bool = False) -> float | None:
    """A number above 0, or also 0; None for all else: files hold any, integers of any length."""
    try:
        number = math.nan if value is None else float(value)
    except OverflowError:
        return None
    return number if number > 0 or (zero and number == 0) else None


def _all_of(n: int) -> str:
    return f"{n} of {count(n, 'seed')}"


def _no_interval(n: int) -> str:
    return f"no interval from {count(n, 'seed')}"


def _times(value: float) -> str:
    return "∞" if math.isinf(value) else "not known" if math.isnan(value) else f"{digits(value)}×"
